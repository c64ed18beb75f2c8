//! The threads that send: one pool for each class of receivers, so that a slow class delays no other.
//!
//! A pool starts its threads when it has messages for them, up to a fixed number, and ends them when nothing has been in
//! flight for a minute. At its bound a message waits in the outbox.

use super::channel::{Channel, Kind};
use super::interrupt::Interrupt;
use super::send::{Attempt, Failure, Message, Sender as Carrier};
use crate::clock::Moment;
use crossbeam_channel::{Receiver, Sender, bounded};
use log::warn;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Threads without work end after this time.
const IDLE: Duration = Duration::from_secs(60);

/// Receivers that share threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Programs: many requests, each of 10 s at most.
    Webhook,
    /// Telegram and ntfy: the same for people.
    Chat,
    /// One server for all mail, which may take 10 minutes for a mail.
    Mail,
}

pub const CLASSES: [Class; 3] = [Class::Webhook, Class::Chat, Class::Mail];

impl Class {
    pub fn of(kind: Kind) -> Class {
        match kind {
            Kind::Webhook => Class::Webhook,
            Kind::Telegram | Kind::Ntfy => Class::Chat,
            Kind::Email => Class::Mail,
        }
    }

    /// Threads, and so messages in flight.
    pub fn threads(self) -> usize {
        match self {
            Class::Webhook => 64,
            Class::Chat => 32,
            Class::Mail => 16,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Class::Webhook => "webhook",
            Class::Chat => "chat",
            Class::Mail => "mail",
        }
    }
}

/// What a courier does before the point after which a message may have arrived although no answer came.
pub type BeforeData = dyn Fn(&[i64]) -> Result<(), String> + Send + Sync;

/// A message for one receiver.
pub struct Job {
    /// Names it in [`Done`].
    pub number: u64,
    pub carrier: Arc<Carrier>,
    pub channel: Arc<Channel>,
    pub message: Message,
}

/// What became of a [`Job`].
pub struct Done {
    pub number: u64,
    pub result: Result<String, Failure>,
}

/// What the threads of all pools share.
#[derive(Clone)]
pub struct Surroundings {
    pub now: Arc<dyn Fn() -> Moment + Send + Sync>,
    pub before_data: Arc<BeforeData>,
    pub interrupt: Interrupt,
    pub done: Sender<Done>,
}

/// The threads of one class.
pub struct Pool {
    class: Class,
    surroundings: Surroundings,
    jobs: (Sender<Job>, Receiver<Job>),
    threads: usize,
    in_flight: usize,
    busy_at: Option<Instant>,
    is_short: bool,
}

impl Pool {
    pub fn new(class: Class, surroundings: Surroundings) -> Pool {
        let jobs = bounded(class.threads());
        Pool { class, surroundings, jobs, threads: 0, in_flight: 0, busy_at: None, is_short: false }
    }

    /// Messages that it takes from one channel now. A quarter of the threads is kept for the first messages of channels that
    /// have nothing in flight.
    pub fn room(&self, channel_is_idle: bool) -> usize {
        let threads = self.class.threads();
        let first = usize::from(channel_is_idle && self.in_flight < threads);
        (threads - threads / 4).saturating_sub(self.in_flight).max(first)
    }

    /// Hands a message to a thread. False if there is none and none can be started.
    pub fn start(&mut self, job: Job, now: Instant) -> bool {
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

    /// Ends its threads if they have been idle. Returns how long they may go on.
    pub fn rest(&mut self, now: Instant) -> Option<Duration> {
        if self.threads == 0 || self.in_flight > 0 {
            return None;
        }
        let left = self.busy_at.map_or(IDLE, |at| (at + IDLE).saturating_duration_since(now));
        if !left.is_zero() {
            return Some(left);
        }
        // Each thread ends when it finds the old queue disconnected.
        self.jobs = bounded(self.class.threads());
        self.threads = 0;
        None
    }

    /// Without a further thread the message waits for one of those there are.
    fn grow(&mut self) {
        let (jobs, surroundings) = (self.jobs.1.clone(), self.surroundings.clone());
        let name = format!("{}-{}", self.class.name(), self.threads + 1);
        match thread::Builder::new().name(name).spawn(move || work(&jobs, &surroundings)) {
            Ok(_) => {
                self.threads += 1;
                self.is_short = false;
            }
            Err(error) if !self.is_short => {
                let (class, threads) = (self.class.name(), self.threads);
                warn!("cannot start a {class} thread, {threads} of them deliver: {error}");
                self.is_short = true;
            }
            Err(_) => {}
        }
    }
}

fn work(jobs: &Receiver<Job>, surroundings: &Surroundings) {
    let Surroundings { now, before_data, interrupt, done } = surroundings;
    for Job { number, carrier, channel, message } in jobs {
        let record = || before_data(&message.rows);
        let attempt = Attempt { now: now(), interrupt, before_data: &record };
        let result = carrier.attempt(&channel, &message, &attempt);
        // Disconnected: the monitor has stopped without waiting for it.
        if done.send(Done { number, result }).is_err() {
            return;
        }
    }
}
