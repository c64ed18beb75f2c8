//! Copies of a heartbeat over uplinks that passed none, each on a short-lived thread: whatever a copy runs into, no
//! heartbeat waits for it.

use super::delivery::Evidence;
use super::dial::Uplink;
use super::inbox::Delivered;
use super::sender::Sender;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Copies in flight; a further one is dropped, and failover asks for it again later.
const IN_FLIGHT: usize = 4;

/// The copies in flight, and who wants to know their results.
pub struct Copies {
    delivered: Delivered,
    in_flight: Arc<AtomicUsize>,
}

impl Copies {
    pub fn new(delivered: Delivered) -> Copies {
        Copies { delivered, in_flight: Arc::default() }
    }

    /// Sends `body` over `uplink` alone.
    pub fn send(&self, sender: &Sender, uplink: Uplink, body: Vec<u8>, timeout: Duration) {
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= IN_FLIGHT {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        log::debug!("tries a copy of the last heartbeat over {}", uplink.name);
        let (line, sibling) = (sender.line(), sender.bound_to(&uplink));
        let (delivered, in_flight) = (self.delivered.clone(), self.in_flight.clone());
        let work = move || {
            let evidence = send(&sibling, &uplink.name, &body, timeout);
            in_flight.fetch_sub(1, Ordering::Relaxed);
            if let Some(evidence) = evidence {
                line.learn_uplink(&uplink.name, evidence);
                delivered(&uplink.name, evidence, true);
            }
        };
        if let Err(error) = thread::Builder::new().name("copy".into()).spawn(work) {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            log::warn!("cannot start a thread for a copy of a heartbeat: {error}; it is tried again later");
        }
    }
}

/// `None` if the copy went another way: the kernel reaches the server over a link that is no uplink.
fn send(sender: &Sender, uplink: &str, body: &[u8], timeout: Duration) -> Option<Evidence> {
    let sent = sender.send(body, timeout);
    log::debug!("a copy of a heartbeat over {uplink}: {:?}", sent.outcome);
    match (sent.evidence, sender.over()) {
        (None, _) => Some(Evidence::Lost),
        (evidence, Some(over)) if over == uplink => evidence,
        _ => None,
    }
}
