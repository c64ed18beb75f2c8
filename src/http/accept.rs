//! New connections: how many are let in, and what happens when there is no room or no descriptor for one.

use super::admission::Verdict;
use super::connection::Connection;
use super::deadlines::Wait;
use super::message::Peer;
use super::parse::Refusal;
use super::reactor::Reactor;
use super::table::Client;
use super::transport::{Caller, Transport};
use mio::Token;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// From one listener before the clients that are in have their turn.
const ACCEPTS_A_TURN: usize = 64;
/// Refused ones that are told so politely; the others read a reset if they go on sending.
const REFUSED_AT_ONCE: usize = 32;
/// How long a connection waits for a descriptor before it is refused: most others are being answered, and idle in a
/// moment. Also how often it is tried while there is none for refusing either: nothing tells when another part of the
/// program closes one.
const RETRY: Duration = Duration::from_millis(50);

const TOO_MANY: Refusal = Refusal { status: 503, error: "too many connections" };

/// A descriptor to be given up for the connection that would otherwise have to be left unaccepted. That one stays
/// in the kernel's queue without another event, and the server would be deaf, or spin.
pub(super) struct Reserve(Option<UnixDatagram>);

impl Reserve {
    pub(super) fn new() -> Reserve {
        Reserve(UnixDatagram::unbound().ok())
    }
}

impl Reactor {
    /// Whether connections may still be waiting.
    pub(super) fn has_callers(&self) -> bool {
        self.doors.iter().any(|door| door.ready)
    }

    pub(super) fn accept(&mut self) {
        if self.accept_again.is_some_and(|at| at <= self.now) {
            self.accept_again = None;
            self.patient = false;
            self.doors.iter_mut().for_each(|door| door.ready = true);
        }
        for door in 0..self.doors.len() {
            for _ in 0..ACCEPTS_A_TURN {
                if !self.doors[door].ready {
                    break;
                }
                self.accept_one(door);
            }
        }
    }

    fn accept_one(&mut self, door: usize) {
        match self.doors[door].accept() {
            Ok((caller, peer)) => self.admit(caller, peer),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.doors[door].ready = false;
                self.patient = true;
            }
            Err(error) if is_exhausted(&error) => self.accept_with_reserve(door),
            // Of that one connection, which is gone (accept(2)), or a signal.
            Err(_) => {}
        }
    }

    /// Linux reports that descriptors are exhausted even when nobody is waiting: only the reserve tells.
    fn accept_with_reserve(&mut self, door: usize) {
        if self.patient && self.least_missed().is_none() {
            return self.accept_later(door);
        }
        self.reserve.0 = None;
        match self.doors[door].accept() {
            Ok((caller, peer)) => {
                self.front.counters.exhausted.add(1);
                if self.evict() {
                    self.admit(caller, peer);
                } else {
                    self.front.counters.accepted.add(1);
                    self.turn_away(caller);
                }
            }
            Err(error) if is_exhausted(&error) => self.accept_later(door),
            Err(_) => {
                self.doors[door].ready = false;
                self.patient = true;
            }
        }
        self.reserve = Reserve::new();
    }

    fn accept_later(&mut self, door: usize) {
        self.front.counters.exhausted.add(1);
        self.doors[door].ready = false;
        // New arrivals do not put it off.
        self.accept_again.get_or_insert(self.now + RETRY);
    }

    fn admit(&mut self, caller: Caller, peer: Peer) {
        self.front.counters.accepted.add(1);
        let mut verdict = self.admission.admit(peer, &self.front.limits);
        if verdict == Verdict::Full && self.evict() {
            verdict = self.admission.admit(peer, &self.front.limits);
        }
        let admitted = verdict == Verdict::Admitted;
        if !admitted && self.table.len() >= self.front.limits.connections.saturating_add(REFUSED_AT_ONCE) {
            return self.turn_away(caller);
        }
        let index = self.table.vacant();
        let Ok(transport) = Transport::new(caller, self.poll.registry(), Token(index as usize)) else {
            // epoll's own limit (fs.epoll.max_user_watches).
            self.front.counters.refused.add(1);
            if admitted {
                self.admission.leave(peer);
            }
            return;
        };
        let mut connection = Connection::new(peer, &self.front.limits);
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

    /// Closes the connection that is missed least; false if all are being served.
    fn evict(&mut self) -> bool {
        let Some(index) = self.least_missed() else { return false };
        self.front.counters.evicted.add(1);
        self.close(index);
        true
    }

    /// Idle connections first, which HTTP lets a server close at any time, then half-sent requests; those of clients
    /// that have shown a valid token after all others.
    fn least_missed(&self) -> Option<u32> {
        self.deadlines
            .longest(Wait::Idle)
            .or_else(|| self.unfinished.crowd())
            .or_else(|| self.deadlines.longest(Wait::IdleKnown))
            .or_else(|| self.unfinished.known_crowd())
    }

    /// Without a place for it: what one write takes, and over TLS nothing, since a handshake takes a place.
    fn turn_away(&mut self, mut caller: Caller) {
        self.front.counters.refused.add(1);
        #[cfg(feature = "monitor")]
        if caller.tls.is_some() {
            return;
        }
        let mut connection = Connection::new(Peer::Unix, &self.front.limits);
        connection.refuse(TOO_MANY, &self.front);
        // Unread bytes would turn the close into a reset that may overtake the answer.
        let _ = caller.socket.read(&mut self.scratch);
        let _ = caller.socket.write(connection.output());
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
