//! Accepts new connections, and decides what happens when there is no room or no descriptor for one.

use super::admission::AdmissionResult;
use super::connection::HttpConnection;
use super::deadlines::Wait;
use super::listener::DescriptorReserve;
use super::message::Peer;
use super::parse::Rejection;
use super::reactor::Reactor;
use super::table::Client;
use super::transport::{AcceptedSocket, Transport};
use mio::Token;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// Accepts per listener and turn; then open connections are served.
const ACCEPTS_A_TURN: usize = 64;
/// Refused connections that are kept open to linger after the 503; others are reset if their client keeps sending.
const REFUSED_AT_ONCE: usize = 32;
/// Time that a connection waits for a descriptor before it is refused: most others are being answered, and idle in a
/// moment. Also the retry interval while not even a refusal has a descriptor: no event reports that another part of
/// the program closed one.
const RETRY: Duration = Duration::from_millis(50);

const TOO_MANY: Rejection = Rejection { status: 503, error: "too many connections" };

impl Reactor {
    /// Whether connections may be waiting in a listener's backlog.
    pub(super) fn has_pending_accepts(&self) -> bool {
        self.acceptors.iter().any(|acceptor| acceptor.ready)
    }

    pub(super) fn accept(&mut self) {
        if self.retry_accept_at.is_some_and(|at| at <= self.now) {
            self.retry_accept_at = None;
            self.may_wait_for_descriptor = false;
            self.acceptors.iter_mut().for_each(|acceptor| acceptor.ready = true);
        }
        for acceptor in 0..self.acceptors.len() {
            for _ in 0..ACCEPTS_A_TURN {
                if !self.acceptors[acceptor].ready {
                    break;
                }
                self.accept_one(acceptor);
            }
        }
    }

    fn accept_one(&mut self, acceptor: usize) {
        match self.acceptors[acceptor].accept() {
            Ok((accepted, peer)) => self.admit(accepted, peer),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.acceptors[acceptor].ready = false;
                self.may_wait_for_descriptor = true;
            }
            Err(error) if is_exhausted(&error) => self.accept_with_reserve(acceptor),
            // An error of that one connection, which is gone (accept(2)), or a signal.
            Err(_) => {}
        }
    }

    /// Linux reports exhausted descriptors even if no connection is pending; only an accept with the reserve shows
    /// whether one is.
    fn accept_with_reserve(&mut self, acceptor: usize) {
        if self.may_wait_for_descriptor && self.eviction_candidate().is_none() {
            return self.accept_later(acceptor);
        }
        self.reserve.release();
        match self.acceptors[acceptor].accept() {
            Ok((accepted, peer)) => {
                self.front.counters.exhausted.add(1);
                if self.evict() {
                    self.admit(accepted, peer);
                } else {
                    self.front.counters.accepted.add(1);
                    self.reject(accepted);
                }
            }
            Err(error) if is_exhausted(&error) => self.accept_later(acceptor),
            Err(_) => {
                self.acceptors[acceptor].ready = false;
                self.may_wait_for_descriptor = true;
            }
        }
        self.reserve = DescriptorReserve::new();
    }

    fn accept_later(&mut self, acceptor: usize) {
        self.front.counters.exhausted.add(1);
        self.acceptors[acceptor].ready = false;
        // Further arrivals do not postpone it.
        self.retry_accept_at.get_or_insert(self.now + RETRY);
    }

    fn admit(&mut self, accepted: AcceptedSocket, peer: Peer) {
        self.front.counters.accepted.add(1);
        let mut verdict = self.admission.admit(peer, &self.front.limits);
        if verdict == AdmissionResult::Full && self.evict() {
            verdict = self.admission.admit(peer, &self.front.limits);
        }
        let admitted = verdict == AdmissionResult::Admitted;
        if !admitted && self.table.len() >= self.front.limits.connections.saturating_add(REFUSED_AT_ONCE) {
            return self.reject(accepted);
        }
        let index = self.table.vacant();
        let Ok(transport) = Transport::new(accepted, self.poll.registry(), Token(index as usize)) else {
            // epoll's own limit (fs.epoll.max_user_watches).
            self.front.counters.refused.add(1);
            if admitted {
                self.admission.leave(peer);
            }
            return;
        };
        let mut connection = HttpConnection::new(peer, &self.front.limits);
        if !admitted {
            self.front.counters.refused.add(1);
            connection.refuse(TOO_MANY, &self.front);
        }
        self.table.insert(Client {
            transport,
            connection,
            queued: false,
            watched: None,
            admitted,
            holds: false,
        });
        self.front.counters.open.set(self.table.len() as u64);
        self.enqueue(index);
    }

    /// Closes the connection whose loss matters least; false if all are being served.
    fn evict(&mut self) -> bool {
        let Some(index) = self.eviction_candidate() else { return false };
        self.front.counters.evicted.add(1);
        self.close(index);
        true
    }

    /// Idle connections first, which HTTP lets a server close at any time, then half-sent requests. Authenticated
    /// clients come after all others, and only those that do not send regularly.
    fn eviction_candidate(&self) -> Option<u32> {
        self.deadlines
            .longest(Wait::Idle)
            .or_else(|| self.unfinished.most_connections_anonymous())
            .or_else(|| self.deadlines.longer_than(self.front.limits.kept, Wait::IdleAuthenticated, self.now))
            .or_else(|| self.unfinished.most_connections_authenticated())
    }

    /// Answers 503 in one write without registering the connection; closes a TLS connection silently, since a
    /// handshake needs a registered one.
    fn reject(&mut self, mut accepted: AcceptedSocket) {
        self.front.counters.refused.add(1);
        #[cfg(feature = "monitor")]
        if accepted.tls.is_some() {
            return;
        }
        let mut connection = HttpConnection::new(Peer::Unix, &self.front.limits);
        connection.refuse(TOO_MANY, &self.front);
        // Unread bytes would turn the close into a reset that may overtake the response.
        let _ = accepted.socket.read(&mut self.scratch);
        let _ = accepted.socket.write(connection.output());
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
