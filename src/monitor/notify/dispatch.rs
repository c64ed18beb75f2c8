//! The thread that decides: what is due on which channel, who sends it, and what a result means for its rows.
//!
//! A row is marked after it was sent, never before: a monitor that is killed in between sends it again, with the same id.
//! This thread never waits for a receiver.

use super::batch::{Outgoing, messages};
use super::channel::Channel;
use super::complaints::Complaints;
use super::counters::Counters;
use super::couriers::Clock;
use super::pace::{Pace, Setback, Turn};
use super::pool::{CLASSES, Class, Done, Job, Pool, Surroundings};
use super::send::{Failure, Sender as Carrier};
use crate::clock::Now;
use crate::duration::go_seconds_up;
use crate::monitor::notify::channel::ChannelId;
use crate::monitor::notify::outbox::{
    DeliveryOutcome, LeaseLimit, LeaseOwner, LeasedBatch, LeasedRow, PendingWork,
};
use crate::monitor::store::{Store, StoreError};
use log::{debug, info, warn};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The outbox is read without a reason after this time; the wall clock may have been set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// After the database has failed, or no thread could be started.
const STORE_REST: Duration = Duration::from_secs(5);

/// After something was due and could not be leased.
const NOTHING_LEASED: Duration = Duration::from_secs(1);

/// Leases are renewed this often while anything is in flight; they last five times as long.
const RENEWAL: Duration = Duration::from_secs(60);

/// A wall clock that gains more than this between two rounds was set forward; slewing stays far below.
const CLOCK_STEP: Duration = Duration::from_secs(1);

/// A mail that may have arrived is not sent again before this time: the server may still be working on it, and a person
/// who got it needs no second one soon.
pub const UNKNOWN_HOLD: Duration = Duration::from_secs(30 * 60);

/// One channel's pace, and what was last logged about it.
#[derive(Default)]
struct Line {
    pace: Pace,
    complaints: Complaints,
    /// Rows whose common message was refused: each is sent alone.
    alone: HashSet<i64>,
}

/// A message that a courier has.
struct Flight {
    channel: Arc<Channel>,
    rows: Vec<LeasedRow>,
    title: String,
}

impl Flight {
    fn is_retry(&self) -> bool {
        self.rows.iter().all(|row| row.attempts > 0)
    }

    fn ids(&self) -> Vec<i64> {
        self.rows.iter().map(|row| row.id).collect()
    }
}

pub struct Dispatcher {
    store: Arc<Store>,
    clock: Clock,
    counters: Arc<Counters>,
    carrier: Arc<Carrier>,
    /// Marks our leases in the database.
    owner: LeaseOwner,
    lines: HashMap<ChannelId, Line>,
    pools: [Pool; CLASSES.len()],
    flights: HashMap<u64, Flight>,
    next_flight: u64,
    /// Results that the database does not have yet.
    unmarked: Vec<(i64, DeliveryOutcome)>,
    /// Rows whose backoff has ended early, in the same way.
    freed: Vec<i64>,
    renewed_at: Instant,
    /// Both clocks when they were compared last.
    compared_at: Now,
    /// Steps of the wall clock that the database does not have yet.
    stepped: Duration,
    /// The leases of the process before this one are freed.
    has_taken_over: bool,
    store_failed: bool,
    /// Nothing new is started, and a message that did not get through was interrupted.
    is_stopping: bool,
}

impl Dispatcher {
    pub fn new(
        store: Arc<Store>,
        clock: Clock,
        counters: Arc<Counters>,
        carrier: Carrier,
        owner: LeaseOwner,
        surroundings: &Surroundings,
    ) -> Dispatcher {
        let compared_at = clock();
        Dispatcher {
            store,
            clock,
            counters,
            carrier: Arc::new(carrier),
            owner,
            lines: HashMap::new(),
            pools: CLASSES.map(|class| Pool::new(class, surroundings.clone())),
            flights: HashMap::new(),
            next_flight: 0,
            unmarked: Vec::new(),
            freed: Vec::new(),
            renewed_at: compared_at.monotonic,
            compared_at,
            stepped: Duration::ZERO,
            has_taken_over: false,
            store_failed: false,
            is_stopping: false,
        }
    }

    /// Takes effect with the next message.
    pub fn use_carrier(&mut self, carrier: Carrier) {
        self.carrier = Arc::new(carrier);
    }

    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// From here on, messages that fail have been interrupted.
    pub fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// Marks what is done and starts what is due. Returns the time until something else is.
    pub fn round(&mut self) -> Duration {
        match self.work() {
            Ok(sleep) => {
                if std::mem::take(&mut self.store_failed) {
                    info!("the outbox can be read and written again");
                }
                sleep.min(LONGEST_SLEEP)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.store_failed, true) {
                    warn!("cannot read or mark the outbox, notifications are stalled: {error}");
                }
                STORE_REST
            }
        }
    }

    fn work(&mut self) -> Result<Duration, StoreError> {
        let now = (self.clock)().monotonic;
        self.counters.marking.started(now);
        self.mark()?;
        self.renew()?;
        self.counters.marking.succeeded();
        self.counters.reading.started(now);
        let sleep = self.look()?;
        self.counters.reading.succeeded();
        Ok(sleep)
    }

    /// Writes what became of the rows. What the database does not take is kept for the next round.
    pub fn mark(&mut self) -> Result<(), StoreError> {
        if self.unmarked.is_empty() && self.freed.is_empty() {
            return Ok(());
        }
        let now = (self.clock)().wall;
        let held = self.store.settle(self.owner, &self.unmarked, &self.freed, now)?;
        if held < self.unmarked.len() {
            warn!("{} notifications were changed while they were being sent", self.unmarked.len() - held);
        }
        self.unmarked.clear();
        self.freed.clear();
        Ok(())
    }

    /// A lease never expires under a living courier.
    fn renew(&mut self) -> Result<(), StoreError> {
        let now = (self.clock)();
        if self.flights.is_empty() || now.monotonic < self.renewed_at + RENEWAL {
            return Ok(());
        }
        self.store.renew_leases(self.owner, now.wall)?;
        self.renewed_at = now.monotonic;
        Ok(())
    }

    /// A step forward of the wall clock brings no notification nearer to its expiry.
    fn compare_clocks(&mut self, now: Now) {
        let last = std::mem::replace(&mut self.compared_at, now);
        let step = now.wall.since(last.wall.plus(now.since(last.monotonic)));
        if step > CLOCK_STEP {
            self.stepped += step;
            for row in self.flights.values_mut().flat_map(|flight| &mut flight.rows) {
                row.expires = row.expires.plus(step);
            }
        }
    }

    /// Starts what is due on every channel, as far as its pace and the threads allow.
    fn look(&mut self) -> Result<Duration, StoreError> {
        let now = (self.clock)();
        self.compare_clocks(now);
        if !self.has_taken_over {
            let unfinished = self.store.free_leases(now.wall, UNKNOWN_HOLD)?;
            if unfinished > 0 {
                info!(
                    "{unfinished} notifications were being sent when the monitor ended, and are sent again"
                );
            }
            self.has_taken_over = true;
        }
        if !self.stepped.is_zero() {
            self.store.postpone_expiry(self.stepped)?;
            self.stepped = Duration::ZERO;
        }
        let work = self.store.channels_with_work(self.owner, now.wall)?;
        self.lines.retain(|channel, line| {
            line.pace.is_worth_keeping(now.monotonic)
                || line.complaints.is_recent(now.monotonic)
                || work.iter().any(|work| work.channel == *channel)
        });
        let mut sleep = LONGEST_SLEEP;
        for pool in &mut self.pools {
            sleep = pool.rest(now.monotonic).map_or(sleep, |left| left.min(sleep));
        }
        for work in work {
            if let Some(wait) = self.serve(&work, now)? {
                sleep = sleep.min(wait);
            }
        }
        Ok(sleep)
    }

    /// Starts what is due on one channel. Returns when to look again; `None`: when something else happens.
    fn serve(&mut self, work: &PendingWork, now: Now) -> Result<Option<Duration>, StoreError> {
        let pace = &mut self.lines.entry(work.channel).or_default().pace;
        let (most, retries, retries_at) = match pace.turn(work.kind, now.monotonic) {
            Turn::Later(at) => return Ok(at.map(|at| at - now.monotonic)),
            Turn::Now { messages, retries, retries_at } => (messages, retries, retries_at),
        };
        let retries = if retries_at.is_some() { 0 } else { retries };
        let new_wait = work.new_due.map(|due| due.since(now.wall));
        let wait = match (retries, retries_at) {
            (0, Some(at)) => Some(new_wait.map_or(at - now.monotonic, |wait| wait.min(at - now.monotonic))),
            // Until a retry has ended.
            (0, None) => new_wait,
            _ => Some(work.due.since(now.wall)),
        };
        if wait != Some(Duration::ZERO) {
            return Ok(wait);
        }
        let room = self.pools[Class::of(work.kind) as usize].room(pace.is_idle());
        let most = most.min(room);
        if most == 0 {
            return Ok(None);
        }
        let rows = match work.kind.is_for_people() {
            true => LeaseLimit { rows: MOST_GATHERED, retries: if retries > 0 { MOST_GATHERED } else { 0 } },
            false => LeaseLimit { rows: most, retries: retries.min(most) },
        };
        let Some(batch) = self.store.lease(work.channel, self.owner, rows, now.wall)? else {
            // Disabled since it was looked at.
            return Ok(Some(STORE_REST));
        };
        if batch.expired > 0 {
            self.counters.given_up(batch.channel.kind, batch.expired);
            warn!("{}: {} notifications have expired unsent", batch.channel.name(), batch.expired);
        }
        let is_progress = self.start(batch, most, now.monotonic)? > 0;
        // What is due next is known when what was leased no longer counts.
        Ok(Some(if is_progress { Duration::ZERO } else { NOTHING_LEASED }))
    }

    /// Starts `most` messages, and gives the rest of the rows back. Returns how many were started.
    fn start(&mut self, batch: LeasedBatch, most: usize, now: Instant) -> Result<usize, StoreError> {
        let channel = Arc::new(batch.channel);
        let mut started = 0;
        let alone = &self.lines.entry(channel.id).or_default().alone;
        for Outgoing { what, rows } in messages(channel.kind, &batch.clock, batch.rows, alone) {
            let title = what.title();
            let job = Job {
                number: self.next_flight,
                carrier: self.carrier.clone(),
                channel: channel.clone(),
                message: what,
            };
            let line = self.lines.entry(channel.id).or_default();
            if started == most || !self.pools[Class::of(channel.kind) as usize].start(job, now) {
                if started < most {
                    // No thread.
                    line.pace.rest(now, STORE_REST);
                }
                self.unmarked.extend(rows.iter().map(|row| (row.id, DeliveryOutcome::Untouched)));
                continue;
            }
            started += 1;
            let flight = Flight { channel: channel.clone(), rows, title };
            line.pace.started(flight.is_retry());
            self.flights.insert(self.next_flight, flight);
            self.next_flight += 1;
        }
        self.mark()?;
        Ok(started)
    }

    /// Takes a result; [`Dispatcher::mark`] writes it.
    pub fn take(&mut self, done: Done) {
        let now = (self.clock)();
        self.compare_clocks(now);
        let Some(flight) = self.flights.remove(&done.number) else { return };
        self.pools[Class::of(flight.channel.kind) as usize].ended(now.monotonic);
        self.lines.entry(flight.channel.id).or_default().pace.ended(flight.is_retry());
        let outcomes = match done.result {
            Ok(answer) => self.delivered(&flight, &answer, now.monotonic),
            Err(failure) => self.failed(&flight, failure, now),
        };
        if let Some(line) = self.lines.get_mut(&flight.channel.id).filter(|line| !line.alone.is_empty()) {
            for (row, outcome) in &outcomes {
                if matches!(outcome, DeliveryOutcome::Delivered | DeliveryOutcome::Dead { .. }) {
                    line.alone.remove(row);
                }
            }
        }
        self.unmarked.extend(outcomes);
    }

    fn delivered(&mut self, flight: &Flight, answer: &str, now: Instant) -> Vec<(i64, DeliveryOutcome)> {
        let name = flight.channel.name();
        self.counters.delivered(flight.channel.kind, flight.rows.len());
        debug!("{name}: {} delivered: {answer}", flight.title);
        let line = self.lines.entry(flight.channel.id).or_default();
        if line.complaints.worked() {
            info!("{name} works again");
        }
        self.freed.extend(line.pace.worked(now));
        flight.rows.iter().map(|row| (row.id, DeliveryOutcome::Delivered)).collect()
    }

    fn failed(&mut self, flight: &Flight, failure: Failure, now: Now) -> Vec<(i64, DeliveryOutcome)> {
        let (kind, name) = (flight.channel.kind, flight.channel.name());
        let line = self.lines.entry(flight.channel.id).or_default();
        let (why, again) = match failure {
            // Interrupted before the receiver had it.
            Failure::Later { .. } if self.is_stopping => {
                return flight.rows.iter().map(|row| (row.id, DeliveryOutcome::Untouched)).collect();
            }
            // One of its machines may be the reason: the others must not lose their message.
            Failure::Never { why } if flight.rows.len() > 1 => {
                self.counters.failed(kind);
                line.alone.extend(flight.ids());
                warn!("{name}: {} is refused and sent again as one message a machine: {why}", flight.title);
                let outcome = DeliveryOutcome::Failed { why, again: now.wall.plus(APART_AFTER) };
                return flight.rows.iter().map(|row| (row.id, outcome.clone())).collect();
            }
            Failure::Never { why } => {
                self.counters.failed(kind);
                self.counters.given_up(kind, flight.rows.len());
                // The receiver was reached; it refuses this message alone.
                self.freed.extend(line.pace.worked(now.monotonic));
                warn!("{name}: given up: {}: {why}", flight.title);
                return flight
                    .rows
                    .iter()
                    .map(|row| (row.id, DeliveryOutcome::Dead { why: why.clone() }))
                    .collect();
            }
            Failure::Unknown { why } => {
                let outcome =
                    DeliveryOutcome::Unknown { why: why.clone(), again: now.wall.plus(UNKNOWN_HOLD) };
                warn!("{name}: {} may have arrived, next attempt in 30 min: {why}", flight.title);
                self.counters.failed(kind);
                return flight.rows.iter().map(|row| (row.id, outcome.clone())).collect();
            }
            Failure::Later { why, after, limits_us } => {
                // Rows that are sent together stay together.
                let attempts = flight.rows.iter().map(|row| row.attempts).min().unwrap_or(0) + 1;
                let setback = Setback { attempts, asked: after, limits_us };
                let delay = line.pace.failed(&flight.ids(), setback, now.monotonic, fastrand::f64());
                let may_end_early = flight.rows.first().is_some_and(|row| line.pace.may_end_early(row.id));
                let when = if may_end_early { "within" } else { "in" };
                let sentence =
                    format!("{name}: {}: {why}; next attempt {when} {}", flight.title, go_seconds_up(delay));
                line.complaints.failed(&why, sentence, now.monotonic);
                (why, now.wall.plus(delay))
            }
        };
        self.counters.failed(kind);
        let outcome = |row: &LeasedRow| match again < row.expires {
            true => (row.id, DeliveryOutcome::Failed { why: why.clone(), again }),
            false => {
                self.counters.given_up(kind, 1);
                warn!("{name}: given up after a day: {}: {why}", row.notice.title());
                (row.id, DeliveryOutcome::Dead { why: why.clone() })
            }
        };
        flight.rows.iter().map(outcome).collect()
    }
}

/// Between a refusal of a common message and the messages of its machines.
const APART_AFTER: Duration = Duration::from_secs(1);

/// Rows that are leased at once for a person, who gets few messages of them.
const MOST_GATHERED: usize = 10_000;
