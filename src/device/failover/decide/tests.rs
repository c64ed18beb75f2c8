//! A device with eth0, wlan1 and wlan0, in this order, without any of them.

use super::*;
use crate::device::failover::decision::Start;
use crate::device::heartbeat::delivery::Evidence;
use Evidence::{Delivered, Intercepted, Lost};
use Health::{Absent, Dead, Down, NoAddress, Suspect, Unverified, Valid};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOLD: Duration = Duration::from_secs(5);
const NAMES: [&str; 3] = ["eth0", "wlan1", "wlan0"];
/// eth0's index; the others follow.
const ETH0: u32 = 2;

/// The device, its uplinks as the kernel tells of them, and what lies behind each.
struct Device {
    uplinks: Uplinks,
    seen: Vec<Seen>,
    now: Instant,
    /// Whether a probe over it is answered; by place.
    works: [bool; 3],
    gateway: [bool; 3],
    decision: Decision,
    triggers: Vec<Reason>,
    switches: Vec<(Instant, Switch)>,
    probes: usize,
    /// Indexes of the uplinks over which copies were to be sent.
    copies: Vec<u32>,
}

impl Device {
    /// Nothing is plugged in.
    fn new() -> Device {
        Device::with(Policy { failback_hold: HOLD, portals: false })
    }

    fn with(policy: Policy) -> Device {
        let now = Instant::now();
        let mut uplinks = Uplinks::new(policy);
        let seen = (0..3).map(seen).collect();
        let decision = decide(&mut uplinks, now);
        let (works, gateway) = ([true; 3], [true; 3]);
        let (triggers, switches, copies, probes) = (Vec::new(), Vec::new(), Vec::new(), 0);
        let mut device =
            Device { uplinks, seen, now, works, gateway, decision, triggers, switches, probes, copies };
        device.links();
        device
    }

    /// All are plugged in, and have proved themselves.
    fn settled() -> Device {
        let mut device = Device::new();
        (0..3).for_each(|place| device.set(place, true, true));
        device.links();
        device.pass(SECOND * 120);
        device.triggers.clear();
        device.switches.clear();
        device
    }

    fn set(&mut self, place: usize, carrier: bool, addressed: bool) {
        self.seen[place].carrier = carrier;
        self.seen[place].addressed = addressed;
    }

    fn links(&mut self) {
        self.apply(Fact::Links(self.seen.clone()));
    }

    fn cable(&mut self, place: usize, carrier: bool) {
        self.seen[place].carrier = carrier;
        self.links();
    }

    fn apply(&mut self, event: Fact) {
        self.uplinks.apply(event, self.now);
        self.decide();
    }

    /// Decides, and answers every probe that is answered at all.
    fn decide(&mut self) {
        self.decision = decide(&mut self.uplinks, self.now);
        self.triggers.extend(self.decision.trigger);
        self.switches.extend(self.decision.switch.clone().map(|switch| (self.now, switch)));
        let probes = std::mem::take(&mut self.decision.probes);
        self.probes += probes.len();
        let mut answered = false;
        for probe in probes {
            let (index, event) = match probe {
                Start::Upstream { index, .. } => (index, Fact::Upstream { index, works: Some(true) }),
                Start::Gateway { index } => (index, Fact::Gateway { index, answers: true }),
                Start::Portal { index } => (index, Fact::Portal { index, free: Some(true) }),
                Start::Copy { index } => {
                    self.copies.push(index);
                    continue;
                }
            };
            let place = (index - ETH0) as usize;
            let answers = if matches!(probe, Start::Gateway { .. }) { &self.gateway } else { &self.works };
            let works = answers.get(place).is_none_or(|works| *works);
            match (works, event) {
                (true, event) => self.uplinks.apply(event, self.now),
                // Silence is noticed later, below.
                (false, _) => continue,
            }
            answered = true;
        }
        if answered {
            self.decide();
        }
    }

    /// Lets time pass; probes that nobody answers fail after a second, gateway probes after 312 ms.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            let step = Duration::from_millis(100).min(end - self.now);
            self.now += step;
            for place in 0..3 {
                let (index, usable) =
                    (ETH0 + place as u32, self.seen[place].carrier && self.seen[place].addressed);
                if usable && !self.works[place] && self.overdue(index) {
                    self.uplinks.apply(Fact::Upstream { index, works: Some(false) }, self.now);
                }
                if usable && self.seen[place].gateway && !self.gateway[place] {
                    self.uplinks.apply(Fact::Gateway { index, answers: false }, self.now);
                }
            }
            self.decide();
            let due = self.decision.next_due;
            assert!(
                due.is_none_or(|due| due > self.now),
                "the thread would spin: {:?} {:#?}",
                self.decision,
                self.uplinks
            );
        }
    }

    fn overdue(&self, index: u32) -> bool {
        let track = self.uplinks.tracks.iter().find(|track| track.seen.index == index);
        track.is_some_and(|track| track.pending_for(self.now).is_some_and(|wait| wait >= SECOND))
    }

    fn health(&self) -> Vec<Health> {
        let state = |name: &&str| {
            let found = self.decision.uplinks.iter().find(|uplink| uplink.interface == **name);
            found.map_or(Absent, |uplink| uplink.state)
        };
        NAMES.iter().map(state).collect()
    }

    fn state(&self) -> String {
        self.decision.state.to_string()
    }
}

fn seen(place: usize) -> Seen {
    Seen {
        index: ETH0 + place as u32,
        name: NAMES[place].to_owned(),
        rank: place,
        carrier: false,
        addressed: false,
        gateway: false,
        targets: 2,
    }
}

#[test]
fn each_state_follows_from_its_event_at_once() {
    type Step = (&'static str, fn(&mut Device), &'static str, Option<Reason>);
    use Reason::{ConnectivityRestored, Failover};
    let steps: [Step; 15] = [
        ("eth0's cable is pulled", |d| d.cable(0, false), "failover_to_wlan1", Some(Failover)),
        ("a heartbeat gets through", |d| d.acknowledge("wlan1"), "wlan1_active", None),
        ("wlan1 loses its address", |d| d.address(1, false), "failover_to_wlan0", Some(Failover)),
        ("a heartbeat gets through", |d| d.acknowledge("wlan0"), "wlan0_active", None),
        ("wlan0 goes, and is the last", |d| d.cable(2, false), "no_network", None),
        ("an access point is up", |d| d.apply(Fact::AccessPoint(true)), "ap_mode", None),
        ("and gone", |d| d.apply(Fact::AccessPoint(false)), "no_network", None),
        ("wlan0 comes back", |d| d.cable(2, true), "failover_to_wlan0", Some(ConnectivityRestored)),
        ("somebody locks", |d| d.apply(Fact::Locked(true)), "locked", None),
        ("wlan0 goes meanwhile, wlan1 comes", |d| d.exchange(), "locked", None),
        ("nobody locks", |d| d.apply(Fact::Locked(false)), "failover_to_wlan1", Some(Failover)),
        ("somebody wants wlan0", |d| d.want("wlan0"), "manual_override", None),
        ("nobody does", |d| d.apply(Fact::Auto), "failover_to_wlan1", Some(Failover)),
        ("eth0 comes back", |d| d.cable(0, true), "failover_to_wlan1", None),
        ("and has proved itself", |d| d.pass(HOLD + SECOND), "eth0_priority", Some(Failover)),
    ];
    let mut device = Device::settled();
    assert_eq!((device.state().as_str(), device.health()), ("eth0_priority", vec![Valid; 3]));
    for (what, step, state, trigger) in steps {
        device.triggers.clear();
        step(&mut device);
        assert_eq!(
            (device.state().as_str(), device.triggers.as_slice()),
            (state, trigger.as_slice()),
            "{what}"
        );
    }
}

impl Device {
    fn heartbeat(&mut self, interface: &str, evidence: Evidence) {
        self.apply(Fact::Heartbeat { interface: interface.to_owned(), evidence, copy: false });
    }

    /// A copy was sent over eth0 alone, and this is its result.
    fn copy_over_eth0(&mut self, evidence: Evidence) {
        assert_eq!(std::mem::take(&mut self.copies), [ETH0]);
        self.apply(Fact::Heartbeat { interface: "eth0".into(), evidence, copy: true });
    }

    /// eth0 passes nothing, and wlan1 does.
    fn block_eth0(&mut self) {
        (0..2).for_each(|_| self.heartbeat("eth0", Lost));
        self.heartbeat("wlan1", Delivered);
        self.copy_over_eth0(Lost);
    }

    fn acknowledge(&mut self, interface: &str) {
        self.heartbeat(interface, Delivered);
    }

    fn address(&mut self, place: usize, addressed: bool) {
        self.seen[place].addressed = addressed;
        self.links();
    }

    fn want(&mut self, interface: &str) {
        self.apply(Fact::Manual { interface: interface.to_owned(), until: None });
    }

    fn exchange(&mut self) {
        self.set(2, false, true);
        self.set(1, true, true);
        self.links();
    }
}

#[test]
fn at_start_the_first_usable_uplink_is_taken_without_a_heartbeat_of_its_own() {
    let mut device = Device::new();
    assert_eq!((device.state().as_str(), device.health()), ("no_network", vec![Down; 3]));
    let mut device_with_wifi = Device { seen: device.seen.clone(), ..Device::fresh() };
    device_with_wifi.set(2, true, true);
    device_with_wifi.links();
    assert_eq!(device_with_wifi.state(), "failover_to_wlan0");
    assert_eq!(device_with_wifi.triggers, []);
    device.set(0, true, false);
    device.links();
    assert_eq!((device.state().as_str(), device.health()), ("no_network", vec![NoAddress, Down, Down]));
}

impl Device {
    /// Before the first reading of the kernel.
    fn fresh() -> Device {
        let mut device = Device::new();
        device.uplinks = Uplinks::new(Policy { failback_hold: HOLD, portals: false });
        device
    }
}

#[test]
fn an_uplink_whose_upstream_died_is_left_within_a_probe_cycle_and_two_seconds() {
    let mut device = Device::settled();
    device.works[0] = false;
    device.pass(SECOND * 7 + Duration::from_millis(200));
    assert_eq!((device.state().as_str(), device.health()), ("failover_to_wlan1", vec![Dead, Valid, Valid]));
    device.works[0] = true;
    device.pass(SECOND * 4);
    assert_eq!(device.state(), "failover_to_wlan1", "not before it has proved itself");
    device.pass(SECOND * 8);
    assert_eq!((device.state().as_str(), device.health()), ("eth0_priority", vec![Valid; 3]));
}

#[test]
fn a_heartbeat_that_went_elsewhere_condemns_the_active_uplink_after_one_more_try() {
    let mut device = Device::settled();
    device.acknowledge("eth0");
    device.works[0] = false;
    device.pass(SECOND);
    device.acknowledge("wlan1");
    assert_eq!(device.state(), "eth0_priority", "it may have been a hiccup");
    device.pass(SECOND + Duration::from_millis(100));
    assert_eq!(device.state(), "failover_to_wlan1");
}

#[test]
fn a_server_that_is_down_switches_nothing_and_is_not_hammered() {
    let mut device = Device::settled();
    device.works = [false; 3];
    device.pass(SECOND * 60);
    assert_eq!((device.state().as_str(), device.health()), ("eth0_priority", vec![Suspect; 3]));
    assert!(device.switches.is_empty());
    device.pass(SECOND * 60);
    device.probes = 0;
    device.pass(SECOND * 600);
    assert!(device.probes <= 3 * 135, "{} probes in 10 minutes", device.probes);
    // It comes back, and a standby is the first to see it.
    for place in [2, 1, 0] {
        device.works[place] = true;
        device.pass(Duration::from_millis(300));
    }
    device.pass(SECOND * 60);
    assert!(device.switches.is_empty(), "{:?}", device.switches);
    assert_eq!(device.triggers, [Reason::ConnectivityRestored]);
}

#[test]
fn a_dead_uplink_is_the_last_resort_and_one_that_comes_back_is_found_within_a_second() {
    let mut device = Device::settled();
    device.cable(1, false);
    device.works[0] = false;
    device.pass(SECOND * 10);
    assert_eq!((device.state().as_str(), device.health()), ("failover_to_wlan0", vec![Dead, Down, Valid]));
    device.cable(2, false);
    assert_eq!((device.state().as_str(), device.decision.active.as_deref()), ("no_network", Some("eth0")));
    device.pass(SECOND * 300);
    device.works[0] = true;
    device.triggers.clear();
    device.pass(Duration::from_millis(600));
    assert_eq!(
        (device.state().as_str(), device.triggers.as_slice()),
        ("eth0_priority", [Reason::ConnectivityRestored].as_slice())
    );
}

#[test]
fn a_standby_that_died_is_reported_and_its_return_too_long_before_the_next_round_of_standbys() {
    let mut device = Device::settled();
    device.works[2] = false;
    device.pass(SECOND * 33);
    assert_eq!(device.health(), vec![Valid, Valid, Dead]);
    device.works[2] = true;
    // A question that is on its way now is lost: here, nobody answers it later.
    device.pass(SECOND * 16);
    assert_eq!(device.health(), vec![Valid; 3]);
    assert!(device.switches.is_empty() && device.triggers.is_empty());
}

#[test]
fn a_silent_gateway_is_dead_at_once_and_forgotten_when_packets_pass_all_the_same() {
    let mut device = Device::settled();
    device.seen.iter_mut().for_each(|seen| seen.gateway = true);
    device.links();
    device.pass(SECOND * 10);
    (device.gateway[0], device.works[0]) = (false, false);
    device.apply(Fact::Gateway { index: ETH0, answers: false });
    assert_eq!((device.state().as_str(), device.health()[0]), ("failover_to_wlan1", Dead));
    device.apply(Fact::Upstream { index: ETH0, works: Some(true) });
    assert_eq!(device.health()[0], Valid);
}

#[test]
fn gateway_probes_of_the_active_uplink_come_every_half_second_and_of_standbys_every_two() {
    let mut device = Device::settled();
    device.seen.iter_mut().for_each(|seen| (seen.gateway, seen.targets) = (true, 0));
    device.links();
    device.pass(SECOND);
    device.probes = 0;
    device.pass(SECOND * 20);
    // Up to a tenth more often: a probe that is nearly due comes along with another.
    assert!((60..=66).contains(&device.probes), "{}", device.probes);
}

#[test]
fn gateway_probes_share_their_wake_ups() {
    let mut device = Device::settled();
    device.seen.iter_mut().for_each(|seen| (seen.gateway, seen.targets) = (true, 0));
    device.links();
    // Out of step by 10 and 20 ms, as their carriers came.
    for uplink in [1, 2] {
        device.cable(uplink, false);
        device.now += Duration::from_millis(10);
        device.cable(uplink, true);
    }
    device.pass(SECOND * 10);
    let end = device.now + SECOND * 20;
    let mut wake_ups = 0;
    while let Some(due) = device.decision.next_due.filter(|due| *due < end) {
        device.now = due;
        device.decide();
        wake_ups += 1;
    }
    assert!(wake_ups <= 42, "{wake_ups} for 40 looks at the active one's gateway");
}

#[test]
fn a_gateway_that_answers_as_before_is_no_reason_to_decide() {
    let mut device = Device::settled();
    let mut is_news = |answers| {
        device.uplinks.apply(Fact::Gateway { index: ETH0, answers }, device.now);
        let is_news = device.uplinks.have_news();
        device.decide();
        is_news
    };
    let answers = [true, true, true, false];
    assert_eq!(answers.map(&mut is_news), [true, false, false, true]);
}

#[test]
fn acknowledged_heartbeats_stand_for_probes_and_let_the_thread_sleep() {
    let mut device = Device::settled();
    device.cable(1, false);
    device.cable(2, false);
    device.acknowledge("eth0");
    device.probes = 0;
    for _ in 0..100 {
        device.pass(SECOND * 5);
        device.acknowledge("eth0");
    }
    assert_eq!(device.probes, 0);
    let due = device.decision.next_due.expect("the next look");
    assert!(due >= device.now + SECOND * 9);
}

#[test]
fn an_uplink_that_flaps_is_taken_back_ever_more_slowly() {
    let mut device = Device::settled();
    for _ in 0..60 {
        device.cable(0, false);
        device.pass(SECOND * 3);
        device.cable(0, true);
        device.pass(SECOND * 7);
    }
    let failbacks = device.switches.iter().filter(|(_, switch)| switch.to.as_deref() == Some("eth0")).count();
    assert!((1..=4).contains(&failbacks), "{failbacks} in 10 minutes");
    device.pass(SECOND * 300);
    assert_eq!(device.state(), "eth0_priority", "it has calmed down");
}

#[test]
fn a_portal_is_left_and_not_taken_back_before_it_is_gone() {
    let mut device = Device::with(Policy { failback_hold: HOLD, portals: true });
    (0..3).for_each(|place| device.set(place, true, true));
    device.links();
    device.pass(SECOND * 60);
    assert_eq!(device.health(), vec![Valid; 3]);
    device.apply(Fact::Portal { index: ETH0, free: Some(false) });
    assert_eq!((device.state().as_str(), device.health()[0]), ("failover_to_wlan1", Health::Portal));
    device.uplinks.apply(Fact::Portal { index: ETH0, free: None }, device.now);
    assert_eq!(
        device.uplinks.report()[0].state,
        Health::Portal,
        "a check that tells nothing changes nothing"
    );
    // The double behind this test answers "free" at the next check.
    device.pass(SECOND * 20);
    assert_eq!(device.state(), "eth0_priority");
}

#[test]
fn the_hold_down_begins_when_the_portal_of_a_better_uplink_is_gone() {
    let mut device = Device::with(Policy { failback_hold: HOLD, portals: true });
    (0..3).for_each(|place| device.set(place, true, true));
    device.links();
    device.pass(SECOND * 60);
    device.apply(Fact::Portal { index: ETH0, free: Some(false) });
    device.pass(SECOND * 2);
    let gone = device.now;
    device.apply(Fact::Portal { index: ETH0, free: Some(true) });
    device.pass(SECOND * 20);
    let (back, switch) = device.switches.last().cloned().expect("a switch");
    assert_eq!((back - gone, switch.to.as_deref()), (HOLD, Some("eth0")));
}

#[test]
fn without_any_probe_carrier_and_address_decide() {
    let mut device = Device::new();
    device.seen.iter_mut().for_each(|seen| seen.targets = 0);
    (0..3).for_each(|place| device.set(place, true, true));
    device.links();
    device.pass(SECOND * 10);
    assert_eq!((device.state().as_str(), device.health()), ("eth0_priority", vec![Unverified; 3]));
    device.cable(0, false);
    assert_eq!(device.state(), "failover_to_wlan1");
    device.cable(0, true);
    device.pass(HOLD + SECOND);
    assert_eq!(device.state(), "eth0_priority");
    assert_eq!(device.probes, 0);
}

#[test]
fn an_override_ends_by_itself() {
    let mut device = Device::settled();
    let until = Some(device.now + SECOND * 600);
    device.apply(Fact::Manual { interface: "wlan0".into(), until });
    device.cable(2, false);
    device.pass(SECOND * 599);
    assert_eq!(
        (device.state().as_str(), device.decision.active.as_deref()),
        ("manual_override", Some("wlan0"))
    );
    assert_eq!(device.decision.ranked[0].name, "eth0", "heartbeats may still take another way");
    device.pass(SECOND);
    assert_eq!(device.state(), "eth0_priority");
}

#[test]
fn an_adapter_that_is_replugged_is_another_one_and_many_do_not_fill_the_memory() {
    let mut device = Device::settled();
    device.seen[0].index = 77;
    device.uplinks.apply(Fact::Links(device.seen.clone()), device.now);
    assert_eq!(device.uplinks.report()[0].state, Unverified, "what was known held for the old one");
    for n in 100..1000 {
        let mut stranger = seen(0);
        stranger.index = n;
        stranger.name = format!("enx{n}");
        device.seen.truncate(3);
        device.seen.push(stranger);
        device.links();
    }
    assert!(device.uplinks.tracks.len() <= UPLINKS);
}

/// What random things happen to a device, and what must hold after each.
struct Chaos {
    device: Device,
    random: fastrand::Rng,
    last_failback: Option<Instant>,
    states: std::collections::BTreeSet<String>,
    healths: std::collections::BTreeSet<&'static str>,
}

impl Chaos {
    fn step(&mut self) {
        let place = self.random.usize(..3);
        let index = ETH0 + place as u32;
        let name = NAMES[place].to_owned();
        let now = self.device.now;
        match self.random.u8(..24) {
            0..=5 => self.device.cable(place, !self.device.seen[place].carrier),
            6..=7 => self.device.address(place, !self.device.seen[place].addressed),
            8..=9 => self.device.works[place] = !self.device.works[place],
            10 => self.device.gateway[place] = !self.device.gateway[place],
            11 => self.device.acknowledge(&name),
            12 => self.device.apply(Fact::Gateway { index, answers: self.random.bool() }),
            13 => {
                let free = [Some(true), Some(true), Some(false), None][self.random.usize(..4)];
                self.device.apply(Fact::Portal { index, free });
            }
            14 => self.device.apply(Fact::Upstream { index, works: None }),
            15 => self.device.apply(Fact::Locked(self.random.u8(..4) == 0)),
            16 => self.device.apply(Fact::AccessPoint(self.random.bool())),
            17 if self.random.u8(..4) == 0 => {
                let until = Some(now + SECOND * self.random.u32(..60));
                self.device.apply(Fact::Manual { interface: name, until });
            }
            18 => self.device.apply(Fact::Auto),
            19 => {
                let links = self.device.seen.iter().filter(|_| self.random.bool()).cloned().collect();
                self.device.apply(Fact::Links(links));
                self.check();
                self.device.links();
            }
            _ => self.device.pass(Duration::from_millis(self.random.u64(..9000))),
        }
        self.check();
    }

    fn check(&mut self) {
        let device = &mut self.device;
        let state = device.decision.state.clone();
        self.states.insert(state.to_string());
        self.healths.extend(device.decision.uplinks.iter().map(|uplink| uplink.state.as_str()));
        for (at, switch) in device.switches.drain(..) {
            let freely =
                switch.because.is_some_and(|because| matches!(because, Valid | Unverified | Suspect));
            let automatic = !matches!(state, FailoverState::ManualOverride | FailoverState::Locked);
            if freely && automatic && device.uplinks.manual.is_none() {
                let early = self.last_failback.is_some_and(|last| at - last < HOLD);
                assert!(!early, "two failbacks within a hold-down: {switch:?}");
                self.last_failback = Some(at);
            }
        }
        if matches!(state, FailoverState::ManualOverride | FailoverState::Locked) {
            return;
        }
        let health = |name: &str| {
            device.decision.uplinks.iter().find(|uplink| uplink.interface == name).map_or(Absent, |u| u.state)
        };
        let active = device.decision.active.as_deref().map_or(Absent, health);
        let valid = device.decision.uplinks.iter().any(|uplink| uplink.state == Valid);
        let lost = matches!(active, Absent | Down | NoAddress | Dead | Health::Portal);
        assert!(!(valid && lost), "{active:?} is used while a valid one exists: {:?}", device.decision);
        let first = device.decision.ranked.first().map(|uplink| uplink.name.as_str());
        assert_eq!(first, device.decision.active.as_deref(), "the active one is dialled first");
        let expects_none = matches!(state, FailoverState::NoNetwork | FailoverState::ApMode);
        let unusable = matches!(active, Absent | Down | NoAddress | Dead | Health::Portal);
        assert_eq!(expects_none, unusable, "{state} with {active:?}");
    }
}

#[test]
fn whatever_happens_no_dead_uplink_is_used_while_a_valid_one_exists_and_every_state_is_reached() {
    let (mut states, mut healths) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for seed in 0..40 {
        let mut device = Device::with(Policy { failback_hold: HOLD, portals: seed % 2 == 0 });
        device.seen.iter_mut().for_each(|seen| seen.gateway = seed % 3 == 0);
        let mut chaos = Chaos {
            device,
            random: fastrand::Rng::with_seed(seed),
            last_failback: None,
            states: Default::default(),
            healths: Default::default(),
        };
        (0..500).for_each(|_| chaos.step());
        states.extend(chaos.states);
        healths.extend(chaos.healths);
    }
    let all = [
        "ap_mode",
        "eth0_priority",
        "failover_to_wlan0",
        "failover_to_wlan1",
        "locked",
        "manual_override",
        "no_network",
        "wlan0_active",
        "wlan1_active",
    ];
    assert_eq!(states.iter().map(String::as_str).collect::<Vec<_>>(), all);
    assert_eq!(healths.len(), 8, "{healths:?}");
}

#[test]
fn an_uplink_that_connects_and_delivers_nothing_is_left_once_another_delivers_and_a_copy_is_lost() {
    for (evidence, health) in [(Lost, Dead), (Intercepted, Health::Portal)] {
        let mut device = Device::settled();
        device.heartbeat("eth0", Lost);
        device.heartbeat("eth0", evidence);
        device.pass(SECOND * 10);
        assert_eq!(
            (device.state().as_str(), device.copies.len()),
            ("eth0_priority", 0),
            "no other was tried"
        );
        device.heartbeat("wlan1", Delivered);
        assert_eq!(device.state(), "eth0_priority", "the server may just have come back");
        device.copy_over_eth0(evidence);
        assert_eq!((device.state().as_str(), device.health()[0]), ("failover_to_wlan1", health));
        assert_eq!(device.triggers, [Reason::Failover]);
        device.pass(SECOND * 29);
        assert_eq!((device.health()[0], device.copies.len()), (health, 0), "TCP probes do not revive it");
        device.pass(SECOND * 2);
        device.copy_over_eth0(evidence);
        device.pass(SECOND * 58);
        assert!(device.copies.is_empty());
        device.pass(SECOND * 3);
        device.copy_over_eth0(Delivered);
        assert_eq!(device.state(), "failover_to_wlan1", "the hold begins");
        device.pass(HOLD - SECOND);
        assert_eq!(device.state(), "failover_to_wlan1");
        device.pass(SECOND * 3);
        assert_eq!(device.state(), "eth0_priority");
    }
}

#[test]
fn a_server_that_was_down_for_all_uplinks_switches_nothing_when_it_is_back() {
    let mut device = Device::settled();
    for name in NAMES {
        (0..4).for_each(|_| device.heartbeat(name, Lost));
    }
    assert!(device.copies.is_empty());
    device.heartbeat("wlan1", Delivered);
    assert_eq!(std::mem::take(&mut device.copies), [ETH0, ETH0 + 2]);
    for interface in ["eth0", "wlan0"] {
        device.apply(Fact::Heartbeat { interface: interface.into(), evidence: Delivered, copy: true });
    }
    device.pass(SECOND * 60);
    assert_eq!((device.state().as_str(), device.health()), ("eth0_priority", vec![Valid; 3]));
    assert!(device.switches.is_empty() && device.copies.is_empty());
}

#[test]
fn a_blocked_uplink_stays_blocked_when_its_cable_is_plugged_in_again_and_a_copy_is_tried_at_once() {
    let mut device = Device::settled();
    device.block_eth0();
    device.pass(SECOND * 6);
    device.cable(0, false);
    assert!(device.copies.is_empty());
    device.cable(0, true);
    assert_eq!(device.health()[0], Dead);
    device.copy_over_eth0(Delivered);
    device.pass(HOLD + SECOND * 3);
    assert_eq!(device.state(), "eth0_priority");
}

#[test]
fn a_blocked_uplink_is_the_last_resort_and_free_once_a_heartbeat_gets_through() {
    let mut device = Device::settled();
    device.block_eth0();
    device.cable(1, false);
    assert_eq!(device.state(), "failover_to_wlan0");
    device.cable(2, false);
    assert_eq!((device.state().as_str(), device.decision.active.as_deref()), ("no_network", Some("eth0")));
    device.heartbeat("eth0", Delivered);
    assert_eq!(device.state(), "eth0_priority");
}

/// Its probes are answered by whatever blocks it.
#[test]
fn a_blocked_uplink_speaks_against_no_other() {
    let mut device = Device::settled();
    device.cable(2, false);
    device.block_eth0();
    device.works[1] = false;
    device.pass(SECOND * 60);
    assert_eq!((device.health()[1], device.decision.active.as_deref()), (Suspect, Some("wlan1")));
}

fn pin(interface: &str, by_default: bool) -> Option<Pin> {
    Some(Pin { interface: interface.to_owned(), by_default })
}

fn acknowledged(device: &mut Device, interface: &str) {
    device.heartbeat(interface, Delivered);
}

#[test]
fn a_default_route_over_another_interface_is_the_path_and_what_uplinks_do_is_no_switch() {
    let mut device = Device::settled();
    device.apply(Fact::Pinned(pin("tun0", true)));
    assert_eq!(
        (device.state().as_str(), device.decision.path.as_deref()),
        ("failover_to_tun0", Some("tun0"))
    );
    assert_eq!(device.decision.active.as_deref(), Some("eth0"), "still the best uplink");
    assert_eq!(device.triggers, [Reason::Failover]);
    acknowledged(&mut device, "tun0");
    assert_eq!(device.state(), "tun0_active");
    device.cable(0, false);
    assert_eq!((device.state().as_str(), device.decision.active.as_deref()), ("tun0_active", Some("wlan1")));
    (1..3).for_each(|place| device.cable(place, false));
    device.pass(SECOND * 5);
    assert_eq!(device.state(), "tun0_active", "no uplink is left, and heartbeats go on");
    assert_eq!((device.triggers.len(), device.switches.len()), (1, 1));
    (0..3).for_each(|place| device.cable(place, true));
    device.apply(Fact::Pinned(None));
    assert_eq!(device.decision.path, device.decision.active);
    assert_eq!(device.triggers.len(), 2);
}

#[test]
fn an_uplink_that_delivers_in_place_of_the_kernels_choice_is_the_path_until_that_delivers_again() {
    let mut device = Device::settled();
    device.apply(Fact::Pinned(pin("tun0", true)));
    acknowledged(&mut device, "wlan1");
    assert_eq!(device.state(), "failover_to_tun0", "what was acknowledged before says nothing");
    device.pass(SECOND);
    acknowledged(&mut device, "wlan1");
    assert_eq!((device.state().as_str(), device.decision.active.as_deref()), ("wlan1_active", Some("eth0")));
    acknowledged(&mut device, "tun0");
    acknowledged(&mut device, "tun0");
    assert_eq!(device.state(), "tun0_active");
}

#[test]
fn a_specific_route_is_the_path_unless_its_uplink_is_dead() {
    let mut device = Device::settled();
    device.apply(Fact::Pinned(pin("wlan0", false)));
    acknowledged(&mut device, "wlan0");
    assert_eq!((device.state().as_str(), device.decision.active.as_deref()), ("wlan0_active", Some("eth0")));
    device.apply(Fact::Manual { interface: "wlan1".into(), until: None });
    assert_eq!(device.decision.path.as_deref(), Some("wlan0"), "nobody may send the token elsewhere");
    device.apply(Fact::Auto);
    device.cable(2, false);
    assert_eq!(device.decision.path.as_deref(), Some("eth0"), "what the rest of the machine uses");
    device.apply(Fact::Pinned(pin("tun0", true)));
    device.apply(Fact::Manual { interface: "wlan1".into(), until: None });
    assert_eq!(device.decision.path.as_deref(), Some("wlan1"), "a default route is a person's to overrule");
}

#[test]
fn uplinks_of_one_pattern_are_ranked_by_name_and_one_that_goes_promotes_no_other() {
    let mut device = Device::settled();
    for (seen, name) in device.seen.iter_mut().zip(["enx2", "enx1", "enx3"]) {
        seen.rank = 0;
        seen.name = name.to_owned();
    }
    device.links();
    device.pass(SECOND * 120);
    assert_eq!(device.state(), "enx1_priority");
    device.cable(1, false);
    acknowledged(&mut device, "enx2");
    assert_eq!(device.state(), "enx2_active");
    device.cable(1, true);
    device.pass(SECOND * 20);
    assert_eq!(device.state(), "enx1_priority", "failed back to the first by name");
    let gone = device.seen.remove(1);
    device.links();
    acknowledged(&mut device, "enx2");
    assert_eq!((gone.name.as_str(), device.state().as_str()), ("enx1", "enx2_active"));
}

#[test]
fn heartbeats_leave_over_the_chosen_uplink_unless_the_kernels_route_says_otherwise() {
    let mut device = Device::settled();
    assert!(device.uplinks.is_chosen_from());
    device.apply(Fact::Pinned(pin("tun0", true)));
    assert!(!device.uplinks.is_chosen_from());
    device.apply(Fact::Pinned(None));
    assert!(device.uplinks.is_chosen_from());
}

#[test]
fn only_an_uplink_helps_and_only_where_a_default_route_is_the_path() {
    for (pinned, by_default, delivers, path) in [
        ("tun0", true, "wlan1", "wlan1"),
        ("tun0", true, "tun1", "tun0"),
        ("tun0", true, "tun0", "tun0"),
        ("tun0", false, "wlan1", "tun0"),
    ] {
        let mut device = Device::settled();
        device.apply(Fact::Pinned(pin(pinned, by_default)));
        device.pass(SECOND);
        device.acknowledge(delivers);
        let case = format!("{pinned} by default: {by_default}, {delivers} delivers");
        assert_eq!(device.decision.path.as_deref(), Some(path), "{case}");
    }
}

#[test]
fn an_acknowledgement_matters_only_until_the_first_one_after_a_switch() {
    let mut device = Device::settled();
    device.cable(0, false);
    assert!(device.uplinks.awaits_acknowledgement());
    device.acknowledge("wlan1");
    assert!(!device.uplinks.awaits_acknowledgement());
}

#[test]
fn it_is_known_before_a_decision_whether_that_switches() {
    let mut device = Device::settled();
    assert!(!device.uplinks.would_switch(device.now));
    device.set(0, false, true);
    device.uplinks.apply(Fact::Links(device.seen.clone()), device.now);
    assert!(device.uplinks.would_switch(device.now));
    device.decide();
    assert!(!device.uplinks.would_switch(device.now));
}

#[test]
fn among_dead_uplinks_the_last_one_in_use_stays() {
    let mut device = Device::settled();
    device.seen[2].gateway = true;
    device.links();
    device.works = [false, false, true];
    device.pass(SECOND * 30);
    assert_eq!(device.health(), [Dead, Dead, Valid]);
    device.gateway[2] = false;
    device.pass(SECOND * 2);
    assert_eq!((device.health(), device.decision.active.as_deref()), (vec![Dead; 3], Some("wlan0")));
}

#[test]
fn after_a_failback_the_next_one_waits_for_the_hold_down() {
    let mut device = Device::settled();
    device.cable(0, false);
    device.cable(1, false);
    device.switches.clear();
    device.cable(1, true);
    device.pass(SECOND);
    device.cable(0, true);
    device.pass(HOLD * 4);
    let switches: Vec<_> = device.switches.iter().map(|(at, switch)| (*at, switch.to.as_deref())).collect();
    let [(first, Some("wlan1")), (second, Some("eth0"))] = switches[..] else { panic!("{switches:?}") };
    assert!(second - first >= HOLD, "{:?}", second - first);
}

#[test]
fn an_uplink_whose_probes_prove_nothing_is_probed_again_without_a_failback() {
    let mut device = Device::settled();
    device.cable(0, false);
    device.works[0] = false;
    device.cable(0, true);
    let mut probes = 0;
    for _ in 0..200 {
        device.now += Duration::from_millis(100);
        if device.uplinks.named("eth0").is_some_and(|track| track.pending_for(device.now).is_some()) {
            probes += 1;
            device.uplinks.apply(Fact::Upstream { index: ETH0, works: None }, device.now);
        }
        device.decide();
    }
    assert!(probes > 2, "{probes} probes in 20 s");
    assert_eq!((device.health()[0], device.decision.active.as_deref()), (Unverified, Some("wlan1")));
}

#[test]
fn without_other_probes_a_gateway_that_responds_is_enough() {
    for (answers, health) in [(true, Valid), (false, Unverified)] {
        let mut device = Device::new();
        (device.seen[0].targets, device.seen[0].gateway) = (0, true);
        device.gateway[0] = answers;
        device.cable(0, true);
        device.address(0, true);
        assert_eq!(device.health()[0], health, "answers: {answers}");
    }
}
