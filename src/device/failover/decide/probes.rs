//! Which probes are due: upstream, gateway and captive portal, by the role of each uplink.

use super::{FailoverState, Track, Uplinks, is_before};
use crate::device::failover::decision::{ProbeTimeout, Start, TargetChoice};
use crate::device::failover::role::{Role, early};
use std::time::{Duration, Instant};

/// Without any working uplink, upstream probes run every 500 ms for this long, then every 5 s.
const FREQUENT: Duration = Duration::from_secs(60);

impl Uplinks {
    fn role(&self, track: &Track, now: Instant) -> Role {
        if let Some(since) = self.offline_since {
            let long = now.saturating_duration_since(since) >= FREQUENT;
            return if long && self.state() != FailoverState::NoNetwork {
                Role::LongOffline
            } else {
                Role::Offline
            };
        }
        match self.active_track() {
            Some(active) if active.seen.name == track.seen.name => Role::Active,
            Some(active) if is_before(track, active) => Role::Trial,
            _ => Role::Standby,
        }
    }

    pub(super) fn start_probes(&mut self, now: Instant) -> Vec<Start> {
        let mut starts = Vec::new();
        let is_only = self.tracks.iter().filter(|track| track.usable()).count() < 2;
        for place in 0..self.tracks.len() {
            let role = self.role(&self.tracks[place], now);
            let portals = self.policy.portals;
            let track = &mut self.tracks[place];
            let index = track.seen.index;
            if track.start_second_try(now) {
                let timeout = if is_only { ProbeTimeout::Normal } else { ProbeTimeout::Short };
                starts.push(Start::Upstream { index, which: TargetChoice::Last, timeout });
            } else if track.upstream_due(role, now).is_some_and(|due| early(due, track.last_look()) <= now) {
                let which = track.start_upstream(now);
                let brief = role == Role::Offline && which == TargetChoice::First;
                let timeout = if brief { ProbeTimeout::Brief } else { ProbeTimeout::Normal };
                starts.push(Start::Upstream { index, which, timeout });
            }
            if track.gateway_due(role, now).is_some_and(|due| early(due, track.last_gateway()) <= now) {
                track.start_gateway(now);
                starts.push(Start::Gateway { index });
            }
            if portals && track.portal_due(now).is_some_and(|due| due <= now) {
                track.start_portal(now);
                starts.push(Start::Portal { index });
            }
        }
        starts
    }

    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        let manual = self.manual.as_ref().and_then(|(_, until)| *until);
        let probes = self.tracks.iter().flat_map(|track| {
            let role = self.role(track, now);
            let portal = track.portal_due(now).filter(|_| self.policy.portals);
            [track.upstream_due(role, now), track.gateway_due(role, now), portal, track.copy_due()]
        });
        let failback =
            self.active_track().filter(|_| !self.locked && self.manual.is_none()).and_then(|active| {
                let better = self.tracks.iter().filter(|track| is_before(track, active));
                let held = better.filter_map(|track| track.held_until(self.policy.portals, now)).min()?;
                Some(self.failback_at().map_or(held, |at| at.max(held)))
            });
        probes.chain([manual, failback]).flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::failover::decide::decide;
    use crate::device::failover::decision::{Fact, Policy, Seen};
    use crate::device::heartbeat::delivery::Evidence;
    use ProbeTimeout::{Brief, Normal, Short};
    use TargetChoice::{First, Last};

    const MS: Duration = Duration::from_millis(1);
    const NAMES: [&str; 3] = ["eth0", "wlan1", "wlan0"];

    /// Uplinks with the indexes 2, 3 and 4; decided once, with the probes of that decision.
    fn uplinks(usable: [bool; 3], gateway: bool, portals: bool, now: Instant) -> (Uplinks, Vec<Start>) {
        let mut uplinks = Uplinks::new(Policy { failback_hold: MS * 5000, portals });
        let seen = |place: usize| Seen {
            index: 2 + place as u32,
            name: NAMES[place].to_owned(),
            rank: place,
            carrier: usable[place],
            addressed: true,
            gateway,
            targets: 2,
        };
        uplinks.apply(Fact::Links((0..3).map(seen).collect()), now);
        let probes = decide(&mut uplinks, now).probes;
        (uplinks, probes)
    }

    /// The end of every upstream probe in flight.
    fn finish(uplinks: &mut Uplinks, works: bool, now: Instant) {
        (2..5).for_each(|index| uplinks.apply(Fact::Upstream { index, works: Some(works) }, now));
    }

    fn roles(uplinks: &Uplinks, now: Instant) -> Vec<Role> {
        uplinks.tracks.iter().map(|track| uplinks.role(track, now)).collect()
    }

    fn upstream(index: u32, which: TargetChoice, timeout: ProbeTimeout) -> Start {
        Start::Upstream { index, which, timeout }
    }

    /// Two tries over each uplink fail.
    fn offline(now: Instant) -> Uplinks {
        let (mut uplinks, _) = uplinks([true; 3], false, false, now);
        for _ in 0..2 {
            finish(&mut uplinks, false, now);
            decide(&mut uplinks, now);
        }
        uplinks
    }

    #[test]
    fn the_role_follows_from_the_active_uplink_the_order_and_the_time_offline() {
        use Role::{Active, LongOffline, Offline, Standby, Trial};
        let now = Instant::now();
        let all = uplinks([true; 3], false, false, now).0;
        let second = uplinks([false, true, true], false, false, now).0;
        let third = uplinks([false, false, true], false, false, now).0;
        let none = uplinks([false; 3], false, false, now).0;
        let suspect = offline(now);
        for (what, uplinks, wait, expected) in [
            ("the first is active", &all, MS, [Active, Standby, Standby]),
            ("the second is", &second, MS, [Trial, Active, Standby]),
            ("the third is", &third, MS, [Trial, Trial, Active]),
            ("no carrier", &none, MS, [Offline; 3]),
            ("no carrier for long: it costs no packet", &none, FREQUENT, [Offline; 3]),
            ("no answer", &suspect, FREQUENT - MS, [Offline; 3]),
            ("no answer for long", &suspect, FREQUENT, [LongOffline; 3]),
        ] {
            assert_eq!(roles(uplinks, now + wait), expected, "{what}");
        }
    }

    #[test]
    fn a_second_try_is_short_only_if_another_uplink_could_take_over() {
        let now = Instant::now();
        for (usable, timeout) in
            [([true, false, false], Normal), ([true, true, false], Short), ([true; 3], Short)]
        {
            let (mut uplinks, probes) = uplinks(usable, false, false, now);
            let usable = (2..5).filter(|index| usable[*index as usize - 2]);
            assert_eq!(probes, usable.map(|index| upstream(index, First, Normal)).collect::<Vec<_>>());
            uplinks.apply(Fact::Upstream { index: 2, works: Some(false) }, now);
            assert_eq!(decide(&mut uplinks, now).probes, [upstream(2, Last, timeout)]);
        }
    }

    #[test]
    fn offline_every_fourth_probe_is_of_the_last_target_and_only_the_first_target_has_a_short_timeout() {
        let now = Instant::now();
        let mut uplinks = offline(now);
        let expected = [(First, Brief), (First, Brief), (Last, Normal), (First, Brief)];
        for (round, (which, timeout)) in (1..).zip(expected) {
            let probes = decide(&mut uplinks, now + MS * 500 * round).probes;
            assert_eq!(probes, [2, 3, 4].map(|index| upstream(index, which, timeout)), "{round}");
        }
    }

    #[test]
    fn a_probe_starts_up_to_a_tenth_of_its_interval_early_and_once() {
        let now = Instant::now();
        let (mut upstreams, _) = uplinks([true; 3], false, false, now);
        finish(&mut upstreams, true, now);
        let (mut gateways, probes) = uplinks([true, false, false], true, false, now);
        assert_eq!(probes, [upstream(2, First, Normal), Start::Gateway { index: 2 }]);
        let at = |uplinks: &mut Uplinks, waits: [u32; 3]| {
            waits.map(|wait| decide(uplinks, now + MS * wait).probes)
        };
        let due = [vec![], vec![upstream(2, First, Normal)], vec![]];
        assert_eq!(at(&mut upstreams, [4499, 4500, 4501]), due, "the active uplink's 5 s");
        let due = [vec![], vec![Start::Gateway { index: 2 }], vec![]];
        assert_eq!(at(&mut gateways, [449, 450, 451]), due, "the active gateway's 500 ms");
    }

    #[test]
    fn portals_are_checked_every_30_s_where_something_answers_and_only_if_configured() {
        let now = Instant::now();
        let portal = |uplinks: &mut Uplinks, wait: u32| {
            let probes = decide(uplinks, now + MS * wait).probes;
            probes.into_iter().filter(|probe| matches!(probe, Start::Portal { .. })).count()
        };
        for (portals, works, expected) in
            [(true, true, [3, 0, 0, 3]), (true, false, [0; 4]), (false, true, [0; 4])]
        {
            let (mut uplinks, _) = uplinks([true; 3], false, portals, now);
            finish(&mut uplinks, works, now);
            let counted = [0, 1, 29_999, 30_000].map(|wait| portal(&mut uplinks, wait));
            assert_eq!(counted, expected, "portals {portals}, works {works}");
        }
    }

    #[test]
    fn heartbeats_over_another_uplink_have_the_active_one_probed_once_and_copies_do_not() {
        let now = Instant::now();
        let once = [vec![upstream(2, Last, Short)], vec![], vec![]];
        for (copy, probes) in [(false, once), (true, [vec![], vec![], vec![]])] {
            let (mut uplinks, _) = uplinks([true; 3], false, false, now);
            finish(&mut uplinks, true, now);
            for (round, probes) in probes.into_iter().enumerate() {
                let (interface, evidence) = ("wlan1".to_owned(), Evidence::Delivered);
                uplinks.apply(Fact::Heartbeat { interface, evidence, copy }, now);
                assert_eq!(decide(&mut uplinks, now).probes, probes, "heartbeat {round}, copy: {copy}");
            }
        }
    }

    #[test]
    fn a_probe_whose_end_is_lost_is_repeated_after_15_s() {
        let now = Instant::now();
        let (mut uplinks, _) = uplinks([true, false, false], false, false, now);
        for (wait, probes) in [(5_000, vec![]), (14_999, vec![]), (15_000, vec![upstream(2, First, Normal)])]
        {
            assert_eq!(decide(&mut uplinks, now + MS * wait).probes, probes, "after {wait} ms");
        }
    }

    #[test]
    fn a_portal_page_whose_name_is_being_looked_up_is_requested_after_2_s() {
        let now = Instant::now();
        let (mut uplinks, _) = uplinks([true, false, false], false, true, now);
        finish(&mut uplinks, true, now);
        assert_eq!(decide(&mut uplinks, now).probes, [Start::Portal { index: 2 }]);
        uplinks.apply(Fact::PortalNotChecked { index: 2 }, now);
        for (wait, probes) in [(0, vec![]), (1_999, vec![]), (2_000, vec![Start::Portal { index: 2 }])] {
            assert_eq!(decide(&mut uplinks, now + MS * wait).probes, probes, "after {wait} ms");
        }
    }
}
