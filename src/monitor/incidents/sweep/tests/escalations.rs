//! Escalation: to whom, when, and what ends it.

use super::*;
use crate::monitor::accounts::audit::Actor;
use crate::monitor::notify::channel::ChannelId;
use crate::monitor::notify::outbox::{LeaseLimit, LeaseOwner};

const HOUR: Duration = Duration::from_secs(3600);

impl SweepRig {
    /// Machines whose recipient `r0` escalates to `r1` after half an hour; `r1` has chosen nothing itself.
    fn escalated(machines: i64) -> SweepRig {
        let rig = SweepRig::new(machines);
        rig.recipient("[]", 0, None);
        rig.sql("UPDATE recipient SET escalate_to = 2, escalate_after = 1800000 WHERE id = 1", &[]);
        rig
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now.plus(duration);
        while self.now < end {
            self.wait(MINUTE);
            self.sweeper.announce_held(&self.store, self.now).expect("announced");
            self.deliver();
        }
    }

    /// The events over the channel of `r1`, and the states of their delivery.
    fn of_other(&self) -> Vec<(String, i64)> {
        self.rows().into_iter().filter(|row| row.0 == 2).map(|row| (row.2, row.3)).collect()
    }

    fn take_on(&self, incident: i64) {
        let actor = Actor { name: "ada".into(), address: None };
        self.store.acknowledge(IncidentId(incident), &actor, self.now).expect("acknowledged");
    }
}

fn sent(events: &[&str]) -> Vec<(String, i64)> {
    events.iter().map(|event| ((*event).to_owned(), 2)).collect()
}

#[test]
fn what_nobody_acknowledges_goes_to_the_other_recipient_once_and_so_does_its_end() {
    let mut rig = SweepRig::escalated(1);
    rig.run(MINUTE * 3, &[]);
    let began = rig.count("SELECT began_at FROM incident");
    rig.pass(Duration::from_secs(29 * 60));
    assert_eq!(rig.of_other(), []);
    rig.pass(HOUR * 3);
    assert_eq!(rig.of_other(), sent(&["escalation"]));
    let written = rig.count("SELECT created_at FROM outbox WHERE event = 'escalation'");
    assert!((30..=31).contains(&((written - began) / 60_000)), "half an hour after its begin");
    assert_eq!(rig.count("SELECT count(*) FROM event WHERE kind = 'escalated'"), 1);
    rig.beat(id(1));
    rig.deliver();
    assert_eq!(rig.of_other(), sent(&["escalation", "online"]), "although it wants no outages");
    assert_eq!(rig.announced(), ["offline", "online"]);
}

#[test]
fn an_acknowledgement_stops_escalation_before_and_after_it_was_written() {
    let mut rig = SweepRig::escalated(2);
    rig.run(MINUTE * 3, &[]);
    rig.take_on(1);
    rig.wait(HOUR);
    rig.sweep();
    assert_eq!(rig.of_other(), [("escalation".into(), 0)], "of the second incident");
    rig.take_on(2);
    assert_eq!(rig.of_other(), [("escalation".into(), 4)]);
    rig.pass(HOUR);
    rig.beat(id(2));
    rig.deliver();
    assert_eq!(rig.of_other(), [("escalation".into(), 4)], "who was not told needs no end");
}

#[test]
fn an_escalation_that_may_have_arrived_before_it_was_acknowledged_is_ended() {
    let mut rig = SweepRig::escalated(1);
    rig.run(MINUTE * 3, &[]);
    rig.wait(HOUR);
    rig.sweep();
    rig.sql("UPDATE outbox SET attempts = 1 WHERE event = 'escalation'", &[]);
    rig.take_on(1);
    rig.beat(id(1));
    rig.deliver();
    assert_eq!(rig.of_other(), [("escalation".into(), 4), ("online".into(), 2)]);
}

/// Its courier ended while it sent the escalation, and the incident was acknowledged before the row was leased again.
#[test]
fn an_escalation_in_flight_at_a_kill_may_have_arrived_and_is_ended() {
    for is_same_process_started_again in [true, false] {
        let mut rig = SweepRig::escalated(1);
        rig.run(MINUTE * 3, &[]);
        rig.deliver();
        rig.wait(HOUR);
        rig.sweep();
        let until = rig.now.plus(MINUTE).0;
        rig.sql("UPDATE outbox SET state = 1, lease = 7, leased_until = ?1 WHERE state = 0", params![until]);
        rig.take_on(1);
        rig.wait(MINUTE);
        if is_same_process_started_again {
            rig.store.free_leases(rig.now, MINUTE * 30).expect("freed");
        }
        let most = LeaseLimit { rows: 10, retries: 10 };
        let batch = rig.store.lease(ChannelId(2), LeaseOwner::new(), most, rig.now).expect("leased");
        assert!(batch.is_some_and(|batch| batch.rows.is_empty()), "it is acknowledged");
        rig.beat(id(1));
        rig.deliver();
        assert_eq!(rig.of_other(), [("escalation".into(), 4), ("online".into(), 2)]);
    }
}

#[test]
fn quiet_hours_of_the_first_recipient_do_not_delay_an_escalation_and_those_of_the_second_hold_it() {
    // Quiet the whole day, until noon.
    let mut rig = SweepRig::escalated(2);
    rig.sql("UPDATE recipient SET quiet_from = 720, quiet_to = 720 WHERE id = 1", &[]);
    rig.run(MINUTE * 3, &[]);
    rig.pass(MINUTE * 40);
    assert_eq!(rig.of_other(), sent(&["escalation", "escalation"]));
    let mut rig = SweepRig::escalated(2);
    rig.sql("UPDATE recipient SET quiet_from = 720, quiet_to = 720 WHERE id = 2", &[]);
    rig.run(MINUTE * 3, &[]);
    rig.pass(MINUTE * 40);
    assert_eq!(rig.of_other(), [("escalation".into(), 0), ("escalation".into(), 0)]);
    rig.beat(id(1));
    rig.take_on(2);
    assert_eq!(rig.of_other(), [("escalation".into(), 4), ("escalation".into(), 4)], "never sent");
}

#[test]
fn the_minimum_outage_comes_before_the_time_of_the_escalation() {
    let mut rig = SweepRig::escalated(1);
    rig.sql("UPDATE recipient SET min_outage = 3600000 WHERE id = 1", &[]);
    rig.run(MINUTE * 3, &[]);
    rig.pass(MINUTE * 86);
    assert_eq!(rig.of_other(), []);
    rig.pass(MINUTE * 5);
    assert_eq!(rig.of_other(), sent(&["escalation"]));
}

#[test]
fn a_minimum_outage_of_the_other_recipient_does_not_delay_an_escalation() {
    let mut rig = SweepRig::escalated(1);
    rig.sql(
        r#"UPDATE recipient SET events = '["offline","online"]', min_outage = 86400000 WHERE id = 2"#,
        &[],
    );
    rig.run(MINUTE * 3, &[]);
    rig.pass(MINUTE * 20);
    assert_eq!(rig.of_other(), [("offline".into(), 0)]);
    rig.pass(MINUTE * 20);
    let skipped = ("offline".to_owned(), 4);
    assert_eq!(rig.of_other(), [skipped.clone(), ("escalation".into(), 2)], "in its place");
    rig.beat(id(1));
    rig.deliver();
    assert_eq!(rig.of_other(), [skipped, ("escalation".into(), 2), ("online".into(), 2)]);
}

#[test]
fn what_an_escalation_replaced_is_sent_if_an_acknowledgement_stops_the_escalation() {
    let mut rig = SweepRig::escalated(1);
    rig.sql(
        r#"UPDATE recipient SET events = '["offline","online"]', min_outage = 3600000 WHERE id = 2"#,
        &[],
    );
    rig.run(MINUTE * 3, &[]);
    rig.pass(MINUTE * 20);
    rig.wait(MINUTE * 10);
    rig.sweep();
    assert_eq!(rig.of_other(), [("offline".into(), 4), ("escalation".into(), 0)]);
    rig.take_on(1);
    assert_eq!(rig.of_other(), [("offline".into(), 0), ("escalation".into(), 4)]);
    rig.pass(HOUR);
    rig.beat(id(1));
    rig.deliver();
    assert_eq!(rig.of_other(), [("offline".into(), 2), ("escalation".into(), 4), ("online".into(), 2)]);
}

#[test]
fn nothing_is_escalated_that_is_paused_stopped_or_flaps_or_that_the_recipient_does_not_get() {
    let mut rig = SweepRig::escalated(4);
    rig.sql("UPDATE recipient SET all_machines = FALSE", &[]);
    rig.sql(
        "INSERT INTO recipient_choice (recipient_id, kind, machine_id, name)
             SELECT 1, 'machine', id, name FROM machine WHERE id < 4",
        &[],
    );
    rig.run(MINUTE * 3, &[id(2)]);
    rig.farewell(id(2));
    rig.store.pause_machine("m1", HOUR * 3, None, rig.now).expect("paused");
    rig.sql("INSERT INTO flapping VALUES (3, 'offline', '', ?1, NULL)", params![rig.now.0]);
    rig.sql("UPDATE machine_state SET since = ?1 WHERE machine_id = 3", params![rig.now.plus(HOUR * 20).0]);
    rig.pass(HOUR * 2);
    assert_eq!(rig.of_other(), []);
    rig.pass(HOUR * 2);
    assert_eq!(rig.of_other(), sent(&["escalation"]), "after the pause");
}

#[test]
fn two_recipients_who_escalate_to_the_same_one_are_one_message() {
    let mut rig = SweepRig::escalated(1);
    rig.recipient(r#"["offline","online"]"#, 0, None);
    rig.sql("UPDATE recipient SET escalate_to = 2, escalate_after = 1800000 WHERE id = 3", &[]);
    rig.sql("UPDATE recipient SET escalate_to = 3, escalate_after = 1800000 WHERE id = 2", &[]);
    rig.run(MINUTE * 3, &[]);
    rig.pass(HOUR * 3);
    assert_eq!(rig.of_other(), sent(&["escalation"]));
    let of_third: Vec<_> = rig.rows().into_iter().filter(|row| row.0 == 3).map(|row| row.2).collect();
    assert_eq!(of_third, ["offline", "escalation"], "a circle ends");
}

#[test]
fn the_second_recipient_is_reminded_of_what_was_escalated() {
    let mut rig = SweepRig::escalated(1);
    rig.sql("UPDATE recipient SET remind_every = 3600000 WHERE id = 2", &[]);
    rig.run(MINUTE * 3, &[]);
    rig.pass(MINUTE * 95);
    assert_eq!(rig.of_other(), sent(&["escalation", "reminder"]));
}

#[test]
fn an_escalated_outage_that_ends_while_it_flaps_is_ended_by_the_message_that_it_is_steady() {
    let mut rig = SweepRig::escalated(1);
    rig.run(MINUTE * 3, &[]);
    rig.pass(MINUTE * 40);
    let outage =
        "INSERT INTO incident (machine_id, kind, subject, planned, last_seen, began_at, ended_at, notified_at)
                  VALUES (1, 'offline', '', FALSE, ?1, ?1, ?2, ?1)";
    for minutes in [20, 10] {
        let began = rig.now.minus(MINUTE * minutes);
        rig.sql(outage, &[&began.0, &began.plus(MINUTE).0]);
    }
    rig.beat(id(1));
    rig.run(MINUTE * 16, &[id(1)]);
    rig.deliver();
    assert_eq!(rig.announced(), ["offline", "flapping", "steady"]);
    assert_eq!(rig.of_other(), sent(&["escalation", "steady"]), "although it wants no outages");
    rig.run(MINUTE * 3, &[]);
    rig.beat(id(1));
    assert_eq!(rig.of_other(), sent(&["escalation", "steady"]), "of an outage that was not escalated");
}

#[test]
fn an_outage_that_began_by_a_clock_that_was_ahead_is_escalated_in_time() {
    let mut rig = SweepRig::escalated(1);
    rig.now = rig.now.plus(HOUR * 24);
    rig.sweep();
    rig.run(MINUTE * 3, &[id(1)]);
    rig.run(MINUTE * 3, &[]);
    rig.now = rig.now.minus(HOUR * 24);
    rig.sweep();
    rig.pass(MINUTE * 29);
    assert_eq!(rig.of_other(), []);
    rig.pass(MINUTE * 2);
    assert_eq!(rig.of_other(), sent(&["escalation"]));
}

#[test]
fn an_outage_that_was_announced_by_a_clock_that_was_ahead_is_escalated_in_time() {
    let mut rig = SweepRig::escalated(1);
    rig.store.pause_machine("m1", MINUTE * 10, None, rig.now).expect("paused");
    rig.run(MINUTE * 3, &[]);
    rig.now = rig.now.plus(HOUR * 24);
    rig.sweep();
    assert_eq!(rig.announced(), ["offline"]);
    rig.now = rig.now.minus(HOUR * 24);
    rig.sweep();
    rig.pass(MINUTE * 31);
    assert_eq!(rig.of_other(), sent(&["escalation"]));
}

/// The announcement of the outage was refused. A mail that was handed over when the monitor was killed has no attempt.
#[test]
fn a_reminder_that_may_have_arrived_before_the_end_is_ended() {
    for tried in ["attempts = 1", "uncertain_since = created_at"] {
        let mut rig = SweepRig::escalated(1);
        rig.sql("UPDATE recipient SET remind_every = 3600000 WHERE id = 1", &[]);
        rig.run(MINUTE * 3, &[]);
        rig.sql("UPDATE outbox SET state = 3", &[]);
        rig.wait(HOUR);
        rig.sweep();
        rig.sql(&format!("UPDATE outbox SET {tried} WHERE event = 'reminder'"), &[]);
        rig.take_on(1);
        rig.beat(id(1));
        assert_eq!(rig.announced(), ["offline", "online"], "{tried}");
    }
}
