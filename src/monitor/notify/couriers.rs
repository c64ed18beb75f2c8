//! Who sends when: one thread that decides, and one for each channel that is being sent to.
//!
//! The deciding thread owns every channel's pace. It lends it to a courier, a thread that leases what is due on its
//! channel, sends it, marks it, and ends; so a channel that hangs holds up nobody, and an idle monitor has one thread
//! here. A row is marked after it was sent, never before: whoever is killed in between sends it again, with the same
//! id.

use super::Settings;
use super::channel::{Channel, KINDS, Kind};
use super::pace::Pace;
use super::plan::ChannelId;
use super::send::{Failure, Message, Sender as Carrier};
use crate::monitor::detect::MANY;
use crate::monitor::store::outbox::{Batch, Leased, Outcome};
use crate::monitor::store::{Store, StoreError};
use crate::monitor::time::{Moment, go_duration};
use crossbeam_channel::{Receiver, Sender, TryRecvError, after, bounded, never, select};
use log::{debug, info, warn};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What the clocks say; tests turn them.
pub type Clock = Arc<dyn Fn() -> (Moment, Instant) + Send + Sync>;

/// Channels that are sent to at the same time. More are only met where so many hang, 10 s each before they back off.
const MOST_COURIERS: usize = 32;

/// What nothing was due on is not asked again for so long, unless something is new.
const REST: Duration = Duration::from_secs(1);

/// After the database has failed.
const STORE_REST: Duration = Duration::from_secs(5);

/// A look at the outbox without a reason; the wall clock may have been set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// For couriers that are sending when the monitor stops without saying how long it waits.
const GRACE: Duration = Duration::from_secs(4);

/// What was done since the start, for each kind of channel; for `/metrics`.
#[derive(Debug, Default)]
pub struct Counters([KindCounters; KINDS.len()]);

#[derive(Debug, Default)]
struct KindCounters {
    delivered: AtomicU64,
    failed: AtomicU64,
    dead: AtomicU64,
}

/// A reading of [`Counters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub kind: Kind,
    /// Rows of the outbox that a receiver has accepted.
    pub delivered: u64,
    /// Attempts that did not work.
    pub failed: u64,
    /// Rows that were given up.
    pub dead: u64,
}

impl Counters {
    pub fn read(&self) -> Vec<Counts> {
        let read = |kind: Kind| {
            let of = &self.0[kind as usize];
            let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            Counts { kind, delivered: get(&of.delivered), failed: get(&of.failed), dead: get(&of.dead) }
        };
        KINDS.into_iter().map(read).collect()
    }

    fn of(&self, kind: Kind) -> &KindCounters {
        &self.0[kind as usize]
    }
}

/// What the deciding thread is told; its end is to stop within [`GRACE`].
#[derive(Debug)]
enum Order {
    Settings(Box<Settings>),
    Stop(Instant),
}

/// The couriers of a monitor; they end when this is dropped.
#[derive(Debug)]
pub struct Couriers {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
}

impl Couriers {
    /// Sends whatever waits in the outbox, and what comes whenever `poked` receives.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        store: Arc<Store>,
        settings: Settings,
        poked: Receiver<()>,
        clock: Clock,
    ) -> io::Result<Couriers> {
        let counters = Arc::<Counters>::default();
        let (orders, ordered) = bounded(1);
        let (done, finished) = bounded(MOST_COURIERS);
        let (alive, stopped) = bounded(0);
        let mut dispatcher = Dispatcher {
            shared: Shared { store, clock, counters: counters.clone(), stopped },
            carrier: Arc::new(Carrier::new(settings)),
            lines: HashMap::new(),
            running: HashSet::new(),
            done,
            freed: false,
            store_failed: false,
        };
        let run = move || {
            let deadline = dispatcher.run(&poked, &finished, &ordered);
            drop(alive);
            dispatcher.wait_for_couriers(&finished, deadline);
        };
        let thread = thread::Builder::new().name("couriers".into()).spawn(run)?;
        Ok(Couriers { orders: Some(orders), thread: Some(thread), counters })
    }

    /// Takes effect with the next delivery.
    pub fn reload(&self, settings: Settings) {
        if let Some(orders) = &self.orders {
            // It waits for a round at most. The thread ends no sooner than this does.
            let _ = orders.send(Order::Settings(Box::new(settings)));
        }
    }

    /// Starts nothing new and waits for what is being sent, until `deadline` at most. Who takes longer is left: its
    /// rows are sent again at the next start.
    pub fn stop(self, deadline: Instant) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(Order::Stop(deadline));
        }
    }

    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }
}

impl Drop for Couriers {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, the process would have aborted.
            let _ = thread.join();
        }
    }
}

/// What every courier needs.
#[derive(Clone)]
struct Shared {
    store: Arc<Store>,
    clock: Clock,
    counters: Arc<Counters>,
    /// Disconnected once the monitor stops.
    stopped: Receiver<()>,
}

/// What is known of a channel between two of its couriers.
#[derive(Debug, Default)]
struct Line {
    pace: Pace,
    /// Sent, or failed, and the database could not take it: to be written before anything else is leased.
    unmarked: Vec<(i64, Vec<(i64, Outcome)>)>,
    /// What was last said of it in the log.
    complaint: String,
}

struct Dispatcher {
    shared: Shared,
    carrier: Arc<Carrier>,
    /// Of channels that nobody is sending to.
    lines: HashMap<ChannelId, Line>,
    running: HashSet<ChannelId>,
    done: Sender<(ChannelId, Line)>,
    /// The leases of the process before this one.
    freed: bool,
    store_failed: bool,
}

impl Dispatcher {
    /// Until it is told to stop; returns until when it may wait for couriers then.
    fn run(
        &mut self,
        poked: &Receiver<()>,
        finished: &Receiver<(ChannelId, Line)>,
        orders: &Receiver<Order>,
    ) -> Instant {
        // Who pokes may stop before us; then nothing new comes, and what waits is still sent.
        let mut poked = poked.clone();
        loop {
            let sleep = self.round().min(LONGEST_SLEEP);
            select! {
                recv(poked) -> poke => if poke.is_err() {
                    poked = never();
                },
                recv(finished) -> done => if let Ok((channel, line)) = done {
                    self.take_back(channel, line);
                },
                recv(orders) -> order => match order {
                    Ok(Order::Settings(settings)) => self.carrier = Arc::new(Carrier::new(*settings)),
                    Ok(Order::Stop(deadline)) => return deadline,
                    Err(_) => return Instant::now() + GRACE,
                },
                recv(after(sleep)) -> _ => {}
            }
        }
    }

    fn wait_for_couriers(&mut self, finished: &Receiver<(ChannelId, Line)>, deadline: Instant) {
        while !self.running.is_empty() {
            match finished.recv_deadline(deadline) {
                Ok((channel, line)) => self.take_back(channel, line),
                Err(_) => {
                    warn!(
                        "{} notifications are still being sent; they are sent again at the next start",
                        self.running.len()
                    );
                    return;
                }
            }
        }
    }

    fn take_back(&mut self, channel: ChannelId, line: Line) {
        self.running.remove(&channel);
        self.lines.insert(channel, line);
    }

    /// Starts a courier for each channel that has something due. Returns how long nothing else is.
    fn round(&mut self) -> Duration {
        match self.look() {
            Ok(sleep) => {
                if std::mem::take(&mut self.store_failed) {
                    info!("The outbox can be read again");
                }
                sleep
            }
            Err(error) => {
                if !std::mem::replace(&mut self.store_failed, true) {
                    warn!("Nothing can be told: {error}");
                }
                STORE_REST
            }
        }
    }

    fn look(&mut self) -> Result<Duration, StoreError> {
        if !self.freed {
            let unfinished = self.shared.store.free_leases()?;
            if unfinished > 0 {
                info!(
                    "{unfinished} notifications were being sent when the monitor ended: they are sent again"
                );
            }
            self.freed = true;
        }
        let work = self.shared.store.channels_with_work()?;
        // A channel without work is remembered for what it fails with, and no longer.
        self.lines
            .retain(|channel, line| line.is_worth_keeping() || work.iter().any(|(id, _)| id == channel));
        let (now, tick) = (self.shared.clock)();
        let mut sleep = LONGEST_SLEEP;
        for (channel, due) in work {
            if self.running.contains(&channel) || self.running.len() >= MOST_COURIERS {
                continue;
            }
            let held = self.lines.get(&channel).and_then(|line| line.pace.waits_until(tick));
            let wait = held.map_or(due.since(now), |until| until.max(tick) - tick);
            match wait.is_zero() {
                true => self.start(channel, tick),
                false => sleep = sleep.min(wait),
            }
        }
        Ok(sleep)
    }

    fn start(&mut self, channel: ChannelId, tick: Instant) {
        let line = self.lines.remove(&channel).unwrap_or_default();
        let (shared, carrier, done) = (self.shared.clone(), self.carrier.clone(), self.done.clone());
        let run = move || {
            let line = Courier { shared: &shared, carrier: &carrier, channel, line }.run();
            // Nobody waits for it any more when the monitor has stopped.
            let _ = done.send((channel, line));
        };
        match thread::Builder::new().name(format!("courier-{}", channel.0)).spawn(run) {
            Ok(_) => {
                self.running.insert(channel);
            }
            Err(error) => {
                warn!("No thread for channel {}: {error}", channel.0);
                let mut line = Line::default();
                line.pace.rest(tick, STORE_REST);
                self.lines.insert(channel, line);
            }
        }
    }
}

impl Line {
    fn is_worth_keeping(&self) -> bool {
        self.pace.is_failing() || !self.unmarked.is_empty()
    }
}

/// One visit to a channel.
struct Courier<'a> {
    shared: &'a Shared,
    carrier: &'a Carrier,
    channel: ChannelId,
    line: Line,
}

impl Courier<'_> {
    fn run(mut self) -> Line {
        if let Err(error) = self.visit() {
            self.complain(&format!("Channel {}: {error}", self.channel.0));
            let (_, tick) = (self.shared.clock)();
            self.line.pace.rest(tick, STORE_REST);
        }
        self.line
    }

    fn visit(&mut self) -> Result<(), StoreError> {
        self.mark()?;
        let (now, tick) = (self.shared.clock)();
        let Some(batch) = self.shared.store.lease(self.channel, now)? else { return Ok(()) };
        if batch.expired > 0 {
            self.shared
                .counters
                .of(batch.channel.kind)
                .dead
                .fetch_add(batch.expired as u64, Ordering::Relaxed);
            let name = batch.channel.name();
            warn!("{name}: {} notifications have expired unsent", batch.expired);
        }
        if batch.rows.is_empty() {
            self.line.pace.rest(tick, REST);
            return Ok(());
        }
        self.send_all(batch)
    }

    /// Sends until something fails; what was not tried is given back.
    fn send_all(&mut self, batch: Batch) -> Result<(), StoreError> {
        let Batch { channel, lease, rows, .. } = batch;
        let mut stopped = false;
        for message in messages(channel.kind, rows) {
            let (now, tick) = (self.shared.clock)();
            stopped = stopped
                || self.shared.stopped.try_recv() == Err(TryRecvError::Disconnected)
                || self.line.pace.must_pause(channel.kind, tick);
            let outcomes = match stopped {
                true => message.ids().map(|id| (id, Outcome::Untouched)).collect(),
                false => {
                    let result = self.carrier.send(&channel, &message.what, now);
                    let outcomes = self.judge(&channel, &message, result);
                    stopped = self.line.pace.is_failing();
                    outcomes
                }
            };
            match self.line.unmarked.last_mut() {
                Some((last, rows)) if *last == lease => rows.extend(outcomes),
                _ => self.line.unmarked.push((lease, outcomes)),
            }
            if !stopped {
                self.mark()?;
            }
        }
        self.mark()
    }

    /// What a delivery means for its rows and for the channel's pace.
    fn judge(
        &mut self,
        channel: &Channel,
        message: &Outgoing,
        result: Result<String, Failure>,
    ) -> Vec<(i64, Outcome)> {
        let (now, tick) = (self.shared.clock)();
        let counters = self.shared.counters.of(channel.kind);
        let count = |counter: &AtomicU64, by: usize| counter.fetch_add(by as u64, Ordering::Relaxed);
        match result {
            Ok(answer) => {
                count(&counters.delivered, message.rows.len());
                debug!("{}: {} delivered: {answer}", channel.name(), message.what.title());
                if self.line.pace.worked(tick) {
                    info!("{} works again", channel.name());
                    self.line.complaint.clear();
                }
                message.ids().map(|id| (id, Outcome::Delivered)).collect()
            }
            Err(Failure::Never { why }) => {
                count(&counters.failed, 1);
                count(&counters.dead, message.rows.len());
                // It was reached: what it refuses is this message.
                self.line.pace.worked(tick);
                warn!("{}: given up: {}: {why}", channel.name(), message.what.title());
                message.ids().map(|id| (id, Outcome::Dead { why: why.clone() })).collect()
            }
            Err(Failure::Later { why, after }) => {
                count(&counters.failed, 1);
                let delay = self.line.pace.failed(tick, after, fastrand::f64());
                self.complain(&format!("{}: {why}", channel.name()));
                debug!("{}: trying again in {}", channel.name(), go_duration(delay));
                let again = now.plus(delay);
                let each = message.rows.iter().map(|row| match again < row.expires {
                    true => (row.id, Outcome::Failed { why: why.clone(), again }),
                    false => {
                        count(&counters.dead, 1);
                        warn!("{}: given up after a day: {}: {why}", channel.name(), row.notice.title());
                        (row.id, Outcome::Dead { why: why.clone() })
                    }
                });
                each.collect()
            }
        }
    }

    /// Writes what became of the rows. What the database cannot take stays for the next visit.
    fn mark(&mut self) -> Result<(), StoreError> {
        let (now, _) = (self.shared.clock)();
        while let Some((lease, outcomes)) = self.line.unmarked.first() {
            let held = self.shared.store.settle(*lease, outcomes, now)?;
            if held < outcomes.len() {
                warn!("Channel {}: {} leases were lost", self.channel.0, outcomes.len() - held);
            }
            self.line.unmarked.remove(0);
        }
        Ok(())
    }

    /// Once for each thing that is wrong, until it works again.
    fn complain(&mut self, complaint: &str) {
        if self.line.complaint != complaint {
            warn!("{complaint}");
            self.line.complaint = complaint.to_owned();
        }
    }
}

/// A message and the rows that it answers for.
struct Outgoing {
    what: Message,
    rows: Vec<Leased>,
}

impl Outgoing {
    fn ids(&self) -> impl Iterator<Item = i64> + '_ {
        self.rows.iter().map(|row| row.id)
    }
}

/// A program gets a message for each machine. So does a person, unless many machines did the same.
fn messages(kind: Kind, rows: Vec<Leased>) -> Vec<Outgoing> {
    let mut groups: Vec<Vec<Leased>> = Vec::new();
    for row in rows {
        let same = |group: &&mut Vec<Leased>| {
            let other = &group[0].notice;
            (other.news, other.state) == (row.notice.news, row.notice.state)
        };
        match groups.iter_mut().find(same) {
            Some(group) if kind.is_for_people() => group.push(row),
            _ => groups.push(vec![row]),
        }
    }
    let split = |group: Vec<Leased>| match group.len() >= MANY {
        true => vec![group],
        false => group.into_iter().map(|row| vec![row]).collect(),
    };
    let mut groups: Vec<Vec<Leased>> = groups.into_iter().flat_map(split).collect();
    groups.sort_by_key(|group| group[0].id);
    let outgoing = |rows: Vec<Leased>| {
        let what = Message {
            rows: rows.iter().map(|row| row.id).collect(),
            notices: rows.iter().map(|row| row.notice.clone()).collect(),
        };
        Outgoing { what, rows }
    };
    groups.into_iter().map(outgoing).collect()
}
