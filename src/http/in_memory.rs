//! A client without a socket: a simulation passes a handler the bytes of a request, and reads the response.

use super::connection::{Front, HttpConnection};
use super::limits::Limits;
#[cfg(test)]
use super::message::Request;
use super::message::{Peer, Response};
use super::reply::{Exchange, ReactorEvent, Reply, Ticket};
use crate::mailbox::{Mailbox, MailboxSender, unbounded};
use std::sync::Arc;

/// Sends one request at a time, like a client of the socket file.
pub struct MemoryClient {
    front: Front,
    reactor: MailboxSender<ReactorEvent>,
    answers: Mailbox<ReactorEvent>,
}

impl Default for MemoryClient {
    fn default() -> MemoryClient {
        let (reactor, answers) = unbounded(|| {});
        let front =
            Front { limits: Limits::default(), counters: Arc::default(), gate: None, date: String::new() };
        MemoryClient { front, reactor, answers }
    }
}

impl MemoryClient {
    /// Parses a request; `None` if it is invalid or incomplete.
    pub fn exchange(&self, bytes: &[u8]) -> Option<Exchange> {
        let mut connection = HttpConnection::new(Peer::Unix, &self.front.limits);
        connection.receive(bytes);
        let request = connection.next(&self.front)?;
        let ticket = Ticket { index: 0, generation: 0 };
        Some(Exchange { request, reply: Reply::new(ticket, self.reactor.clone()) })
    }

    /// The next response that was sent.
    pub fn response(&self) -> Option<Response> {
        match self.answers.try_recv() {
            Ok(ReactorEvent::Answer(_, response)) => Some(response),
            _ => None,
        }
    }
}

/// A request as a handler gets it. `peer` is an address with a port; `None`: a client of the socket file.
///
/// # Panics
/// `text` is not a complete request.
#[cfg(test)]
pub fn request_from(peer: Option<&str>, text: &str) -> Request {
    let peer = peer.map_or(Peer::Unix, |peer| Peer::Tcp(peer.parse().expect("an address with a port")));
    let mut connection = HttpConnection::new(peer, &Limits::default());
    connection.receive(text.as_bytes());
    connection.next(&MemoryClient::default().front).expect("a complete request")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_sees_the_request_and_the_client_its_response() {
        let client = MemoryClient::default();
        assert!(client.exchange(b"POST /beat HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{").is_none());
        let exchange = client.exchange(b"POST /beat HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}");
        let Exchange { request, reply } = exchange.expect("a request");
        assert_eq!((request.path(), request.body()), ("/beat", b"{}".as_slice()));
        assert!(client.response().is_none());
        reply.send(Response::new(204));
        assert_eq!(client.response().map(|response| response.status()), Some(204));
    }
}
