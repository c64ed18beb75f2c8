//! The recorder with a clock that the test turns, and its loop with tickers that the test drives.

use super::*;
use crate::clock::Now;
use crate::monitor::beat::{Beat, BeatKind, Sample};
use crate::monitor::conditions::facts::Facts;
use crate::monitor::fleet::BeatEffect;
use crate::monitor::history::packed::Packed;
use crate::monitor::history::resolution::RESOLUTIONS;
use crate::monitor::history::rows::PastSample;
use crate::monitor::incidents::sweep::SweepSettings;
use crate::monitor::machine::{Description, MachineStatus};
use crate::monitor::notify::Poke;
use crate::monitor::store::Scratch;
use crossbeam_channel::Receiver;
use crossbeam_channel::{Sender, bounded};
use std::thread;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const SETTINGS: SweepSettings =
    SweepSettings { check_interval: Duration::from_secs(30), threshold: Duration::from_secs(120) };

struct RecorderRig {
    store: Scratch,
    shared: RecorderContext,
    recorder: Recorder,
    now: Now,
}

impl RecorderRig {
    fn new(machines: i64) -> RecorderRig {
        RecorderRig::with(Store::scratch(), machines)
    }

    /// With a file, which a test can take away.
    fn on_file(machines: i64) -> RecorderRig {
        RecorderRig::with(Store::scratch_file(), machines)
    }

    fn with(store: Scratch, machines: i64) -> RecorderRig {
        let now = Now { monotonic: Instant::now(), wall: Moment(1_769_000_000_000) };
        for number in 0..machines {
            let description = Description { name: format!("m{number}"), ..Description::default() };
            store.add_machine(&description, now.wall).expect("a machine");
        }
        let shared = RecorderContext {
            store: store.clone(),
            registry: Arc::default(),
            fleet: Arc::default(),
            pulse: Arc::new(Pulse::new(now.monotonic)),
        };
        let sweeper = Sweeper::new(SETTINGS, now, Poke::unconnected());
        let recorder = Recorder::new(shared.clone(), sweeper, Watchdog::from_environment(now.monotonic));
        recorder.load(now.wall).expect("states");
        RecorderRig { store, shared, recorder, now }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.plus(time);
    }

    /// Sends a live beat to the recorder.
    fn beats(&mut self, machine: i64) {
        self.says(machine, BeatKind::Live);
    }

    fn says(&mut self, machine: i64, kind: BeatKind) {
        let (machine, seen) = (MachineId(machine), self.now.wall);
        let order = match self.shared.fleet.beat(machine, &beat(kind), seen) {
            BeatEffect::Nothing => return,
            BeatEffect::Back => RecorderEvent::Back { machine, seen },
            BeatEffect::Shutdown => RecorderEvent::Shutdown { machine, seen },
        };
        self.recorder.handle(std::iter::once(order), self.now);
    }

    /// All that has to be written is.
    fn writes(&mut self) {
        for _ in 0..WRITE_EVERY {
            self.recorder.tick(self.now);
        }
    }

    fn sweep(&mut self) {
        self.recorder.sweep(self.now);
    }

    fn status(&self, machine: i64) -> MachineStatus {
        self.machine(machine).status
    }

    fn last_seen(&self, machine: i64) -> Option<Moment> {
        self.machine(machine).last_seen
    }

    fn machine(&self, machine: i64) -> crate::monitor::machine::Machine {
        self.store.machine(MachineId(machine), self.now.wall).expect("read").expect("a machine")
    }

    /// Obeys the order of these replays, and returns what was said of it.
    fn replays(&mut self, machine: i64, ages: &[Duration]) -> Result<(), StoreError> {
        let (stored, result) = awaited();
        let order = RecorderEvent::Replays { past: past(machine, ages, self.now.wall), stored };
        self.recorder.handle(std::iter::once(order), self.now);
        result.try_recv().expect("answered at once")
    }

    /// What is stored, with the resolution's seconds.
    fn history(&self, machine: i64) -> Vec<(Moment, i64, Option<f32>)> {
        let mut found = Vec::new();
        for resolution in RESOLUTIONS {
            let take = |bucket, packed: Packed| {
                found.push((resolution.begin(bucket), resolution.seconds, packed.sample().cpu));
            };
            let (machine, from, to) = (MachineId(machine), Moment(0), self.now.wall.plus(MINUTE));
            self.store.history(machine, resolution, from, to, take).expect("history");
        }
        found
    }

    /// Time passes while `machine` beats.
    fn is_partial(&mut self, time: Duration, machine: i64) {
        let end = self.now.wall.plus(time);
        while self.now.wall < end {
            self.pass((SECOND * 10).min(end.since(self.now.wall)));
            self.beats(machine);
            self.writes();
            self.sweep();
        }
    }
}

fn beat(kind: BeatKind) -> Beat<'static> {
    let sample = Sample { cpu: Some(12.5), ..Sample::default() };
    Beat {
        reason: None,
        server: crate::monitor::machine::DeviceServer::Only,
        kind,
        interval: None,
        device: None,
        hostname: Some("barn".into()),
        sample,
        facts: Facts::default(),
        payload: "{\"cpu\": 12.5}",
    }
}

fn past(machine: i64, ages: &[Duration], now: Moment) -> Vec<PastSample> {
    let figures = Packed::from(Sample { cpu: Some(50.0), ..Sample::default() });
    ages.iter().map(|age| PastSample { machine: MachineId(machine), at: now.minus(*age), figures }).collect()
}

fn awaited() -> (OnStored, Receiver<Result<(), StoreError>>) {
    let (sender, receiver) = bounded(1);
    (Box::new(move |result| sender.send(result).expect("the test listens")), receiver)
}

#[test]
fn a_beat_is_in_the_database_with_the_next_write_and_a_recovery_at_once() {
    let mut rig = RecorderRig::new(1);
    rig.beats(1);
    assert_eq!(rig.status(1), MachineStatus::Online, "the first beat of all is a recovery, too");
    rig.pass(SECOND * 5);
    rig.beats(1);
    assert_ne!(rig.last_seen(1), Some(rig.now.wall));
    rig.writes();
    assert_eq!(rig.last_seen(1), Some(rig.now.wall));
}

#[test]
fn silence_is_an_outage_and_the_next_beat_ends_it() {
    let mut rig = RecorderRig::new(2);
    rig.beats(1);
    rig.is_partial(SECOND * 121, 2);
    assert_eq!((rig.status(1), rig.status(2)), (MachineStatus::Offline, MachineStatus::Online));
    rig.pass(SECOND);
    rig.beats(1);
    assert_eq!(rig.status(1), MachineStatus::Online);
}

#[test]
fn a_beat_during_the_sweep_brings_its_machine_online_at_once() {
    let mut rig = RecorderRig::new(2);
    rig.beats(1);
    rig.is_partial(SECOND * 120, 2);
    rig.pass(SECOND);
    // What the sweep sees is the database; this beat comes between its flush and its end.
    let swept = rig.recorder.sweeper.sweep(&rig.store, rig.now).expect("swept");
    rig.beats(1);
    assert_eq!(
        rig.status(1),
        MachineStatus::Offline,
        "the fleet has no such belief, so the beat was like any other"
    );
    rig.recorder.call_offline(&swept.offline, rig.now);
    assert_eq!(rig.status(1), MachineStatus::Online);
}

#[test]
fn a_restart_is_no_recovery_of_all() {
    let mut rig = RecorderRig::new(1);
    rig.beats(1);
    let fleet = Arc::new(Fleet::default());
    rig.recorder.shared.fleet = fleet.clone();
    rig.recorder.load(rig.now.wall).expect("states");
    assert_eq!(fleet.beat(MachineId(1), &beat(BeatKind::Live), rig.now.wall), BeatEffect::Nothing);
}

#[test]
fn a_shutdown_beat_is_a_stop_and_the_next_beat_a_return() {
    let mut rig = RecorderRig::new(1);
    rig.beats(1);
    rig.says(1, BeatKind::Shutdown);
    assert_eq!(rig.status(1), MachineStatus::Stopped);
    // Both in one batch, in this order.
    let (machine, seen) = (MachineId(1), rig.now.wall);
    let orders = [RecorderEvent::Shutdown { machine, seen }, RecorderEvent::Back { machine, seen }];
    rig.recorder.handle(orders.into_iter(), rig.now);
    assert_eq!(rig.status(1), MachineStatus::Online);
}

#[test]
fn replays_are_stored_when_they_are_acknowledged_and_count_as_nothing_else() {
    let mut rig = RecorderRig::new(1);
    rig.beats(1);
    rig.writes();
    let (seen, status) = (rig.last_seen(1), rig.status(1));
    rig.pass(SECOND * 7200);
    assert_eq!(rig.replays(1, &[MINUTE * 90, MINUTE * 30, MINUTE * 89]), Ok(()));
    rig.writes();
    assert_eq!((rig.last_seen(1), rig.status(1)), (seen, status), "a replay is no sign of life");
    let minute = |age: u32| (Moment(rig.now.wall.minus(MINUTE * age).0 / 60_000 * 60_000), 60, Some(50.0));
    assert_eq!(rig.history(1), [90, 89, 30].map(minute));
}

#[test]
fn a_replay_that_is_sent_twice_changes_nothing() {
    let mut rig = RecorderRig::new(1);
    rig.replays(1, &[MINUTE * 90]).expect("stored");
    let once = rig.history(1);
    rig.replays(1, &[MINUTE * 90]).expect("stored");
    assert_eq!(rig.history(1), once);
}

#[test]
fn a_replay_goes_to_the_resolution_of_its_age_or_is_dropped() {
    let mut rig = RecorderRig::new(1);
    let day = SECOND * 86_400;
    let ages = [MINUTE, day, day * 3, day * 60, day * 364, day * 1000, Duration::from_secs(u64::MAX)];
    assert_eq!(rig.replays(1, &ages), Ok(()));
    let bucket = |(days, seconds): (u32, i64)| {
        let at = rig.now.wall.minus(day * days).0.div_euclid(seconds * 1000) * seconds * 1000;
        (Moment(at), seconds, Some(50.0))
    };
    let mut expected =
        vec![bucket((1, 60)), bucket((0, 60)), bucket((3, 900)), bucket((364, 3600)), bucket((60, 3600))];
    expected[1].0 = Moment(rig.now.wall.minus(MINUTE).0 / 60_000 * 60_000);
    assert_eq!(rig.history(1), expected);
}

#[test]
fn replays_of_a_removed_machine_do_not_fail_the_others() {
    let mut rig = RecorderRig::new(1);
    let (stored, result) = awaited();
    let mut both = past(1, &[MINUTE], rig.now.wall);
    both.extend(past(77, &[MINUTE], rig.now.wall));
    rig.recorder.handle(std::iter::once(RecorderEvent::Replays { past: both, stored }), rig.now);
    assert_eq!(result.try_recv(), Ok(Ok(())));
    assert_eq!(rig.history(1).len(), 1);
}

#[test]
fn when_the_database_fails_beats_are_kept_and_written_later() {
    let mut rig = RecorderRig::on_file(1);
    rig.beats(1);
    rig.writes();
    let (file, away) = (rig.store.dir.path().join("monitor.db"), rig.store.dir.path().join("away"));
    std::fs::rename(&file, &away).expect("renamed");
    for _ in 0..16 {
        rig.pass(SECOND);
        rig.beats(1);
        rig.writes();
    }
    assert!(!rig.shared.pulse.is_fresh(rig.now.monotonic), "heartbeats are refused by now");
    assert!(rig.replays(1, &[MINUTE]).is_err(), "and replays at once");
    std::fs::rename(&away, &file).expect("renamed back");
    rig.pass(SECOND);
    let seen = rig.now.wall.minus(SECOND);
    rig.writes();
    assert_eq!(rig.last_seen(1), Some(seen));
    assert!(rig.shared.pulse.is_fresh(rig.now.monotonic));
    rig.pass(trouble::CALM);
    rig.writes();
    rig.pass(SECOND);
    rig.writes();
    assert!(rig.recorder.troubles.error().is_none());
}

#[test]
fn time_in_which_heartbeats_were_refused_makes_no_machine_late() {
    let mut rig = RecorderRig::on_file(1);
    rig.beats(1);
    rig.writes();
    let (file, away) = (rig.store.dir.path().join("monitor.db"), rig.store.dir.path().join("away"));
    std::fs::rename(&file, &away).expect("renamed");
    for _ in 0..5 {
        rig.pass(SECOND * 30);
        rig.writes();
        rig.sweep();
        rig.beats(1);
    }
    // The device obeys Retry-After and is silent; then the database is there again.
    std::fs::rename(&away, &file).expect("renamed back");
    rig.pass(SECOND * 30);
    rig.sweep();
    assert_eq!(rig.status(1), MachineStatus::Online);
}

#[test]
fn payload_hostname_and_minutes_are_saved_within_a_minute() {
    let mut rig = RecorderRig::new(3);
    let begin = rig.now.wall;
    for _ in 0..62 {
        for machine in 1..=3 {
            rig.beats(machine);
        }
        rig.writes();
        rig.pass(SECOND);
    }
    let (_, payload) = rig.store.latest(MachineId(2)).expect("read").expect("saved");
    assert_eq!(payload, "{\"cpu\": 12.5}");
    assert_eq!(rig.machine(2).hostname.as_deref(), Some("barn"));
    let mut minutes = Vec::new();
    let take = |bucket, packed: Packed| minutes.push((bucket, packed.sample().cpu));
    rig.store.history(MachineId(2), RESOLUTIONS[0], begin, rig.now.wall, take).expect("read");
    assert_eq!(minutes, [(begin.0 / 60_000, Some(12.5))]);
}

#[test]
fn a_removed_machine_is_forgotten_and_does_not_disturb() {
    let mut rig = RecorderRig::new(2);
    rig.beats(1);
    rig.beats(2);
    rig.store.remove_machine("m0", rig.now.wall).expect("removed");
    rig.beats(1);
    for _ in 0..61 {
        rig.pass(SECOND);
        rig.writes();
    }
    assert!(rig.recorder.troubles.error().is_none());
    let (loaded, result) = awaited();
    rig.recorder.handle(std::iter::once(RecorderEvent::Registry { loaded }), rig.now);
    assert_eq!((result.try_recv(), rig.shared.fleet.len()), (Ok(Ok(())), 1));
}

/// The loop on a thread of its own.
fn running(
    rig: RecorderRig,
) -> (Scratch, RecorderContext, Sender<RecorderEvent>, Sender<Instant>, thread::JoinHandle<()>) {
    let (orders, inbox) = bounded(16);
    let (flushes, flush) = bounded(0);
    let (_, never) = bounded(0);
    let RecorderRig { store, shared, recorder, .. } = rig;
    let inbox = RecorderInbox { orders: inbox, flush: Ticker::by_hand(flush), sweep: Ticker::by_hand(never) };
    let loop_thread = thread::spawn(move || recorder.run(inbox));
    (store, shared, orders, flushes, loop_thread)
}

#[test]
fn everything_is_written_once_all_senders_are_dropped() {
    let (store, shared, orders, flushes, recorder) = running(RecorderRig::new(2));
    let now = Moment::now();
    for machine in 1..=2 {
        shared.fleet.beat(MachineId(machine), &beat(BeatKind::Live), now);
        orders.send(RecorderEvent::Back { machine: MachineId(machine), seen: now }).expect("taken");
    }
    flushes.send(Instant::now()).expect("a tick");
    // Beats that no flush has seen, and a payload that no turn has saved.
    let later = now.plus(SECOND);
    shared.fleet.beat(MachineId(2), &beat(BeatKind::Live), later);
    drop(orders);
    recorder.join().expect("ended");
    let machine = store.machine(MachineId(2), later).expect("read").expect("a machine");
    assert_eq!((machine.status, machine.last_seen), (MachineStatus::Online, Some(later)));
    assert_eq!(store.latest(MachineId(2)).expect("read"), Some((later, "{\"cpu\": 12.5}".to_owned())));
    drop(flushes);
}

#[test]
fn replays_that_wait_together_are_stored_together() {
    let (store, _, orders, flushes, recorder) = running(RecorderRig::new(4));
    let now = Moment::now();
    let waiting: Vec<_> = (1..=4)
        .map(|machine| {
            let (stored, result) = awaited();
            orders
                .send(RecorderEvent::Replays { past: past(machine, &[MINUTE], now), stored })
                .expect("taken");
            result
        })
        .collect();
    for result in waiting {
        assert_eq!(result.recv_timeout(SECOND * 10), Ok(Ok(())));
    }
    let mut found = 0;
    for machine in 1..=4 {
        let from = now.minus(MINUTE * 5);
        store.history(MachineId(machine), RESOLUTIONS[0], from, now, |_, _| found += 1).expect("read");
    }
    assert_eq!(found, 4);
    drop((orders, flushes));
    recorder.join().expect("ended");
}
