//! Who sends when: one thread that decides, and one for each channel that is being sent to.
//!
//! The deciding thread owns every channel's pace. It lends it to a courier, a thread that leases what is due on its
//! channel, sends it, marks it, and ends; so a channel that hangs holds up nobody, and an idle monitor has one thread
//! here.

use super::Settings;
pub use super::counters::{Counters, Counts};
use super::courier::{Courier, Line, STORE_REST, Shared};
use super::plan::ChannelId;
use super::send::Sender as Carrier;
use crate::monitor::store::{Store, StoreError};
use crate::monitor::time::Moment;
use crossbeam_channel::{Receiver, Sender, after, bounded, never, select};
use log::{info, warn};
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What the clocks say; tests turn them.
pub type Clock = Arc<dyn Fn() -> (Moment, Instant) + Send + Sync>;

/// Channels that are sent to at the same time. More are only met where so many hang, 10 s each before they back off.
const MOST_COURIERS: usize = 32;

/// A look at the outbox without a reason; the wall clock may have been set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// For couriers that are sending when the monitor stops without saying how long it waits.
const GRACE: Duration = Duration::from_secs(4);

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
