//! The dispatcher: leases due rows, passes them to couriers, and marks the results.
//!
//! A row is marked after it was sent, never before: a monitor that is killed in between sends it again with the same id.
//! The dispatcher never waits for a receiver.

mod failures;
#[cfg(test)]
mod tests;

use super::batch::{Flight, MOST_GATHERED, Outgoing, messages};
use super::channel::{CLASSES, ChannelId, ChannelKind};
use super::channel_state::ChannelState;
use super::counters::DeliveryCounters;
use super::pace::Turn;
use super::pool::{CourierPool, DeliveryJob, JobResult, StartCourier};
use super::send::DeliveryClient;
use super::sent_message::AcknowledgeOffers;
use crate::clock::Now;
use crate::monitor::notify::outbox::watched_clock::WatchedClock;
use crate::monitor::notify::outbox::{DeliveryOutcome, LeaseLimit, LeaseOwner, LeasedBatch, UNKNOWN_HOLD};
use crate::monitor::store::{Store, StoreError};
use log::{debug, info, warn};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The current time; tests move it.
pub type NowSource = Arc<dyn Fn() -> Now + Send + Sync>;

/// The outbox is read at least this often, because the wall clock may be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Pause after the database failed, or a thread could not be started.
const FAULT_PAUSE: Duration = Duration::from_secs(5);

/// Pause after due rows could not be leased.
const NOTHING_LEASED: Duration = Duration::from_secs(1);

/// Leases are renewed this often while anything is in flight; they last five times as long.
const RENEWAL: Duration = Duration::from_secs(60);

pub struct Dispatcher {
    store: Arc<Store>,
    clock: NowSource,
    counters: Arc<DeliveryCounters>,
    client: Arc<DeliveryClient>,
    /// Identifies our leases in the database.
    owner: LeaseOwner,
    channels: HashMap<ChannelId, ChannelState>,
    pools: [CourierPool; CLASSES.len()],
    flights: HashMap<u64, Flight>,
    next_flight: u64,
    /// Results that are not in the database yet.
    unmarked: Vec<(i64, DeliveryOutcome)>,
    /// Rows whose backoff ended early, not in the database yet.
    freed: Vec<i64>,
    renewed_at: Instant,
    watched_clock: WatchedClock,
    offers: AcknowledgeOffers,
    /// The leases of the previous process are released.
    has_taken_over: bool,
    /// A commit was not confirmed: rows may be leased that no courier got.
    has_lost_track: bool,
    store_failed: bool,
    /// Failed deliveries were aborted by the stop.
    is_stopping: bool,
}

impl Dispatcher {
    pub fn new(
        store: Arc<Store>,
        clock: NowSource,
        counters: Arc<DeliveryCounters>,
        client: Arc<DeliveryClient>,
        owner: LeaseOwner,
        start_courier: &StartCourier,
    ) -> Dispatcher {
        let now = clock();
        Dispatcher {
            store,
            clock,
            counters,
            client,
            owner,
            channels: HashMap::new(),
            pools: CLASSES.map(|class| CourierPool::new(class, start_courier.clone())),
            flights: HashMap::new(),
            next_flight: 0,
            unmarked: Vec::new(),
            freed: Vec::new(),
            renewed_at: now.monotonic,
            watched_clock: WatchedClock::new(now),
            offers: AcknowledgeOffers::default(),
            has_taken_over: false,
            has_lost_track: false,
            store_failed: false,
            is_stopping: false,
        }
    }

    /// Takes effect with the next message.
    pub fn use_client(&mut self, client: DeliveryClient) {
        self.client = Arc::new(client);
    }

    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// From now on, failures are caused by the stop.
    pub fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// Marks results and starts due messages. Returns the time until the next round.
    pub fn round(&mut self) -> Duration {
        match self.work() {
            Ok(sleep) => {
                if std::mem::take(&mut self.store_failed) {
                    info!("the outbox can be read and written again");
                }
                sleep.min(LONGEST_SLEEP)
            }
            Err(error) => {
                self.has_lost_track |= error == StoreError::Uncertain;
                if !std::mem::replace(&mut self.store_failed, true) {
                    warn!("cannot read or mark the outbox, notifications are stalled: {error}");
                }
                FAULT_PAUSE
            }
        }
    }

    fn work(&mut self) -> Result<Duration, StoreError> {
        let now = (self.clock)().monotonic;
        self.counters.marking.started(now);
        self.end_leases_of_previous_process()?;
        self.mark()?;
        self.release_unknown()?;
        self.renew()?;
        self.counters.marking.succeeded();
        self.counters.reading.started(now);
        let sleep = self.start_due(self.watched_clock.compared_at())?;
        self.counters.reading.succeeded();
        Ok(sleep)
    }

    /// Writes the results of rows; keeps them for the next round if the database fails.
    pub fn mark(&mut self) -> Result<(), StoreError> {
        let now = (self.clock)();
        self.compare_clocks(now);
        let steps = self.watched_clock.unsaved();
        if self.unmarked.is_empty() && self.freed.is_empty() && steps.is_none() {
            return Ok(());
        }
        let held = self.store.settle(self.owner, &self.unmarked, &self.freed, steps, now.wall)?;
        self.watched_clock.saved();
        if held < self.unmarked.len() {
            warn!("{} notifications were changed while they were being sent", self.unmarked.len() - held);
        }
        self.unmarked.clear();
        self.freed.clear();
        Ok(())
    }

    fn release_unknown(&mut self) -> Result<(), StoreError> {
        if self.has_lost_track {
            let kept: Vec<i64> =
                self.flights.values().flat_map(|flight| &flight.rows).map(|row| row.id).collect();
            self.store.release_unknown(self.owner, &kept)?;
            self.has_lost_track = false;
        }
        Ok(())
    }

    /// Renews the leases, so that none expires while a courier is sending.
    fn renew(&mut self) -> Result<(), StoreError> {
        let now = (self.clock)();
        if self.flights.is_empty() || now.monotonic < self.renewed_at + RENEWAL {
            return Ok(());
        }
        self.store.renew_leases(self.owner, now.wall)?;
        self.renewed_at = now.monotonic;
        Ok(())
    }

    /// After a step of the wall clock: one forward must not expire what is in flight, one back must not delay its retry.
    fn compare_clocks(&mut self, now: Now) {
        let step = self.watched_clock.compare(now);
        for row in self.flights.values_mut().flat_map(|flight| &mut flight.rows) {
            row.expires = row.expires.plus(step.forward);
        }
        for (_, outcome) in &mut self.unmarked {
            if let DeliveryOutcome::Failed { again, .. } | DeliveryOutcome::Unknown { again, .. } = outcome {
                *again = again.minus(step.back);
            }
        }
    }

    fn end_leases_of_previous_process(&mut self) -> Result<(), StoreError> {
        if self.has_taken_over {
            return Ok(());
        }
        let unfinished = self.store.free_leases((self.clock)().wall, UNKNOWN_HOLD)?;
        if unfinished > 0 {
            info!("{unfinished} notifications were in flight when the monitor ended; sending them again");
        }
        self.has_taken_over = true;
        Ok(())
    }

    /// Starts due messages on all channels, as far as pace and threads allow. `now` is when the clocks were compared last:
    /// by a clock that was set forward since, messages would expire.
    fn start_due(&mut self, now: Now) -> Result<Duration, StoreError> {
        let work = self.store.channels_with_rows()?;
        let has_work = |id| work.iter().any(|(channel, _)| *channel == id);
        self.channels.retain(|channel, state| {
            state.pace.is_worth_keeping(now.monotonic)
                || state.log_limit.is_active(now.monotonic)
                || has_work(*channel)
        });
        let is_in_flight = |id| self.flights.values().any(|flight| flight.channel.id == id);
        self.counters.retain_failing(|id| has_work(id) || is_in_flight(id));
        let mut sleep = LONGEST_SLEEP;
        for pool in &mut self.pools {
            sleep = pool.end_if_idle(now.monotonic).map_or(sleep, |left| left.min(sleep));
        }
        for (channel, kind) in work {
            if let Some(wait) = self.start_on(channel, kind, now)? {
                sleep = sleep.min(wait);
            }
        }
        Ok(sleep)
    }

    /// Starts due messages on one channel. Returns the time until the next look; `None`: until another event.
    fn start_on(
        &mut self,
        channel: ChannelId,
        kind: ChannelKind,
        now: Now,
    ) -> Result<Option<Duration>, StoreError> {
        let ChannelState { pace, look, alone, .. } = self.channels.entry(channel).or_default();
        if let Some(pause) = look.pause(now.monotonic) {
            return Ok(Some(pause));
        }
        let (most, retries, retries_at) = match pace.turn(kind, now.monotonic) {
            Turn::Later(at) => return Ok(at.map(|at| at - now.monotonic)),
            Turn::Now { messages, retries, retries_at } => (messages, retries, retries_at),
        };
        let retries = if retries_at.is_some() { 0 } else { retries };
        let (has_alone, only_new) = (!alone.is_empty(), retries == 0);
        let work = self.store.pending_work(channel, self.owner, only_new, look.after, now.wall)?;
        let wait = work.due.map(|due| due.since(now.wall));
        if wait != Some(Duration::ZERO) {
            let next_look = look.found_nothing(work, now.monotonic);
            let retry = retries_at.map(|at| at - now.monotonic);
            return Ok([wait, retry, next_look].into_iter().flatten().min());
        }
        let room = self.pools[kind.class() as usize].room(pace.is_idle());
        let most = most.min(room);
        if most == 0 {
            return Ok(None);
        }
        let rows = match kind.is_for_people() {
            // Rows that are sent alone are retries: no more of them are leased than can be sent.
            true if has_alone => LeaseLimit { rows: MOST_GATHERED, retries: retries.min(most) },
            true => LeaseLimit { rows: MOST_GATHERED, retries: if retries > 0 { MOST_GATHERED } else { 0 } },
            false => LeaseLimit { rows: most, retries: retries.min(most) },
        };
        let Some(batch) = self.store.lease_in(channel, self.owner, rows, work.stretch, now.wall)? else {
            // The channel was disabled meanwhile.
            return Ok(Some(FAULT_PAUSE));
        };
        if batch.expired > 0 {
            self.counters.abandoned(batch.channel.kind, batch.expired);
            warn!("{}: {} notifications expired undelivered", batch.channel.name(), batch.expired);
        }
        let is_progress = self.start(batch, most, now.monotonic)? > 0;
        // Look again at once: the leased rows no longer count as due.
        Ok(Some(if is_progress { Duration::ZERO } else { NOTHING_LEASED }))
    }

    /// Starts at most `most` messages and releases the other rows. Returns the number of started messages.
    fn start(&mut self, batch: LeasedBatch, most: usize, now: Instant) -> Result<usize, StoreError> {
        let channel = Arc::new(batch.channel);
        let mut started = 0;
        let alone = &self.channels.entry(channel.id).or_default().alone;
        let site = self.client.site().cloned();
        let mut outgoing = messages(channel.kind, &batch.clock, batch.rows, alone, site.as_ref());
        self.offers.add(&self.store, channel.kind, site.as_deref(), &mut outgoing, (self.clock)().wall);
        for Outgoing { what, rows } in outgoing {
            let title = what.title();
            let job = DeliveryJob {
                number: self.next_flight,
                client: self.client.clone(),
                channel: channel.clone(),
                message: what,
            };
            let state = self.channels.entry(channel.id).or_default();
            if started == most || !self.pools[channel.kind.class() as usize].start(job, now) {
                if started < most {
                    // No thread could be started.
                    state.pace.pause(now, FAULT_PAUSE);
                }
                self.unmarked.extend(rows.iter().map(|row| (row.id, DeliveryOutcome::Untouched)));
                continue;
            }
            started += 1;
            let flight = Flight { channel: channel.clone(), rows, title };
            state.pace.started(flight.is_retry());
            self.flights.insert(self.next_flight, flight);
            self.next_flight += 1;
        }
        self.mark()?;
        Ok(started)
    }

    /// Processes a result; [`Dispatcher::mark`] writes it.
    pub fn finish(&mut self, done: JobResult) {
        let now = (self.clock)();
        self.compare_clocks(now);
        let Some(flight) = self.flights.remove(&done.number) else { return };
        self.pools[flight.channel.kind.class() as usize].ended(now.monotonic);
        let state = self.channels.entry(flight.channel.id).or_default();
        state.pace.ended(flight.is_retry());
        state.look.ended_message();
        let outcomes = match done.result {
            Ok(answer) => self.delivered(&flight, &answer, now.monotonic),
            Err(error) => self.failed(&flight, error, now),
        };
        if let Some(state) = self.channels.get_mut(&flight.channel.id).filter(|state| !state.alone.is_empty())
        {
            for (row, outcome) in &outcomes {
                if matches!(outcome, DeliveryOutcome::Delivered | DeliveryOutcome::Dead { .. }) {
                    state.alone.remove(row);
                }
            }
        }
        self.unmarked.extend(outcomes);
    }

    fn delivered(&mut self, flight: &Flight, answer: &str, now: Instant) -> Vec<(i64, DeliveryOutcome)> {
        let name = flight.channel.name();
        self.counters.delivered(flight.channel.kind, flight.rows.len());
        self.counters.channel_works(flight.channel.id);
        debug!("{name}: {} delivered: {answer}", flight.title);
        let state = self.channels.entry(flight.channel.id).or_default();
        if std::mem::take(&mut state.has_logged_failure) {
            info!("{name} works again");
        }
        self.freed.extend(state.pace.succeeded(now));
        flight.each(&DeliveryOutcome::Delivered)
    }
}
