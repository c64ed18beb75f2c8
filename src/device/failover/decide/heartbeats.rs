//! What heartbeats prove of uplinks, and the copies that are tried over uplinks that delivered none.

use super::Uplinks;
use crate::device::failover::decision::Start;
use crate::device::failover::health::Track;
use crate::device::heartbeat::delivery::Evidence;
use std::time::Instant;

impl Uplinks {
    /// `copy`: it was sent over this uplink on purpose, whichever is the active one.
    pub(super) fn heartbeat(&mut self, interface: &str, evidence: Evidence, copy: bool, now: Instant) {
        let track = self.tracks.iter_mut().find(|track| track.seen.name == interface);
        let is_uplink = track.is_some();
        track.into_iter().for_each(|track| track.heartbeat(evidence, now));
        if !evidence.proves_uplink() {
            return;
        }
        if is_uplink {
            let others = self.tracks.iter_mut().filter(|track| track.seen.name != interface);
            others.for_each(|track| track.question(now));
        }
        if !copy {
            self.note_helper(interface, is_uplink, now);
        }
        if self.path_now().as_deref() == Some(interface) {
            self.acknowledged |= self.path.as_deref() == Some(interface);
        } else if !copy && is_uplink && self.pin.is_none() {
            self.doubt_active(now);
        }
    }

    /// A heartbeat was delivered over another uplink.
    fn doubt_active(&mut self, now: Instant) {
        let Some(active) = &self.active else { return };
        let active = self.tracks.iter_mut().find(|track| track.seen.name == *active);
        if let Some(track) = active.filter(|track| track.usable() && !track.is_doubtful()) {
            track.doubt(now);
        }
    }

    /// Copies that are due. The active uplink carries the heartbeats themselves, once it is the last resort.
    pub(super) fn start_copies(&mut self, now: Instant) -> Vec<Start> {
        let due = |track: &&mut Track| track.copy_due().is_some_and(|due| due <= now);
        let start = |track: &mut Track| {
            track.start_copy(now);
            Start::Copy { index: track.seen.index }
        };
        self.tracks.iter_mut().filter(due).map(start).collect()
    }
}
