//! When an uplink is to be probed next.

use super::{PROBES_IN_A_ROW, Portal, Track, Upstream, UpstreamCheck};
use crate::device::failover::decision::TargetChoice;
use crate::device::failover::role::{Role, UPSTREAM_STANDBY};
use std::time::{Duration, Instant};

/// An acknowledged heartbeat is as good as a probe, and costs nothing. Two beats at the default interval: while they
/// are acknowledged, no probe of the active uplink is sent at all. A heartbeat that goes elsewhere says so at once.
const ACKNOWLEDGED: Duration = Duration::from_secs(10);
/// A login page may begin to stand in the way at any time; a person who has just logged in waits for it to stop.
const PORTAL: Duration = Duration::from_secs(30);
const PORTAL_CAPTIVE: Duration = Duration::from_secs(5);
/// DNS takes less, where it works.
const PORTAL_LOOKUP: Duration = Duration::from_secs(2);
/// A check in flight is forgotten after this: a probe has at most 10 s.
const LOOK: Duration = Duration::from_secs(15);
impl Track {
    /// Last upstream probe or acknowledged heartbeat.
    pub fn last_look(&self) -> Option<Instant> {
        self.last_upstream.max(self.vouched)
    }

    /// Next upstream probe; `None` if it is impossible or in flight.
    pub fn upstream_due(&self, role: Role, now: Instant) -> Option<Instant> {
        if !self.usable() || self.seen.targets == 0 {
            return None;
        }
        // Overlapping probes notice recovery within half a second instead of a whole timeout.
        let waiting = self.attempt.is_some_and(|attempt| now < attempt.tried + LOOK);
        if waiting && role != Role::Offline {
            return None;
        }
        let Some(last) = self.last_upstream.filter(|_| !self.hurry) else { return Some(now) };
        if self.portal == Portal::Captive || self.passage.is_blocked() {
            // It accepts any connection: only the page, or a heartbeat, shows when it is gone.
            return Some(last + UPSTREAM_STANDBY);
        }
        let due = last + role.upstream(self.in_a_row >= PROBES_IN_A_ROW, self.upstream == Upstream::Failed);
        Some(self.vouched.filter(|_| role == Role::Active).map_or(due, |at| due.max(at + ACKNOWLEDGED)))
    }

    /// Begins a check. A failed uplink gets one probe instead of two: there is no hurry to leave it.
    pub fn start_upstream(&mut self, now: Instant) -> TargetChoice {
        let failed = self.upstream == Upstream::Failed;
        self.attempt = Some(UpstreamCheck { began: now, tried: now, last_try: failed });
        self.last_upstream = Some(now);
        self.hurry = false;
        self.looks = self.looks.wrapping_add(1);
        // The server may be down while the uplink is back.
        if failed && self.looks % 4 == 0 { TargetChoice::Last } else { TargetChoice::First }
    }

    pub fn gateway_due(&self, role: Role, now: Instant) -> Option<Instant> {
        let is_checked = self.usable() && self.seen.gateway;
        is_checked.then(|| self.last_gateway.map_or(now, |last| last + role.gateway()))
    }

    pub fn last_gateway(&self) -> Option<Instant> {
        self.last_gateway
    }

    pub fn start_gateway(&mut self, now: Instant) {
        self.last_gateway = Some(now);
    }

    /// Only where something answers: a portal passes connections on, and answers itself.
    pub fn portal_due(&self, now: Instant) -> Option<Instant> {
        let captive = self.portal == Portal::Captive;
        let interval = if captive { PORTAL_CAPTIVE } else { PORTAL };
        let is_checked = self.usable() && (self.upstream == Upstream::Works || captive);
        is_checked.then(|| self.last_portal.map_or(now, |last| last + interval))
    }

    pub fn portal_check_skipped(&mut self, now: Instant) {
        self.last_portal = now.checked_sub(PORTAL - PORTAL_LOOKUP);
    }

    pub fn start_portal(&mut self, now: Instant) {
        self.last_portal = Some(now);
    }
}
