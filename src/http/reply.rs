//! The way of an answer back to the reactor, from whatever thread.

use super::message::{Request, Response};
use crossbeam_channel::Sender;
use mio::Waker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A complete request and the way to answer it.
pub struct Exchange {
    pub request: Request,
    pub reply: Reply,
}

/// The right to answer one request: now or later, on this thread or another. Dropped unanswered it answers 500.
pub struct Reply {
    to: Ticket,
    answers: Arc<Answers>,
    sent: bool,
}

/// A connection: an index, and which of the connections that had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl Reply {
    pub(super) fn new(to: Ticket, answers: Arc<Answers>) -> Reply {
        Reply { to, answers, sent: false }
    }

    /// A connection that is gone by now takes no answer; nobody is told.
    pub fn send(mut self, response: Response) {
        self.sent = true;
        self.answers.send(self.to, response);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.sent {
            self.answers.send(self.to, Response::error(500, "the request was not answered"));
        }
    }
}

/// Where the reactor finds answers, and what wakes it for them.
pub(super) struct Answers {
    sender: Sender<(Ticket, Response)>,
    waker: Waker,
    /// The reactor will look into the channel before it sleeps: nobody needs to wake it.
    awake: AtomicBool,
    /// Milliseconds of grace, once the server has to stop.
    stop: AtomicU64,
}

const RUNNING: u64 = u64::MAX;

impl Answers {
    pub(super) fn new(sender: Sender<(Ticket, Response)>, waker: Waker) -> Answers {
        Answers { sender, waker, awake: AtomicBool::new(true), stop: AtomicU64::new(RUNNING) }
    }

    fn send(&self, to: Ticket, response: Response) {
        // Fails only when the server has ended, and all connections with it.
        if self.sender.send((to, response)).is_ok() {
            self.wake();
        }
    }

    /// After the send: whoever finds `awake` set has sent before the reactor cleared it, and so before it looks. On
    /// the reactor's own thread it is always set, and an answer costs no system call. "Wake it if the queue was
    /// empty" would lose wake-ups: the prototype's p99 was 950 ms.
    fn wake(&self) {
        if !self.awake.swap(true, Ordering::SeqCst) {
            // An eventfd's write fails only where its counter is full, and then the reactor is woken anyway.
            let _ = self.waker.wake();
        }
    }

    /// The reactor is about to sleep; it looks into the channel once more after this.
    pub(super) fn drowsy(&self) {
        self.awake.swap(false, Ordering::SeqCst);
    }

    pub(super) fn woken(&self) {
        self.awake.swap(true, Ordering::SeqCst);
    }

    pub(super) fn stop(&self) -> Option<Duration> {
        match self.stop.load(Ordering::SeqCst) {
            RUNNING => None,
            grace => Some(Duration::from_millis(grace)),
        }
    }
}

/// Ends a server, from any thread.
#[derive(Clone)]
pub struct Stopper(pub(super) Arc<Answers>);

impl Stopper {
    /// No more connections; idle ones are closed; requests that are complete are answered. [`super::Server::run`]
    /// returns when that is done, after `grace` at the latest.
    pub fn stop(&self, grace: Duration) {
        let grace = u64::try_from(grace.as_millis()).unwrap_or(RUNNING).min(RUNNING - 1);
        self.0.stop.store(grace, Ordering::SeqCst);
        self.0.wake();
    }
}
