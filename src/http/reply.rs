//! The way of an answer back to the reactor, from whatever thread.

use super::message::{Request, Response};
use crate::mailbox::MailboxSender;
use std::time::Duration;

/// A complete request and the way to answer it.
pub struct Exchange {
    pub request: Request,
    pub reply: Reply,
}

/// The right to answer one request: now or later, on this thread or another. Dropped unanswered it answers 500.
pub struct Reply {
    to: Ticket,
    reactor: MailboxSender<ReactorEvent>,
    sent: bool,
}

/// A connection: an index, and which of the connections that had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl Reply {
    pub(super) fn new(to: Ticket, reactor: MailboxSender<ReactorEvent>) -> Reply {
        Reply { to, reactor, sent: false }
    }

    /// A connection that is gone by now takes no answer; nobody is told.
    pub fn send(mut self, response: Response) {
        self.sent = true;
        self.post(response);
    }

    fn post(&mut self, response: Response) {
        // Fails only when the server has ended, and all connections with it.
        self.reactor.try_send(ReactorEvent::Answer(self.to, response));
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.sent {
            self.post(Response::error(500, "the request was not answered"));
        }
    }
}

/// Everything that other threads send to the reactor.
pub(super) enum ReactorEvent {
    Answer(Ticket, Response),
    /// Stop, after this long at the latest.
    Stop(Duration),
}

/// Ends a server, from any thread.
#[derive(Clone)]
pub struct Stopper(pub(super) MailboxSender<ReactorEvent>);

impl Stopper {
    /// No more connections; idle ones are closed; requests that are complete are answered. [`super::Server::run`]
    /// returns when that is done, after `grace` at the latest.
    pub fn stop(&self, grace: Duration) {
        // Without a receiver the server has ended already.
        self.0.try_send(ReactorEvent::Stop(grace));
    }
}
