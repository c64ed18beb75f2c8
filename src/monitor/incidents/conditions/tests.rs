//! Heartbeats in, messages out: a recorder, its fleet and its outbox, with a clock that the test sets.

use super::*;
use crate::clock::Now;
use crate::monitor::conditions::facts::MAX_SUBJECTS;
use crate::monitor::conditions::settings::{Scope, ScopedChange, SettingChange};
use crate::monitor::fleet::BeatEffect;
use crate::monitor::incidents::sweep::{SweepSettings, Sweeper};
use crate::monitor::ingest::native::{Received, parse};
use crate::monitor::machine::Description;
use crate::monitor::notify::Poke;
use crate::monitor::notify::notice::Notice;
use crate::monitor::pulse::Pulse;
use crate::monitor::recorder::{Recorder, RecorderContext, RecorderEvent};
use crate::monitor::store::Scratch;
use crate::monitor::store::sql::params;
use crate::monitor::zone::Clock;
use crate::systemd::Watchdog;
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;

pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const MACHINE: MachineId = MachineId(1);

/// One machine, "barn-cam", and one recipient with the default choice and one Telegram channel.
pub struct ConditionRig {
    pub store: Scratch,
    pub shared: RecorderContext,
    pub recorder: Recorder,
    pub now: Now,
    /// The last heartbeat; tests change its fields.
    pub heartbeat: Value,
}

impl ConditionRig {
    pub fn new() -> ConditionRig {
        let store = Store::scratch();
        let now = Now { monotonic: Instant::now(), wall: Moment(1_769_000_000_000) };
        let description = Description { name: "barn-cam".into(), ..Description::default() };
        store.add_machine(&description, now.wall).expect("a machine");
        let everything = crate::monitor::notify::choices::Selection::All;
        store.add_recipient("farm", &everything, &Default::default(), now.wall).expect("a recipient");
        store
            .write(|tx| {
                tx.execute("INSERT INTO channel (recipient_id, kind, target, created_at) VALUES (1, 'telegram', '7', 0)", &[])?;
                Ok(())
            })
            .expect("a channel");
        let (shared, recorder) = start(&store, now);
        let heartbeat = json!({ "clock_synced": true, "connection": { "active": "eth0" }, "cameras": [] });
        ConditionRig { store, shared, recorder, now, heartbeat }
    }

    /// The same, whose cameras `gate` and `yard` respond and whose other conditions were judged before.
    pub fn with_cameras() -> ConditionRig {
        let mut rig = ConditionRig::new();
        rig.heartbeat["temp"] = 50.into();
        rig.cameras(&[("gate", 0), ("yard", 0)]);
        rig.beat();
        assert_eq!(rig.messages(), Vec::<String>::new());
        rig
    }

    /// Cameras and their failed checks.
    pub fn cameras(&mut self, cameras: &[(&str, u32)]) {
        let camera = |(name, failed): &(&str, u32)| {
            let status = if *failed == 0 { "connected" } else { "disconnected" };
            json!({ "mac": format!("mac-of-{name}"), "hostname": name, "status": status, "failed_checks": failed })
        };
        self.heartbeat["cameras"] = cameras.iter().map(camera).collect();
    }

    pub fn beat(&mut self) {
        let text = self.heartbeat.to_string();
        let Received::Beat(beat) = parse(&text).expect("a heartbeat") else { panic!("a beat") };
        let seen = self.now.wall;
        let effect = self.shared.fleet.beat(MACHINE, &beat, seen);
        let mut events = Vec::new();
        if effect == BeatEffect::Back {
            events.push(RecorderEvent::Back { machine: MACHINE, seen });
        }
        if self.shared.fleet.judge(MACHINE, &beat, effect == BeatEffect::Back, self.now) {
            events.push(RecorderEvent::Conditions { machine: MACHINE });
        }
        self.recorder.handle(events.into_iter(), self.now);
    }

    /// A heartbeat every 5 s for `time`, and a sweep every 30 s.
    pub fn beats_for(&mut self, time: Duration) {
        self.run(time, true);
    }

    pub fn is_silent_for(&mut self, time: Duration) {
        self.run(time, false);
    }

    pub fn run(&mut self, time: Duration, beats: bool) {
        for step in 1..=time.as_secs() / 5 {
            self.now = self.now.plus(SECOND * 5);
            if beats {
                self.beat();
            }
            for _ in 0..5 {
                self.recorder.tick(self.now);
            }
            if step % 6 == 0 {
                self.recorder.sweep(self.now);
            }
        }
    }

    /// kill -9 and a start.
    pub fn restart(&mut self) {
        let (shared, recorder) = start(&self.store, self.now);
        (self.shared, self.recorder) = (shared, recorder);
    }

    /// First lines of all messages that were not skipped, in their order.
    pub fn messages(&self) -> Vec<String> {
        let sql = "SELECT content FROM outbox WHERE state <> 4 ORDER BY id";
        let contents: Vec<String> = self
            .store
            .read(|connection| connection.query_all(sql, &[], |row| row.get(0)))
            .expect("the outbox");
        let line = |content: &String| {
            let notice: Notice = serde_json::from_str(content).expect("a notice");
            let text = notice.text(Moment(notice.at), &Clock::UTC);
            text.lines().next().unwrap_or_default().chars().skip(2).collect()
        };
        contents.iter().map(line).collect()
    }

    /// Kinds and subjects of the open incidents.
    pub fn open(&self) -> Vec<(String, String)> {
        let sql = "SELECT kind, subject FROM incident WHERE ended_at IS NULL ORDER BY id";
        self.store
            .read(|connection| connection.query_all(sql, &[], |row| Ok((row.get(0)?, row.get(1)?))))
            .expect("incidents")
    }

    pub fn setting(&mut self, condition: Condition, change: SettingChange) {
        let change = ScopedChange { condition, scope: Scope::All, change };
        self.store.change_condition(&change, self.now.wall).expect("set");
        self.recorder.handle(
            std::iter::once(RecorderEvent::Registry { loaded: Box::new(|loaded| loaded.expect("loaded")) }),
            self.now,
        );
    }

    fn execute(&self, sql: &str) {
        self.store.write(|tx| tx.execute_batch(sql)).expect("run");
    }
}

fn start(store: &Scratch, now: Now) -> (RecorderContext, Recorder) {
    let shared = RecorderContext {
        store: (**store).clone(),
        registry: Arc::default(),
        fleet: Arc::default(),
        pulse: Arc::new(Pulse::new(now.monotonic)),
    };
    let settings = SweepSettings { check_interval: SECOND * 30, threshold: MINUTE * 2 };
    let sweeper = Sweeper::new(settings, now, Poke::unconnected());
    let recorder = Recorder::new(shared.clone(), sweeper, Watchdog::from_environment(now.monotonic));
    recorder.load(now.wall).expect("loaded");
    (shared, recorder)
}

fn camera_is_down(name: &str, since: &str) -> String {
    format!("barn-cam: camera {name} is down since {since} (1 min) (the device is fine, on eth0)")
}

#[test]
fn a_camera_that_fails_is_one_message_after_its_hold_time_and_one_when_it_is_back() {
    let mut rig = ConditionRig::with_cameras();
    rig.cameras(&[("gate", 1), ("yard", 0)]);
    rig.beats_for(SECOND * 5);
    rig.cameras(&[("gate", 2), ("yard", 0)]);
    rig.beats_for(SECOND * 55);
    assert_eq!(rig.messages(), Vec::<String>::new(), "55 s after the first failed check");
    rig.beats_for(SECOND * 5);
    let down = camera_is_down("gate", "12:53");
    assert_eq!(rig.messages(), std::slice::from_ref(&down));
    rig.beats_for(MINUTE * 6);
    assert_eq!(rig.messages(), std::slice::from_ref(&down), "and no more while it is down");
    rig.cameras(&[("gate", 0), ("yard", 0)]);
    rig.beats_for(SECOND * 5);
    assert_eq!(rig.messages(), [down, "barn-cam: camera gate is back after 7 min".into()]);
    assert_eq!(rig.open(), []);
}

#[test]
fn one_failed_check_is_not_a_failure_and_neither_is_one_of_an_unknown_camera() {
    let mut rig = ConditionRig::with_cameras();
    for cameras in [[("gate", 1), ("yard", 0)], [("gate", 0), ("yard", 0)]] {
        rig.cameras(&cameras);
        rig.beats_for(MINUTE * 3);
    }
    rig.heartbeat["cameras"][0]["status"] = "unknown".into();
    rig.beats_for(MINUTE * 3);
    assert_eq!(rig.messages(), Vec::<String>::new());
}

#[test]
fn without_a_hold_time_the_second_failed_check_is_the_message() {
    let mut rig = ConditionRig::with_cameras();
    rig.setting(Condition::Camera, SettingChange { hold: Some(Duration::ZERO), ..SettingChange::default() });
    rig.cameras(&[("gate", 1), ("yard", 0)]);
    rig.beat();
    assert_eq!(rig.messages(), Vec::<String>::new());
    rig.cameras(&[("gate", 2), ("yard", 0)]);
    rig.beat();
    assert_eq!(rig.messages().len(), 1);
}

#[test]
fn cameras_that_fail_within_the_hold_time_begin_together() {
    let mut rig = ConditionRig::with_cameras();
    rig.cameras(&[("gate", 2), ("yard", 0)]);
    rig.beats_for(SECOND * 30);
    rig.cameras(&[("gate", 5), ("yard", 2)]);
    rig.beats_for(SECOND * 40);
    assert_eq!(rig.messages().len(), 2);
    let due: Vec<(i64, i64)> = rig
        .store
        .read(|connection| {
            connection
                .query_all("SELECT created_at, due_at FROM outbox", &[], |row| Ok((row.get(0)?, row.get(1)?)))
        })
        .expect("the outbox");
    assert_eq!(due[0], due[1], "leased and sent together");
}

#[test]
fn a_camera_that_is_unknown_now_does_not_begin_together_with_others() {
    let mut rig = ConditionRig::with_cameras();
    rig.cameras(&[("gate", 1), ("yard", 2)]);
    rig.beats_for(SECOND * 30);
    rig.heartbeat["cameras"][0] = json!({ "mac": "mac-of-gate", "hostname": "gate", "status": "unknown" });
    rig.beats_for(SECOND * 40);
    assert_eq!(rig.open(), [("camera".to_owned(), "mac-of-yard".to_owned())]);
}

#[test]
fn a_machine_that_falls_silent_during_the_hold_time_sends_nothing_about_its_cameras() {
    let mut rig = ConditionRig::with_cameras();
    rig.cameras(&[("gate", 9), ("yard", 9)]);
    rig.beats_for(SECOND * 30);
    rig.is_silent_for(MINUTE * 10);
    assert_eq!(rig.messages(), ["Machine offline"]);
    rig.cameras(&[("gate", 0), ("yard", 0)]);
    rig.beats_for(MINUTE * 5);
    assert_eq!(rig.messages(), ["Machine offline", "Machine back online"]);
}

#[test]
fn the_hold_time_begins_at_the_return_also_if_the_first_request_cannot_be_decoded() {
    let mut rig = ConditionRig::with_cameras();
    rig.cameras(&[("gate", 2), ("yard", 0)]);
    rig.beats_for(SECOND * 30);
    rig.is_silent_for(MINUTE * 5);
    let returned = rig.shared.fleet.alive(MACHINE, rig.now.wall);
    assert_eq!(returned, BeatEffect::Back);
    let back = RecorderEvent::Back { machine: MACHINE, seen: rig.now.wall };
    rig.recorder.handle(std::iter::once(back), rig.now);
    rig.beats_for(SECOND * 30);
    assert_eq!(rig.open(), []);
    rig.beats_for(SECOND * 35);
    assert_eq!(rig.open(), [("camera".to_owned(), "mac-of-gate".to_owned())]);
}

#[test]
fn an_offline_machine_hides_its_conditions_also_across_restarts() {
    let mut rig = ConditionRig::with_cameras();
    rig.cameras(&[("gate", 9), ("yard", 0)]);
    rig.beats_for(MINUTE * 2);
    let down = camera_is_down("gate", "12:53");
    assert_eq!(rig.messages(), std::slice::from_ref(&down));
    for restarts in [false, true] {
        let before = rig.messages();
        rig.is_silent_for(MINUTE * 10);
        if restarts {
            rig.restart();
            rig.is_silent_for(MINUTE * 10);
        }
        rig.beats_for(MINUTE * 5);
        let of_cameras =
            |messages: Vec<String>| messages.iter().filter(|text| text.contains("camera")).count();
        assert_eq!(of_cameras(rig.messages()), of_cameras(before), "it continues as the same incident");
        assert_eq!(rig.open(), [("camera".to_owned(), "mac-of-gate".to_owned())]);
    }
    rig.is_silent_for(MINUTE * 10);
    rig.cameras(&[("gate", 0), ("yard", 9)]);
    rig.beat();
    assert_eq!(rig.open(), [], "it ended unseen");
    rig.beats_for(MINUTE * 2);
    assert_eq!(rig.open(), [("camera".to_owned(), "mac-of-yard".to_owned())], "and another began unseen");
}

#[test]
fn a_restart_neither_forgets_nor_repeats() {
    let mut rig = ConditionRig::with_cameras();
    rig.cameras(&[("gate", 9), ("yard", 0)]);
    rig.beats_for(MINUTE * 2);
    rig.restart();
    rig.beats_for(MINUTE * 5);
    assert_eq!(rig.messages().len(), 1);
    rig.restart();
    rig.cameras(&[("gate", 0), ("yard", 0)]);
    rig.beats_for(SECOND * 5);
    assert_eq!(rig.messages().len(), 2);
}

#[test]
fn a_camera_that_is_refused_because_there_are_too_many_has_no_incident() {
    let mut rig = ConditionRig::new();
    let cameras = |failed: &[usize]| -> Value {
        let camera = |number: usize| {
            let status = if failed.contains(&number) { "disconnected" } else { "connected" };
            let mac = format!("b8:27:eb:00:{:02x}:{:02x}", number / 256, number % 256);
            json!({ "mac": mac, "hostname": format!("cam{number}"), "status": status, "failed_checks": 9 })
        };
        (0..=MAX_SUBJECTS).map(camera).collect()
    };
    rig.heartbeat["cameras"] = cameras(&[]);
    rig.beats_for(MINUTE);
    rig.heartbeat["cameras"] = cameras(&[MAX_SUBJECTS]);
    rig.beats_for(MINUTE * 3);
    assert_eq!(rig.open().len(), 0, "the 257th");
    rig.heartbeat["cameras"] = cameras(&[MAX_SUBJECTS - 1, MAX_SUBJECTS]);
    rig.beats_for(MINUTE * 3);
    assert_eq!((rig.open().len(), rig.messages().len()), (1, 1), "the 256th");
}

#[test]
fn what_holds_when_it_is_first_judged_is_one_summary() {
    let mut rig = ConditionRig::new();
    rig.heartbeat["temp"] = 91.into();
    rig.cameras(&[("gate", 9), ("yard", 0)]);
    rig.beats_for(MINUTE * 20);
    assert_eq!(rig.messages(), ["2 conditions held before they were watched"]);
    assert_eq!(rig.open().len(), 2);
    rig.restart();
    rig.beats_for(MINUTE * 20);
    assert_eq!(rig.messages().len(), 1);
    rig.heartbeat["temp"] = 50.into();
    rig.cameras(&[("gate", 0), ("yard", 0)]);
    rig.beats_for(MINUTE * 5);
    assert_eq!(rig.messages().len(), 1, "their end is not announced");
    rig.heartbeat["temp"] = 91.into();
    rig.beats_for(MINUTE * 6);
    assert_eq!(rig.messages()[1..], ["barn-cam: the processor has 91 °C (limit 80 °C) since 13:38 (5 min)"]);
}

#[test]
fn a_service_that_mirrors_incidents_gets_each_that_existed_alone_and_its_end() {
    let mut rig = ConditionRig::new();
    rig.execute(
        "INSERT INTO channel (recipient_id, kind, target, created_at) VALUES (1, 'pagerduty', 'Farm', 0)",
    );
    rig.heartbeat["temp"] = 91.into();
    rig.cameras(&[("gate", 9), ("yard", 0)]);
    rig.beats_for(MINUTE * 20);
    let mut begins = rig.messages();
    begins.sort();
    let [summary, gate, heat] = begins.as_slice() else { panic!("{begins:?}") };
    assert_eq!(summary, "2 conditions held before they were watched");
    assert!(gate.contains("camera gate is down") && heat.contains("the processor has 91"), "{begins:?}");
    rig.restart();
    rig.heartbeat["temp"] = 50.into();
    rig.beats_for(MINUTE * 20);
    assert_eq!(rig.messages().len(), 4, "{:?}", rig.messages());
    assert!(
        rig.messages()[3].contains("cooled down"),
        "the end of one, for one channel: {:?}",
        rig.messages()
    );
}

/// The summary belongs to the incident of its first condition, and names others. Those that PagerDuty got alone are skipped.
#[test]
fn a_summary_that_quiet_hours_hold_stays_when_its_first_condition_ends() {
    let mut rig = ConditionRig::new();
    rig.execute("UPDATE recipient SET quiet_from = 720, quiet_to = 720");
    rig.execute(
        "INSERT INTO channel (recipient_id, kind, target, created_at) VALUES (1, 'pagerduty', 'Farm', 0)",
    );
    rig.heartbeat["temp"] = 91.into();
    rig.cameras(&[("gate", 9), ("yard", 0)]);
    rig.beats_for(MINUTE * 20);
    rig.heartbeat["temp"] = 50.into();
    rig.beats_for(MINUTE * 5);
    rig.cameras(&[("gate", 0), ("yard", 0)]);
    rig.beats_for(MINUTE * 5);
    assert_eq!(rig.messages(), ["2 conditions held before they were watched"]);
}

#[test]
fn a_camera_that_failed_once_at_first_is_in_the_summary_too() {
    let mut rig = ConditionRig::new();
    rig.cameras(&[("gate", 1)]);
    rig.beat();
    rig.cameras(&[("gate", 2)]);
    rig.beats_for(MINUTE * 20);
    assert_eq!(rig.messages(), ["1 condition held before it was watched"]);
}

#[test]
fn a_temperature_between_its_two_thresholds_keeps_its_state() {
    let mut rig = ConditionRig::with_cameras();
    for (temperature, messages) in [(79, 0), (80, 1), (76, 1), (81, 1), (74, 2), (79, 2)] {
        rig.heartbeat["temp"] = temperature.into();
        rig.beats_for(MINUTE * 6);
        assert_eq!(rig.messages().len(), messages, "{temperature} °C");
    }
    rig.heartbeat["temp"] = Value::Null;
    rig.beats_for(MINUTE * 6);
    assert_eq!(rig.messages().len(), 2);
}

#[test]
fn unknown_neither_begins_nor_ends_an_incident() {
    let mut rig = ConditionRig::with_cameras();
    rig.heartbeat["temp"] = 90.into();
    rig.beats_for(MINUTE * 6);
    rig.heartbeat["temp"] = Value::Null;
    rig.beats_for(MINUTE * 60);
    assert_eq!(rig.open(), [("temp".to_owned(), String::new())]);
    assert_eq!(rig.messages().len(), 1);
}

#[test]
fn a_camera_that_comes_and_goes_flaps_and_is_steady_later() {
    let mut rig = ConditionRig::with_cameras();
    for _ in 0..4 {
        rig.cameras(&[("gate", 9), ("yard", 0)]);
        rig.beats_for(MINUTE * 2);
        rig.cameras(&[("gate", 0), ("yard", 0)]);
        rig.beats_for(MINUTE * 2);
    }
    let flaps = "barn-cam: camera gate is down, and comes and goes";
    assert_eq!(rig.messages().len(), 5);
    assert_eq!(rig.messages()[4], flaps);
    rig.beats_for(MINUTE * 20);
    assert_eq!(rig.messages()[5..], ["barn-cam: camera gate is back, for 15 min now"]);
}

#[test]
fn the_events_of_a_condition_that_flaps_say_which_one() {
    let mut rig = ConditionRig::with_cameras();
    for _ in 0..4 {
        rig.cameras(&[("gate", 9), ("yard", 0)]);
        rig.beats_for(MINUTE * 2);
        rig.cameras(&[("gate", 0), ("yard", 0)]);
        rig.beats_for(MINUTE * 2);
    }
    rig.beats_for(MINUTE * 20);
    let sql = "SELECT kind || detail FROM event WHERE kind IN ('flapping', 'steady') ORDER BY id";
    let events: Vec<String> =
        rig.store.read(|connection| connection.query_all(sql, &[], |row| row.get(0))).expect("events");
    let gate = r#"{"condition":"camera","subject":"mac-of-gate"}"#;
    assert_eq!(events, [format!("flapping{gate}"), format!("steady{gate}")]);
}

#[test]
fn a_condition_during_a_maintenance_is_announced_if_it_outlasts_it() {
    let mut rig = ConditionRig::with_cameras();
    let now = rig.now.wall;
    rig.store
        .write(|tx| {
            tx.execute(
                "INSERT INTO maintenance (machine_id, starts_at, ends_at) VALUES (1, ?1, ?2)",
                params![now.0, now.plus(MINUTE * 30).0],
            )?;
            Ok(())
        })
        .expect("a maintenance");
    rig.cameras(&[("gate", 9), ("yard", 9)]);
    rig.beats_for(MINUTE * 10);
    rig.cameras(&[("gate", 9), ("yard", 0)]);
    rig.beats_for(MINUTE * 15);
    assert_eq!(rig.messages(), Vec::<String>::new());
    rig.beats_for(MINUTE * 10);
    assert_eq!(rig.messages().len(), 1);
    assert!(
        rig.messages()[0].starts_with("barn-cam: camera gate is down since 12:53 (29 min)"),
        "{:?}",
        rig.messages()
    );
}

#[test]
fn a_condition_that_is_switched_off_ends_without_a_message_and_is_judged_anew_later() {
    let mut rig = ConditionRig::with_cameras();
    rig.cameras(&[("gate", 9), ("yard", 0)]);
    rig.beats_for(MINUTE * 2);
    rig.setting(Condition::Camera, SettingChange { is_on: Some(false), ..SettingChange::default() });
    rig.beats_for(MINUTE * 2);
    assert_eq!((rig.open().len(), rig.messages().len()), (0, 1));
    rig.setting(Condition::Camera, SettingChange { is_on: Some(true), ..SettingChange::default() });
    rig.beats_for(MINUTE * 10);
    assert_eq!(rig.messages()[1..], ["1 condition held before it was watched"]);
}

#[test]
fn a_failed_transaction_loses_nothing() {
    let mut rig = ConditionRig::with_cameras();
    rig.store.refuse_changes("INSERT", "incident");
    rig.cameras(&[("gate", 9), ("yard", 0)]);
    rig.beats_for(MINUTE * 2);
    assert_eq!(rig.messages(), Vec::<String>::new());
    rig.store.allow_changes("incident");
    rig.beats_for(SECOND * 5);
    assert_eq!(rig.messages().len(), 1);
}

#[test]
fn a_condition_that_holds_again_before_its_end_is_recorded_is_the_same_incident() {
    let mut rig = ConditionRig::with_cameras();
    rig.cameras(&[("gate", 9), ("yard", 0)]);
    rig.beats_for(MINUTE * 2);
    rig.store.refuse_changes("UPDATE", "incident");
    rig.cameras(&[("gate", 0), ("yard", 0)]);
    rig.beats_for(SECOND * 5);
    rig.store.allow_changes("incident");
    rig.cameras(&[("gate", 9), ("yard", 0)]);
    rig.beats_for(SECOND * 5);
    rig.is_silent_for(MINUTE * 5);
    rig.cameras(&[("gate", 0), ("yard", 0)]);
    rig.beats_for(SECOND * 5);
    assert_eq!(rig.open(), [], "its end is not forgotten");
    let of_gate: Vec<_> = rig.messages().into_iter().filter(|message| message.contains("gate")).collect();
    assert_eq!(of_gate.len(), 2, "{of_gate:?}");
}

#[test]
fn a_machine_returns_also_if_the_sweep_that_took_it_offline_failed_later() {
    let mut rig = ConditionRig::with_cameras();
    // A summary that is due, and cannot be written.
    rig.cameras(&[("gate", 9), ("yard", 0)]);
    rig.beats_for(MINUTE * 2);
    rig.execute("UPDATE incident SET existing = TRUE, notified_at = NULL");
    rig.store.refuse_changes("UPDATE OF summarised_at", "incident");
    rig.is_silent_for(MINUTE * 10);
    rig.store.allow_changes("incident");
    rig.beats_for(SECOND * 5);
    let messages = rig.messages();
    assert!(messages.iter().any(|message| message.ends_with("back online")), "{messages:?}");
}

#[test]
fn a_clock_that_is_set_back_during_the_hold_time_holds_no_message_back() {
    let mut rig = ConditionRig::with_cameras();
    rig.cameras(&[("gate", 9), ("yard", 0)]);
    rig.beats_for(SECOND * 30);
    rig.now.wall = rig.now.wall.minus(MINUTE * 50);
    rig.beats_for(SECOND * 40);
    let late = "SELECT count(*) FROM outbox WHERE due_at > created_at";
    let held: i64 =
        rig.store.read(|connection| connection.query_row(late, &[], |row| row.get(0))).expect("outbox");
    assert_eq!((rig.messages().len(), held), (1, 0));
}

#[test]
fn a_standby_uplink_counts_only_if_a_better_one_worked_lately() {
    let uplinks = |active: &str, proven: Value| {
        json!({ "active": active, "uplinks": [
            { "interface": "eth0", "health": if active == "eth0" { "valid" } else { "down" }, "proven_s": proven },
            { "interface": "wlan0", "health": "valid", "proven_s": 3 },
        ]})
    };
    let mut rig = ConditionRig::new();
    rig.heartbeat["connection"] = uplinks("wlan0", Value::Null);
    rig.beats_for(MINUTE * 60);
    assert_eq!(rig.messages(), Vec::<String>::new(), "a device without a cable is not on standby");
    rig.heartbeat["connection"] = uplinks("eth0", 1.into());
    rig.beats_for(MINUTE);
    rig.heartbeat["connection"] = uplinks("wlan0", 60.into());
    rig.beats_for(MINUTE * 11);
    assert_eq!(rig.messages().len(), 1);
    assert!(
        rig.messages()[0].starts_with("barn-cam: runs on the standby uplink wlan0 since"),
        "{:?}",
        rig.messages()
    );
}

#[test]
fn a_camera_that_is_not_reported_for_30_days_is_forgotten_and_its_incident_ends_without_a_message() {
    const DAY: Duration = Duration::from_secs(86_400);
    let mut rig = ConditionRig::with_cameras();
    let gate = |status: &str| json!([{ "mac": "b8:27:eb:00:00:01", "hostname": "gate", "status": status, "failed_checks": 2 }]);
    for status in ["connected", "disconnected"] {
        rig.heartbeat["cameras"] = gate(status);
        rig.beats_for(MINUTE * 10);
    }
    let messages = rig.messages();
    assert_eq!(messages.len(), 1, "{messages:?}");
    rig.heartbeat["cameras"] = json!([]);
    rig.beats_for(MINUTE * 2);
    let known = |rig: &ConditionRig| rig.store.camera_history(MACHINE, 30, rig.now.wall).expect("read");
    assert_eq!((known(&rig)[0].label(), known(&rig)[0].minutes()), ("gate", (10, 11)));
    for (days, is_known) in [(29, true), (2, false)] {
        rig.now = rig.now.plus(DAY * days);
        rig.beat();
        for _ in 0..360 {
            rig.now = rig.now.plus(MINUTE);
            for _ in 0..5 {
                rig.recorder.tick(rig.now);
            }
        }
        assert_eq!((known(&rig).len() == 1, rig.open().len() == 1), (is_known, is_known), "{days} days more");
    }
    assert_eq!(rig.messages(), messages);
    rig.heartbeat["cameras"] = gate("disconnected");
    rig.beats_for(MINUTE * 5);
    assert_eq!((known(&rig).len(), rig.messages().len()), (1, 2), "it is a new camera");
}
