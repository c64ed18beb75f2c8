//! Copies of a heartbeat over uplinks that delivered none, each on a short-lived thread so that no heartbeat waits for
//! a copy.

use super::delivery::Evidence;
use super::dial::Uplink;
use super::sender::HeartbeatSender;
use crate::device::failover::handle::Failover;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Copies in flight; a further one is dropped, and failover requests it again later.
const IN_FLIGHT: usize = 4;

/// The copies in flight.
pub struct Copies {
    failover: Failover,
    in_flight: Arc<AtomicUsize>,
}

impl Copies {
    pub fn new(failover: Failover) -> Copies {
        Copies { failover, in_flight: Arc::default() }
    }

    /// Sends `body` over `uplink` alone.
    pub fn send(&self, sender: &HeartbeatSender, uplink: Uplink, body: Vec<u8>, timeout: Duration) {
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= IN_FLIGHT {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        log::debug!("sending a copy of the last heartbeat over {}", uplink.name);
        let (dialer, sibling) = (sender.dialer(), sender.bound_to(&uplink));
        let (failover, in_flight) = (self.failover.clone(), self.in_flight.clone());
        let work = move || {
            let evidence = send(&sibling, &uplink.name, &body, timeout);
            in_flight.fetch_sub(1, Ordering::Relaxed);
            if let Some(evidence) = evidence {
                dialer.record_uplink_evidence(&uplink.name, evidence);
                failover.report_heartbeat(&uplink.name, evidence, true);
            }
        };
        if let Err(error) = thread::Builder::new().name("copy".into()).spawn(work) {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            log::warn!("cannot start a thread for a copy of a heartbeat: {error}; will try again later");
        }
    }
}

/// `None` if the copy took another path: the kernel reaches the server over a link that is not an uplink.
fn send(sender: &HeartbeatSender, uplink: &str, body: &[u8], timeout: Duration) -> Option<Evidence> {
    let sent = sender.send(body, timeout);
    log::debug!("copy of a heartbeat over {uplink}: {:?}", sent.outcome);
    match (sent.evidence, sender.over()) {
        (None, _) => Some(Evidence::Lost),
        (evidence, Some(over)) if over == uplink => evidence,
        _ => None,
    }
}
