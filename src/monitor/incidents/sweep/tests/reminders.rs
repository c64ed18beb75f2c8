//! Reminders of what is open: their times and their number, and what ends them.

use super::*;
use crate::monitor::accounts::audit::Actor;
use crate::monitor::store::sql::{Connection, params};

const HOUR: Duration = Duration::from_secs(3600);

impl SweepRig {
    /// Machines whose recipient is reminded each hour.
    fn reminded(machines: i64) -> SweepRig {
        let rig = SweepRig::new(machines);
        rig.sql("UPDATE recipient SET remind_every = 3600000", &[]);
        rig
    }

    /// Sweeps for `duration`; a courier delivers after each check.
    fn live(&mut self, duration: Duration, alive: &[MachineId]) {
        let end = self.now.plus(duration);
        while self.now < end {
            self.run(INTERVAL, alive);
            self.deliver_now();
        }
    }

    /// As [`SweepRig::live`], for what needs no sweep; each minute, so that a day takes a moment.
    fn idle(&mut self, duration: Duration) {
        let end = self.now.plus(duration);
        while self.now < end {
            self.wait(MINUTE);
            self.sweeper.announce_held(&self.store, self.now).expect("announced");
            self.deliver_now();
        }
    }

    fn deliver_now(&self) {
        let sql =
            "UPDATE outbox SET state = 2, attempts = 1, delivered_at = ?1 WHERE state = 0 AND due_at <= ?1";
        self.sql(sql, params![self.now.0]);
    }

    /// The process ends and another one starts.
    fn restart(&mut self) {
        self.sweeper = Sweeper::new(SETTINGS, self.clocks(), Poke::unconnected());
    }

    /// Minutes since `begin` at which reminders of a machine were written.
    fn reminders(&self, machine: i64, begin: Moment) -> Vec<i64> {
        let sql = "SELECT created_at FROM outbox WHERE event = 'reminder' AND machine_id = ?1 AND state <> 4 ORDER BY id";
        let read = |connection: &Connection<'_>| {
            connection.query_all(sql, params![machine], |row| Ok((row.get::<i64>(0)? - begin.0) / 60_000))
        };
        self.store.read(read).expect("the outbox")
    }

    fn acknowledge(&self, incident: i64) {
        let actor = Actor { name: "ada".into(), address: None };
        self.store.acknowledge(IncidentId(incident), &actor, self.now).expect("acknowledged");
    }
}

#[test]
fn an_outage_is_announced_again_each_hour_until_it_ends() {
    let mut rig = SweepRig::reminded(1);
    rig.live(MINUTE * 3, &[]);
    let begin = rig.now;
    rig.idle(MINUTE * 59);
    assert_eq!(rig.announced(), ["offline"]);
    rig.idle(HOUR * 3);
    assert_eq!(rig.reminders(1, begin), [60, 120, 180]);
    assert_eq!(rig.count("SELECT count(DISTINCT reminder) FROM outbox WHERE event = 'reminder'"), 3);
    rig.beat(id(1));
    rig.idle(HOUR * 3);
    assert_eq!(rig.announced().last().map(String::as_str), Some("online"));
    assert_eq!(rig.reminders(1, begin).len(), 3);
}

#[test]
fn an_acknowledgement_stops_reminders_and_its_withdrawal_starts_them_again() {
    let mut rig = SweepRig::reminded(1);
    rig.live(MINUTE * 3, &[]);
    let begin = rig.now;
    rig.run(HOUR, &[]);
    assert_eq!(rig.announced(), ["offline", "reminder"], "it waits for its courier");
    rig.acknowledge(1);
    assert_eq!(rig.announced(), ["offline"]);
    rig.idle(HOUR * 2);
    assert_eq!(rig.announced(), ["offline"]);
    let actor = Actor { name: "ada".into(), address: None };
    rig.store.release_incident(IncidentId(1), &actor, rig.now).expect("released");
    rig.idle(HOUR + MINUTE);
    assert_eq!(rig.reminders(1, begin), [181, 241]);
    rig.acknowledge(1);
    rig.beat(id(1));
    assert_eq!(rig.announced().last().map(String::as_str), Some("online"), "the end is sent all the same");
}

#[test]
fn neither_a_restart_nor_a_night_without_power_doubles_a_reminder() {
    let mut rig = SweepRig::reminded(1);
    rig.live(MINUTE * 3, &[]);
    let begin = rig.now;
    for _ in 0..4 * 60 {
        rig.restart();
        rig.idle(MINUTE);
    }
    assert_eq!(rig.reminders(1, begin), [60, 120, 180, 240]);
    rig.wait(HOUR * 9);
    rig.restart();
    rig.idle(MINUTE * 10);
    assert_eq!(rig.reminders(1, begin), [60, 120, 180, 240, 781], "one for the whole night");
}

#[test]
fn a_reminder_that_cannot_be_written_is_written_once_later() {
    let mut rig = SweepRig::reminded(1);
    rig.live(MINUTE * 3, &[]);
    let begin = rig.now;
    rig.store.refuse_changes("INSERT", "outbox");
    rig.wait(HOUR);
    rig.sweeper.announce_held(&rig.store, rig.now).expect_err("no room");
    rig.store.allow_changes("outbox");
    rig.idle(MINUTE * 5);
    assert_eq!(rig.reminders(1, begin), [61]);
}

#[test]
fn incidents_that_began_at_different_times_soon_share_a_reminder() {
    let mut rig = SweepRig::reminded(3);
    rig.live(MINUTE * 3, &[id(2), id(3)]);
    let begin = rig.now;
    rig.live(MINUTE * 20, &[id(2), id(3)]);
    rig.live(MINUTE * 25, &[id(3)]);
    rig.live(MINUTE * 4, &[]);
    rig.idle(MINUTE * 130);
    let all = [1, 2, 3].map(|machine| rig.reminders(machine, begin));
    // The second was 37 minutes old at the first reminder, the third 13 minutes.
    assert_eq!(all, [vec![60, 108, 168], vec![60, 108, 168], vec![108, 168]]);
}

#[test]
fn a_reminder_waits_for_the_one_before_it_and_goes_with_its_incident() {
    let mut rig = SweepRig::reminded(2);
    rig.live(MINUTE * 3, &[]);
    rig.wait(HOUR);
    rig.sweep();
    rig.wait(HOUR * 4);
    rig.sweep();
    let waiting = "SELECT count(*) FROM outbox WHERE event = 'reminder' AND state = 0";
    assert_eq!(rig.count(waiting), 2, "the receiver has not answered for four hours");
    rig.sql("UPDATE outbox SET attempts = 7 WHERE event = 'reminder'", &[]);
    rig.beat(id(1));
    assert_eq!(rig.count(waiting), 1, "nobody is told after the end that it is still open");
    rig.acknowledge(2);
    assert_eq!(rig.count(waiting), 0);
    let of_first = rig.rows().into_iter().filter(|row| row.1 == 1).map(|row| (row.2, row.3));
    let of_first: Vec<_> = of_first.collect();
    assert_eq!(of_first, [("offline".into(), 2), ("reminder".into(), 4), ("online".into(), 0)]);
}

#[test]
fn a_message_that_was_given_up_is_made_up_for_by_a_reminder() {
    let mut rig = SweepRig::reminded(1);
    rig.live(MINUTE * 3, &[]);
    let begin = rig.now;
    rig.sql("UPDATE outbox SET state = 3, delivered_at = NULL", &[]);
    rig.idle(HOUR);
    assert_eq!(rig.reminders(1, begin), [60]);
}

#[test]
fn nobody_is_reminded_of_what_is_paused_stopped_disabled_or_flaps() {
    let mut rig = SweepRig::reminded(4);
    rig.live(MINUTE * 3, &[id(2)]);
    let begin = rig.now;
    rig.store.pause_machine("m1", HOUR * 3, None, rig.now).expect("paused");
    rig.farewell(id(2));
    rig.store.disable_machine("m3", rig.now).expect("disabled");
    rig.sql("INSERT INTO flapping VALUES (4, 'offline', '', ?1, NULL)", params![rig.now.plus(HOUR).0]);
    rig.sql("UPDATE machine_state SET since = ?1 WHERE machine_id = 4", params![rig.now.plus(HOUR * 20).0]);
    rig.idle(HOUR * 2);
    assert_eq!([1, 2, 3, 4].map(|machine| rig.reminders(machine, begin).len()), [0; 4]);
    rig.idle(HOUR * 2);
    assert_eq!(rig.reminders(1, begin)[0], 180, "after the pause");
}

/// The paused one stays due all the time.
#[test]
fn an_incident_of_which_nobody_is_reminded_does_not_double_the_reminders_of_the_others() {
    let mut rig = SweepRig::reminded(2);
    rig.live(MINUTE * 3, &[id(2)]);
    let begin = rig.now;
    rig.store.pause_machine("m1", HOUR * 6, None, rig.now).expect("paused");
    rig.live(MINUTE * 10, &[id(2)]);
    rig.live(MINUTE * 4, &[]);
    rig.idle(HOUR * 3);
    assert_eq!(rig.reminders(1, begin).len(), 0);
    assert_eq!(rig.reminders(2, begin), [73, 133, 193]);
}

#[test]
fn an_offline_machine_hides_its_conditions_from_reminders() {
    let mut rig = SweepRig::reminded(1);
    rig.sql("UPDATE recipient SET events = '[\"offline\",\"online\",\"camera\"]'", &[]);
    let open =
        "INSERT INTO incident (machine_id, kind, subject, label, planned, last_seen, began_at, notified_at)
                VALUES (1, 'camera', 'b8:27', 'gate', FALSE, ?1, ?1, ?1)";
    rig.sql(open, params![rig.now.0]);
    let told = "INSERT INTO outbox (channel_id, machine_id, incident_id, event, content, created_at, due_at, expires_at, state)
                VALUES (1, 1, 1, 'condition', '{}', ?1, ?1, ?1, 2)";
    rig.sql(told, params![rig.now.0]);
    let begin = rig.now;
    rig.idle(MINUTE * 61);
    assert_eq!(rig.reminders(1, begin), [60]);
    let text: String = rig
        .store
        .read(|c| c.query_row("SELECT content FROM outbox WHERE event = 'reminder'", &[], |row| row.get(0)))
        .expect("a reminder");
    let notice: crate::monitor::notify::notice::Notice = serde_json::from_str(&text).expect("a notice");
    assert_eq!(notice.title(), "\u{1F534} m1: camera gate is down, for 60 min now");
    rig.live(MINUTE * 3, &[]);
    rig.idle(HOUR * 2);
    let of_conditions = "SELECT count(*) FROM outbox WHERE event = 'reminder' AND incident_id = 1";
    assert_eq!(rig.count(of_conditions), 1, "then the outage alone");
}

#[test]
fn a_choice_that_no_longer_includes_the_incident_ends_its_reminders() {
    let mut rig = SweepRig::reminded(1);
    rig.live(MINUTE * 3, &[]);
    let begin = rig.now;
    rig.sql("UPDATE recipient SET events = '[\"online\"]'", &[]);
    rig.idle(HOUR * 2);
    assert_eq!(rig.reminders(1, begin).len(), 0);
}

/// In both nights in which the clock is changed: none during quiet hours, one at their end, and hourly from then on.
#[test]
fn quiet_hours_hold_reminders_back_and_make_them_one_through_changes_of_the_clock() {
    // 2026-03-28 and 2026-10-24, 22:00 in Berlin; the nights have 8 and 10 hours until 07:00.
    for (evening, hours) in [(1_774_731_600_000, 8), (1_792_872_000_000, 10)] {
        let mut rig = SweepRig::reminded(1);
        rig.sql("UPDATE recipient SET quiet_from = 1320, quiet_to = 420, time_zone = 'Europe/Berlin'", &[]);
        rig.now = Moment(evening).minus(MINUTE * 33);
        rig.beat(id(1));
        rig.restart();
        rig.live(MINUTE * 3, &[]);
        rig.restart();
        rig.idle(HOUR * 13);
        let reminders = rig.reminders(1, Moment(evening));
        assert_eq!(reminders[..2], [hours * 60, hours * 60 + 60], "{reminders:?}");
    }
}

#[test]
fn a_clock_that_was_ahead_delays_no_reminder_and_one_that_is_set_forward_sends_one_at_most() {
    let mut rig = SweepRig::reminded(1);
    rig.live(MINUTE * 3, &[]);
    rig.now = rig.now.plus(HOUR * 24 * 365);
    rig.sweep();
    rig.idle(MINUTE * 5);
    let begin = rig.now;
    assert_eq!(rig.reminders(1, begin).len(), 1, "early, and once");
    rig.now = rig.now.minus(HOUR * 24 * 365);
    rig.sweep();
    let begin = rig.now;
    rig.idle(HOUR * 2 + MINUTE);
    let since: Vec<i64> = rig.reminders(1, begin).into_iter().skip(1).collect();
    assert_eq!(since, [60, 120]);
}

#[test]
fn a_recipient_without_an_interval_is_not_reminded() {
    let mut rig = SweepRig::reminded(1);
    rig.recipient(r#"["offline","online"]"#, 0, None);
    rig.idle(HOUR * 3);
    let channels = rig.rows().into_iter().filter(|row| row.2 == "reminder").map(|row| row.0);
    assert!(channels.collect::<Vec<_>>().iter().all(|channel| *channel == 1));
}
