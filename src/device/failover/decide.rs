//! Which uplink is used, and which probes are due: a pure function of the facts and the time.
//!
//! | event | switches |
//! |---|---|
//! | carrier or address lost | at once |
//! | gateway silent (500 ms, then 3 x 100 ms) | at once |
//! | two probes failed, another uplink's succeeded meanwhile | at once |
//! | two probes failed, and those of all other uplinks | never: the server is at fault |
//! | two heartbeats undelivered, another uplink delivers, a copy undelivered | at once |
//! | a better uplink works again | after the hold-down and 3 answers in a row |

mod heartbeats;
mod path;
mod probes;

use super::decision::{Decision, Fact, FailoverState, Pin, Policy, Seen, Switch, UplinkState};
use super::health::{Failed, Track};
use crate::device::heartbeat::dial::Uplink;
use crate::wire::{LinkState as Health, Reason};
use std::time::Instant;

/// Interfaces that are looked after; a device has three or four. The kernel's oldest win.
const UPLINKS: usize = 16;

/// Everything known of the uplinks.
#[derive(Debug, Clone)]
pub struct Uplinks {
    policy: Policy,
    tracks: Vec<Track>,
    /// The chosen uplink.
    active: Option<String>,
    pin: Option<Pin>,
    pinned_at: Instant,
    /// The uplink that delivered a heartbeat although the way is pinned.
    helper: Option<String>,
    /// The interface that heartbeats take, as it was decided last.
    path: Option<String>,
    /// A heartbeat was acknowledged over `path` since it is the path.
    acknowledged: bool,
    manual: Option<(String, Option<Instant>)>,
    locked: bool,
    access_point: bool,
    /// Since when nothing works.
    offline_since: Option<Instant>,
    last_failback: Option<Instant>,
    /// The first choice is no failover.
    chosen: bool,
    /// A fact since the last decision may change it.
    news: bool,
}

impl Uplinks {
    pub fn new(policy: Policy) -> Uplinks {
        Uplinks {
            policy,
            tracks: Vec::new(),
            active: None,
            pin: None,
            pinned_at: Instant::now(),
            helper: None,
            path: None,
            acknowledged: false,
            manual: None,
            locked: false,
            access_point: false,
            offline_since: None,
            last_failback: None,
            chosen: false,
            news: true,
        }
    }

    /// Records one fact; [`decide`] draws the conclusions.
    pub fn apply(&mut self, fact: Fact, now: Instant) {
        match fact {
            Fact::Links(seen) => self.links(seen, now),
            Fact::Upstream { index, works } => self.upstream(index, works, now),
            Fact::Gateway { index, answers } => {
                // Several times a second, and nearly always the same.
                let is_news = self.track(index).is_some_and(|track| track.gateway(answers, now));
                self.news |= is_news;
                return;
            }
            Fact::Portal { index, free } => {
                self.track(index).into_iter().for_each(|track| track.portal(free, now));
            }
            Fact::PortalNotChecked { index } => {
                self.track(index).into_iter().for_each(|track| track.portal_check_skipped(now));
            }
            Fact::Heartbeat { interface, evidence, copy } => {
                self.heartbeat(&interface, evidence, copy, now);
            }
            Fact::Pinned(pin) if pin == self.pin => return,
            Fact::Pinned(pin) => (self.pin, self.pinned_at, self.helper) = (pin, now, None),
            Fact::Manual { interface, until } => self.manual = Some((interface, until)),
            Fact::Auto => self.manual = None,
            Fact::Locked(locked) => self.locked = locked,
            Fact::AccessPoint(is_up) => self.access_point = is_up,
        }
        self.news = true;
    }

    /// Whether a new decision may differ from the last one before that one's `next_due`.
    pub fn have_news(&self) -> bool {
        self.news
    }

    /// Whether heartbeats take the chosen uplink; not so while the kernel's route to the server says otherwise.
    pub fn is_chosen_from(&self) -> bool {
        self.path == self.active
    }

    /// Whether the next acknowledged heartbeat changes the state.
    pub fn awaits_acknowledgement(&self) -> bool {
        !self.acknowledged
    }

    /// Name of the uplink with this index, if it is known to work.
    pub fn valid(&self, index: u32) -> Option<&str> {
        let track = self.tracks.iter().find(|track| track.seen.index == index)?;
        (self.health(track) == Health::Valid).then_some(&track.seen.name)
    }

    fn track(&mut self, index: u32) -> Option<&mut Track> {
        self.tracks.iter_mut().find(|track| track.seen.index == index)
    }

    fn named(&self, name: &str) -> Option<&Track> {
        self.tracks.iter().find(|track| track.seen.name == name)
    }

    fn links(&mut self, mut seen: Vec<Seen>, now: Instant) {
        for track in &mut self.tracks {
            let place = seen.iter().position(|seen| seen.name == track.seen.name);
            track.observe(place.map(|place| seen.swap_remove(place)), now);
        }
        seen.sort_unstable_by_key(|seen| seen.index);
        for seen in seen {
            if self.tracks.len() == UPLINKS {
                // An adapter with a name of its own that went for good makes room.
                let absent = |track: &Track| track.health(false) == Health::Absent;
                let Some(gone) = self.tracks.iter().position(absent) else { break };
                self.tracks.remove(gone);
            }
            let mut track = Track::new(seen.clone(), self.policy.failback_hold);
            track.observe(Some(seen), now);
            self.tracks.push(track);
        }
        self.tracks.sort_unstable_by(|a, b| (a.seen.rank, &a.seen.name).cmp(&(b.seen.rank, &b.seen.name)));
    }

    fn upstream(&mut self, index: u32, works: Option<bool>, now: Instant) {
        let Some(track) = self.track(index) else { return };
        match works {
            Some(true) => {
                track.succeeded(false, now);
                self.hurry_failing(index);
            }
            Some(false) => self.failed(index, now),
            None => track.inconclusive(),
        }
    }

    /// Probes all other failing uplinks once more now, because one uplink works; gives up those that fail again.
    fn hurry_failing(&mut self, index: u32) {
        let others = self.tracks.iter_mut().filter(|track| track.seen.index != index);
        others.filter(|track| track.is_failing()).for_each(Track::hurry);
    }

    fn failed(&mut self, index: u32, now: Instant) {
        let Some(track) = self.track(index) else { return };
        match track.failed() {
            Failed::Stale => {}
            Failed::TryAgain => self.hurry_others(index),
            Failed::For(began) => {
                let elsewhere = |track: &Track| track.seen.index != index && track.worked_since(began);
                if self.tracks.iter().any(elsewhere) {
                    self.track(index).into_iter().for_each(|track| track.condemn(now));
                }
            }
        }
    }

    /// Only the active uplink's failure concerns the others, and only those that might take over.
    fn hurry_others(&mut self, index: u32) {
        let is_active = self.active_track().is_some_and(|track| track.seen.index == index);
        if is_active {
            self.tracks.iter_mut().filter(|track| track.seen.index != index).for_each(Track::hurry);
        }
    }

    fn health(&self, track: &Track) -> Health {
        track.health(self.policy.portals)
    }

    fn active_track(&self) -> Option<&Track> {
        self.named(self.active.as_deref()?)
    }
}

/// Rank: the lower the better; `None` cannot be used at all.
fn class(health: Health) -> Option<u8> {
    match health {
        Health::Valid => Some(0),
        Health::Unverified => Some(1),
        Health::Suspect => Some(2),
        Health::Portal => Some(LAST_RESORT),
        Health::Dead => Some(LAST_RESORT + 1),
        // Up is the state of links that are not probed.
        Health::Absent | Health::Down | Health::NoAddress | Health::Up => None,
    }
}

/// Whether `a` is the better one by configuration: the earlier entry, and by name where both match the same pattern.
fn is_before(a: &Track, b: &Track) -> bool {
    (a.seen.rank, &a.seen.name) < (b.seen.rank, &b.seen.name)
}

/// From here on it is only used when nothing else is left.
const LAST_RESORT: u8 = 3;

/// Decides by all facts. Changes the active uplink, and counts the probes that it returns as started.
pub fn decide(uplinks: &mut Uplinks, now: Instant) -> Decision {
    uplinks.news = false;
    if uplinks.manual.as_ref().is_some_and(|(_, until)| until.is_some_and(|until| until <= now)) {
        uplinks.manual = None;
    }
    let was_offline = uplinks.offline_since.is_some();
    let switch = uplinks.switch(now);
    uplinks.notice_outage(now);
    let trigger = uplinks.trigger(switch.as_ref(), was_offline);
    let mut probes = uplinks.start_probes(now);
    probes.extend(uplinks.start_copies(now));
    Decision {
        active: uplinks.active.clone(),
        path: uplinks.path.clone(),
        state: uplinks.state(),
        ranked: uplinks.ranked(),
        uplinks: uplinks.report(),
        switch,
        trigger,
        probes,
        next_due: uplinks.next_due(now),
    }
}

impl Uplinks {
    fn switch(&mut self, now: Instant) -> Option<Switch> {
        let to = self.choose(now);
        if to != self.active {
            self.activate(to, now);
        }
        let path = self.path_now();
        if path == self.path {
            return None;
        }
        let because = self.path.as_deref().map(|name| self.health_of(name));
        self.acknowledged = self.helper.is_some();
        let from = std::mem::replace(&mut self.path, path);
        Some(Switch { from, because, to: self.path.clone() })
    }

    fn activate(&mut self, to: Option<String>, now: Instant) {
        let before = self.active_track().and_then(|track| class(self.health(track)));
        if before.is_some_and(|class| class < LAST_RESORT) && self.manual.is_none() {
            self.last_failback = Some(now);
        }
        self.active = to;
        let active = self.active.clone();
        let chosen = self.tracks.iter_mut().filter(|track| Some(&track.seen.name) == active.as_ref());
        chosen.for_each(Track::hurry);
    }

    /// Whether deciding now would change the active uplink.
    pub fn would_switch(&self, now: Instant) -> bool {
        self.choose(now) != self.active
    }

    fn choose(&self, now: Instant) -> Option<String> {
        if self.locked {
            return self.active.clone();
        }
        if let Some((interface, _)) = &self.manual {
            return Some(interface.clone());
        }
        let classed = self.tracks.iter().filter_map(|track| Some((class(self.health(track))?, track)));
        // The first of the best: they are in the configured order.
        let best = classed.min_by_key(|(class, _)| *class);
        let active = self.active_track().and_then(|track| Some((class(self.health(track))?, track)));
        let chosen = match (active, best) {
            (Some((class, active)), _) if class < LAST_RESORT => self.failback(active, now).unwrap_or(active),
            // Only something better than the last resort is worth a change.
            (Some((_, active)), Some((class, _))) if class >= LAST_RESORT => active,
            (_, best) => best?.1,
        };
        Some(chosen.seen.name.clone())
    }

    /// A better uplink than the active one that has proved itself.
    fn failback(&self, active: &Track, now: Instant) -> Option<&Track> {
        if self.failback_at().is_some_and(|at| now < at) {
            return None;
        }
        let mut better = self.tracks.iter().filter(|track| is_before(track, active));
        better.find(|track| track.proved(self.policy.portals, now))
    }

    /// Not before the hold-down since the last one is over.
    fn failback_at(&self) -> Option<Instant> {
        self.last_failback.map(|last| last + self.policy.failback_hold)
    }

    /// Whether any uplink has a chance.
    fn is_online(&self) -> bool {
        self.path_is_unknown()
            || self
                .tracks
                .iter()
                .any(|track| matches!(self.health(track), Health::Valid | Health::Unverified))
    }

    fn notice_outage(&mut self, now: Instant) {
        match self.is_online() {
            true => self.offline_since = None,
            false => _ = self.offline_since.get_or_insert(now),
        }
    }

    fn trigger(&mut self, switch: Option<&Switch>, was_offline: bool) -> Option<Reason> {
        let is_online = self.offline_since.is_none();
        let first = !self.chosen;
        self.chosen |= self.path.is_some();
        match switch {
            _ if was_offline && is_online => Some(Reason::ConnectivityRestored),
            Some(switch) if !first && switch.to.is_some() && self.manual.is_none() => Some(Reason::Failover),
            _ => None,
        }
    }

    fn state(&self) -> FailoverState {
        if self.locked {
            return FailoverState::Locked;
        }
        if self.manual.is_some() {
            return FailoverState::ManualOverride;
        }
        let works = |path: &&String| match self.named(path) {
            Some(track) => self.is_good(track),
            None => self.path_is_unknown(),
        };
        match self.path.as_ref().filter(works) {
            Some(path) if self.is_first(path) => FailoverState::Priority(path.clone()),
            Some(path) if self.acknowledged => FailoverState::Active(path.clone()),
            Some(path) => FailoverState::FailoverTo(path.clone()),
            None if self.access_point => FailoverState::ApMode,
            None => FailoverState::NoNetwork,
        }
    }

    /// The last resorts too, and at the end what is down: a dead uplink may have come back a moment ago, and who
    /// dials has to know which links are uplinks at all.
    fn ranked(&self) -> Vec<Uplink> {
        let Some(active) = &self.active else { return Vec::new() };
        let mut ranked: Vec<(Option<u8>, &Track)> = self
            .tracks
            .iter()
            .map(|track| (self.health(track), track))
            .filter(|(health, _)| *health != Health::Absent)
            .map(|(health, track)| (class(health), track))
            .collect();
        ranked.sort_by_key(|(class, track)| (class.is_none(), track.seen.name != *active, *class));
        let uplink = |(class, track): (Option<u8>, &Track)| Uplink {
            index: track.seen.index,
            name: track.seen.name.clone(),
            usable: class.is_some(),
        };
        ranked.into_iter().map(uplink).collect()
    }

    fn report(&self) -> Vec<UplinkState> {
        let report =
            |track: &Track| UplinkState { interface: track.seen.name.clone(), state: self.health(track) };
        self.tracks.iter().map(report).collect()
    }
}

#[cfg(test)]
mod tests;
