//! State machine of one connection without its socket: bytes in, requests out, responses in, bytes out.

use super::client::ConnectionClient;
use super::counters::Counters;
use super::deadlines::Wait;
#[cfg(feature = "monitor")]
use super::file_body::Piece;
use super::gate::{Gate, GateDecision};
use super::limits::Limits;
use super::message::{Peer, Request, Response};
use super::output::Output;
use super::parse::{self, Rejection, Scanner};
use super::partial::Partial;
use super::queue;
use super::write::After;
use std::sync::Arc;

/// Bytes that are discarded from a refused client so that it can read the refusal; after that its connection is reset.
const MAX_DISCARDED: usize = 256 * 1024;

/// Responses to pipelined requests are sent together, up to this many bytes.
pub(super) const BATCH: usize = 64 * 1024;

/// State that all connections of a server share.
pub(super) struct Front {
    pub(super) limits: Limits,
    pub(super) counters: Arc<Counters>,
    pub(super) gate: Option<Gate>,
    /// Formatted by [`super::date`], updated each second.
    pub(super) date: String,
}

/// Holds no buffer while idle: a fleet of 10,000 keeps 10,000 of these.
#[derive(Debug)]
pub(super) struct HttpConnection {
    peer: Peer,
    client: ConnectionClient,
    /// Bytes received and not handed on; `input[begin..]` begins with a request.
    input: Vec<u8>,
    begin: usize,
    scanner: Scanner,
    /// A request whose head is complete and whose body is not.
    partial: Option<Box<Partial>>,
    output: Output,
    phase: Phase,
    /// The peer has shut its side.
    ended: bool,
    /// The server is stopping: the next response is the last one.
    last: bool,
    /// Number of requests handed on.
    requests: u32,
}

/// Why a request is not handed on.
enum End {
    Refused(Rejection),
    Answered(Response),
}

impl From<Rejection> for End {
    fn from(rejection: Rejection) -> End {
        End::Refused(rejection)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for a request or the rest of one.
    Receiving,
    /// The handler has a request, or a file is being sent.
    Working(After),
    /// Closes once the output is sent, and lingers if the peer may still be sending.
    Closing {
        linger: bool,
    },
    /// Our side is shut; input is discarded.
    Lingering {
        discarded: usize,
    },
    Closed,
}

impl HttpConnection {
    pub(super) fn new(peer: Peer, limits: &Limits) -> HttpConnection {
        HttpConnection {
            peer,
            client: ConnectionClient::new(peer, limits),
            input: Vec::new(),
            begin: 0,
            scanner: Scanner::default(),
            partial: None,
            output: Output::default(),
            phase: Phase::Receiving,
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

    /// Whether to read from the socket now. Otherwise bytes stay in the kernel, and TCP slows the peer down.
    pub(super) fn wants_input(&self) -> bool {
        !self.ended && matches!(self.phase, Phase::Receiving | Phase::Lingering { .. })
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        match &mut self.phase {
            Phase::Lingering { discarded } => {
                *discarded += bytes.len();
                if *discarded > MAX_DISCARDED {
                    self.phase = Phase::Closed;
                }
            }
            _ => {
                self.input.drain(..std::mem::take(&mut self.begin));
                self.input.extend_from_slice(bytes);
            }
        }
    }

    /// The peer has shut its side. It may still be reading, so complete requests are answered.
    pub(super) fn end(&mut self) {
        self.ended = true;
        match self.phase {
            Phase::Receiving => self.phase = Phase::Closing { linger: false },
            Phase::Lingering { .. } => self.phase = Phase::Closed,
            Phase::Working(_) | Phase::Closing { .. } | Phase::Closed => {}
        }
    }

    /// The next complete request, once the previous one is answered. Answers a malformed one itself.
    pub(super) fn next(&mut self, front: &Front) -> Option<Request> {
        if self.phase != Phase::Receiving {
            return None;
        }
        match self.parse(front) {
            Ok(request) => request,
            Err(End::Refused(rejection)) => {
                self.refuse(rejection, front);
                None
            }
            Err(End::Answered(response)) => {
                self.answer_and_close(response, front);
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
                self.output.put_continue();
            }
            self.partial = Some(Box::new(partial));
            return Ok(None);
        }
        let (request, after) = partial.into_request();
        self.scanner = Scanner::default();
        self.requests = self.requests.wrapping_add(1);
        self.phase = Phase::Working(after);
        Ok(Some(request))
    }

    /// Calls the gate for a request whose body is still to come.
    fn check(&mut self, head: &Request, front: &Front) -> Result<(), End> {
        self.client.begin_request(head, &front.limits);
        match front.gate.as_ref().map(|gate| gate(head)) {
            None | Some(GateDecision::Receive) => {}
            Some(GateDecision::Authenticated) => self.client.authenticated = true,
            Some(GateDecision::Refuse(response)) => return Err(End::Answered(response)),
        }
        Ok(())
    }

    /// Parses the next head once it is complete.
    fn open(&mut self, limits: &Limits) -> Result<Option<Partial>, Rejection> {
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

    /// Answers the request that [`HttpConnection::next`] returned; drops a response that is too late.
    pub(super) fn answer(&mut self, response: Response, front: &Front) {
        let Phase::Working(mut after) = self.phase else { return };
        after.keep_alive &= !self.ended && !self.last && !response.is_last;
        self.client.end_request(&response);
        self.put(response, after, front);
        if self.output.has_download() {
            self.phase = Phase::Working(after);
        } else {
            self.finish(after);
        }
    }

    /// The response is complete in the output.
    fn finish(&mut self, after: After) {
        self.phase = if after.keep_alive && !self.ended && !self.last {
            Phase::Receiving
        } else {
            // Unread pipelined requests would turn the close into a reset.
            Phase::Closing { linger: !self.ended && !self.input.is_empty() }
        };
    }

    /// Answers the current request or connection with an error, and closes.
    pub(super) fn refuse(&mut self, rejection: Rejection, front: &Front) {
        // Caches may store a 414 or 501 unless it forbids that (RFC 9110 15.1).
        let mut response =
            Response::error(rejection.status, rejection.error).header("Cache-Control", "no-store");
        if rejection.status == 503 {
            response = response.header("Retry-After", queue::retry_after());
        }
        self.answer_and_close(response, front);
    }

    fn answer_and_close(&mut self, response: Response, front: &Front) {
        let after = match self.phase {
            Phase::Working(after) => After { keep_alive: false, ..after },
            _ => After { without_body: false, keep_alive: false, old: false },
        };
        self.put(response, after, front);
        self.drop_input();
        self.phase = Phase::Closing { linger: !self.ended };
    }

    fn put(&mut self, response: Response, after: After, front: &Front) {
        front.counters.answered(response.status());
        self.output.put(response, after, &front.date);
    }

    fn drop_input(&mut self) {
        self.input = Vec::new();
        self.begin = 0;
        self.partial = None;
    }

    /// The server is stopping: answers a complete request, and nothing after it.
    pub(super) fn stop(&mut self, front: &Front) {
        self.last = true;
        if self.phase != Phase::Receiving {
            return;
        }
        if self.is_between_requests() {
            self.phase = Phase::Closing { linger: false };
        } else {
            self.refuse(Rejection { status: 503, error: "the server stops" }, front);
        }
    }

    /// The deadline of `wait` has passed.
    pub(super) fn expire(&mut self, wait: Wait, front: &Front) {
        let counters = &front.counters;
        match wait {
            Wait::Request => {
                counters.late_requests.add(1);
                if self.is_between_requests() {
                    self.phase = Phase::Closed;
                } else {
                    self.refuse(Rejection { status: 408, error: "the request took too long" }, front);
                }
            }
            Wait::Answer => {
                counters.late_answers.add(1);
                self.refuse(Rejection { status: 503, error: "no answer in time" }, front);
            }
            #[cfg(feature = "monitor")]
            Wait::Download if self.output.check_progress(front.limits.progress) => {}
            #[cfg(feature = "monitor")]
            Wait::Download if self.output.is_reading() => {
                counters.late_answers.add(1);
                self.phase = Phase::Closed;
            }
            Wait::Write | Wait::Download => {
                counters.slow_readers.add(1);
                self.phase = Phase::Closed;
            }
            Wait::Idle | Wait::IdleAuthenticated | Wait::Linger => self.phase = Phase::Closed,
        }
    }

    /// The next wait of the connection; `None` if it must be closed.
    pub(super) fn wait(&self) -> Option<Wait> {
        if let Some(wait) = self.output.wait().filter(|_| self.phase != Phase::Closed) {
            return Some(wait);
        }
        match self.phase {
            Phase::Receiving if self.requests > 0 && self.is_between_requests() => {
                Some(if self.client.authenticated { Wait::IdleAuthenticated } else { Wait::Idle })
            }
            Phase::Receiving => Some(Wait::Request),
            Phase::Working(_) => Some(Wait::Answer),
            Phase::Lingering { .. } => Some(Wait::Linger),
            Phase::Closing { .. } | Phase::Closed => None,
        }
    }

    /// No byte of a request has arrived. The empty line that some clients send after a body (RFC 9112 2.2) does not
    /// count: it would let a client hold a connection.
    fn is_between_requests(&self) -> bool {
        self.partial.is_none() && matches!(self.input[self.begin..], [] | [b'\r'] | [b'\r', b'\n'])
    }

    pub(super) fn client(&self) -> &ConnectionClient {
        &self.client
    }

    /// Memory of unfinished input and unsent output, in bytes. Output counts as at most [`BATCH`]: a slow reader of
    /// one long response is no attack.
    pub(super) fn held(&self) -> usize {
        let partial = self.partial.as_ref().map_or(0, |partial| partial.held());
        self.input.capacity() + partial + self.output().len().min(BATCH)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn buffered(&self) -> usize {
        self.input.len() + self.partial.as_ref().map_or(0, |partial| partial.buffered())
    }

    /// Bytes that can be sent now.
    pub(super) fn output(&self) -> &[u8] {
        self.output.pending()
    }

    /// This many bytes of [`HttpConnection::output`] have been sent.
    pub(super) fn wrote(&mut self, bytes: usize) {
        let had_download = self.output.has_download();
        self.output.wrote(bytes);
        match self.phase {
            Phase::Working(after) if had_download && !self.output.has_download() => self.finish(after),
            _ => {}
        }
    }

    /// The next piece of the file has been read; `None` if that failed, which only a shorter body can say.
    #[cfg(feature = "monitor")]
    pub(super) fn receive_piece(&mut self, piece: Piece) {
        match piece {
            Some(piece) => self.output.put_piece(piece),
            None => self.phase = Phase::Closed,
        }
    }

    #[cfg(feature = "monitor")]
    pub(super) fn output_mut(&mut self) -> &mut Output {
        &mut self.output
    }

    /// True if our side of the socket must be shut now: all output is sent, and the peer, which may still be sending,
    /// should read an end of stream instead of a reset.
    pub(super) fn begins_to_linger(&mut self) -> bool {
        let begins_to_linger = self.output().is_empty() && self.phase == Phase::Closing { linger: true };
        if begins_to_linger {
            self.phase = Phase::Lingering { discarded: 0 };
        }
        begins_to_linger
    }
}
