//! Delivers the outbox: the handle of the dispatching thread, and its loop.

use super::channel::{CLASSES, CourierClass};
pub use super::counters::{DeliveryCounters, DeliveryCounts, FailingChannel};
use super::dispatch::Dispatcher;
pub use super::dispatch::NowSource;
use super::interrupt::Interrupt;
use super::pool::{CourierContext, JobResult, as_threads};
use super::send::DeliveryClient;
use super::settings::{NotifySettings, start_resolver};
use crate::monitor::notify::outbox::LeaseOwner;
use crate::monitor::store::Store;
use crate::resolver::NameResolver;
use crossbeam_channel::{Receiver, Sender, after, bounded, never, select};
use log::warn;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Time for messages in flight if the handle is dropped without a deadline.
const GRACE: Duration = Duration::from_secs(4);

/// The part of it in which couriers notice that their sockets were shut down.
const AFTER_CUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum CourierCommand {
    Settings(Box<NotifySettings>),
    Stop(Instant),
}

/// The couriers of a monitor; they end when this is dropped.
#[derive(Debug)]
pub struct Couriers {
    commands: Option<Sender<CourierCommand>>,
    thread: Option<JoinHandle<()>>,
    counters: Arc<DeliveryCounters>,
}

impl Couriers {
    /// Delivers the outbox, and checks it whenever `poked` receives.
    pub fn start(
        store: Arc<Store>,
        settings: NotifySettings,
        poked: Receiver<()>,
        clock: NowSource,
    ) -> io::Result<Couriers> {
        let counters = Arc::<DeliveryCounters>::default();
        let names = start_resolver()?;
        let (commands, received) = bounded(1);
        // Room for one result per thread: a courier never waits for this thread.
        let (done, results) = bounded(CLASSES.map(CourierClass::threads).iter().sum());
        let (owner, interrupt) = (LeaseOwner::of(&store), Interrupt::default());
        let context = CourierContext {
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
        let client = Arc::new(DeliveryClient::new(settings, names.clone()));
        let start_courier = as_threads(context);
        let dispatcher = Dispatcher::new(store, clock, counters.clone(), client, owner, &start_courier);
        let mut couriers = CourierThread { dispatcher, interrupt, names, results };
        let run = move || {
            let deadline = couriers.run(&poked, &received);
            couriers.end(deadline);
        };
        let thread = thread::Builder::new().name("couriers".into()).spawn(run)?;
        Ok(Couriers { commands: Some(commands), thread: Some(thread), counters })
    }

    /// Takes effect with the next message.
    pub fn reload(&self, settings: NotifySettings) {
        if let Some(commands) = &self.commands {
            // Blocks for one round at most; the thread lives as long as this handle.
            let _ = commands.send(CourierCommand::Settings(Box::new(settings)));
        }
    }

    /// Starts no new deliveries and waits for those in flight; aborts them shortly before `deadline`.
    pub fn stop(self, deadline: Instant) {
        if let Some(commands) = &self.commands {
            let _ = commands.send(CourierCommand::Stop(deadline));
        }
    }

    pub fn counters(&self) -> Arc<DeliveryCounters> {
        self.counters.clone()
    }
}

impl Drop for Couriers {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // Cannot fail: a panic aborts the process.
            let _ = thread.join();
        }
    }
}

/// The state of the thread.
struct CourierThread {
    dispatcher: Dispatcher,
    interrupt: Interrupt,
    names: Arc<NameResolver>,
    results: Receiver<JobResult>,
}

impl CourierThread {
    /// Runs until the stop; returns its deadline.
    fn run(&mut self, poked: &Receiver<()>, commands: &Receiver<CourierCommand>) -> Instant {
        // The threads that poke may end first; the rest of the outbox is still delivered.
        let mut poked = poked.clone();
        loop {
            let sleep = self.dispatcher.round();
            select! {
                recv(poked) -> poke => if poke.is_err() {
                    poked = never();
                },
                recv(self.results) -> done => if let Ok(done) = done {
                    self.dispatcher.finish(done);
                    self.finish_all();
                },
                recv(commands) -> command => match command {
                    Ok(CourierCommand::Settings(settings)) => {
                        self.dispatcher.use_client(DeliveryClient::new(*settings, self.names.clone()));
                    }
                    Ok(CourierCommand::Stop(deadline)) => return deadline,
                    Err(_) => return Instant::now() + GRACE,
                },
                recv(after(sleep)) -> _ => {}
            }
        }
    }

    /// Processes all results that have arrived, so that one transaction marks them.
    fn finish_all(&mut self) {
        while let Ok(done) = self.results.try_recv() {
            self.dispatcher.finish(done);
        }
    }

    /// Waits for the deliveries in flight, aborts them shortly before the deadline, and marks the results.
    fn end(&mut self, deadline: Instant) {
        self.wait(deadline.checked_sub(AFTER_CUT).unwrap_or(deadline));
        self.dispatcher.stop();
        self.interrupt.cut();
        self.wait(deadline);
        if let Err(error) = self.dispatcher.mark() {
            warn!("cannot mark the last deliveries, they will be repeated: {error}");
        }
        let left = self.dispatcher.in_flight();
        if left > 0 {
            warn!("{left} notifications are still in flight; they will be sent again at the next start");
        }
    }

    fn wait(&mut self, deadline: Instant) {
        while self.dispatcher.in_flight() > 0 {
            let Ok(done) = self.results.recv_deadline(deadline) else { return };
            self.dispatcher.finish(done);
            self.finish_all();
            // Retried at the end.
            let _ = self.dispatcher.mark();
        }
    }
}

#[cfg(test)]
mod tests;
