//! The states of one connection, without its socket: bytes in, requests out, answers in, bytes out.

use super::client;
use super::counters::Counters;
use super::deadlines::Wait;
use super::gate::{Gate, Verdict};
use super::limits::Limits;
use super::message::{Peer, Request, Response};
use super::parse::{self, Refusal, Scanner};
use super::partial::Partial;
use super::queue;
use super::write::{self, After};
use std::net::IpAddr;
use std::sync::Arc;

/// What a refused client may still send before its connection is reset; more is not read for the sake of courtesy.
const MAX_DISCARDED: usize = 256 * 1024;

/// Answers to pipelined requests leave together, up to this many bytes.
pub(super) const BATCH: usize = 64 * 1024;

/// What all connections of a server share.
pub(super) struct Front {
    pub(super) limits: Limits,
    pub(super) counters: Arc<Counters>,
    pub(super) gate: Option<Gate>,
    /// As [`write::date`] has it, renewed each second.
    pub(super) date: String,
}

/// An idle one holds no buffer: a fleet of 10,000 keeps 10,000 of these.
#[derive(Debug)]
pub(super) struct Connection {
    peer: Peer,
    /// Whose requests come now; `None`: a proxy has not said for whom it asks, or the peer is on this machine.
    client: Option<IpAddr>,
    /// The peer asks for many clients: what one of them has shown does not count for the next.
    is_shared: bool,
    /// The client has shown a valid token.
    known: bool,
    /// Received and not handed on; `input[begin..]` begins with a request.
    input: Vec<u8>,
    begin: usize,
    scanner: Scanner,
    /// The request whose head is complete and whose body is not.
    partial: Option<Box<Partial>>,
    /// Answers; `output[written..]` is still to be sent.
    output: Vec<u8>,
    written: usize,
    state: State,
    /// The peer will send no more.
    ended: bool,
    /// The server stops: the next answer is the last one.
    last: bool,
    /// Requests handed on.
    requests: u32,
}

/// Why a request goes no further.
enum End {
    Refused(Refusal),
    Answered(Response),
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> End {
        End::Refused(refusal)
    }
}

/// The peer's address, unless it asks for others.
fn own_address(peer: Peer, limits: &Limits) -> Option<IpAddr> {
    let Peer::Tcp(address) = peer else { return None };
    let is_proxy = limits.unlimited.iter().any(|network| network.contains(address.ip()));
    (!is_proxy).then(|| address.ip())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A request is awaited, or has come in part.
    Receiving,
    /// The handler has a request.
    Working(After),
    /// Close once the output is sent, and linger where the peer may still be sending.
    Closing {
        linger: bool,
    },
    /// Our side is shut; what comes is discarded.
    Lingering {
        discarded: usize,
    },
    Closed,
}

impl Connection {
    pub(super) fn new(peer: Peer, limits: &Limits) -> Connection {
        let client = own_address(peer, limits);
        Connection {
            peer,
            client,
            is_shared: client.is_none(),
            known: false,
            input: Vec::new(),
            begin: 0,
            scanner: Scanner::default(),
            partial: None,
            output: Vec::new(),
            written: 0,
            state: State::Receiving,
            ended: false,
            last: false,
            requests: 0,
        }
    }

    pub(super) fn peer(&self) -> Peer {
        self.peer
    }

    pub(super) fn requests(&self) -> u32 {
        self.requests
    }

    /// Whether bytes from the socket are of use now. Otherwise they stay in the kernel, and the peer has to wait.
    pub(super) fn wants_input(&self) -> bool {
        !self.ended && matches!(self.state, State::Receiving | State::Lingering { .. })
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Lingering { discarded } => {
                *discarded += bytes.len();
                if *discarded > MAX_DISCARDED {
                    self.state = State::Closed;
                }
            }
            _ => {
                self.input.drain(..std::mem::take(&mut self.begin));
                self.input.extend_from_slice(bytes);
            }
        }
    }

    /// The peer sends no more. It may still be reading: what was asked completely is answered.
    pub(super) fn end(&mut self) {
        self.ended = true;
        match self.state {
            State::Receiving => self.state = State::Closing { linger: false },
            State::Lingering { .. } => self.state = State::Closed,
            State::Working(_) | State::Closing { .. } | State::Closed => {}
        }
    }

    /// The next complete request, if there is one and the one before is answered. A malformed one is answered here.
    pub(super) fn next(&mut self, front: &Front) -> Option<Request> {
        if self.state != State::Receiving {
            return None;
        }
        match self.parse(front) {
            Ok(request) => request,
            Err(End::Refused(refusal)) => {
                self.refuse(refusal, front);
                None
            }
            Err(End::Answered(response)) => {
                self.answer_and_close(&response, front);
                None
            }
        }
    }

    fn parse(&mut self, front: &Front) -> Result<Option<Request>, End> {
        let limits = &front.limits;
        let (mut partial, is_new) = match self.partial.take() {
            Some(partial) => (*partial, false),
            None => match self.open(limits)? {
                Some(partial) => (partial, true),
                None => return Ok(None),
            },
        };
        let used = partial.receive(&self.input[self.begin..], limits)?;
        self.consume(used);
        if !partial.is_complete() {
            if is_new {
                self.check(partial.head(), front)?;
            }
            if is_new && used == 0 && partial.waits_for_continue() {
                self.output.extend_from_slice(write::CONTINUE);
            }
            self.partial = Some(Box::new(partial));
            return Ok(None);
        }
        let (request, after) = partial.into_request();
        self.scanner = Scanner::default();
        self.requests = self.requests.wrapping_add(1);
        self.state = State::Working(after);
        Ok(Some(request))
    }

    /// Asks the program about a request whose body is still to come.
    fn check(&mut self, head: &Request, front: &Front) -> Result<(), End> {
        if self.is_shared {
            self.client = client::address(head, &front.limits.unlimited);
            self.known = false;
        }
        match front.gate.as_ref().map(|gate| gate(head)) {
            None | Some(Verdict::Receive) => {}
            Some(Verdict::Authenticated) => self.known = true,
            Some(Verdict::Refuse(response)) => return Err(End::Answered(response)),
        }
        Ok(())
    }

    /// Begins the next request once its head is complete.
    fn open(&mut self, limits: &Limits) -> Result<Option<Partial>, Refusal> {
        let bytes = &self.input[self.begin..];
        if bytes.is_empty() {
            return Ok(None);
        }
        let Some(end) = self.scanner.scan(bytes, limits.head)? else { return Ok(None) };
        let head = parse::head(&bytes[..end], limits.body)?;
        let (partial, used) = Partial::open(head, &mut self.input, self.begin, self.peer);
        self.consume(used);
        Ok(Some(partial))
    }

    fn consume(&mut self, bytes: usize) {
        self.begin += bytes;
        if self.begin >= self.input.len() {
            self.input = Vec::new();
            self.begin = 0;
        }
    }

    /// The answer to the request that [`Connection::next`] gave. One that comes too late is dropped.
    pub(super) fn answer(&mut self, response: &Response, front: &Front) {
        let State::Working(mut after) = self.state else { return };
        after.keep_alive &= !self.ended && !self.last;
        let refused = self.is_shared || response.status() == 401;
        self.known = response.authenticated || (self.known && !refused);
        if self.is_shared {
            self.client = None;
        }
        self.put(response, after, front);
        self.state = if after.keep_alive {
            State::Receiving
        } else {
            // Unread requests behind this one would turn the close into a reset.
            State::Closing { linger: !self.ended && !self.input.is_empty() }
        };
    }

    /// Answers what is there, whatever it is, with an error, and closes.
    pub(super) fn refuse(&mut self, refusal: Refusal, front: &Front) {
        // Caches may keep a 414 or a 501 that does not forbid it (RFC 9110 15.1).
        let mut response = Response::error(refusal.status, refusal.error).header("Cache-Control", "no-store");
        if refusal.status == 503 {
            response = response.header("Retry-After", queue::retry_after());
        }
        self.answer_and_close(&response, front);
    }

    fn answer_and_close(&mut self, response: &Response, front: &Front) {
        let after = match self.state {
            State::Working(after) => After { keep_alive: false, ..after },
            _ => After { without_body: false, keep_alive: false, old: false },
        };
        self.put(response, after, front);
        self.drop_input();
        self.state = State::Closing { linger: !self.ended };
    }

    fn put(&mut self, response: &Response, after: After, front: &Front) {
        front.counters.answered(response.status());
        write::answer(&mut self.output, response, after, &front.date);
    }

    fn drop_input(&mut self) {
        self.input = Vec::new();
        self.begin = 0;
        self.partial = None;
    }

    /// The server stops: what is complete is answered, and nothing after it.
    pub(super) fn stop(&mut self, front: &Front) {
        self.last = true;
        if self.state != State::Receiving {
            return;
        }
        if self.is_between_requests() {
            self.state = State::Closing { linger: false };
        } else {
            self.refuse(Refusal { status: 503, error: "the server stops" }, front);
        }
    }

    /// Its deadline has passed; see [`Connection::wait`] for which.
    pub(super) fn expire(&mut self, wait: Wait, front: &Front) {
        let counters = &front.counters;
        match wait {
            Wait::Request => {
                counters.late_requests.add(1);
                if self.is_between_requests() {
                    self.state = State::Closed;
                } else {
                    self.refuse(Refusal { status: 408, error: "the request took too long" }, front);
                }
            }
            Wait::Answer => {
                counters.late_answers.add(1);
                self.refuse(Refusal { status: 503, error: "no answer in time" }, front);
            }
            Wait::Write => {
                counters.slow_readers.add(1);
                self.state = State::Closed;
            }
            Wait::Idle | Wait::IdleKnown | Wait::Linger => self.state = State::Closed,
        }
    }

    /// What it waits for, once there is nothing more to do; `None`: it is to be closed.
    pub(super) fn wait(&self) -> Option<Wait> {
        if !self.output().is_empty() && self.state != State::Closed {
            return Some(Wait::Write);
        }
        match self.state {
            State::Receiving if self.requests > 0 && self.is_between_requests() => {
                Some(if self.known { Wait::IdleKnown } else { Wait::Idle })
            }
            State::Receiving => Some(Wait::Request),
            State::Working(_) => Some(Wait::Answer),
            State::Lingering { .. } => Some(Wait::Linger),
            State::Closing { .. } | State::Closed => None,
        }
    }

    /// No byte of a request has come. The empty line that some clients send behind a body (RFC 9112 2.2) is not a
    /// request: it would open a way to hold a connection.
    fn is_between_requests(&self) -> bool {
        self.partial.is_none() && matches!(self.input[self.begin..], [] | [b'\r'] | [b'\r', b'\n'])
    }

    /// Whose it is, for the bounds of unfinished input.
    pub(super) fn client(&self) -> Option<IpAddr> {
        self.client
    }

    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    /// Memory of unfinished input and of unread answers, in bytes. An answer that is larger than [`BATCH`] counts as
    /// that many: a slow reader of one long answer is no attack.
    pub(super) fn held(&self) -> usize {
        let partial = self.partial.as_ref().map_or(0, |partial| partial.held());
        self.input.capacity() + partial + self.output.len().min(BATCH)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn buffered(&self) -> usize {
        self.input.len() + self.partial.as_ref().map_or(0, |partial| partial.buffered())
    }

    /// What is to be sent.
    pub(super) fn output(&self) -> &[u8] {
        &self.output[self.written..]
    }

    /// So much of [`Connection::output`] has been sent.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written >= self.output.len() {
            self.output = Vec::new();
            self.written = 0;
        }
    }

    /// All output is sent: whether our side of the socket is to be shut now, so that the peer reads an end instead
    /// of a reset while it is still sending.
    pub(super) fn shuts(&mut self) -> bool {
        let shuts = self.output().is_empty() && self.state == State::Closing { linger: true };
        if shuts {
            self.state = State::Lingering { discarded: 0 };
        }
        shuts
    }
}
