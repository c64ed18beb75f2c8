//! Several monitors on one database, each with a store of its own, and a clock that the test turns.

use super::*;
use crate::clock::Moment;
use crate::monitor::beat::{Beat, BeatKind, Sample};
use crate::monitor::conditions::facts::Facts;
use crate::monitor::fleet::{BeatEffect, Fleet};
use crate::monitor::incidents::sweep::{SweepSettings, Sweeper};
use crate::monitor::instances::duty::Duty;
use crate::monitor::instances::limits::{DUTY_LAPSES, MONITOR_LAPSES};
use crate::monitor::machine::{Description, DeviceServer, MachineStatus};
use crate::monitor::notify::Poke;
use crate::monitor::notify::channel::ChannelId;
use crate::monitor::notify::outbox::{LeaseLimit, LeaseOwner};
use crate::monitor::pulse::Pulse;
use crate::monitor::recorder::RecorderEvent;
use crate::monitor::store::{Scratch, Store};
use crate::systemd::Watchdog;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

const SECOND: Duration = Duration::from_secs(1);
const THRESHOLD: Duration = Duration::from_secs(30);
const SETTINGS: SweepSettings =
    SweepSettings { check_interval: Duration::from_secs(5), threshold: THRESHOLD };
const BARN: MachineId = MachineId(1);
const GATE: MachineId = MachineId(2);
/// Events of first heartbeats.
const FIRST: usize = 2;
const A: usize = 0;
const B: usize = 1;

struct OneMonitor {
    shared: RecorderContext,
    recorder: Recorder,
    is_running: bool,
}

/// Two machines, a webhook, and several monitors that live in steps of a second.
struct SharedDatabase {
    scratch: Scratch,
    monitors: Vec<OneMonitor>,
    now: Now,
}

impl SharedDatabase {
    /// `None`: no PostgreSQL is installed.
    fn new(monitors: usize) -> Option<SharedDatabase> {
        let scratch = Store::scratch_on_postgres()?;
        let now = Now { monotonic: Instant::now(), wall: Moment(1_769_000_000_000) };
        for name in ["barn", "gate"] {
            let description = Description { name: name.into(), ..Description::default() };
            scratch.add_machine(&description, now.wall).expect("a machine");
        }
        let sql = "INSERT INTO recipient (name, events) VALUES ('ops', '[\"all\"]');
                   INSERT INTO channel (recipient_id, kind, target, created_at) VALUES (1, 'webhook', 'http://127.0.0.1/', 0)";
        scratch.write(|transaction| transaction.execute_batch(sql)).expect("a channel");
        let mut site = SharedDatabase { scratch, monitors: Vec::new(), now };
        for _ in 0..monitors {
            site.start();
        }
        site.lives(2);
        Some(site)
    }

    fn start(&mut self) {
        let store = Arc::new(Store::open_beside(self.scratch.location(), self.now.wall).expect("opened"));
        let shared = RecorderContext {
            store,
            registry: Arc::default(),
            fleet: Arc::new(Fleet::new(true)),
            pulse: Arc::new(Pulse::new(self.now.monotonic)),
        };
        let sweeper = Sweeper::new(SETTINGS, self.now, Poke::unconnected());
        let watchdog = Watchdog::from_environment(self.now.monotonic);
        let recorder = Recorder::new(shared.clone(), sweeper, watchdog);
        recorder.load(self.now.wall).expect("states");
        self.monitors.push(OneMonitor { shared, recorder, is_running: true });
    }

    /// Seconds pass; machines send a heartbeat in each of them.
    fn lives_with(&mut self, seconds: u32, heartbeats: &[(usize, MachineId)]) {
        for _ in 0..seconds {
            self.now = self.now.plus(SECOND);
            for &(monitor, machine) in heartbeats {
                self.beat(monitor, machine);
            }
            let second = self.now.wall.seconds();
            for monitor in self.monitors.iter_mut().filter(|monitor| monitor.is_running) {
                monitor.recorder.tick(self.now);
                if second % 5 == 0 {
                    monitor.recorder.sweep(self.now);
                }
            }
        }
    }

    fn lives(&mut self, seconds: u32) {
        self.lives_with(seconds, &[]);
    }

    fn beat(&mut self, monitor: usize, machine: MachineId) {
        let OneMonitor { shared, recorder, .. } = &mut self.monitors[monitor];
        let beat = Beat {
            reason: None,
            server: DeviceServer::Only,
            kind: BeatKind::Live,
            interval: Some(SECOND),
            device: None,
            hostname: None,
            sample: Sample::default(),
            facts: Facts::default(),
            payload: "{}",
        };
        let (seen, effect) = (self.now.wall, shared.fleet.beat(machine, &beat, self.now.wall));
        if effect == BeatEffect::Back {
            recorder.handle(std::iter::once(RecorderEvent::Back { machine, seen }), self.now);
        }
    }

    fn kill(&mut self, monitor: usize) {
        self.monitors[monitor].is_running = false;
    }

    fn status(&self, machine: MachineId) -> MachineStatus {
        self.scratch.machine(machine, self.now.wall).expect("read").expect("a machine").status
    }

    /// What the webhook would be told, in order.
    fn messages(&self) -> Vec<(i64, String)> {
        let sql = "SELECT machine_id, event FROM outbox ORDER BY id";
        let read = |row: &crate::monitor::store::sql::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        self.scratch.read(|connection| connection.query_all(sql, &[], read)).expect("read")
    }

    fn events(&self, kind: &str) -> usize {
        let sql = "SELECT kind FROM event";
        let kinds = self.scratch.read(|c| c.query_all(sql, &[], |row| row.get::<String>(0))).expect("read");
        kinds.iter().filter(|found| *found == kind).count()
    }
}

fn told(messages: &[(MachineId, &str)]) -> Vec<(i64, String)> {
    messages.iter().map(|(machine, event)| (machine.0, (*event).to_owned())).collect()
}

#[test]
fn machines_that_move_between_monitors_are_never_late() {
    let Some(mut site) = SharedDatabase::new(3) else { return };
    for round in 0..12 {
        site.lives_with(1, &[(round % 3, BARN), (A, GATE)]);
    }
    site.lives_with(20, &[(A, BARN), (A, GATE)]);
    site.lives_with(60, &[(B, BARN), (A, GATE)]);
    site.lives_with(60, &[(2, BARN), (B, GATE)]);
    assert_eq!((site.status(BARN), site.status(GATE)), (MachineStatus::Online, MachineStatus::Online));
    assert_eq!((site.events("offline"), site.messages()), (0, Vec::new()));
}

#[test]
fn an_outage_is_found_by_one_monitor_and_its_end_by_whichever_hears_the_machine() {
    let Some(mut site) = SharedDatabase::new(3) else { return };
    site.lives_with(8, &[(A, BARN), (B, GATE)]);
    site.lives_with(40, &[(B, GATE)]);
    assert_eq!(site.messages(), told(&[(BARN, "offline")]));
    // It has never been heard here, and was online when this monitor started to look.
    site.beat(2, BARN);
    assert_eq!(site.messages(), told(&[(BARN, "offline"), (BARN, "online")]), "at once");
    site.lives_with(40, &[(A, BARN), (B, GATE)]);
    assert_eq!((site.events("offline"), site.events("online"), site.messages().len()), (1, FIRST + 1, 2));
}

#[test]
fn a_heartbeat_that_arrives_elsewhere_before_an_outage_is_known_there_ends_it() {
    let Some(mut site) = SharedDatabase::new(2) else { return };
    site.lives_with(5, &[(A, BARN), (B, BARN), (A, GATE)]);
    // Nobody has told the second monitor of the outage when it hears the machine again.
    site.kill(B);
    site.lives_with(45, &[(A, GATE)]);
    assert_eq!(site.status(BARN), MachineStatus::Offline);
    site.monitors[B].is_running = true;
    site.beat(B, BARN);
    site.lives_with(1, &[(B, BARN), (A, GATE)]);
    assert_eq!(site.status(BARN), MachineStatus::Online);
    assert_eq!(site.messages(), told(&[(BARN, "offline"), (BARN, "online")]));
}

#[test]
fn the_machines_of_a_dead_monitor_get_their_threshold_from_when_it_was_noticed() {
    let Some(mut site) = SharedDatabase::new(3) else { return };
    site.lives_with(30, &[(A, BARN), (A, GATE)]);
    site.kill(A);
    // One of them moves, the other one was on the way out itself.
    let died = site.now;
    let mut noticed = None;
    while site.status(BARN) == MachineStatus::Online {
        site.lives_with(1, &[(B, GATE)]);
        let instances = site.scratch.instances().expect("read");
        noticed = noticed.or(instances.iter().find_map(|instance| instance.dead));
        assert!(site.now.since(died.monotonic) < SECOND * 90, "it is found");
    }
    let noticed = noticed.expect("noticed before");
    assert!(noticed.since(died.wall) >= MONITOR_LAPSES - SECOND * 4, "not before it is silent");
    let silent = site.now.wall.since(noticed);
    assert!(silent >= THRESHOLD && silent <= THRESHOLD + SECOND * 6, "{silent:?}");
    site.lives_with(20, &[(B, GATE)]);
    assert_eq!((site.events("offline"), site.messages()), (1, told(&[(BARN, "offline")])));
}

#[test]
fn several_monitors_that_decide_at_the_same_moment_write_one_change() {
    let Some(mut site) = SharedDatabase::new(3) else { return };
    site.lives_with(5, &[(A, BARN), (A, GATE)]);
    for monitor in [A, B, 2] {
        site.kill(monitor);
    }
    let sql = "UPDATE monitor_instance SET dead_at = 0";
    site.scratch.write(|transaction| transaction.execute_batch(sql)).expect("all are dead");
    for _ in 0..6 {
        site.now = site.now.plus(SETTINGS.check_interval);
        for monitor in &mut site.monitors {
            monitor.recorder.sweep(site.now);
        }
    }
    assert_eq!(site.events("offline"), 0, "they have their threshold");
    let late = site.now.plus(SETTINGS.check_interval);
    thread::scope(|scope| {
        for monitor in &mut site.monitors {
            scope.spawn(move || monitor.recorder.sweep(late));
        }
    });
    site.now = late;
    assert_eq!((site.events("offline"), site.messages().len()), (2, 2));
    let back = late.plus(SECOND);
    thread::scope(|scope| {
        for monitor in &mut site.monitors {
            let seen = back.wall;
            let back_again = [BARN, GATE].map(|machine| RecorderEvent::Back { machine, seen });
            scope.spawn(move || monitor.recorder.handle(back_again.into_iter(), back));
        }
    });
    assert_eq!((site.events("online"), site.messages().len()), (FIRST + 2, 4));
}

#[test]
fn a_database_that_was_away_for_all_monitors_lets_none_of_them_give_the_others_up() {
    let Some(mut site) = SharedDatabase::new(2) else { return };
    site.lives_with(30, &[(A, BARN), (B, GATE)]);
    site.kill(A);
    site.kill(B);
    site.lives(60);
    site.monitors[A].is_running = true;
    site.lives_with(3, &[(A, BARN)]);
    site.monitors[B].is_running = true;
    site.lives_with(60, &[(A, BARN), (B, GATE)]);
    let instances = site.scratch.instances().expect("read");
    assert!(instances.iter().all(|instance| instance.dead.is_none()), "{instances:?}");
    assert_eq!(site.messages(), Vec::new());
}

#[test]
fn a_heartbeat_that_waited_for_the_database_ends_no_later_outage_and_moves_no_machine() {
    let Some(mut site) = SharedDatabase::new(2) else { return };
    site.lives_with(30, &[(A, BARN), (A, GATE)]);
    // It is cut off, hears both machines once more, and one of them goes to the other monitor.
    site.kill(A);
    site.now = site.now.plus(SECOND);
    site.beat(A, BARN);
    site.beat(A, GATE);
    let seen = site.now.wall;
    site.lives_with(90, &[(B, GATE)]);
    assert_eq!(site.messages(), told(&[(BARN, "offline")]));
    let now = site.now;
    let waited = [BARN, GATE].map(|machine| RecorderEvent::Back { machine, seen });
    site.monitors[A].recorder.handle(waited.into_iter(), now);
    site.monitors[A].recorder.sweep(now);
    let states = site.scratch.states().expect("read");
    let heard_by = states.iter().find(|state| state.machine == GATE).and_then(|state| state.seen_by);
    assert_eq!(heard_by, site.monitors[B].shared.store.process());
    site.monitors[A].is_running = true;
    site.lives_with(60, &[(B, GATE)]);
    assert_eq!((site.status(BARN), site.messages()), (MachineStatus::Offline, told(&[(BARN, "offline")])));
}

#[test]
fn what_a_dead_monitor_was_sending_is_sent_by_another_one() {
    let Some(mut site) = SharedDatabase::new(2) else { return };
    site.lives_with(30, &[(A, BARN), (A, GATE)]);
    site.lives_with(36, &[(A, GATE)]);
    let lease = |site: &SharedDatabase, monitor: usize| {
        let store = &site.monitors[monitor].shared.store;
        let limit = LeaseLimit { rows: 9, retries: 9 };
        let batch = store.lease(ChannelId(1), LeaseOwner::of(store), limit, site.now.wall).expect("read");
        batch.map_or(0, |batch| batch.rows.len())
    };
    assert_eq!(lease(&site, A), 1);
    assert_eq!((lease(&site, A), lease(&site, B)), (0, 0), "nobody takes it twice");
    site.kill(A);
    site.lives_with(10, &[(B, GATE)]);
    assert_eq!(lease(&site, B), 0, "it may still be sending");
    site.lives_with(20, &[(B, GATE)]);
    assert_eq!(lease(&site, B), 1);
}

#[test]
fn a_duty_is_one_monitors_until_it_gives_it_up_or_is_silent() {
    let Some(site) = SharedDatabase::new(2) else { return };
    let (a, b, now) = (&site.monitors[A].shared.store, &site.monitors[B].shared.store, site.now.wall);
    let later = now.plus(DUTY_LAPSES);
    assert_eq!((a.takes_on(Duty::Mqtt, now), b.takes_on(Duty::Mqtt, now)), (Ok(true), Ok(false)));
    assert_eq!(b.takes_on(Duty::Bot("42"), now), Ok(true), "another one");
    assert_eq!(a.takes_on(Duty::Mqtt, now.plus(SECOND)), Ok(true), "it keeps it");
    assert_eq!(b.takes_on(Duty::Mqtt, later), Ok(false));
    assert_eq!(b.takes_on(Duty::Mqtt, later.plus(SECOND)), Ok(true));
    b.gives_up(Duty::Mqtt).expect("given up");
    assert_eq!(a.takes_on(Duty::Mqtt, later.plus(SECOND)), Ok(true), "at once");
    assert_eq!(Store::scratch_file().takes_on(Duty::Mqtt, now), Ok(true), "a file has one monitor");
}

#[test]
fn what_another_monitor_hears_is_shown_a_minute_later() {
    let Some(mut site) = SharedDatabase::new(2) else { return };
    site.lives_with(80, &[(A, BARN), (B, GATE)]);
    let newest = site.monitors[B].shared.fleet.newest(BARN).expect("known");
    assert_eq!(newest.payload.as_deref(), Some("{}"));
    let (seen, received) = (newest.seen, newest.payload_at.expect("received"));
    assert!(site.now.wall.since(seen) <= newest.lag, "{:?}", site.now.wall.since(seen));
    assert!(site.now.wall.since(received) <= SECOND * 80);
    let own = site.monitors[B].shared.fleet.newest(GATE).expect("known");
    assert_eq!((own.lag, own.seen), (Duration::ZERO, site.now.wall));
    // The first heartbeat here counts more than what the other one has heard.
    site.lives_with(2, &[(B, BARN), (B, GATE)]);
    let moved = site.monitors[B].shared.fleet.newest(BARN).expect("known");
    assert_eq!((moved.lag, moved.seen), (Duration::ZERO, site.now.wall));
}

#[test]
fn a_monitor_that_ends_leaves_its_machines_to_the_others_without_a_wait() {
    let Some(mut site) = SharedDatabase::new(2) else { return };
    site.lives_with(30, &[(A, BARN), (A, GATE)]);
    let now = site.now;
    site.monitors[A].recorder.stop(now);
    site.kill(A);
    site.lives_with(36, &[(B, GATE)]);
    assert_eq!(site.messages(), told(&[(BARN, "offline")]));
    let instances = site.scratch.instances().expect("read");
    assert_eq!(instances.iter().filter(|instance| instance.dead == Some(now.wall)).count(), 1);
}
