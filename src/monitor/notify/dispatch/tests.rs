//! The dispatcher on a real outbox, with a clock and with results that the test sets. There are no couriers, so
//! nothing is sent.

use super::*;
use crate::clock::Moment;
use crate::logging::captured::logged;
use crate::monitor::notify::channel::ChannelKind;
use crate::monitor::notify::message::DeliveryError;
use crate::monitor::notify::outbox::{EXPIRES_AFTER, LEASE};
use crate::monitor::notify::settings::NotifySettings;
use crate::monitor::store::Scratch;
use crate::monitor::store::sql::params;
use crate::resolver::{self, NameResolver, ResolverLimits};
use std::sync::Mutex;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const START: Moment = Moment(1_763_774_609_000);
const WEBHOOK: i64 = 1;
const EMAIL: i64 = 2;

const WAITING: i64 = 0;
const LEASED: i64 = 1;
const DELIVERED: i64 = 2;
const DEAD: i64 = 3;

struct DispatchRig {
    store: Scratch,
    clock: Arc<Mutex<Now>>,
    dispatcher: Dispatcher,
}

/// A row of the outbox.
#[derive(Debug)]
struct OutboxRow {
    state: i64,
    attempts: i64,
    due: Moment,
    expires: Moment,
    leased_until: Option<Moment>,
}

/// A delivery that failed and is to be retried; the receiver requested a pause of `after`.
fn later(after: Option<Duration>, limits_us: bool) -> Result<String, DeliveryError> {
    Err(DeliveryError::Later { why: "503".into(), after, limits_us })
}

fn failed() -> Result<String, DeliveryError> {
    later(None, false)
}

fn refused() -> Result<String, DeliveryError> {
    Err(DeliveryError::Never { why: "no such mailbox".into() })
}

fn delivered() -> Result<String, DeliveryError> {
    Ok("200".into())
}

impl DispatchRig {
    /// A person with a webhook and an address, and 20 machines.
    fn new() -> DispatchRig {
        DispatchRig::on(Store::scratch())
    }

    /// With a file, of which a test can make SQLite refuse what it writes.
    fn on_file() -> DispatchRig {
        DispatchRig::on(Store::scratch_file())
    }

    fn on(store: Scratch) -> DispatchRig {
        let sql = "INSERT INTO recipient (name, events) VALUES ('ops', '[]');
             INSERT INTO channel (recipient_id, kind, target, created_at) VALUES (1, 'webhook', 'http://127.0.0.1:9/', 0),
                                                                                 (1, 'email', 'a@b', 0);
             WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 20)
             INSERT INTO machine (id, name, created_at) SELECT id, 'm' || id, 0 FROM n;
             INSERT INTO incident (id, machine_id, planned, last_seen, began_at) SELECT id, id, FALSE, 0, 0 FROM machine;";
        store.write(|transaction| transaction.execute_batch(sql)).expect("filled");
        let clock = Arc::new(Mutex::new(Now { monotonic: Instant::now(), wall: START }));
        let limits = ResolverLimits { threads: 1, names: 1, refresh_wait: SECOND };
        let names = NameResolver::start(limits, resolver::lookup).expect("a resolver");
        let client = Arc::new(DeliveryClient::new(NotifySettings::default(), Arc::new(names)));
        let now: NowSource = {
            let clock = clock.clone();
            Arc::new(move || *clock.lock().expect("the clock"))
        };
        let owner = LeaseOwner::new();
        // No courier takes the jobs.
        let start_courier: StartCourier = Arc::new(|_, _| Ok(()));
        let dispatcher = Dispatcher::new(store.clone(), now, Arc::default(), client, owner, &start_courier);
        DispatchRig { store, clock, dispatcher }
    }

    fn sql(&self, sql: &str) {
        self.store.write(|transaction| transaction.execute_batch(sql)).expect(sql);
    }

    /// A row for each of these machines: its outage, due now. The ids are `channel * 100 + machine`.
    fn outages(&self, channel: i64, machines: std::ops::RangeInclusive<i64>) {
        let now = self.now().wall;
        for machine in machines {
            let notice = format!(
                r#"{{"news":"offline","state":"offline","machine":{machine},"name":"m{machine}","hostname":null,
                    "description":null,"last_seen":0,"at":0}}"#
            );
            let values =
                params![channel * 100 + machine, channel, machine, notice, now.0, now.plus(EXPIRES_AFTER).0];
            let insert = "INSERT INTO outbox (id, channel_id, machine_id, incident_id, event, content, created_at, due_at,
                                              expires_at, state)
                          VALUES (?1, ?2, ?3, ?3, 'offline', ?4, ?5, ?5, ?6, 0)";
            self.store.write(|transaction| transaction.execute(insert, values)).expect("a row");
        }
    }

    fn row(&self, id: i64) -> OutboxRow {
        let sql = "SELECT state, attempts, due_at, expires_at, leased_until FROM outbox WHERE id = ?1";
        let row = self.store.read(|connection| {
            connection.query_row(sql, params![id], |row| {
                Ok(OutboxRow {
                    state: row.get(0)?,
                    attempts: row.get(1)?,
                    due: Moment(row.get(2)?),
                    expires: Moment(row.get(3)?),
                    leased_until: row.get(4)?,
                })
            })
        });
        row.expect("a row")
    }

    fn states(&self, ids: impl IntoIterator<Item = i64>) -> Vec<i64> {
        ids.into_iter().map(|id| self.row(id).state).collect()
    }

    fn now(&self) -> Now {
        *self.clock.lock().expect("the clock")
    }

    fn wait(&self, duration: Duration) {
        let mut clock = self.clock.lock().expect("the clock");
        *clock = clock.plus(duration);
    }

    /// Sets the wall clock forward.
    fn step(&self, by: Duration) {
        let mut clock = self.clock.lock().expect("the clock");
        clock.wall = clock.wall.plus(by);
    }

    fn step_back(&self, by: Duration) {
        let mut clock = self.clock.lock().expect("the clock");
        clock.wall = clock.wall.minus(by);
    }

    /// Works until there is nothing more to start; returns the time until the next round.
    fn rounds(&mut self) -> Duration {
        loop {
            let sleep = self.dispatcher.round();
            if !sleep.is_zero() {
                return sleep;
            }
        }
    }

    /// The rows of each message in flight.
    fn in_flight(&self) -> Vec<Vec<i64>> {
        let mut flights: Vec<_> = self.dispatcher.flights.iter().collect();
        flights.sort_unstable_by_key(|(number, _)| **number);
        flights.into_iter().map(|(_, flight)| flight.ids()).collect()
    }

    /// Ends the message that has this row.
    fn finish(&mut self, row: i64, result: Result<String, DeliveryError>) {
        let mut flights = self.dispatcher.flights.iter();
        let flight = flights.find(|(_, flight)| flight.ids().contains(&row));
        let number = *flight.expect("in flight").0;
        self.dispatcher.finish(JobResult { number, result });
    }

    /// Delivered, failed and abandoned over channels of this kind.
    fn counts(&self, kind: ChannelKind) -> [u64; 3] {
        let counts = self.dispatcher.counters.read()[kind as usize];
        [counts.delivered, counts.failed, counts.dead]
    }
}

#[test]
fn a_result_decides_the_state_of_its_row_when_it_is_retried_and_what_is_counted() {
    let backoff = SECOND * 5..=SECOND * 15 / 2;
    let unknown = Err(DeliveryError::Unknown { why: "no answer to the final dot".into() });
    for (result, state, attempts, retry, counts) in [
        (delivered(), DELIVERED, 1, None, [1, 0, 0]),
        (failed(), WAITING, 1, Some(backoff), [0, 1, 0]),
        (later(Some(MINUTE * 20), false), WAITING, 1, Some(MINUTE * 20..=MINUTE * 20), [0, 1, 0]),
        (unknown, WAITING, 1, Some(MINUTE * 30..=MINUTE * 30), [0, 1, 0]),
        (refused(), DEAD, 1, None, [0, 1, 1]),
    ] {
        let mut rig = DispatchRig::new();
        rig.outages(EMAIL, 1..=1);
        rig.rounds();
        assert_eq!(rig.row(201).state, LEASED);
        let case = format!("{result:?}");
        rig.finish(201, result);
        rig.rounds();
        let row = rig.row(201);
        assert_eq!((row.state, row.attempts, row.leased_until), (state, attempts, None), "{case}");
        assert_eq!(rig.counts(ChannelKind::Email), counts, "{case}");
        assert_eq!(rig.dispatcher.in_flight(), 0, "{case}");
        if let Some(retry) = retry {
            let wait = row.due.since(START);
            assert!(retry.contains(&wait), "{case}: {wait:?}");
            rig.wait(wait - Duration::from_millis(1));
            rig.rounds();
            assert!(rig.in_flight().is_empty(), "{case}: too early");
            rig.wait(Duration::from_millis(1));
            rig.rounds();
            assert_eq!(rig.in_flight(), [[201]], "{case}");
        }
    }
}

#[test]
fn a_program_gets_one_message_for_each_machine_and_a_person_one_for_five() {
    let mut rig = DispatchRig::new();
    rig.outages(WEBHOOK, 1..=5);
    rig.outages(EMAIL, 1..=5);
    rig.rounds();
    let mut in_flight = rig.in_flight();
    in_flight.sort();
    assert_eq!(in_flight[..5], [[101], [102], [103], [104], [105]]);
    assert_eq!(in_flight[5..], [[201, 202, 203, 204, 205]]);
    rig.finish(203, delivered());
    rig.rounds();
    assert_eq!(rig.states(201..=205), [DELIVERED; 5]);
    assert_eq!(rig.counts(ChannelKind::Email), [5, 0, 0]);
    assert_eq!(rig.states(101..=105), [LEASED; 5]);
}

#[test]
fn a_program_has_eight_messages_in_flight_and_the_others_stay_in_the_outbox() {
    let mut rig = DispatchRig::new();
    rig.outages(WEBHOOK, 1..=20);
    assert_eq!(rig.rounds(), LONGEST_SLEEP, "until a message ends");
    assert_eq!(rig.in_flight(), (101..=108).map(|id| vec![id]).collect::<Vec<_>>());
    assert_eq!(rig.states([108, 109, 120]), [LEASED, WAITING, WAITING]);
    rig.finish(103, delivered());
    rig.rounds();
    assert_eq!(rig.in_flight().len(), 8);
    assert_eq!(rig.states([103, 109, 110]), [DELIVERED, LEASED, WAITING]);
}

#[test]
fn a_group_that_is_refused_is_sent_machine_by_machine() {
    let mut rig = DispatchRig::new();
    rig.outages(EMAIL, 1..=6);
    rig.rounds();
    rig.finish(201, refused());
    assert_eq!(rig.rounds(), SECOND, "the messages for single machines follow after a second");
    assert_eq!(rig.states(201..=206), [WAITING; 6]);
    assert_eq!(rig.counts(ChannelKind::Email), [0, 1, 0], "no row is abandoned");
    rig.wait(SECOND);
    rig.rounds();
    assert_eq!(rig.in_flight(), [[201], [202], [203]], "a fourth message is reserved for news");
    assert_eq!(rig.states(204..=206), [WAITING; 3]);
    rig.finish(201, delivered());
    rig.finish(202, refused());
    rig.finish(203, failed());
    rig.rounds();
    assert_eq!(rig.states(201..=203), [DELIVERED, DEAD, WAITING]);
    assert_eq!(rig.counts(ChannelKind::Email), [1, 3, 1]);
    let alone = &rig.dispatcher.channels[&ChannelId(EMAIL)].alone;
    assert_eq!((1..=6).filter(|machine| alone.contains(&(200 + machine))).collect::<Vec<_>>(), [3, 4, 5, 6]);
}

#[test]
fn a_delivery_that_the_stop_aborted_is_no_attempt_but_its_other_results_count() {
    let mut rig = DispatchRig::new();
    rig.outages(EMAIL, 1..=4);
    rig.rounds();
    rig.dispatcher.stop();
    rig.finish(201, failed());
    rig.finish(202, delivered());
    rig.finish(203, Err(DeliveryError::Unknown { why: "cut".into() }));
    rig.finish(204, refused());
    rig.dispatcher.mark().expect("marked");
    assert_eq!(rig.states(201..=204), [WAITING, DELIVERED, WAITING, DEAD]);
    let attempts: Vec<i64> = (201..=204).map(|id| rig.row(id).attempts).collect();
    assert_eq!(attempts, [0, 1, 1, 1]);
    assert_eq!(rig.row(201).due, START, "the next start sends it at once");
    assert_eq!(rig.counts(ChannelKind::Email), [1, 2, 1]);
}

#[test]
fn leases_are_renewed_each_minute_while_a_message_is_in_flight() {
    let mut rig = DispatchRig::new();
    rig.outages(WEBHOOK, 1..=1);
    rig.rounds();
    let until = |rig: &DispatchRig| rig.row(101).leased_until.map(|until| until.since(START));
    assert_eq!(until(&rig), Some(LEASE));
    for (wait, expected) in [
        (RENEWAL - SECOND, LEASE),
        (SECOND, LEASE + RENEWAL),
        (SECOND, LEASE + RENEWAL),
        (RENEWAL, LEASE + RENEWAL * 2 + SECOND),
    ] {
        rig.wait(wait);
        rig.rounds();
        assert_eq!(until(&rig), Some(expected));
    }
}

#[test]
fn results_that_could_not_be_written_are_kept_and_written_when_the_database_works() {
    let mut rig = DispatchRig::on_file();
    rig.outages(WEBHOOK, 1..=2);
    rig.rounds();
    rig.sql("CREATE TRIGGER full BEFORE UPDATE ON outbox BEGIN SELECT RAISE(ABORT, 'disk full'); END");
    rig.finish(101, delivered());
    rig.wait(SECOND);
    assert_eq!(rig.dispatcher.round(), FAULT_PAUSE);
    rig.wait(MINUTE);
    assert_eq!(rig.dispatcher.round(), FAULT_PAUSE);
    assert_eq!(rig.dispatcher.counters.marking.stuck_for(rig.now().monotonic), MINUTE);
    assert_eq!(rig.dispatcher.counters.reading.stuck_for(rig.now().monotonic), Duration::ZERO);
    assert_eq!(rig.states([101, 102]), [LEASED; 2]);
    rig.sql("DROP TRIGGER full");
    rig.finish(102, failed());
    assert!(rig.rounds() > FAULT_PAUSE);
    assert_eq!(rig.states([101, 102]), [DELIVERED, WAITING]);
    assert_eq!(rig.dispatcher.counters.marking.stuck_for(rig.now().monotonic), Duration::ZERO);
}

#[test]
fn an_outbox_that_cannot_be_read_is_tried_again_after_a_pause() {
    let mut rig = DispatchRig::new();
    rig.outages(WEBHOOK, 1..=1);
    rig.sql("ALTER TABLE channel RENAME TO gone");
    assert_eq!(rig.dispatcher.round(), FAULT_PAUSE);
    rig.wait(FAULT_PAUSE);
    assert_eq!(rig.dispatcher.round(), FAULT_PAUSE);
    assert_eq!(rig.dispatcher.counters.reading.stuck_for(rig.now().monotonic), FAULT_PAUSE);
    rig.sql("ALTER TABLE gone RENAME TO channel");
    rig.rounds();
    assert_eq!(rig.in_flight(), [[101]]);
    assert_eq!(rig.dispatcher.counters.reading.stuck_for(rig.now().monotonic), Duration::ZERO);
}

#[test]
fn the_leases_of_the_previous_process_end_at_the_first_round_only() {
    let mut rig = DispatchRig::new();
    rig.outages(WEBHOOK, 1..=1);
    let limit = LeaseLimit { rows: 9, retries: 9 };
    rig.store.lease(ChannelId(WEBHOOK), LeaseOwner::new(), limit, START).expect("leased");
    rig.rounds();
    assert_eq!(rig.in_flight(), [[101]]);
    rig.wait(SECOND);
    rig.rounds();
    assert_eq!(rig.in_flight(), [[101]], "it is not leased twice");
    assert_eq!(rig.row(101).state, LEASED);
}

#[test]
fn a_clock_that_is_set_forward_expires_nothing_and_one_that_is_slewed_moves_nothing() {
    for (step, postponed) in [(SECOND, Duration::ZERO), (MINUTE * 60 * 48, MINUTE * 60 * 48)] {
        let mut rig = DispatchRig::new();
        rig.outages(WEBHOOK, 1..=1);
        rig.rounds();
        rig.wait(MINUTE);
        rig.step(step);
        rig.finish(101, failed());
        rig.rounds();
        let row = rig.row(101);
        assert_eq!((row.state, row.expires.since(START)), (WAITING, EXPIRES_AFTER + postponed), "{step:?}");
        rig.wait(MINUTE);
        rig.rounds();
        assert_eq!(rig.row(101).expires, row.expires, "once");
        rig.finish(101, delivered());
        rig.rounds();
        assert_eq!(rig.row(101).state, DELIVERED);
    }
}

#[test]
fn two_steps_of_the_clock_add_up_while_the_database_fails() {
    let mut rig = DispatchRig::on_file();
    rig.outages(WEBHOOK, 1..=1);
    rig.rounds();
    rig.sql("CREATE TRIGGER full BEFORE UPDATE ON outbox BEGIN SELECT RAISE(ABORT, 'disk full'); END");
    for _ in 0..2 {
        rig.step(MINUTE);
        assert_eq!(rig.dispatcher.round(), FAULT_PAUSE);
    }
    rig.sql("DROP TRIGGER full");
    rig.rounds();
    assert_eq!(rig.row(101).expires.since(START), EXPIRES_AFTER + MINUTE * 2);
}

#[test]
fn a_clock_that_is_set_back_delays_no_retry() {
    let mut rig = DispatchRig::new();
    rig.outages(WEBHOOK, 1..=2);
    rig.rounds();
    rig.finish(101, failed());
    rig.rounds();
    let wait = rig.row(101).due.since(rig.now().wall);
    rig.finish(102, failed());
    rig.step_back(MINUTE * 47);
    rig.rounds();
    assert_eq!(rig.row(101).due.since(rig.now().wall), wait, "its attempt is in the database");
    assert!(rig.row(102).due.since(rig.now().wall) <= MINUTE, "its attempt was not yet");
}

/// A step forward and the next attempt by the new clock were written one after the other: with the power lost in between, the
/// next process took the row for one that had been tried for two days.
#[test]
fn a_step_forward_is_written_together_with_the_attempts_by_the_new_clock() {
    let mut rig = DispatchRig::new();
    rig.outages(WEBHOOK, 1..=1);
    rig.rounds();
    rig.step(MINUTE * 60 * 48);
    rig.finish(101, failed());
    rig.dispatcher.mark().expect("marked");
    let row = rig.row(101);
    assert!(row.due.since(START) > MINUTE * 60 * 48);
    assert_eq!(row.expires.since(START), EXPIRES_AFTER + MINUTE * 60 * 48);
}

#[test]
fn a_row_is_abandoned_when_its_next_attempt_would_be_at_its_expiry_or_later() {
    const HOUR: Duration = Duration::from_secs(3600);
    for (left, state, dead) in [(HOUR, DEAD, 1), (HOUR + Duration::from_millis(1), WAITING, 0)] {
        let mut rig = DispatchRig::new();
        rig.outages(WEBHOOK, 1..=1);
        rig.sql(&format!("UPDATE outbox SET expires_at = {}", START.plus(left).0));
        rig.rounds();
        rig.finish(101, later(Some(HOUR), false));
        rig.rounds();
        assert_eq!((rig.row(101).state, rig.counts(ChannelKind::Webhook)), (state, [0, 1, dead]), "{left:?}");
    }
}

#[test]
fn rows_that_expired_in_the_outbox_are_counted_as_abandoned() {
    let mut rig = DispatchRig::new();
    rig.rounds();
    rig.outages(WEBHOOK, 1..=3);
    rig.sql(&format!("UPDATE outbox SET expires_at = {} WHERE id < 103", START.0));
    rig.rounds();
    assert_eq!(rig.states(101..=103), [DEAD, DEAD, LEASED]);
    assert_eq!(rig.counts(ChannelKind::Webhook), [0, 0, 2]);
    rig.outages(EMAIL, 1..=1);
    rig.sql(&format!("UPDATE outbox SET expires_at = {} WHERE id = 201", START.0));
    assert_eq!(rig.dispatcher.round(), NOTHING_LEASED, "nothing was started");
}

#[test]
fn the_next_round_is_when_the_next_row_may_be_sent() {
    let mut rig = DispatchRig::new();
    assert_eq!(rig.rounds(), LONGEST_SLEEP, "nothing to do");
    rig.outages(WEBHOOK, 1..=3);
    let due = |rig: &DispatchRig, id: i64, seconds: i64| {
        rig.sql(&format!("UPDATE outbox SET due_at = {} + {seconds} * 1000 WHERE id = {id}", START.0));
    };
    (101..=103).for_each(|id| due(&rig, id, id - 71));
    assert_eq!(rig.rounds(), SECOND * 30);
    due(&rig, 103, 10);
    assert_eq!(rig.rounds(), SECOND * 10, "the first of all");
    rig.outages(EMAIL, 1..=1);
    due(&rig, 201, 7);
    assert_eq!(rig.rounds(), SECOND * 7, "on any channel");
    rig.wait(SECOND * 7);
    assert_eq!(rig.rounds(), SECOND * 3);
    assert_eq!(rig.in_flight(), [[201]]);
}

#[test]
fn a_receiver_that_limits_the_rate_gets_nothing_new_before_its_pause_is_over() {
    let mut rig = DispatchRig::new();
    rig.outages(WEBHOOK, 1..=1);
    rig.rounds();
    rig.finish(101, later(Some(SECOND * 20), true));
    rig.outages(WEBHOOK, 2..=2);
    assert_eq!(rig.rounds(), SECOND * 20);
    rig.wait(SECOND * 19);
    assert_eq!(rig.rounds(), SECOND);
    assert!(rig.in_flight().is_empty());
    rig.wait(SECOND);
    rig.rounds();
    assert_eq!(rig.in_flight(), [[101], [102]]);
}

/// Eight failures in a row, of which nothing is left in the outbox.
fn down() -> DispatchRig {
    let mut rig = DispatchRig::new();
    rig.outages(WEBHOOK, 1..=8);
    rig.rounds();
    (101..=108).for_each(|id| rig.finish(id, failed()));
    rig.rounds();
    rig
}

#[test]
fn on_a_channel_that_is_down_a_new_message_waits_for_no_retry() {
    let mut rig = down();
    rig.sql("UPDATE outbox SET due_at = due_at - 5000");
    let pause = rig.rounds();
    assert!((SECOND * 5..=SECOND * 15 / 2).contains(&pause), "of all retries: {pause:?}");
    rig.outages(WEBHOOK, 9..=10);
    rig.sql("UPDATE outbox SET due_at = due_at + 2000 WHERE id = 109; UPDATE outbox SET due_at = due_at + 60000 WHERE id = 110");
    assert_eq!(rig.rounds(), SECOND * 2);
    rig.wait(SECOND * 2);
    assert_eq!(rig.rounds(), pause - SECOND * 2);
    assert_eq!(rig.in_flight(), [[109]], "it has never been tried");
    rig.wait(pause - SECOND * 2);
    rig.rounds();
    assert_eq!(rig.in_flight().len(), 2, "one retry beside it");
}

#[test]
fn while_the_only_retry_of_a_channel_is_in_flight_the_others_wait_for_its_end() {
    let mut rig = down();
    rig.wait(SECOND * 10);
    assert_eq!(rig.rounds(), LONGEST_SLEEP);
    assert_eq!(rig.in_flight().len(), 1);
    rig.outages(WEBHOOK, 9..=9);
    rig.sql("UPDATE outbox SET due_at = due_at + 3000 WHERE id = 109");
    assert_eq!(rig.rounds(), SECOND * 3, "a new message does not wait for it");
}

#[test]
fn a_delivery_ends_the_backoff_of_rows_that_failed_before_it() {
    for result in [delivered(), refused()] {
        let mut rig = DispatchRig::new();
        rig.outages(WEBHOOK, 1..=2);
        rig.rounds();
        rig.finish(101, failed());
        rig.finish(102, result.clone());
        rig.rounds();
        assert_eq!(rig.row(101).due, START.plus(SECOND), "the receiver works: {result:?}");
    }
}

#[test]
fn a_result_of_an_unknown_message_is_ignored() {
    let mut rig = DispatchRig::new();
    rig.outages(WEBHOOK, 1..=1);
    rig.rounds();
    rig.dispatcher.finish(JobResult { number: 77, result: delivered() });
    rig.rounds();
    assert_eq!((rig.in_flight(), rig.row(101).state), (vec![vec![101]], LEASED));
}

#[test]
fn courier_threads_are_due_to_end_a_minute_after_the_last_delivery() {
    let mut rig = DispatchRig::new();
    rig.outages(WEBHOOK, 1..=1);
    rig.rounds();
    rig.wait(SECOND * 10);
    assert_eq!(rig.rounds(), LONGEST_SLEEP, "one is in flight");
    rig.finish(101, delivered());
    rig.wait(SECOND * 20);
    assert_eq!(rig.rounds(), SECOND * 40);
}

#[test]
fn a_channel_without_work_is_forgotten_once_its_pace_and_its_log_are_as_new() {
    let mut rig = DispatchRig::new();
    let is_known = |rig: &mut DispatchRig, wait: Duration| {
        rig.wait(wait);
        rig.rounds();
        rig.dispatcher.channels.contains_key(&ChannelId(WEBHOOK))
    };
    rig.outages(WEBHOOK, 1..=1);
    rig.rounds();
    rig.finish(101, delivered());
    assert!(is_known(&mut rig, SECOND * 29), "it has just delivered");
    assert!(!is_known(&mut rig, SECOND));
    rig.outages(WEBHOOK, 2..=2);
    rig.rounds();
    rig.finish(102, failed());
    rig.rounds();
    rig.sql("UPDATE outbox SET due_at = due_at + 86400000 WHERE id = 102");
    assert!(is_known(&mut rig, MINUTE * 120), "it has work, although that is due in a day");
    rig.sql("UPDATE outbox SET state = 4 WHERE id = 102");
    assert!(!is_known(&mut rig, SECOND));
    rig.outages(WEBHOOK, 3..=3);
    rig.rounds();
    rig.finish(103, failed());
    rig.rounds();
    rig.sql("UPDATE outbox SET state = 4 WHERE id = 103");
    assert!(is_known(&mut rig, MINUTE * 59), "its failure was logged less than an hour ago");
    assert!(!is_known(&mut rig, MINUTE));
}

#[test]
fn a_failure_is_noted_for_the_log_until_the_channel_works_again() {
    let mut rig = DispatchRig::new();
    rig.outages(WEBHOOK, 1..=2);
    rig.rounds();
    rig.finish(101, failed());
    assert!(rig.dispatcher.channels[&ChannelId(WEBHOOK)].has_logged_failure);
    rig.finish(102, delivered());
    assert!(!rig.dispatcher.channels[&ChannelId(WEBHOOK)].has_logged_failure);
}

#[test]
fn an_undisturbed_delivery_logs_nothing() {
    let mut rig = DispatchRig::new();
    rig.outages(WEBHOOK, 1..=2);
    let logged = logged(|| {
        rig.rounds();
        rig.finish(101, delivered());
        rig.finish(102, delivered());
        rig.rounds();
    });
    assert_eq!(logged, Vec::<String>::new());
}

#[test]
fn the_log_names_the_begin_and_the_end_of_a_fault_and_what_was_abandoned() {
    let mut rig = DispatchRig::new();
    rig.outages(WEBHOOK, 1..=9);
    let limit = LeaseLimit { rows: 3, retries: 0 };
    rig.store.lease(ChannelId(WEBHOOK), LeaseOwner::new(), limit, START).expect("leased");
    rig.sql("ALTER TABLE channel RENAME TO gone");
    let begin = logged(|| (0..3).for_each(|_| _ = rig.dispatcher.round()));
    let [first, second] = &begin[..] else { panic!("{begin:?}") };
    assert_eq!(first, "[INFO] 3 notifications were in flight when the monitor ended; sending them again");
    assert!(
        second.starts_with("[WARN] cannot read or mark the outbox, notifications are stalled: "),
        "{second}"
    );
    rig.sql("ALTER TABLE gone RENAME TO channel");
    assert_eq!(logged(|| _ = rig.rounds()), ["[INFO] the outbox can be read and written again"]);

    rig.sql("UPDATE outbox SET lease = lease + 1 WHERE id IN (101, 102)");
    (101..=103).for_each(|id| rig.finish(id, delivered()));
    let expired = format!("UPDATE outbox SET expires_at = {} WHERE id = 109", START.0);
    rig.sql(&expired);
    assert_eq!(
        logged(|| _ = rig.rounds()),
        [
            "[WARN] 2 notifications were changed while they were being sent",
            "[WARN] webhook channel 1: 1 notifications expired undelivered"
        ]
    );
    let failure = logged(|| rig.finish(104, later(Some(MINUTE), false)));
    assert_eq!(failure, ["[WARN] webhook channel 1: 🔴 m4 offline: 503; next attempt in 1m0s"]);
    assert_eq!(logged(|| rig.finish(105, failed())), Vec::<String>::new(), "the same reason within an hour");
    assert_eq!(logged(|| rig.finish(106, delivered())), ["[INFO] webhook channel 1 works again"]);
    assert_eq!(logged(|| rig.finish(107, delivered())), Vec::<String>::new());
    assert_eq!(logged(|| _ = rig.rounds()), Vec::<String>::new());
}
