use super::backlog::QueuePlace;
use super::*;
use crate::monitor::store::sql::{Connection, params};

const NOW: Moment = Moment(1_763_774_609_000);
const MINUTE: Duration = Duration::from_secs(60);
const CHANNEL: ChannelId = ChannelId(1);

/// Two machines with an outage each, and its end, on one channel.
fn filled(store: &Store) {
    let notice = r#"{"news":"offline","state":"offline","machine":1,"name":"m","hostname":null,"description":null,
                     "last_seen":0,"at":0}"#;
    let sql = format!(
        "INSERT INTO recipient (name, events) VALUES ('ops', '[]');
         INSERT INTO channel (recipient_id, kind, target, created_at) VALUES (1, 'email', 'a@b', 0);
         INSERT INTO machine (name, created_at) VALUES ('m1', 0), ('m2', 0);
         INSERT INTO incident (machine_id, planned, last_seen, began_at, ended_at) VALUES (1, FALSE, 0, 0, 0), (2, FALSE, 0, 0, 0);
         INSERT INTO outbox (channel_id, machine_id, incident_id, event, content, created_at, due_at, expires_at, state)
         SELECT 1, o.id, o.id, e.event, '{notice}', 0, {now}, {now} + 86400000, 0
         FROM incident o CROSS JOIN (SELECT 'offline' AS event UNION ALL SELECT 'online') e ORDER BY e.event, o.id;",
        now = NOW.0
    );
    store.write(|transaction| transaction.execute_batch(&sql)).expect("filled");
}

fn ids(batch: &LeasedBatch) -> Vec<i64> {
    batch.rows.iter().map(|row| row.id).collect()
}

fn leased(store: &Store, owner: LeaseOwner, now: Moment) -> Vec<i64> {
    let most = LeaseLimit { rows: 10, retries: 10 };
    ids(&store.lease(CHANNEL, owner, most, now).expect("leased").expect("a channel"))
}

impl Store {
    /// [`Store::lease_in`] the whole queue.
    pub fn lease(
        &self,
        channel: ChannelId,
        owner: LeaseOwner,
        most: LeaseLimit,
        now: Moment,
    ) -> Result<Option<LeasedBatch>, StoreError> {
        self.lease_in(channel, owner, most, QueueStretch::ALL, now)
    }
}

/// When the first row can be leased.
fn due(store: &Store, owner: LeaseOwner, only_new: bool, now: Moment) -> Option<Moment> {
    store.pending_work(CHANNEL, owner, only_new, QueuePlace::BEGIN, now).expect("read").due
}

fn number(store: &Store, sql: &str) -> Option<i64> {
    store.read(|connection: &Connection<'_>| connection.query_row(sql, &[], |row| row.get(0))).expect(sql)
}

#[test]
fn a_process_keeps_its_leases_and_another_one_gets_them_when_they_are_not_renewed() {
    let store = Store::scratch();
    filled(&store);
    let (ours, theirs) = (LeaseOwner::new(), LeaseOwner::new());
    assert_eq!(leased(&store, ours, NOW), [1, 2], "the first row of each machine");
    let hour = NOW.plus(MINUTE * 60);
    assert!(leased(&store, ours, hour).is_empty(), "our own couriers are late");
    assert_eq!(due(&store, ours, false, hour), None);
    store.renew_leases(ours, hour).expect("renewed");
    assert!(leased(&store, theirs, hour.plus(MINUTE * 4)).is_empty());
    assert_eq!(leased(&store, theirs, hour.plus(MINUTE * 6)), [1, 2]);
    let lost = store.settle(
        ours,
        &[(1, DeliveryOutcome::Delivered)],
        &[],
        watched_clock::ClockSteps::default(),
        hour.plus(MINUTE * 7),
    );
    assert_eq!(lost, Ok(0), "a mark counts only while the lease does");
}

#[test]
fn later_rows_of_a_machine_wait_and_failed_rows_stand_behind_the_others() {
    let store = Store::scratch();
    filled(&store);
    let owner = LeaseOwner::new();
    let one = |retries| {
        let most = LeaseLimit { rows: 1, retries };
        ids(&store.lease(CHANNEL, owner, most, NOW).expect("leased").expect("a channel"))
    };
    assert_eq!(one(1), [1]);
    let failed = DeliveryOutcome::Failed { why: "500".into(), again: NOW };
    assert_eq!(store.settle(owner, &[(1, failed)], &[], watched_clock::ClockSteps::default(), NOW), Ok(1));
    store
        .write(|transaction| transaction.execute("UPDATE outbox SET due_at = due_at - 1 WHERE id = 2", &[]))
        .expect("earlier");
    assert_eq!(one(1), [2]);
    store
        .settle(owner, &[(2, DeliveryOutcome::Delivered)], &[], watched_clock::ClockSteps::default(), NOW)
        .expect("marked");
    assert_eq!(one(0), [4], "row 3 is the end of outage 1; row 1 is a retry");
    assert_eq!(store.channels_with_rows(), Ok(vec![(CHANNEL, ChannelKind::Email)]));
    assert_eq!([false, true].map(|only_new| due(&store, owner, only_new, NOW)), [Some(NOW), None]);
    assert_eq!(one(0), [0; 0]);
    assert_eq!(one(1), [1]);
}

#[test]
fn a_backoff_can_end_early_and_is_never_made_longer() {
    let store = Store::scratch();
    filled(&store);
    let owner = LeaseOwner::new();
    leased(&store, owner, NOW);
    let failed = |minutes| DeliveryOutcome::Failed { why: "500".into(), again: NOW.plus(MINUTE * minutes) };
    store
        .settle(owner, &[(1, failed(15)), (2, failed(0))], &[1, 2], watched_clock::ClockSteps::default(), NOW)
        .expect("marked");
    let due = number(&store, "SELECT due_at FROM outbox WHERE id = 1");
    assert_eq!(due, Some(NOW.plus(FREED_AFTER).0));
    assert_eq!(number(&store, "SELECT due_at FROM outbox WHERE id = 2"), Some(NOW.0));
}

#[test]
fn a_mail_that_was_handed_over_when_the_process_ended_is_not_sent_again_soon() {
    let store = Store::scratch();
    filled(&store);
    let (killed, next) = (LeaseOwner::new(), LeaseOwner::new());
    leased(&store, killed, NOW);
    store.note_handover(killed, &[1], NOW).expect("noted");
    store.note_handover(next, &[2], NOW).expect_err("not its lease");
    let restart = NOW.plus(MINUTE);
    assert_eq!(store.free_leases(restart, MINUTE * 30), Ok(2));
    assert_eq!(leased(&store, next, restart), [2]);
    let late = NOW.plus(MINUTE * 30);
    assert!(leased(&store, next, Moment(late.0 - 1)).is_empty());
    assert_eq!(leased(&store, next, late), [1]);
    assert!(number(&store, "SELECT uncertain_since FROM outbox WHERE id = 1").is_some());
    store
        .settle(next, &[(1, DeliveryOutcome::Delivered)], &[], watched_clock::ClockSteps::default(), late)
        .expect("marked");
    assert_eq!(number(&store, "SELECT uncertain_since FROM outbox WHERE id = 1"), None);
}

#[test]
fn a_clock_that_is_set_back_releases_retries_but_no_mail_that_may_have_arrived() {
    let store = Store::scratch();
    filled(&store);
    let owner = LeaseOwner::new();
    assert_eq!(leased(&store, owner, NOW), [1, 2]);
    let (why, again) = ("no answer".to_owned(), NOW.plus(MINUTE * 30));
    store.note_handover(owner, &[1], NOW).expect("noted");
    let outcomes = [
        (1, DeliveryOutcome::Unknown { why: why.clone(), again }),
        (2, DeliveryOutcome::Failed { why, again }),
    ];
    assert_eq!(store.settle(owner, &outcomes, &[], watched_clock::ClockSteps::default(), NOW), Ok(2));
    let back = NOW.minus(MINUTE * 60);
    store
        .write(|transaction| {
            transaction.execute("UPDATE outbox SET created_at = ?1", params![NOW.0])?;
            clock_steps::forget_the_future(transaction, back)
        })
        .expect("applied");
    assert_eq!(leased(&store, owner, back), [2]);
    assert!(leased(&store, owner, back.plus(MINUTE * 29)).is_empty());
    assert_eq!(leased(&store, owner, back.plus(MINUTE * 30)), [1]);
}

const YEAR: Duration = Duration::from_secs(365 * 86_400);

#[test]
fn a_start_a_year_later_or_with_a_clock_that_is_a_year_ahead_expires_nothing() {
    let store = Store::scratch();
    filled(&store);
    let (before, after) = (LeaseOwner::new(), LeaseOwner::new());
    leased(&store, before, NOW);
    let failed = DeliveryOutcome::Failed { why: "500".into(), again: NOW.plus(MINUTE) };
    store.settle(before, &[(1, failed)], &[], watched_clock::ClockSteps::default(), NOW).expect("marked");
    let ahead = NOW.plus(YEAR);
    assert_eq!(store.free_leases(ahead, MINUTE * 30), Ok(1));
    assert_eq!(leased(&store, after, ahead), [1, 2], "one that was tried and one that was not");
    let left = |id: i64| {
        let sql = format!("SELECT expires_at FROM outbox WHERE id = {id}");
        number(&store, &sql).map(|expires| Moment(expires).since(ahead))
    };
    assert_eq!(left(1), Some(EXPIRES_AFTER - MINUTE), "the minute before its next attempt counts");
    assert_eq!(left(2), Some(EXPIRES_AFTER));
    // The clock is still wrong at the first sweep.
    store.write(|transaction| clock_steps::forget_the_future(transaction, ahead)).expect("applied");
    assert_eq!(left(2), Some(EXPIRES_AFTER));
}

#[test]
fn a_step_forward_postpones_the_expiry_and_the_step_back_takes_that_away_again() {
    let store = Store::scratch();
    filled(&store);
    let owner = LeaseOwner::new();
    store
        .settle(
            owner,
            &[],
            &[],
            watched_clock::ClockSteps { forward: YEAR, ..watched_clock::ClockSteps::default() },
            NOW,
        )
        .expect("postponed");
    let ahead = NOW.plus(YEAR);
    assert_eq!(leased(&store, owner, ahead), [1, 2]);
    store.note_handover(owner, &[2], ahead).expect("noted");
    let (why, again) = ("no answer".to_owned(), ahead.plus(MINUTE * 30));
    let outcomes = [
        (1, DeliveryOutcome::Failed { why: why.clone(), again }),
        (2, DeliveryOutcome::Unknown { why, again }),
    ];
    store.settle(owner, &outcomes, &[], watched_clock::ClockSteps::default(), ahead).expect("marked");
    let right = NOW.plus(MINUTE);
    store.write(|transaction| clock_steps::forget_the_future(transaction, right)).expect("applied");
    assert_eq!(leased(&store, owner, right), [1], "the retry does not wait for a year");
    assert_eq!(
        leased(&store, owner, right.plus(MINUTE * 30)),
        [2],
        "the mail that may have arrived for its time"
    );
    let latest = number(&store, "SELECT max(expires_at) FROM outbox").map(Moment);
    assert!(latest <= Some(right.plus(EXPIRES_AFTER + MINUTE * 30)), "{latest:?}");
}

#[test]
fn the_backlog_is_every_row_that_is_still_to_be_delivered() {
    let store = Store::scratch();
    assert_eq!(store.waiting_deliveries(), Ok((0, None)));
    filled(&store);
    store
        .write(|transaction| {
            transaction.execute_batch(
                "UPDATE outbox SET due_at = due_at - 10 - id; UPDATE outbox SET state = 3 WHERE id = 4",
            )
        })
        .expect("changed");
    leased(&store, LeaseOwner::new(), NOW);
    assert_eq!(store.waiting_deliveries(), Ok((3, Some(Moment(NOW.0 - 13)))), "leased rows count");
}

#[test]
fn quiet_hours_hold_no_retry_that_a_clock_which_was_ahead_has_scheduled() {
    let store = Store::scratch();
    filled(&store);
    // NOW is 01:23:29 UTC.
    store
        .write(|transaction| {
            transaction.execute_batch(&format!(
                "UPDATE recipient SET quiet_from = 0, quiet_to = 120, utc_offset = 0;
                 UPDATE outbox SET created_at = {day}, due_at = {day} + 60000;
                 UPDATE outbox SET attempts = 1 WHERE id = 1",
                day = NOW.0 + 86_400_000
            ))?;
            clock_steps::forget_the_future(transaction, NOW)
        })
        .expect("applied");
    let due = |id| number(&store, &format!("SELECT due_at FROM outbox WHERE id = {id}"));
    assert_eq!(due(1), Some(NOW.0), "its first attempt was allowed");
    assert_eq!(due(2), Some(NOW.0 - NOW.0 % 86_400_000 + 7_200_000), "the end of the quiet hours");
}

#[test]
fn a_message_that_failed_or_whose_process_ended_is_not_sent_again_once_it_has_lost_its_reason() {
    for (event, what, is_sent) in [
        ("reminder", "ended_at = 1", false),
        ("reminder", "acknowledged_at = 1", false),
        ("reminder", "planned = TRUE", true),
        ("escalation", "ended_at = 1", true),
        ("escalation", "acknowledged_at = 1", false),
        ("offline", "acknowledged_at = 1", true),
    ] {
        let failed = "UPDATE outbox SET state = 0, attempts = 1, lease = NULL";
        // Another monitor takes it over, when the lease is over.
        for (then, owner, later) in [(failed, 1, MINUTE), ("", 2, LEASE)] {
            let store = Store::scratch();
            filled(&store);
            let sql = format!(
                "UPDATE incident SET ended_at = NULL; DELETE FROM outbox WHERE event = 'online';
                 UPDATE outbox SET event = '{event}' WHERE id = 1"
            );
            store.write(|transaction| transaction.execute_batch(&sql)).expect("changed");
            assert_eq!(
                leased(&store, LeaseOwner(1), NOW),
                [1, 2],
                "it may be in flight when the incident ends"
            );
            let sql = format!("UPDATE incident SET {what}; {then}");
            store.write(|transaction| transaction.execute_batch(&sql)).expect("changed");
            let again = leased(&store, LeaseOwner(owner), NOW.plus(later));
            assert_eq!(again, if is_sent { vec![1, 2] } else { vec![2] }, "{event} {what} {then}");
        }
    }
}

#[test]
fn what_is_still_to_be_sent_is_found_by_the_small_indexes() {
    let store = Store::scratch_file();
    let plan = store.read(|connection| {
        let sql = format!(
            "EXPLAIN QUERY PLAN SELECT o.due_at FROM outbox o WHERE o.channel_id = ?3 AND {} ORDER BY o.due_at LIMIT 1",
            free()
        );
        Ok(connection.query_all(&sql, params![0, 0, 0], |row| row.get::<String>(3))?.join("\n"))
    });
    let plan = plan.expect("a plan");
    assert!(plan.contains("outbox_due") && plan.contains("outbox_unsent"), "{plan}");
    assert!(!plan.contains("TEMP B-TREE"), "{plan}");
}

#[test]
fn a_row_that_is_held_stops_rows_of_other_incidents_only_once_it_is_due() {
    let store = Store::scratch();
    filled(&store);
    let sql =
        "INSERT INTO incident (machine_id, kind, planned, last_seen, began_at) VALUES (1, 'temp', FALSE, 0, 0);
               UPDATE outbox SET incident_id = 3 WHERE id = 3;
               UPDATE outbox SET due_at = due_at + 600000 WHERE id = 1;
               UPDATE outbox SET due_at = due_at + 600000 WHERE id = 2";
    store.write(|transaction| transaction.execute_batch(sql)).expect("held");
    assert_eq!(leased(&store, LeaseOwner::new(), NOW.plus(MINUTE * 10)), [1, 2]);
    let store = Store::scratch();
    filled(&store);
    store.write(|transaction| transaction.execute_batch(sql)).expect("held");
    let owner = LeaseOwner::new();
    assert_eq!(leased(&store, owner, NOW), [3], "row 4 is the end of an outage that is held");
    assert_eq!(leased(&store, owner, NOW.plus(MINUTE * 10)), [1, 2]);
}

/// It was overtaken by a later message about the same machine until the first sweep.
#[test]
fn a_row_that_was_in_flight_is_due_at_the_start_although_the_clock_was_set_back() {
    let store = Store::scratch();
    filled(&store);
    assert_eq!(leased(&store, LeaseOwner::new(), NOW), [1, 2]);
    let back = Moment(NOW.0 - 3_600_000);
    assert_eq!(store.free_leases(back, MINUTE * 30), Ok(2));
    assert_eq!(leased(&store, LeaseOwner::new(), back), [1, 2]);
}
