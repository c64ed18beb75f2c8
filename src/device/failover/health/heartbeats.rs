//! Effect of heartbeats on the health of one uplink.

use super::Track;
use crate::device::failover::passage::PassageChange;
use crate::device::heartbeat::delivery::Evidence;
use std::time::Instant;

impl Track {
    /// A heartbeat, or a copy of one, was sent over it.
    pub fn heartbeat(&mut self, evidence: Evidence, now: Instant) {
        if !self.usable() {
            return;
        }
        let dead_before = self.is_dead();
        match self.passage.record(evidence, now) {
            PassageChange::None => {}
            // The probes that were answered meanwhile do not count for the failback.
            PassageChange::Opened => self.not_valid(),
            PassageChange::Blocked => {
                self.not_valid();
                if !dead_before {
                    self.hold.lost(now);
                }
            }
        }
        if evidence.proves_uplink() {
            self.succeeded(true, now);
        }
    }

    /// Another uplink delivers heartbeats.
    pub fn question(&mut self, now: Instant) {
        if self.usable() {
            self.passage.question(now);
        }
    }

    pub fn copy_due(&self) -> Option<Instant> {
        self.passage.copy_due().filter(|_| self.usable())
    }

    pub fn start_copy(&mut self, now: Instant) {
        self.passage.start_copy(now);
    }
}
