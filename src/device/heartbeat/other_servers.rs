//! Heartbeats to servers that are not in use: checks of them, and the last heartbeat of the daemon.

use super::checks::CheckResult;
use super::recorder::Recorder;
use super::{HeartbeatThread, formats};
use crate::clock::remaining;
use crate::wire::{self, Reason};
use std::path::Path;
use std::time::{Duration, Instant};

/// Limit for the shutdown heartbeat: systemd and the user wait for it.
const SHUTDOWN: Duration = Duration::from_secs(2);

impl HeartbeatThread {
    /// Sends a copy of a heartbeat to a server that is not in use, if one is due.
    pub(super) fn check_another(&mut self, heartbeat: &wire::Heartbeat) {
        let choice = &self.pace.servers;
        let due = self.servers.may_check().then(|| choice.check_due(Instant::now())).flatten();
        let Some(place) = due else { return };
        let server = self.servers.role(place, choice.current());
        let copy = wire::Heartbeat { server, ..heartbeat.clone() };
        let body = formats::to_send(&copy, &self.config, Path::new("/"));
        self.servers.start_check(place, body, self.config.timeout);
    }

    pub(super) fn checked(&mut self, result: CheckResult, now: Instant) {
        let current = self.pace.servers.current();
        let Some((place, outcome)) = self.servers.check_ended(result, current, now) else { return };
        if self.pace.checked(place, &outcome, now, fastrand::f64()) {
            self.use_new_connection();
        }
        self.publish(self.heartbeat_status.record().heartbeat.clone());
    }

    /// After a change of the server: the one kept from before may lead over an uplink that is no longer used.
    pub(super) fn use_new_connection(&self) {
        if let Some(sender) = self.servers.sender(self.pace.servers.current()) {
            sender.dialer().renew();
        }
    }

    /// A better server that is being checked counts the device as its own already. If the server in use did not take the
    /// heartbeat, the next one may.
    fn send_shutdown_to_others(&mut self, heartbeat: wire::Heartbeat, deadline: Instant) {
        let current = self.pace.servers.current();
        let is_taken = self.works == Some(true);
        for place in (0..self.servers.len()).filter(|place| *place != current) {
            let is_checked = place < current && self.pace.servers.works(place) == Some(true);
            let Some(sender) = self.servers.sender(place).filter(|_| is_checked || !is_taken) else {
                continue;
            };
            let server = self.servers.role(place, place);
            let copy = wire::Heartbeat { server, ..heartbeat.clone() };
            sender.send(&formats::to_send(&copy, &self.config, Path::new("/")), remaining(deadline));
        }
    }

    /// The last heartbeat says that the stop is intended.
    pub(super) fn send_shutdown(mut self) {
        if !self.servers.is_empty() {
            // History would only delay it.
            self.recorder = Recorder::default();
            self.counts.immediate += 1;
            self.pace.may_send(Reason::Shutdown, Instant::now());
            let heartbeat = self.next_heartbeat(Reason::Shutdown);
            let body = formats::to_send(&heartbeat, &self.config, Path::new("/"));
            let deadline = Instant::now() + self.config.timeout.min(SHUTDOWN);
            self.send(&heartbeat, &body, remaining(deadline));
            self.send_shutdown_to_others(heartbeat, deadline);
        }
        log::info!("stopped: {}", self.counts.status(&self.last_result));
    }
}
