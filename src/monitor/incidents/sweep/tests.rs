//! A fleet, its sweeper and its outbox, with a clock that the test turns.

mod behind;
mod choices;
mod escalations;
mod isolation;
mod reminders;

use super::*;
use crate::clock::Now;
use crate::logging::captured::logged;
use crate::monitor::incidents::announce::Announcer;
use crate::monitor::incidents::table::{IncidentId, Outage, UnannouncedOutage};
use crate::monitor::incidents::transition::TransitionKind;
use crate::monitor::machine::{DeviceServer, MachineStatus};
use crate::monitor::notify::channel::ChannelId;
use crate::monitor::store::Scratch;
use crate::monitor::store::sql::{Parameter, params};
use std::collections::HashMap;
use std::time::Instant;

const INTERVAL: Duration = Duration::from_secs(30);
const THRESHOLD: Duration = Duration::from_secs(120);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const SETTINGS: SweepSettings = SweepSettings { check_interval: INTERVAL, threshold: THRESHOLD };

struct SweepRig {
    store: Scratch,
    sweeper: Sweeper,
    now: Moment,
    tick: Instant,
    machines: i64,
}

/// A row of the outbox: channel, machine, event, state of the delivery.
type Row = (i64, i64, String, i64);

impl SweepRig {
    fn clocks(&self) -> Now {
        Now { monotonic: self.tick, wall: self.now }
    }

    /// One recipient with one channel, who wants everything, and so many machines that are online.
    fn new(machines: i64) -> SweepRig {
        let store = Store::scratch();
        let now = Moment(1_769_000_000_000);
        let tick = Instant::now();
        let sweeper = Sweeper::new(SETTINGS, Now { monotonic: tick, wall: now }, Poke::unconnected());
        let mut rig = SweepRig { store, sweeper, now, tick, machines: 0 };
        rig.recipient(r#"["offline","online","stopped","flapping"]"#, 0, None);
        for _ in 0..machines {
            let id = rig.add(MachineStatus::Online);
            rig.seen(id);
        }
        rig
    }

    fn sql(&self, sql: &str, values: &[&dyn Parameter]) {
        self.store
            .write(|transaction| {
                transaction.execute(sql, values)?;
                Ok(())
            })
            .expect("written");
    }

    fn recipient(&self, events: &str, min_outage: i64, quiet: Option<(i64, i64)>) {
        self.sql(
            "INSERT INTO recipient (name, events, min_outage, quiet_from, quiet_to)
             SELECT 'r' || count(*), ?1, ?2, ?3, ?4 FROM recipient",
            params![events, min_outage, quiet.map(|q| q.0), quiet.map(|q| q.1)],
        );
        self.sql(
            "INSERT INTO channel (recipient_id, kind, target, created_at)
             SELECT max(id), 'webhook', 'http://example.test/', 0 FROM recipient",
            &[],
        );
    }

    fn add(&mut self, status: MachineStatus) -> MachineId {
        self.machines += 1;
        let id = self.machines;
        self.sql("INSERT INTO machine (id, name, created_at) VALUES (?1, 'm' || ?1, 0)", params![id]);
        self.sql(
            "INSERT INTO machine_state (machine_id, status, watched, since) VALUES (?1, ?2, TRUE, 0)",
            params![id, status as i64],
        );
        MachineId(id)
    }

    /// As the recorder's flush does it.
    fn seen(&self, id: MachineId) {
        self.sql("UPDATE machine_state SET last_seen = ?2 WHERE machine_id = ?1", params![id.0, self.now.0]);
    }

    fn status(&self, id: MachineId) -> MachineStatus {
        let sql = "SELECT status FROM machine_state WHERE machine_id = ?1";
        let status: i64 = self
            .store
            .read(|connection| connection.query_row(sql, params![id.0], |row| row.get(0)))
            .expect("a status");
        [MachineStatus::New, MachineStatus::Online, MachineStatus::Offline, MachineStatus::Stopped]
            [status as usize]
    }

    /// As the recorder takes it.
    fn beat(&mut self, id: MachineId) {
        self.seen(id);
        if self.status(id) != MachineStatus::Online {
            self.sweeper.returned(&self.store, &[(id, self.now)], self.now).expect("back");
        }
    }

    fn farewell(&mut self, id: MachineId) {
        self.sweeper.stopped(&self.store, &[(id, self.now)], self.now).expect("stopped");
    }

    fn wait(&mut self, duration: Duration) {
        self.now = self.now.plus(duration);
        self.tick += duration;
    }

    fn sweep(&mut self) -> Swept {
        let swept = self.sweeper.sweep(&self.store, self.clocks()).expect("swept");
        self.sweeper.announce_held(&self.store, self.clocks().wall).expect("announced");
        swept
    }

    /// Sweeps at each check for `duration`, with a beat of `alive` before each.
    fn run(&mut self, duration: Duration, alive: &[MachineId]) {
        let end = self.now.plus(duration);
        while self.now < end {
            self.wait(INTERVAL);
            for id in alive {
                self.beat(*id);
            }
            self.sweep();
        }
    }

    fn rows(&self) -> Vec<Row> {
        self.store
            .read(|connection| {
                connection.query_all(
                    "SELECT channel_id, machine_id, event, state FROM outbox ORDER BY id",
                    &[],
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
                )
            })
            .expect("the outbox")
    }

    /// The events to deliver over the first channel, in their order.
    fn announced(&self) -> Vec<String> {
        let wanted = self.rows().into_iter().filter(|row| row.0 == 1 && row.3 != 4);
        wanted.map(|row| row.2).collect()
    }

    /// As couriers do it that are faster than any check.
    fn deliver(&self) {
        self.sql(
            "UPDATE outbox SET state = 2, attempts = 1 WHERE state = 0 AND due_at <= ?1",
            params![self.now.0],
        );
    }

    fn count(&self, sql: &str) -> i64 {
        self.store.read(|connection| connection.query_row(sql, &[], |row| row.get(0))).expect("a count")
    }
}

fn id(number: i64) -> MachineId {
    MachineId(number)
}

#[test]
fn a_machine_is_offline_after_its_threshold_notified_once_and_once_more_at_its_return() {
    let mut rig = SweepRig::new(1);
    rig.run(THRESHOLD, &[]);
    assert!(rig.announced().is_empty(), "exactly the threshold is not longer than it");
    rig.wait(SECOND);
    assert_eq!(rig.sweep().offline, [id(1)]);
    rig.run(MINUTE * 60, &[]);
    assert_eq!(rig.announced(), ["offline"]);
    rig.beat(id(1));
    rig.beat(id(1));
    rig.run(MINUTE, &[id(1)]);
    assert_eq!(rig.announced(), ["offline", "online"]);
    assert_eq!(rig.count("SELECT count(*) FROM incident WHERE ended_at IS NULL"), 0);
}

/// Kills hit the moment between two commits too seldom to show that there are not two.
#[test]
fn a_transition_without_its_notification_is_not_recorded() {
    let mut rig = SweepRig::new(1);
    rig.run(THRESHOLD, &[]);
    rig.wait(SECOND);
    let happened = |rig: &SweepRig| {
        let events = rig.count("SELECT count(*) FROM event");
        (rig.status(id(1)), rig.count("SELECT count(*) FROM incident WHERE ended_at IS NULL"), events)
    };

    rig.store.refuse_changes("INSERT", "outbox");
    rig.sweeper.sweep(&rig.store, rig.clocks()).expect_err("no room");
    assert_eq!(happened(&rig), (MachineStatus::Online, 0, 0));
    rig.store.allow_changes("outbox");
    assert_eq!(rig.sweep().offline, [id(1)]);

    rig.store.refuse_changes("INSERT", "outbox");
    rig.sweeper.returned(&rig.store, &[(id(1), rig.now)], rig.now).expect_err("no room");
    assert_eq!(happened(&rig), (MachineStatus::Offline, 1, 1));
    rig.store.allow_changes("outbox");
    rig.beat(id(1));

    rig.store.refuse_changes("INSERT", "outbox");
    rig.sweeper.stopped(&rig.store, &[(id(1), rig.now)], rig.now).expect_err("no room");
    assert_eq!(happened(&rig), (MachineStatus::Online, 0, 2));
    rig.store.allow_changes("outbox");
    rig.farewell(id(1));
    assert_eq!(rig.announced(), ["offline", "online", "stopped"]);
}

#[test]
fn the_log_says_it_in_the_original_systems_words() {
    let transition =
        |kind| Transition { machine: id(1), name: "production-server".into(), kind, flaps: false };
    let now = Moment(1_769_000_000_000);
    let offline = TransitionKind::Offline { last_seen: now.minus(Duration::from_millis(135_900)) };
    assert_eq!(
        transition(offline).line(now),
        "Machine 1 (production-server) went offline (last seen: 2m15s ago)"
    );
    assert_eq!(
        transition(TransitionKind::Online).line(now),
        "Machine 1 (production-server) came back online"
    );
}

#[test]
fn the_log_has_a_thousand_lines_of_a_transaction_and_the_number_of_the_others() {
    let transition = |number| Transition {
        machine: id(number),
        name: format!("m{number}"),
        kind: TransitionKind::Online,
        flaps: false,
    };
    for (changed, lines, last) in [
        (1000, 1000, "[INFO] Machine 1000 (m1000) came back online"),
        (1002, 1001, "[INFO] 2 more machines changed in the same way"),
    ] {
        let transitions: Vec<Transition> = (1..=changed).map(transition).collect();
        let logged = logged(|| log_each(&transitions, Moment(0)));
        assert_eq!((logged.len(), logged.last().map(String::as_str)), (lines, Some(last)));
    }
}

#[test]
fn the_log_has_each_reason_for_which_all_machines_get_their_threshold_again() {
    let mut rig = SweepRig::new(5);
    let mut sweep = |wall: i64, monotonic: Duration| {
        rig.now = Moment(rig.now.0 + wall);
        rig.tick += monotonic;
        logged(|| _ = rig.sweep())
    };
    let effect = "every machine gets its whole threshold again";
    assert_eq!(sweep(30_000, INTERVAL), Vec::<String>::new());
    assert_eq!(sweep(100_000, SECOND * 100), [format!("[WARN] No check for 1m40s: {effect}")]);
    assert_eq!(sweep(90_000, INTERVAL), [format!("[WARN] The clock jumped forwards by 1m0s: {effect}")]);
    assert_eq!(sweep(-30_000, INTERVAL), [format!("[WARN] The clock jumped back by 1m0s: {effect}")]);
}

#[test]
fn a_silent_machine_is_found_although_each_check_is_late_on_a_busy_server() {
    let mut rig = SweepRig::new(1);
    rig.sweeper.reload(SweepSettings { check_interval: SECOND, threshold: SECOND * 30 });
    for _ in 0..16 {
        rig.wait(SECOND * 5 / 2);
        rig.sweep();
    }
    assert_eq!(rig.announced(), ["offline"]);
}

#[test]
fn a_second_announcement_of_the_same_event_is_logged_and_not_sent() {
    let mut rig = SweepRig::new(1);
    rig.run(MINUTE * 3, &[]);
    let server = DeviceServer::Only;
    let outage = UnannouncedOutage { id: IncidentId(1), machine: id(1), last_seen: rig.now, server };
    let logged = logged(|| {
        let announced = rig.store.write(|tx| Announcer::new(tx, rig.now)?.are_still_offline(&[outage]));
        announced.expect("written");
    });
    assert_eq!(
        logged,
        [
            "[WARN] 1 of 1 messages are in the outbox already; the first of all 1: machine 1, \"offline\" of incident 1"
        ]
    );
    assert_eq!(rig.announced(), ["offline"]);
}

#[test]
fn the_first_heartbeat_of_a_machine_is_no_return() {
    let mut rig = SweepRig::new(0);
    let (new, offline) = (rig.add(MachineStatus::New), rig.add(MachineStatus::Offline));
    let returned = rig.store.mark_online(&[(new, rig.now), (offline, rig.now)], rig.now).expect("written");
    let kinds: Vec<TransitionKind> =
        returned.transitions.into_iter().map(|transition| transition.kind).collect();
    assert_eq!(kinds, [TransitionKind::FirstSeen, TransitionKind::Online]);
    assert_eq!(returned.online, [new, offline]);
    assert!(rig.rows().is_empty());
}

#[test]
fn an_outage_is_listed_while_it_is_open_and_at_its_begin_and_its_end() {
    let mut rig = SweepRig::new(2);
    let last_seen = rig.now;
    rig.run(MINUTE * 3, &[id(2)]);
    let open = rig.store.open_outage(id(1)).expect("read").expect("an outage");
    assert_eq!((open.last_seen, open.ended, open.planned), (last_seen, None, false));
    assert_eq!(rig.store.open_outage(id(2)), Ok(None));
    rig.wait(SECOND);
    rig.beat(id(1));
    assert_eq!(rig.store.open_outage(id(1)), Ok(None));
    let ended = Some(Outage { ended: Some(rig.now), ..open });
    assert_eq!(rig.store.outage_at(id(1), open.started), Ok(ended));
    assert_eq!(rig.store.outage_at(id(1), rig.now), Ok(ended));
    assert_eq!(rig.store.outage_at(id(1), rig.now.plus(SECOND)), Ok(None));
    assert_eq!(rig.store.outage_at(id(2), rig.now), Ok(None));
}

#[test]
fn the_end_of_an_outage_that_was_planned_or_not_announced_makes_no_machine_flap() {
    type Silence = fn(&mut SweepRig);
    let outages: [(&str, Silence); 2] = [
        ("planned", |rig| rig.farewell(id(1))),
        ("in a maintenance", |rig| {
            pause(rig, 30);
            rig.run(MINUTE * 3, &[]);
        }),
    ];
    for (what, outage) in outages {
        let mut rig = SweepRig::new(1);
        for _ in 0..2 {
            rig.run(MINUTE * 3, &[]);
            rig.beat(id(1));
        }
        outage(&mut rig);
        rig.beat(id(1));
        assert_eq!(rig.count("SELECT count(*) FROM flapping"), 0, "{what}");
    }
}

#[test]
fn each_change_wakes_the_couriers() {
    let mut rig = SweepRig::new(1);
    let (poke, poked) = Poke::new();
    rig.sweeper = Sweeper::new(SETTINGS, rig.clocks(), poke);
    let is_woken = || poked.try_recv().is_ok();
    assert!(!is_woken());
    rig.sweeper.wake_couriers();
    assert!(is_woken(), "another process changed the database");
    rig.sweep();
    assert!(is_woken(), "a sweep");
    rig.farewell(id(1));
    assert!(is_woken(), "a stop");
    rig.beat(id(1));
    assert!(is_woken(), "a return");
}

#[test]
fn a_machine_has_the_threshold_that_it_was_given() {
    let mut rig = SweepRig::new(2);
    rig.sql("UPDATE machine_state SET threshold = 600000 WHERE machine_id = 1", &[]);
    rig.run(MINUTE * 5, &[]);
    assert_eq!((rig.status(id(1)), rig.status(id(2))), (MachineStatus::Online, MachineStatus::Offline));
    rig.run(MINUTE * 6, &[]);
    assert_eq!(rig.status(id(1)), MachineStatus::Offline);
}

#[test]
fn a_restart_with_the_whole_fleet_alive_notifies_nothing_and_a_machine_that_stays_silent_is_notified() {
    let mut rig = SweepRig::new(100);
    // Down for an hour.
    rig.wait(MINUTE * 60);
    rig.sweeper = Sweeper::new(SETTINGS, rig.clocks(), Poke::unconnected());
    let alive: Vec<MachineId> = (2..=100).map(id).collect();
    rig.run(THRESHOLD, &alive);
    assert!(rig.announced().is_empty());
    rig.run(MINUTE, &alive);
    assert_eq!(rig.announced(), ["offline"]);
    assert_eq!(rig.status(id(1)), MachineStatus::Offline);
}

#[test]
fn who_was_offline_before_a_restart_stays_so_silently() {
    let mut rig = SweepRig::new(1);
    rig.run(MINUTE * 3, &[]);
    rig.sweeper = Sweeper::new(SETTINGS, rig.clocks(), Poke::unconnected());
    rig.run(MINUTE * 30, &[]);
    assert_eq!(rig.announced(), ["offline"]);
    rig.beat(id(1));
    assert_eq!(rig.announced(), ["offline", "online"]);
}

#[test]
fn a_monitor_that_was_suspended_gives_everybody_their_threshold_again() {
    for (name, wall, monotonic) in [
        ("stopped, as by SIGSTOP", MINUTE * 10, MINUTE * 10),
        ("suspended: the monotonic clock stands still", MINUTE * 10, SECOND),
        ("the clock was set forwards", MINUTE * 600, SECOND * 30),
    ] {
        let mut rig = SweepRig::new(1);
        rig.sweep();
        rig.now = rig.now.plus(wall);
        rig.tick += monotonic;
        assert_eq!(rig.sweep(), Swept::default(), "{name}");
        rig.run(THRESHOLD, &[]);
        assert!(rig.announced().is_empty(), "{name}");
        rig.run(INTERVAL, &[]);
        assert_eq!(rig.announced(), ["offline"], "{name}");
    }
}

#[test]
fn a_clock_that_was_set_back_does_not_keep_a_silent_machine_online() {
    let mut rig = SweepRig::new(1);
    rig.sweep();
    rig.now = rig.now.minus(MINUTE * 60 * 24 * 365);
    rig.tick += INTERVAL;
    rig.sweep();
    rig.run(THRESHOLD, &[]);
    assert!(rig.announced().is_empty());
    rig.run(INTERVAL, &[]);
    assert_eq!(rig.announced(), ["offline"]);
}

/// Otherwise they would count as recent until the clock shows that time again.
#[test]
fn transitions_by_a_clock_that_was_ahead_are_over_an_hour_after_it_was_set_back() {
    let mut rig = SweepRig::new(1);
    rig.now = rig.now.plus(MINUTE * 60 * 24);
    for _ in 0..2 {
        rig.run(MINUTE * 4, &[]);
        rig.beat(id(1));
    }
    rig.now = rig.now.minus(MINUTE * 60 * 24);
    rig.run(MINUTE * 90, &[id(1)]);
    rig.run(MINUTE * 3, &[]);
    assert_eq!(rig.announced(), ["offline", "online", "offline", "online", "offline"]);
}

/// Due rows of the second channel, which are delivered.
fn delivered_by_second(rig: &SweepRig) -> i64 {
    rig.deliver();
    rig.count("SELECT count(*) FROM outbox WHERE channel_id = 2 AND state = 2")
}

#[test]
fn a_clock_that_is_set_back_releases_nothing_that_a_minimum_outage_holds() {
    for back in [MINUTE * 2, MINUTE * 60, MINUTE * 60 * 24 * 365] {
        let mut rig = SweepRig::new(1);
        rig.recipient(r#"["offline","online"]"#, 600_000, None);
        rig.run(MINUTE * 4, &[]);
        rig.now = rig.now.minus(back);
        rig.run(MINUTE * 4, &[]);
        assert_eq!(delivered_by_second(&rig), 0, "{back:?}: after 8 of 10 minutes");
        rig.run(MINUTE * 7, &[]);
        assert_eq!(delivered_by_second(&rig), 1, "{back:?}: after 10 minutes, and 5 more for the step");
    }
}

#[test]
fn a_clock_that_is_set_back_releases_nothing_that_quiet_hours_hold() {
    // The rig's clock stands at 12:53 UTC.
    let quiet = Some((12 * 60, 14 * 60));
    for (back, until) in
        [(30, "2026-01-21T14:00:00Z"), (6 * 60, "2026-01-21T08:01:00Z"), (23 * 60, "2026-01-20T15:01:00Z")]
    {
        let mut rig = SweepRig::new(1);
        rig.recipient(r#"["offline","online"]"#, 0, quiet);
        rig.run(MINUTE * 3, &[]);
        rig.now = rig.now.minus(MINUTE * back);
        rig.run(INTERVAL, &[]);
        assert_eq!(delivered_by_second(&rig), 0, "{back} minutes back");
        let due = Moment(rig.count("SELECT due_at FROM outbox WHERE channel_id = 2 AND state = 0"));
        let until = until.split_at(13).0;
        assert!(due.rfc_3339().is_some_and(|due| due.starts_with(until)), "{back} minutes back: {due:?}");
        // The next start finds nothing of it in the future.
        rig.sweeper = Sweeper::new(SETTINGS, rig.clocks(), Poke::unconnected());
        rig.run(INTERVAL, &[]);
        assert_eq!(delivered_by_second(&rig), 0, "{back} minutes back, after a start");
    }
}

#[test]
fn time_in_which_heartbeats_could_not_be_taken_is_nobodys_silence() {
    let mut rig = SweepRig::new(1);
    rig.run(THRESHOLD, &[]);
    rig.sweeper.ingest_was_down(rig.now);
    rig.run(THRESHOLD, &[]);
    assert!(rig.announced().is_empty());
    rig.run(INTERVAL, &[]);
    assert_eq!(rig.announced(), ["offline"]);
}

#[test]
fn a_machine_that_was_never_seen_or_is_disabled_is_not_late() {
    let mut rig = SweepRig::new(1);
    let new = rig.add(MachineStatus::New);
    rig.sql("UPDATE machine_state SET watched = FALSE WHERE machine_id = 1", &[]);
    rig.run(MINUTE * 10, &[]);
    assert_eq!((rig.status(new), rig.status(id(1))), (MachineStatus::New, MachineStatus::Online));
    let heard = rig.sweeper.returned(&rig.store, &[(id(1), rig.now), (new, rig.now)], rig.now);
    assert_eq!(heard.map(|heard| heard.online), Ok(vec![new]));
    assert_eq!(rig.status(new), MachineStatus::Online);
    assert!(rig.announced().is_empty());
}

#[test]
fn a_machine_that_said_it_stops_is_no_alarm() {
    let mut rig = SweepRig::new(1);
    rig.recipient(r#"["offline","online"]"#, 0, None);
    rig.farewell(id(1));
    rig.farewell(id(1));
    rig.run(MINUTE * 60, &[]);
    assert_eq!(rig.status(id(1)), MachineStatus::Stopped);
    rig.beat(id(1));
    let rows: Vec<(i64, String)> = rig.rows().into_iter().map(|row| (row.0, row.2)).collect();
    assert_eq!(rows, [(1, "stopped".to_owned()), (1, "online".to_owned())], "only who wants it hears of it");
    assert_eq!(rig.count("SELECT count(*) FROM incident WHERE planned AND ended_at IS NOT NULL"), 1);
}

#[test]
fn a_farewell_that_comes_late_makes_a_stop_of_the_outage() {
    let mut rig = SweepRig::new(1);
    rig.run(MINUTE * 3, &[]);
    rig.farewell(id(1));
    assert_eq!(rig.count("SELECT count(*) FROM incident"), 1);
    rig.beat(id(1));
    assert_eq!(rig.announced(), ["offline", "stopped", "online"]);
}

#[test]
fn half_the_fleet_silent_at_once_is_looked_at_twice() {
    let mut rig = SweepRig::new(1000);
    let alive: Vec<MachineId> = (501..=1000).map(id).collect();
    rig.run(MINUTE, &[]);
    alive.iter().for_each(|machine| rig.seen(*machine));
    rig.run(MINUTE, &[]);
    rig.wait(SECOND);
    let swept = rig.sweep();
    assert!(swept.doubted && swept.offline.is_empty());
    assert!(rig.announced().is_empty());
    rig.wait(INTERVAL);
    let swept = rig.sweep();
    assert_eq!(swept.offline.len(), 500);
    assert_eq!(rig.announced().len(), 500);
    // All at one moment: couriers make one message of them.
    assert_eq!(rig.count("SELECT count(DISTINCT due_at) FROM outbox"), 1);
}

#[test]
fn five_machines_that_are_half_of_the_fleet_are_doubted() {
    for fleet in [5, 9, 10] {
        let mut rig = SweepRig::new(fleet);
        rig.run(MINUTE, &[]);
        (6..=fleet).map(id).for_each(|machine| rig.seen(machine));
        rig.run(MINUTE, &[]);
        rig.wait(SECOND);
        assert!(rig.sweep().doubted, "5 of {fleet}");
    }
}

#[test]
fn a_fleet_that_beats_again_before_the_second_look_is_not_notified() {
    let mut rig = SweepRig::new(10);
    let all: Vec<MachineId> = (1..=10).map(id).collect();
    rig.run(THRESHOLD, &[]);
    rig.wait(SECOND);
    assert!(rig.sweep().doubted);
    rig.run(MINUTE * 10, &all);
    assert!(rig.rows().is_empty());
    // And the doubt of then does not spare the next one.
    rig.run(THRESHOLD, &[]);
    rig.wait(SECOND);
    assert!(rig.sweep().doubted);
}

#[test]
fn less_than_half_or_less_than_five_are_believed_at_once() {
    for (fleet, silent) in [(11, 5), (1000, 499), (4, 4), (1, 1)] {
        let mut rig = SweepRig::new(fleet);
        rig.run(MINUTE, &[]);
        (silent + 1..=fleet).map(id).for_each(|machine| rig.seen(machine));
        rig.run(MINUTE, &[]);
        rig.wait(SECOND);
        let swept = rig.sweep();
        assert_eq!(swept.offline.len() as i64, silent, "{silent} of {fleet}");
    }
}

/// A fleet of 100, in which so many are late three minutes later, and the criteria of a sweep then that takes 25 at once.
fn hundred_with_late(late: i64) -> (SweepRig, LateCriteria) {
    let rig = SweepRig::new(100);
    (late + 1..=100).map(id).for_each(|machine| {
        rig.sql("UPDATE machine_state SET threshold = 3600000 WHERE machine_id = ?1", params![machine.0])
    });
    let criteria = LateCriteria {
        now: rig.now.plus(MINUTE * 3),
        listening_since: rig.now,
        threshold: THRESHOLD,
        is_doubting: true,
        batch: 25,
        is_isolated: false,
        process: rig.store.process(),
    };
    (rig, criteria)
}

#[test]
fn a_loss_larger_than_a_transaction_is_doubted_as_a_whole_and_taken_in_parts() {
    let (rig, criteria) = hundred_with_late(60);
    assert_eq!(rig.store.mark_late_offline(&criteria), Ok(LateMachines::Doubtful(60)));
    let criteria = LateCriteria { is_doubting: false, ..criteria };
    let sizes: Vec<usize> = (0..4)
        .map(|_| match rig.store.mark_late_offline(&criteria).expect("taken") {
            LateMachines::Offline(transitions) => transitions.len(),
            LateMachines::Doubtful(_) => panic!("doubted"),
        })
        .collect();
    assert_eq!(sizes, [25, 25, 10, 0]);
}

#[test]
fn a_large_minority_is_not_doubted_because_it_fills_a_transaction() {
    let (rig, criteria) = hundred_with_late(40);
    assert!(
        matches!(rig.store.mark_late_offline(&criteria), Ok(LateMachines::Offline(marked)) if marked.len() == 25)
    );
}

#[test]
fn an_outage_shorter_than_the_minimum_is_not_notified_and_neither_is_its_recovery() {
    let mut rig = SweepRig::new(1);
    rig.recipient(r#"["offline","online"]"#, 600_000, None);
    rig.run(MINUTE * 5, &[]);
    rig.deliver();
    rig.beat(id(1));
    let second: Vec<Row> = rig.rows().into_iter().filter(|row| row.0 == 2).collect();
    assert_eq!(second, [(2, 1, "offline".to_owned(), 4)]);
    assert_eq!(rig.announced(), ["offline", "online"]);
    rig.run(MINUTE * 12, &[]);
    rig.deliver();
    rig.beat(id(1));
    let second: Vec<String> =
        rig.rows().into_iter().filter(|row| row.0 == 2 && row.3 != 4).map(|row| row.2).collect();
    assert_eq!(second, ["offline", "online"]);
}

#[test]
fn a_row_that_is_due_and_unsent_when_the_machine_returns_is_sent_with_its_recovery() {
    let mut rig = SweepRig::new(1);
    rig.run(MINUTE * 3, &[]);
    rig.beat(id(1));
    assert_eq!(rig.announced(), ["offline", "online"]);
}

#[test]
fn an_outage_whose_delivery_failed_is_notified_with_its_recovery() {
    let mut rig = SweepRig::new(1);
    rig.run(MINUTE * 3, &[]);
    rig.sql("UPDATE outbox SET attempts = 1, due_at = ?1", params![rig.now.plus(MINUTE).0]);
    rig.beat(id(1));
    assert_eq!(rig.announced(), ["offline", "online"]);
}

/// The monitor was killed after it had handed over the mail: it waits, and its end must not be forgotten.
#[test]
fn an_outage_whose_mail_may_have_arrived_is_notified_with_its_recovery() {
    let mut rig = SweepRig::new(1);
    rig.run(MINUTE * 3, &[]);
    rig.sql(
        "UPDATE outbox SET state = 1, lease = 7, leased_until = ?1, uncertain_since = ?1",
        params![rig.now.0],
    );
    rig.wait(MINUTE);
    rig.store.free_leases(rig.now, MINUTE * 30).expect("freed");
    rig.beat(id(1));
    assert_eq!(rig.announced(), ["offline", "online"]);
}

#[test]
fn an_outage_whose_notification_expired_has_no_recovery_to_notify() {
    let mut rig = SweepRig::new(1);
    rig.run(MINUTE * 3, &[]);
    rig.sql("UPDATE outbox SET state = 3", &[]);
    rig.beat(id(1));
    assert_eq!(rig.announced(), ["offline"]);
}

#[test]
fn an_outage_in_quiet_hours_is_notified_at_their_end_if_it_lasts() {
    // The rig's clock stands at 12:53 UTC.
    let quiet = Some((12 * 60, 14 * 60));
    let mut rig = SweepRig::new(2);
    rig.recipient(r#"["offline","online"]"#, 0, quiet);
    rig.run(MINUTE * 3, &[]);
    rig.beat(id(1));
    let second: Vec<(i64, i64)> =
        rig.rows().into_iter().filter(|row| row.0 == 2).map(|row| (row.1, row.3)).collect();
    assert_eq!(second, [(1, 4), (2, 0)], "one is well again, the other waits");
    let due = rig.count("SELECT due_at FROM outbox WHERE channel_id = 2 AND state = 0");
    assert_eq!(Moment(due).rfc_3339().as_deref(), Some("2026-01-21T14:00:00Z"));
}

fn pause(rig: &SweepRig, minutes: u32) {
    let until = rig.now.plus(MINUTE * minutes);
    rig.sql(
        "INSERT INTO maintenance (machine_id, starts_at, ends_at) VALUES (1, ?1, ?2)",
        params![rig.now.0, until.0],
    );
}

#[test]
fn an_outage_in_a_maintenance_is_recorded_and_not_notified() {
    let mut rig = SweepRig::new(1);
    pause(&rig, 30);
    rig.run(MINUTE * 10, &[]);
    assert_eq!(rig.status(id(1)), MachineStatus::Offline);
    rig.run(MINUTE * 5, &[id(1)]);
    rig.run(MINUTE * 60, &[id(1)]);
    assert!(rig.rows().is_empty());
    assert_eq!(rig.count("SELECT count(*) FROM incident WHERE ended_at IS NOT NULL"), 1);
}

#[test]
fn an_outage_that_outlasts_its_maintenance_is_notified_once_at_its_end() {
    let mut rig = SweepRig::new(1);
    pause(&rig, 30);
    rig.run(MINUTE * 29, &[]);
    assert!(rig.rows().is_empty());
    rig.run(MINUTE, &[]);
    assert_eq!(rig.announced(), ["offline"]);
    let known = rig.store.unannounced_outages(rig.now).expect("read");
    assert_eq!(
        rig.store.announce_kept_back(&known, false, rig.now),
        Ok(Vec::new()),
        "it is announced already"
    );
    rig.run(MINUTE * 60, &[]);
    assert_eq!(rig.announced(), ["offline"]);
    rig.beat(id(1));
    assert_eq!(rig.announced(), ["offline", "online"]);
}

#[test]
fn a_maintenance_that_is_ended_early_holds_nothing_back() {
    let mut rig = SweepRig::new(1);
    pause(&rig, 600);
    rig.run(MINUTE * 10, &[]);
    rig.sql("UPDATE maintenance SET ends_at = ?1", params![rig.now.0]);
    rig.run(INTERVAL, &[]);
    assert_eq!(rig.announced(), ["offline"]);
}

#[test]
fn the_recovery_of_a_notified_outage_is_notified_in_a_maintenance_too() {
    let mut rig = SweepRig::new(1);
    rig.run(MINUTE * 3, &[]);
    pause(&rig, 30);
    rig.beat(id(1));
    assert_eq!(rig.announced(), ["offline", "online"]);
}

#[test]
fn flapping_is_notified_once_and_then_the_status_that_holds() {
    let mut rig = SweepRig::new(1);
    for _ in 0..8 {
        rig.run(MINUTE * 3, &[]);
        rig.deliver();
        rig.run(MINUTE, &[id(1)]);
        rig.deliver();
    }
    assert_eq!(rig.announced(), ["offline", "online", "offline", "online", "flapping"]);
    rig.run(FLAPPING_HOLD, &[id(1)]);
    rig.run(MINUTE * 30, &[id(1)]);
    assert_eq!(rig.announced()[5..], ["steady"]);
    rig.deliver();
    // Later events are notified as usual.
    rig.run(MINUTE * 3, &[]);
    rig.beat(id(1));
    assert_eq!(rig.announced()[6..], ["offline", "online"]);
}

#[test]
fn a_machine_that_stays_offline_after_flapping_is_notified_and_so_is_its_return() {
    let mut rig = SweepRig::new(1);
    for _ in 0..3 {
        rig.run(MINUTE, &[id(1)]);
        rig.run(MINUTE * 3, &[]);
        rig.deliver();
    }
    rig.run(MINUTE * 20, &[]);
    let content =
        "SELECT count(*) FROM outbox WHERE event = 'steady' AND content LIKE '%\"state\":\"offline\"%'";
    assert_eq!(rig.count(content), 1);
    rig.beat(id(1));
    assert_eq!(rig.announced().last().map(String::as_str), Some("online"));
}

#[test]
fn four_transitions_an_hour_are_not_flapping() {
    let mut rig = SweepRig::new(1);
    for _ in 0..10 {
        rig.run(MINUTE * 3, &[]);
        rig.run(MINUTE * 28, &[id(1)]);
    }
    assert_eq!(rig.announced().len(), 20);
}

/// What must hold whatever happens, in whatever order.
#[test]
fn no_sequence_of_events_leaves_two_open_outages_or_tells_twice_or_tells_of_nothing() {
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rig = SweepRig::new(7);
        rig.recipient(r#"["offline","online"]"#, 300_000, Some((13 * 60, 15 * 60)));
        for _ in 0..60 {
            let machine = id(random.i64(1..=7));
            match random.u8(..12) {
                0..=2 => rig.run(INTERVAL * random.u32(1..6), &[]),
                3..=5 => rig.beat(machine),
                6 => rig.farewell(machine),
                7 => rig.deliver(),
                // Disabled machines come back in the end: half of these enable.
                10 => drop(rig.store.disable_machine(&machine.0.to_string(), rig.now)),
                11 => drop(rig.store.enable_machine(&machine.0.to_string(), rig.now)),
                8 => rig.sweeper = Sweeper::new(SETTINGS, rig.clocks(), Poke::unconnected()),
                _ if random.bool() => pause(&rig, random.u32(1..20)),
                _ => {
                    let alive: Vec<MachineId> = (1..=7).filter(|_| random.bool()).map(id).collect();
                    rig.run(MINUTE * random.u32(1..10), &alive);
                }
            }
            check(&rig, seed);
        }
    }
}

fn check(rig: &SweepRig, seed: u64) {
    let open_twice = "SELECT count(*) FROM (SELECT 1 FROM incident WHERE ended_at IS NULL
                      GROUP BY machine_id HAVING count(*) > 1) AS twice";
    assert_eq!(rig.count(open_twice), 0, "seed {seed}");
    // A machine that was disabled is new, with or without an outage.
    let unlike = "SELECT count(*) FROM machine_state s WHERE status <> 0 AND (status IN (2, 3)) <>
                  EXISTS (SELECT 1 FROM incident o WHERE o.machine_id = s.machine_id AND o.ended_at IS NULL)";
    assert_eq!(rig.count(unlike), 0, "a status without its outage, seed {seed}");
    // Per machine and channel: nothing twice in a row, no end without its outage.
    let mut last: HashMap<(i64, i64), String> = HashMap::new();
    for (channel, machine, event, state) in rig.rows() {
        if state == 4 {
            continue;
        }
        let before = last.insert((channel, machine), event.clone());
        let rows: Vec<Row> =
            rig.rows().into_iter().filter(|row| (row.0, row.1) == (channel, machine)).collect();
        assert_ne!(before.as_ref(), Some(&event), "seed {seed}: {rows:?}");
        if event == "online" {
            assert!(before.is_some_and(|before| before != "online"), "seed {seed}: machine {machine}");
        }
    }
    // Without flapping and maintenance, each outage is notified: nothing delays the first recipient.
    let unnotified = "SELECT count(*) FROM incident o WHERE notified_at IS NOT NULL AND NOT planned
                    AND machine_id NOT IN (SELECT machine_id FROM flapping)
                    AND NOT EXISTS (SELECT 1 FROM outbox b WHERE b.incident_id = o.id AND b.channel_id = 1)";
    assert_eq!(rig.count(unnotified), 0, "seed {seed}");
}

#[test]
fn a_loss_larger_than_a_transaction_is_partial_with_the_next_flush_and_is_not_doubted_again() {
    let mut rig = SweepRig::new(25);
    rig.sweeper.batch = 10;
    rig.run(THRESHOLD, &[]);
    rig.wait(INTERVAL);
    assert!(rig.sweep().doubted);
    rig.wait(INTERVAL);
    let sizes: Vec<(usize, bool)> = (0..4)
        .map(|_| {
            rig.wait(SECOND);
            let swept = rig.sweep();
            assert!(!swept.doubted);
            (swept.offline.len(), swept.is_partial)
        })
        .collect();
    assert_eq!(sizes, [(10, true), (10, true), (5, false), (0, false)]);
}
