//! Health of one uplink, from the kernel's view and from probes.

mod due;
mod heartbeats;

use super::decision::Seen;
use super::hold_down::HoldDown;
use super::passage::Passage;
use crate::wire::LinkState as Health;
use std::time::{Duration, Instant};

/// Successful probes in a row that failback requires.
pub const PROBES_IN_A_ROW: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gateway {
    Unknown,
    Answers,
    Silent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upstream {
    Unknown,
    Works,
    /// Two tries failed.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Portal {
    Unknown,
    Free,
    Captive,
}

/// An upstream check in flight: up to two probes.
#[derive(Debug, Clone, Copy)]
struct UpstreamCheck {
    began: Instant,
    /// The try under way began.
    tried: Instant,
    /// The first try failed; this one decides.
    last_try: bool,
}

/// Consequence of a failed probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// Probe the other target at once, and the other uplinks for comparison.
    TryAgain,
    /// The check that began then has failed.
    For(Instant),
    /// No probe is in flight.
    Stale,
}

/// One uplink.
#[derive(Debug, Clone)]
pub struct Track {
    pub seen: Seen,
    present: bool,
    gateway: Gateway,
    upstream: Upstream,
    portal: Portal,
    /// Left for an upstream failure, while another uplink worked.
    condemned: bool,
    passage: Passage,
    attempt: Option<UpstreamCheck>,
    looks: u32,
    last_success: Option<Instant>,
    /// A heartbeat came through.
    vouched: Option<Instant>,
    pub in_a_row: u32,
    valid_since: Option<Instant>,
    usable_since: Option<Instant>,
    hold: HoldDown,
    hurry: bool,
    second_try: bool,
    last_upstream: Option<Instant>,
    last_gateway: Option<Instant>,
    last_portal: Option<Instant>,
}

impl Track {
    pub fn new(seen: Seen, failback_hold: Duration) -> Track {
        Track {
            seen,
            present: false,
            gateway: Gateway::Unknown,
            upstream: Upstream::Unknown,
            portal: Portal::Unknown,
            condemned: false,
            passage: Passage::new(),
            attempt: None,
            looks: 0,
            last_success: None,
            vouched: None,
            in_a_row: 0,
            valid_since: None,
            usable_since: None,
            hold: HoldDown::new(failback_hold),
            hurry: false,
            second_try: false,
            last_upstream: None,
            last_gateway: None,
            last_portal: None,
        }
    }

    /// `portals`: captive portals are checked for.
    pub fn health(&self, portals: bool) -> Health {
        match (self.present, self.seen.carrier, self.seen.addressed) {
            (false, _, _) => return Health::Absent,
            (_, false, _) => return Health::Down,
            (_, _, false) => return Health::NoAddress,
            _ => {}
        }
        match (self.portal, self.upstream) {
            _ if self.passage.is_portal() => Health::Portal,
            (Portal::Captive, _) => Health::Portal,
            _ if self.is_dead() => Health::Dead,
            (_, Upstream::Failed) => Health::Suspect,
            (Portal::Unknown, Upstream::Works) if portals => Health::Unverified,
            (_, Upstream::Works) => Health::Valid,
            // With nothing else to ask, a gateway that answers is all that can be known.
            _ if self.seen.targets == 0 && self.gateway == Gateway::Answers => Health::Valid,
            _ => Health::Unverified,
        }
    }

    fn is_dead(&self) -> bool {
        self.condemned || self.gateway == Gateway::Silent || self.passage.is_blocked()
    }

    /// Carrier and address: packets may leave.
    pub fn usable(&self) -> bool {
        self.present && self.seen.carrier && self.seen.addressed
    }

    /// Applies the kernel's current view; `None` if the interface is gone.
    pub fn observe(&mut self, seen: Option<Seen>, now: Instant) {
        let before = (self.usable(), self.seen.index);
        self.present = seen.is_some();
        if let Some(seen) = seen.filter(|seen| *seen != self.seen) {
            // A new gateway or a new route may mend what did not answer.
            self.hurry = true;
            self.passage.link_changed(now);
            self.seen = seen;
        }
        match (before.0, self.usable()) {
            // Replugged between two looks: another device with the same name.
            (true, true) if before.1 != self.seen.index => self.begin(now),
            (false, true) => self.begin(now),
            (true, false) => self.lose(now),
            _ => {}
        }
    }

    fn begin(&mut self, now: Instant) {
        self.forget();
        self.passage.link_changed(now);
        self.usable_since = Some(now);
        self.hurry = true;
    }

    fn lose(&mut self, now: Instant) {
        self.forget();
        self.usable_since = None;
        self.hold.lost(now);
    }

    /// Results of the old link say nothing of the new one.
    fn forget(&mut self) {
        self.gateway = Gateway::Unknown;
        self.upstream = Upstream::Unknown;
        self.portal = Portal::Unknown;
        self.condemned = false;
        self.passage.link_lost();
        self.attempt = None;
        self.second_try = false;
        self.vouched = None;
        self.last_gateway = None;
        self.last_portal = None;
        self.not_valid();
    }

    fn not_valid(&mut self) {
        self.in_a_row = 0;
        self.valid_since = None;
    }

    /// The way out works; `vouched` if a heartbeat came through, which is no probe.
    pub fn succeeded(&mut self, vouched: bool, now: Instant) {
        if !self.usable() {
            return;
        }
        self.attempt = None;
        self.upstream = Upstream::Works;
        self.condemned = false;
        // A gateway that forwards packets is not dead, although it does not answer probes.
        if self.gateway == Gateway::Silent {
            self.gateway = Gateway::Unknown;
        }
        self.last_success = Some(now);
        match vouched {
            true => {
                self.vouched = Some(now);
                // No portal lets a heartbeat through.
                self.portal = Portal::Free;
            }
            false => self.in_a_row = self.in_a_row.saturating_add(1),
        }
        self.valid_since.get_or_insert(now);
    }

    pub fn failed(&mut self) -> Failed {
        let Some(attempt) = self.attempt else { return Failed::Stale };
        if !attempt.last_try {
            self.attempt = Some(UpstreamCheck { last_try: true, ..attempt });
            self.second_try = true;
            return Failed::TryAgain;
        }
        self.attempt = None;
        self.vouched = None;
        self.upstream = Upstream::Failed;
        self.not_valid();
        Failed::For(attempt.began)
    }

    /// The answer says nothing of the uplink: another look comes in its own time.
    pub fn inconclusive(&mut self) {
        self.attempt = None;
    }

    /// A heartbeat took another way although this one was to be used: that counts as a first failed try.
    pub fn doubt(&mut self, now: Instant) {
        self.attempt = Some(UpstreamCheck { began: now, tried: now, last_try: true });
        self.second_try = true;
    }

    /// Whether a second try is to be started now.
    pub fn start_second_try(&mut self, now: Instant) -> bool {
        if !std::mem::take(&mut self.second_try) {
            return false;
        }
        self.attempt.iter_mut().for_each(|attempt| attempt.tried = now);
        self.last_upstream = Some(now);
        // It is a look already.
        self.hurry = false;
        true
    }

    /// Marks an uplink with carrier as dead: another uplink works, and this one does not.
    pub fn condemn(&mut self, now: Instant) {
        let dead_before = self.is_dead();
        self.condemned = true;
        self.not_valid();
        if !dead_before {
            self.hold.lost(now);
        }
    }

    /// True if it changes anything.
    pub fn gateway(&mut self, answers: bool, now: Instant) -> bool {
        if !self.usable() {
            return false;
        }
        let before = self.gateway;
        let dead_before = self.is_dead();
        self.gateway = if answers { Gateway::Answers } else { Gateway::Silent };
        match (before, self.gateway) {
            (Gateway::Silent, Gateway::Answers) => {
                // Earlier probe results are obsolete.
                self.upstream = Upstream::Unknown;
                self.hurry = true;
            }
            (Gateway::Silent, _) => {}
            (_, Gateway::Silent) => {
                self.not_valid();
                if !dead_before {
                    self.hold.lost(now);
                }
            }
            _ => {}
        }
        let counts = answers && self.seen.targets == 0;
        if counts {
            self.in_a_row = self.in_a_row.saturating_add(1);
            self.valid_since.get_or_insert(now);
        }
        counts || self.gateway != before
    }

    /// An inconclusive check leaves a portal a portal and anything else free: it must not keep an uplink from use.
    pub fn portal(&mut self, free: Option<bool>, now: Instant) {
        if !self.usable() {
            return;
        }
        let before = self.portal;
        self.portal = match free {
            Some(true) => Portal::Free,
            Some(false) => Portal::Captive,
            None if before == Portal::Captive => Portal::Captive,
            None => Portal::Free,
        };
        if before == self.portal {
            return;
        }
        self.not_valid();
        if self.portal == Portal::Free && self.upstream == Upstream::Works {
            self.valid_since = Some(now);
        }
    }

    /// Whether it worked at `moment` or later. Connections are made over a portal, too, and lead nowhere.
    pub fn worked_since(&self, moment: Instant) -> bool {
        let leads_nowhere = self.passage.is_blocked() || self.portal == Portal::Captive;
        self.usable() && !leads_nowhere && self.last_success.is_some_and(|success| success >= moment)
    }

    /// Valid for the hold-down and [`PROBES_IN_A_ROW`]; where nothing can be asked, usable for the hold-down.
    pub fn proved(&self, portals: bool, now: Instant) -> bool {
        self.held_until(portals, now).is_some_and(|until| until <= now)
    }

    /// When it will have proved itself if nothing happens; `None` if more answers are needed first.
    pub fn held_until(&self, portals: bool, now: Instant) -> Option<Instant> {
        let since = match self.health(portals) {
            Health::Valid if self.in_a_row >= PROBES_IN_A_ROW => self.valid_since,
            Health::Unverified if self.seen.targets == 0 && !self.seen.gateway => self.usable_since,
            _ => None,
        };
        Some(since? + self.hold.length(now))
    }

    pub fn hurry(&mut self) {
        self.hurry = true;
    }

    /// Whether two tries failed.
    pub fn is_failing(&self) -> bool {
        self.usable() && self.upstream == Upstream::Failed
    }

    /// Whether it is worse than it looks: a failed try, or two.
    pub fn is_doubtful(&self) -> bool {
        self.is_failing() || self.attempt.is_some_and(|attempt| attempt.last_try)
    }

    /// For how long the present try has waited.
    #[cfg(test)]
    pub fn pending_for(&self, now: Instant) -> Option<Duration> {
        let attempt = self.attempt?;
        Some(now.saturating_duration_since(attempt.tried))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::heartbeat::delivery::Evidence;

    const HOLD: Duration = Duration::from_secs(5);

    fn usable(now: Instant) -> Track {
        let name = "eth0".to_owned();
        let seen =
            Seen { index: 2, name, rank: 0, carrier: true, addressed: true, gateway: true, targets: 2 };
        let mut track = Track::new(seen.clone(), HOLD);
        track.observe(Some(seen), now);
        track
    }

    /// The hold-down once it works again.
    fn hold(mut track: Track, now: Instant) -> Option<Duration> {
        track.gateway(true, now);
        track.heartbeat(Evidence::Delivered, now);
        (0..PROBES_IN_A_ROW).for_each(|_| track.succeeded(false, now));
        track.held_until(false, now).map(|until| until - now)
    }

    #[test]
    fn a_third_loss_within_a_minute_doubles_the_hold_down_and_a_dead_uplink_is_lost_once() {
        let now = Instant::now();
        type Loss = fn(&mut Track, Instant);
        let losses: [(&str, Loss); 4] = [
            ("its probes fail", |track, now| track.condemn(now)),
            ("its gateway is silent", |track, now| _ = track.gateway(false, now)),
            ("its heartbeats are lost", |track, now| {
                (0..2).for_each(|_| track.heartbeat(Evidence::Lost, now));
                track.question(now);
                track.heartbeat(Evidence::Lost, now);
            }),
            ("its cable is pulled", |track, now| {
                let seen = track.seen.clone();
                track.observe(Some(Seen { carrier: false, ..seen.clone() }), now);
                track.observe(Some(seen), now);
            }),
        ];
        for (what, lose) in losses {
            let mut track = usable(now);
            for (lost, expected) in (1..).zip([HOLD, HOLD, HOLD * 2, HOLD * 4]) {
                lose(&mut track, now);
                assert_eq!(hold(track.clone(), now), Some(expected), "{what}, {lost} times");
                track.gateway(true, now);
                track.heartbeat(Evidence::Delivered, now);
            }
        }
        let mut dead = usable(now);
        (0..9).for_each(|_| dead.condemn(now));
        dead.gateway(false, now);
        assert_eq!(hold(dead, now), Some(HOLD), "it was not back in between");
    }

    #[test]
    fn an_uplink_has_proved_itself_at_the_end_of_the_hold_down_after_three_answers() {
        let now = Instant::now();
        let mut track = usable(now);
        for answers in 1..=3 {
            track.succeeded(false, now);
            assert_eq!(track.held_until(false, now), (answers == 3).then_some(now + HOLD), "{answers}");
        }
        assert!(!track.proved(false, now + HOLD - Duration::from_nanos(1)));
        assert!(track.proved(false, now + HOLD));
    }
}
