//! Sends a response back to the reactor, from any thread.

#[cfg(feature = "monitor")]
use super::file_body::Piece;
use super::message::{Request, Response};
#[cfg(feature = "monitor")]
use super::tls::TlsSession;
use crate::mailbox::MailboxSender;
use std::time::Duration;

/// A complete request and the means to answer it.
pub struct Exchange {
    pub request: Request,
    pub reply: Reply,
}

/// Answers one request, now or later, from any thread. Dropped without an answer, it sends 500.
pub struct Reply {
    to: Ticket,
    reactor: MailboxSender<ReactorEvent>,
    sent: bool,
}

/// Identifies a connection: its index, and a generation because indices are reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl Reply {
    pub(super) fn new(to: Ticket, reactor: MailboxSender<ReactorEvent>) -> Reply {
        Reply { to, reactor, sent: false }
    }

    /// The response is dropped if the connection has been closed.
    pub fn send(mut self, response: Response) {
        self.sent = true;
        self.post(response);
    }

    fn post(&mut self, response: Response) {
        // Fails only if the server has ended, and all its connections with it.
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
    /// The next piece of the file that a connection sends.
    #[cfg(feature = "monitor")]
    Piece(Ticket, Piece),
    /// A session whose handshake was continued; `None`: it waited for too long.
    #[cfg(feature = "monitor")]
    Handshake(Ticket, Option<TlsSession>),
    /// Stop, after this long at the latest.
    Stop(Duration),
}

/// Stops a server, from any thread.
#[derive(Clone)]
pub struct Stopper(pub(super) MailboxSender<ReactorEvent>);

impl Stopper {
    /// Accepts no more connections, closes idle ones and answers complete requests. [`super::Server::run`] returns
    /// after that, or after `grace`.
    pub fn stop(&self, grace: Duration) {
        // Without a receiver the server has ended already.
        self.0.try_send(ReactorEvent::Stop(grace));
    }
}
