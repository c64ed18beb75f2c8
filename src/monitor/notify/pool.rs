//! The courier threads, which send: one pool per class of channels.
//!
//! A pool starts threads when it has messages for them, up to a fixed number, and ends them when nothing has been in flight
//! for a minute. While it is full, messages wait in the outbox.

use super::channel::{Channel, CourierClass};
use super::interrupt::Interrupt;
use super::message::{DeliveryContext, DeliveryError, Message};
use super::send::DeliveryClient;
use crate::clock::Moment;
use crossbeam_channel::{Receiver, Sender, bounded};
use log::warn;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Idle threads end after this time.
const IDLE: Duration = Duration::from_secs(60);

/// Called with the rows of a message before it is handed over; see [`DeliveryContext::before_data`].
pub type BeforeData = dyn Fn(&[i64]) -> Result<(), String> + Send + Sync;

/// A message to deliver.
pub struct DeliveryJob {
    /// Identifies the job in its [`JobResult`].
    pub number: u64,
    pub client: Arc<DeliveryClient>,
    pub channel: Arc<Channel>,
    pub message: Message,
}

/// The result of a [`DeliveryJob`].
pub struct JobResult {
    pub number: u64,
    pub result: Result<String, DeliveryError>,
}

/// Starts a courier of this name, which takes jobs until their channel is disconnected.
pub type StartCourier = Arc<dyn Fn(String, Receiver<DeliveryJob>) -> io::Result<()> + Send + Sync>;

/// Shared by the threads of all pools.
#[derive(Clone)]
pub struct CourierContext {
    pub now: Arc<dyn Fn() -> Moment + Send + Sync>,
    pub before_data: Arc<BeforeData>,
    pub interrupt: Interrupt,
    pub done: Sender<JobResult>,
}

/// The threads of one class.
pub struct CourierPool {
    class: CourierClass,
    start_courier: StartCourier,
    jobs: (Sender<DeliveryJob>, Receiver<DeliveryJob>),
    threads: usize,
    in_flight: usize,
    busy_at: Option<Instant>,
    is_short: bool,
}

impl CourierPool {
    pub fn new(class: CourierClass, start_courier: StartCourier) -> CourierPool {
        let jobs = bounded(class.threads());
        CourierPool { class, start_courier, jobs, threads: 0, in_flight: 0, busy_at: None, is_short: false }
    }

    /// The number of messages that it accepts from one channel now. A quarter of the threads is reserved for the first
    /// messages of channels that have nothing in flight.
    pub fn room(&self, channel_is_idle: bool) -> usize {
        let threads = self.class.threads();
        let first = usize::from(channel_is_idle && self.in_flight < threads);
        (threads - threads / 4).saturating_sub(self.in_flight).max(first)
    }

    /// Passes a message to a thread; false if there is none and none can be started.
    pub fn start(&mut self, job: DeliveryJob, now: Instant) -> bool {
        if self.threads <= self.in_flight && self.threads < self.class.threads() {
            self.grow();
        }
        // The queue has room for as many jobs as there may be in flight.
        if self.threads == 0 || self.jobs.0.try_send(job).is_err() {
            return false;
        }
        self.in_flight += 1;
        self.busy_at = Some(now);
        true
    }

    /// A message that it was handed is done.
    pub fn ended(&mut self, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.busy_at = Some(now);
    }

    /// Ends the threads if they are idle; returns the time until they are due to end.
    pub fn end_if_idle(&mut self, now: Instant) -> Option<Duration> {
        if self.threads == 0 || self.in_flight > 0 {
            return None;
        }
        let left = self.busy_at.map_or(IDLE, |at| (at + IDLE).saturating_duration_since(now));
        if !left.is_zero() {
            return Some(left);
        }
        // The threads end when their queue is disconnected.
        self.jobs = bounded(self.class.threads());
        self.threads = 0;
        None
    }

    /// Starts a thread; if that fails, the message waits for one of the others.
    fn grow(&mut self) {
        let name = format!("{}-{}", self.class.name(), self.threads + 1);
        match (self.start_courier)(name, self.jobs.1.clone()) {
            Ok(()) => {
                self.threads += 1;
                self.is_short = false;
            }
            Err(error) if !self.is_short => {
                let (class, threads) = (self.class.name(), self.threads);
                warn!("cannot start another {class} thread, {threads} are running: {error}");
                self.is_short = true;
            }
            Err(_) => {}
        }
    }
}

/// Starts couriers as threads.
pub fn as_threads(context: CourierContext) -> StartCourier {
    Arc::new(move |name, jobs| {
        let context = context.clone();
        thread::Builder::new().name(name).spawn(move || work(&jobs, &context)).map(drop)
    })
}

fn work(jobs: &Receiver<DeliveryJob>, context: &CourierContext) {
    let CourierContext { now, before_data, interrupt, done } = context;
    for DeliveryJob { number, client, channel, message } in jobs {
        let record = || before_data(&message.rows);
        let delivery = DeliveryContext { now: now(), interrupt, before_data: &record };
        let result = client.attempt(&channel, &message, &delivery);
        // Disconnected: the monitor stopped without waiting.
        if done.send(JobResult { number, result }).is_err() {
            return;
        }
    }
}
