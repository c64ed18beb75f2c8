//! A request whose head is complete and whose body is still arriving.

use super::chunked::{Bounds, Decoder};
use super::limits::Limits;
use super::message::{Method, Peer, Request};
use super::parse::{Framing, Head, Rejection};
use super::write::After;

#[derive(Debug)]
pub(super) struct Partial {
    /// `bytes` holds the head and the body received so far.
    request: Request,
    after: After,
    rest: Rest,
    expects_continue: bool,
}

/// The rest of the body.
#[derive(Debug)]
enum Rest {
    /// Head and body have this many bytes.
    Until(usize),
    Chunked(Decoder),
}

impl Partial {
    /// `received` begins with the request. Returns how many bytes of it were used.
    pub(super) fn open(head: Head, received: &mut Vec<u8>, begin: usize, peer: Peer) -> (Partial, usize) {
        let available = received.len() - begin;
        let (size, rest) = match head.framing {
            Framing::Unstated => (head.end, Rest::Until(head.end)),
            Framing::Length(length) => (head.end + length, Rest::Until(head.end + length)),
            Framing::Chunked => (head.end, Rest::Chunked(Decoder::default())),
        };
        let used = size.min(available);
        // Usually one request is all that was received: moves the buffer instead of copying it.
        let bytes = if begin == 0 && used == available {
            std::mem::take(received)
        } else {
            received[begin..begin + used].to_vec()
        };
        let without_body = head.method == Method::Head;
        let request = Request {
            method: if without_body { Method::Get } else { head.method },
            is_head: without_body,
            bytes,
            path: head.path,
            query: head.query,
            headers: head.headers,
            body: head.end..size,
            has_length: head.framing != Framing::Unstated,
            peer,
        };
        let after = After { without_body, keep_alive: head.keep_alive, old: head.old };
        (Partial { request, after, rest, expects_continue: head.expects_continue }, used)
    }

    /// Adds the bytes at the front of `bytes` that belong to this request; returns their number.
    ///
    /// # Errors
    /// A chunked body is malformed or too large.
    pub(super) fn receive(&mut self, bytes: &[u8], limits: &Limits) -> Result<usize, Rejection> {
        let request = &mut self.request;
        match &mut self.rest {
            Rest::Until(size) => {
                let used = size.saturating_sub(request.bytes.len()).min(bytes.len());
                request.bytes.extend_from_slice(&bytes[..used]);
                Ok(used)
            }
            Rest::Chunked(decoder) => {
                let bounds = Bounds { body: limits.body, extras: limits.head };
                let used = decoder.decode(bytes, &mut request.bytes, bounds)?;
                request.body.end = request.bytes.len();
                Ok(used)
            }
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        match &self.rest {
            Rest::Until(size) => self.request.bytes.len() >= *size,
            Rest::Chunked(decoder) => decoder.is_done(),
        }
    }

    /// No byte of the body has arrived, and the client waits for `100 Continue`.
    pub(super) fn waits_for_continue(&self) -> bool {
        self.expects_continue && self.request.bytes.len() == self.request.body.start
    }

    /// The request without its body.
    pub(super) fn head(&self) -> &Request {
        &self.request
    }

    /// Memory in bytes.
    pub(super) fn held(&self) -> usize {
        self.request.bytes.capacity()
    }

    pub(super) fn into_request(self) -> (Request, After) {
        (self.request, self.after)
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn buffered(&self) -> usize {
        self.request.bytes.len()
    }
}
