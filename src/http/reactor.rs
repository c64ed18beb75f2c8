//! The loop that owns every socket: waits for readiness, deadlines and responses, and serves connections in turn.

use super::admission::Admission;
use super::advance::advance;
use super::connection::Front;
use super::counters::Counters;
use super::date;
use super::deadlines::{Deadlines, LONGEST, Wait};
use super::gate::GateDecision;
#[cfg(feature = "monitor")]
use super::handshake::Handshakes;
use super::limits::Limits;
use super::listener::{Acceptor, DescriptorReserve, Listener};
use super::message::Request;
use super::pace::Pace;
use super::reply::{Exchange, ReactorEvent, Reply, Stopper};
use super::table::ConnectionTable;
use super::unfinished::{Bounds, Unfinished};
use crate::mailbox::{self, Mailbox, MailboxSender};
use mio::{Events, Poll, Token};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Buffer of one read, shared by all connections. Most requests fit into it.
const READ: usize = 16 * 1024;
/// Requests per connection and turn; then others are served.
const REQUESTS_A_TURN: usize = 32;
const EVENTS: usize = 256;

const WAKER: Token = Token(usize::MAX);
/// Tokens of listeners count down from here, those of connections up from 0.
const FIRST_ACCEPTOR: usize = usize::MAX - 1;

/// An HTTP/1.1 server over plain sockets. It has no thread of its own: see [`Server::run`].
pub struct Server(Reactor);

impl Server {
    /// Accepts nothing before [`Server::run`]; until then connections wait in the kernel's backlog.
    pub fn new(listeners: Vec<Listener>, limits: Limits) -> io::Result<Server> {
        Reactor::new(listeners, limits).map(Server)
    }

    pub fn stopper(&self) -> Stopper {
        Stopper(self.0.sender.clone())
    }

    pub fn counters(&self) -> Arc<Counters> {
        self.0.front.counters.clone()
    }

    /// Lets `gate` decide about each request whose body does not arrive together with its head.
    #[must_use]
    pub fn gate(mut self, gate: impl Fn(&Request) -> GateDecision + Send + 'static) -> Server {
        self.0.front.gate = Some(Box::new(gate));
        self
    }

    /// Serves until [`Stopper::stop`]. Calls `handle` on this thread for each complete request; it must not block:
    /// it answers at once, or passes the [`Exchange`] to another thread (see [`super::queue`]).
    ///
    /// # Errors
    /// epoll failed; the server has ended.
    pub fn run(mut self, mut handle: impl FnMut(Exchange)) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        self.0.read_clock();
        loop {
            self.0.handle_events();
            self.0.serve(&mut handle);
            // After open connections: a request that has arrived makes its connection busy, so it is not evicted.
            self.0.accept();
            self.0.serve(&mut handle);
            self.0.check_stop(&mut handle);
            if self.0.is_done() {
                return Ok(());
            }
            self.0.wait(&mut events)?;
        }
    }
}

/// State of a [`Server`]; `accept` has the methods for new connections.
pub(super) struct Reactor {
    pub(super) poll: Poll,
    pub(super) acceptors: Vec<Acceptor>,
    pub(super) table: ConnectionTable,
    pub(super) deadlines: Deadlines,
    pub(super) admission: Admission,
    pub(super) unfinished: Unfinished,
    pub(super) front: Front,
    pub(super) reserve: DescriptorReserve,
    /// Time of the next attempt after descriptors were exhausted.
    pub(super) retry_accept_at: Option<Instant>,
    /// False once a connection has waited for a descriptor during the current EMFILE episode.
    pub(super) may_wait_for_descriptor: bool,
    /// Time of this iteration, read once for all connections.
    pub(super) now: Instant,
    pace: Pace,
    pub(super) scratch: Box<[u8]>,
    /// `None`: no listener speaks TLS.
    #[cfg(feature = "monitor")]
    pub(super) handshakes: Option<Handshakes>,
    /// Indices of connections that need a turn.
    queue: VecDeque<u32>,
    pub(super) sender: MailboxSender<ReactorEvent>,
    mailbox: Mailbox<ReactorEvent>,
    /// Grace period of a requested stop; `None` until one is requested.
    grace: Option<Duration>,
    /// End of the grace period after a stop; open connections are closed then.
    stopping: Option<Instant>,
    second: u64,
}

impl Reactor {
    fn new(listeners: Vec<Listener>, limits: Limits) -> io::Result<Reactor> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), WAKER)?;
        #[cfg(feature = "monitor")]
        let handshakes = match listeners.iter().any(Listener::speaks_tls) {
            true => Some(Handshakes::start().map_err(io::Error::other)?),
            false => None,
        };
        let acceptors = listeners
            .into_iter()
            .enumerate()
            .map(|(n, listener)| Acceptor::open(listener, poll.registry(), Token(FIRST_ACCEPTOR - n)))
            .collect::<io::Result<Vec<_>>>()?;
        // Bounded by the number of connections: each has one request at a time.
        // A wake-up fails only if the eventfd's counter is full, and then the reactor is awake.
        let (sender, mailbox) = mailbox::unbounded(move || _ = waker.wake());
        let now = Instant::now();
        Ok(Reactor {
            acceptors,
            table: ConnectionTable::default(),
            deadlines: Deadlines::new(&limits),
            admission: Admission::default(),
            unfinished: Unfinished::default(),
            front: Front {
                limits,
                counters: Arc::default(),
                gate: None,
                date: date::format(SystemTime::now()),
            },
            reserve: DescriptorReserve::new(),
            retry_accept_at: None,
            may_wait_for_descriptor: true,
            now,
            pace: Pace::new(now),
            scratch: vec![0; READ].into_boxed_slice(),
            #[cfg(feature = "monitor")]
            handshakes,
            queue: VecDeque::new(),
            sender,
            mailbox,
            grace: None,
            stopping: None,
            second: 0,
            poll,
        })
    }

    pub(super) fn enqueue(&mut self, index: u32) {
        if let Some(client) = self.table.get(index).filter(|client| !client.queued) {
            client.queued = true;
            self.queue.push_back(index);
        }
    }

    pub(super) fn close(&mut self, index: u32) {
        let Some(mut client) = self.table.remove(index) else { return };
        client.transport.send_close_notify();
        if client.admitted {
            self.admission.leave(client.connection.peer());
        }
        self.deadlines.clear(index);
        self.unfinished.set(index, None);
        self.front.counters.open.set(self.table.len() as u64);
    }

    fn handle_events(&mut self) {
        while let Ok(event) = self.mailbox.try_recv() {
            self.handle_event(event);
        }
    }

    fn handle_event(&mut self, event: ReactorEvent) {
        match event {
            ReactorEvent::Answer(ticket, response) => {
                if let Some(client) = self.table.by_ticket(ticket) {
                    client.connection.answer(response, &self.front);
                    self.enqueue(ticket.index);
                }
            }
            #[cfg(feature = "monitor")]
            ReactorEvent::Piece(ticket, piece) => {
                if let Some(client) = self.table.by_ticket(ticket) {
                    client.connection.receive_piece(piece);
                    self.enqueue(ticket.index);
                }
            }
            #[cfg(feature = "monitor")]
            ReactorEvent::Handshake(ticket, session) => self.continue_handshake(ticket, session),
            ReactorEvent::Stop(grace) => self.grace = Some(grace),
        }
    }

    /// Gives one turn to each connection that is queued now.
    fn serve(&mut self, handle: &mut impl FnMut(Exchange)) {
        for _ in 0..self.queue.len() {
            let Some(index) = self.queue.pop_front() else { return };
            let again = self.turn(index, handle);
            #[cfg(feature = "monitor")]
            self.offload(index);
            if let Some(client) = self.table.get(index) {
                client.queued = false;
            }
            self.watch(index);
            if again {
                self.enqueue(index);
            }
        }
    }

    /// True if the connection needs another turn.
    fn turn(&mut self, index: u32, handle: &mut impl FnMut(Exchange)) -> bool {
        for _ in 0..REQUESTS_A_TURN {
            let Some(client) = self.table.get(index) else { return false };
            match advance(client, &self.front, &mut self.scratch) {
                Ok(Some(request)) => {
                    self.front.counters.requests.add(1);
                    let reply = Reply::new(self.table.ticket(index), self.sender.clone());
                    handle(Exchange { request, reply });
                    // If it was answered at once, this turn continues with the next request.
                    self.handle_events();
                }
                Ok(None) => return false,
                Err(_) => {
                    // Usually a reset by the peer.
                    self.close(index);
                    return false;
                }
            }
        }
        true
    }

    /// Sets the deadline of the connection's current wait, or closes it.
    fn watch(&mut self, index: u32) {
        let Some(client) = self.table.get(index) else { return };
        let Some(wait) = client.connection.wait() else { return self.close(index) };
        let watched = Some((wait, client.connection.requests()));
        if client.watched != watched {
            client.watched = watched;
            self.deadlines.set(index, wait, self.now);
        }
        self.bound(index, wait);
    }

    /// Counts the memory of the connection's unfinished input; at a bound, closes the oldest connection of the network
    /// that holds most.
    fn bound(&mut self, index: u32, wait: Wait) {
        let Some(client) = self.table.get(index) else { return };
        let holding = client.holding(wait);
        if holding.is_none() && !client.holds {
            return;
        }
        client.holds = holding.is_some();
        self.unfinished.set(index, holding);
        let Limits { unfinished: all, unfinished_per_network: network, .. } = self.front.limits;
        while let Some(excess) = self.unfinished.excess(index, Bounds { all, network }) {
            self.front.counters.evicted.add(1);
            self.close(excess);
        }
    }

    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        if !self.has_work() {
            self.pause();
        }
        let busy = !self.mailbox.park() || self.has_work();
        let timeout = if busy { Some(Duration::ZERO) } else { self.next_deadline() };
        let polled = self.poll.poll(events, timeout);
        self.mailbox.unpark();
        match polled {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            Ok(()) | Err(_) => {}
        }
        self.read_clock();
        for event in events.iter() {
            self.ready(event);
        }
        self.pace.looked(self.queue.len(), self.table.len(), self.now);
        self.expire();
        Ok(())
    }

    fn has_work(&self) -> bool {
        !self.queue.is_empty() || self.has_pending_accepts()
    }

    /// Lets requests collect. A response of another thread ends the pause: it must not wait for the next look.
    fn pause(&mut self) {
        let Some(pause) = self.pace.pause(self.now, Instant::now()) else { return };
        if let Some(event) = self.mailbox.recv_timeout(pause) {
            self.handle_event(event);
        }
    }

    fn next_deadline(&self) -> Option<Duration> {
        let next =
            [self.deadlines.next(), self.retry_accept_at, self.stopping].into_iter().flatten().min()?;
        Some(next.saturating_duration_since(self.now))
    }

    fn read_clock(&mut self) {
        self.now = Instant::now();
        let now = SystemTime::now();
        let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second {
            self.second = second;
            self.front.date = date::format(now);
        }
    }

    fn ready(&mut self, event: &mio::event::Event) {
        let token = event.token();
        if token == WAKER {
            return;
        }
        if let Some(acceptor) = FIRST_ACCEPTOR.checked_sub(token.0).and_then(|n| self.acceptors.get_mut(n)) {
            acceptor.ready = true;
            return;
        }
        let index = token.0 as u32;
        if let Some(client) = self.table.get(index) {
            client.transport.socket.update(event);
            self.enqueue(index);
        }
    }

    fn expire(&mut self) {
        while let Some((index, wait)) = self.deadlines.passed(self.now) {
            let Some(client) = self.table.get(index) else { continue };
            client.watched = None;
            client.connection.expire(wait, &self.front);
            self.enqueue(index);
        }
    }

    /// Begins the shutdown once [`Stopper::stop`] was called.
    fn check_stop(&mut self, handle: &mut impl FnMut(Exchange)) {
        let Some(grace) = self.grace.filter(|_| self.stopping.is_none()) else { return };
        self.stopping = Some(self.now + grace.min(LONGEST));
        // Drain the accept backlog and serve requests that already arrived.
        self.acceptors.iter_mut().for_each(|acceptor| acceptor.ready = true);
        self.accept();
        self.acceptors.clear();
        for index in self.table.indices() {
            if let Some(client) = self.table.get(index) {
                client.transport.socket.assume_readable();
            }
            self.enqueue(index);
        }
        self.serve(handle);
        for index in self.table.indices() {
            if let Some(client) = self.table.get(index) {
                client.connection.stop(&self.front);
            }
            self.enqueue(index);
        }
        self.serve(handle);
    }

    fn is_done(&self) -> bool {
        self.stopping.is_some_and(|end| end <= self.now || self.table.len() == 0)
    }
}
