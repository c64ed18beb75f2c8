//! Sends what waits in the outbox: the handle of the thread that decides, and its loop.

use super::Settings;
pub use super::counters::{Counters, Counts};
use super::dispatch::Dispatcher;
use super::interrupt::Interrupt;
use super::pool::{CLASSES, Class, Done, Surroundings};
use super::send::Sender as Carrier;
use crate::clock::Now;
use crate::monitor::notify::outbox::LeaseOwner;
use crate::monitor::store::Store;
use crate::resolver::Names;
use crossbeam_channel::{Receiver, Sender, after, bounded, never, select};
use log::warn;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What the clocks say; tests turn them.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// For messages in flight when the monitor stops without saying how long it waits.
const GRACE: Duration = Duration::from_secs(4);

/// Of that, for the couriers to notice that their sockets were shut down.
const AFTER_CUT: Duration = Duration::from_secs(1);

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
    /// A thread cannot be started.
    pub fn start(
        store: Arc<Store>,
        settings: Settings,
        poked: Receiver<()>,
        clock: Clock,
    ) -> io::Result<Couriers> {
        let counters = Arc::<Counters>::default();
        let names = super::start_resolver()?;
        let (orders, ordered) = bounded(1);
        // As many results as there are threads: a courier never waits for this thread.
        let (done, results) = bounded(CLASSES.map(Class::threads).iter().sum());
        let (owner, interrupt) = (LeaseOwner::new(), Interrupt::default());
        let surroundings = Surroundings {
            now: {
                let clock = clock.clone();
                Arc::new(move || clock().wall)
            },
            before_data: {
                let (store, clock) = (store.clone(), clock.clone());
                Arc::new(move |rows: &[i64]| {
                    store.note_handover(owner, rows, clock().wall).map_err(|error| error.to_string())
                })
            },
            interrupt: interrupt.clone(),
            done,
        };
        let carrier = Carrier::new(settings, names.clone());
        let dispatcher = Dispatcher::new(store, clock, counters.clone(), carrier, owner, &surroundings);
        let mut service = Service { dispatcher, interrupt, names, results };
        // Couriers alone send results.
        drop(surroundings);
        let run = move || {
            let deadline = service.run(&poked, &ordered);
            service.end(deadline);
        };
        let thread = thread::Builder::new().name("couriers".into()).spawn(run)?;
        Ok(Couriers { orders: Some(orders), thread: Some(thread), counters })
    }

    /// Takes effect with the next message.
    pub fn reload(&self, settings: Settings) {
        if let Some(orders) = &self.orders {
            // It waits for a round at most. The thread ends no sooner than this does.
            let _ = orders.send(Order::Settings(Box::new(settings)));
        }
    }

    /// Starts nothing new and waits for what is in flight, until `deadline` at most. What takes longer is interrupted.
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

/// What the thread owns.
struct Service {
    dispatcher: Dispatcher,
    interrupt: Interrupt,
    names: Arc<Names>,
    results: Receiver<Done>,
}

impl Service {
    /// Until it is told to stop; returns the deadline of the stop.
    fn run(&mut self, poked: &Receiver<()>, orders: &Receiver<Order>) -> Instant {
        // The threads that poke may end first; then nothing new comes, and what waits is still sent.
        let mut poked = poked.clone();
        loop {
            let sleep = self.dispatcher.round();
            select! {
                recv(poked) -> poke => if poke.is_err() {
                    poked = never();
                },
                recv(self.results) -> done => if let Ok(done) = done {
                    self.dispatcher.take(done);
                    self.take_all();
                },
                recv(orders) -> order => match order {
                    Ok(Order::Settings(settings)) => {
                        self.dispatcher.use_carrier(Carrier::new(*settings, self.names.clone()));
                    }
                    Ok(Order::Stop(deadline)) => return deadline,
                    Err(_) => return Instant::now() + GRACE,
                },
                recv(after(sleep)) -> _ => {}
            }
        }
    }

    /// Results that have come meanwhile: one transaction marks all of them.
    fn take_all(&mut self) {
        while let Ok(done) = self.results.try_recv() {
            self.dispatcher.take(done);
        }
    }

    /// Waits for what is in flight, interrupts it shortly before the deadline, and writes what became of it.
    fn end(&mut self, deadline: Instant) {
        self.wait(deadline.checked_sub(AFTER_CUT).unwrap_or(deadline));
        self.dispatcher.stop();
        self.interrupt.cut();
        self.wait(deadline);
        if let Err(error) = self.dispatcher.mark() {
            warn!("cannot mark what was sent, it will be sent again: {error}");
        }
        let left = self.dispatcher.in_flight();
        if left > 0 {
            warn!("{left} notifications are still being sent; they will be sent again at the next start");
        }
    }

    fn wait(&mut self, deadline: Instant) {
        while self.dispatcher.in_flight() > 0 {
            let Ok(done) = self.results.recv_deadline(deadline) else { return };
            self.dispatcher.take(done);
            self.take_all();
            // What fails here is tried once more at the end.
            let _ = self.dispatcher.mark();
        }
    }
}
