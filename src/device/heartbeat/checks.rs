//! Checks of servers that are not in use: copies of a heartbeat, each on a short-lived thread so that no heartbeat waits for
//! a check.

use super::outcome::Outcome;
use super::sender::HeartbeatSender;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::thread;
use std::time::Duration;

/// The end of a check.
#[derive(Debug)]
pub struct CheckResult {
    /// The server's place in the list.
    pub place: usize,
    /// Of the configuration: a result for the list before a reload counts no more.
    round: u64,
    sender: HeartbeatSender,
    pub outcome: Outcome,
}

/// At most one check is in flight.
#[derive(Debug)]
pub struct Checks {
    out: Sender<Box<CheckResult>>,
    results: Receiver<Box<CheckResult>>,
    round: u64,
    is_in_flight: bool,
    /// The sender of the last check, whose connection the next one uses.
    kept: Option<(usize, HeartbeatSender)>,
}

impl Default for Checks {
    fn default() -> Checks {
        let (out, results) = bounded(1);
        Checks { out, results, round: 0, is_in_flight: false, kept: None }
    }
}

impl Checks {
    pub fn results(&self) -> &Receiver<Box<CheckResult>> {
        &self.results
    }

    pub fn is_in_flight(&self) -> bool {
        self.is_in_flight
    }

    /// The servers are others from now on.
    pub fn restart(&mut self) {
        self.round += 1;
        self.kept = None;
    }

    /// Sends `body` to the server at `place`, which `server` sends to.
    pub fn start(&mut self, place: usize, server: &HeartbeatSender, body: Vec<u8>, timeout: Duration) {
        let kept = self.kept.take().filter(|(kept, _)| *kept == place).map(|(_, sender)| sender);
        let sender = kept.unwrap_or_else(|| server.sibling());
        sender.dialer().follow(&server.dialer());
        let (out, round) = (self.out.clone(), self.round);
        let work = move || {
            let outcome = sender.send(&body, timeout).outcome;
            // The heartbeat thread may have ended.
            let _ = out.send(Box::new(CheckResult { place, round, sender, outcome }));
        };
        match thread::Builder::new().name("check".into()).spawn(work) {
            Ok(_) => self.is_in_flight = true,
            Err(error) => log::debug!("no thread for the check of a server: {error}"),
        }
    }

    /// A check has ended. `None` if it was of a server before the reload.
    pub fn ended(&mut self, result: CheckResult) -> Option<(usize, Outcome)> {
        self.is_in_flight = false;
        let CheckResult { place, round, sender, outcome } = result;
        (round == self.round).then(|| {
            self.kept = Some((place, sender));
            (place, outcome)
        })
    }

    /// The connection of the last check is not needed soon.
    pub fn forget(&mut self) {
        self.kept = None;
    }
}
