//! Receives the monitor's webhooks and verifies them, as a receiver should.

use super::ledger::{AlertKind, ReceivedAlert};
use crate::clock::Moment;
use crate::http::{Exchange, Limits, Listener, Method, Response, Server, Stopper};
use crate::startup::{cannot, spawn};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

/// The names of simulated machines begin with this, and end with a number.
pub const PREFIX: &str = "simulated-";

/// Messages that wait for the comparison; further ones are refused, and the monitor repeats them.
const MOST_WAITING: usize = 100_000;
/// An older message may be a recorded one.
const MOST_AGE: Duration = Duration::from_secs(300);
const GRACE: Duration = Duration::from_secs(1);

/// Listens on a thread, which ends when this is dropped.
pub struct AlertReceiver {
    stopper: Stopper,
    ended: Receiver<()>,
    received: Receiver<Received>,
}

/// A request that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    Alert(ReceivedAlert),
    /// A verified message about something else: another machine or another event.
    Other,
    Refused(AlertRefusal),
}

/// Why a request is not a message of the monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertRefusal {
    /// No `POST`, or without a header that each message has.
    NoMessage,
    BadSignature,
    /// Its timestamp is too far from now.
    Old,
    /// Signed, but no JSON of the monitor.
    Garbage,
}

impl AlertRefusal {
    fn response(self) -> Response {
        match self {
            AlertRefusal::NoMessage => Response::error(400, "not a message of heartbeat-monitor"),
            AlertRefusal::BadSignature => Response::error(401, "the signature is wrong"),
            AlertRefusal::Old => Response::error(400, "the message is too old"),
            AlertRefusal::Garbage => Response::error(400, "the body is not a message"),
        }
    }
}

/// The headers of a message, as they were sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlertHeaders<'a> {
    pub id: Option<&'a str>,
    pub timestamp: Option<&'a str>,
    /// Of the body.
    pub signature: Option<&'a str>,
    /// Of id, timestamp and body.
    pub signature_v2: Option<&'a str>,
}

#[derive(Debug, Deserialize)]
struct AlertBody {
    event: String,
    machine: AlertMachine,
}

#[derive(Debug, Deserialize)]
struct AlertMachine {
    name: String,
}

impl AlertReceiver {
    /// `start`: times of messages are relative to it.
    ///
    /// # Errors
    /// A sentence: it cannot listen there.
    pub fn start(address: SocketAddr, secret: Vec<u8>, start: Instant) -> Result<AlertReceiver, String> {
        let listener = TcpListener::bind(address).map_err(cannot(&format!("listen on {address}")))?;
        let server = Server::new(vec![Listener::Tcp(listener)], Limits::default());
        let server = server.map_err(cannot("receive alerts"))?;
        let (sender, received) = bounded(MOST_WAITING);
        let stopper = server.stopper();
        let ended = spawn("alerts", move || {
            let handle = |exchange: Exchange| respond(exchange, &secret, &sender, start);
            // Without it all messages are missing, which is reported.
            let _ = server.run(handle);
        })?;
        Ok(AlertReceiver { stopper, ended, received })
    }

    pub fn received(&self) -> &Receiver<Received> {
        &self.received
    }
}

impl Drop for AlertReceiver {
    fn drop(&mut self) {
        self.stopper.stop(GRACE);
        // Disconnects when the thread has ended.
        let _ = self.ended.recv_timeout(GRACE * 2);
    }
}

fn respond(exchange: Exchange, secret: &[u8], sender: &Sender<Received>, start: Instant) {
    let (request, at) = (&exchange.request, start.elapsed());
    let headers = AlertHeaders {
        id: request.header("X-Webhook-Id"),
        timestamp: request.header("X-Webhook-Timestamp"),
        signature: request.header("X-Webhook-Signature"),
        signature_v2: request.header("X-Webhook-Signature-V2"),
    };
    let received = match request.method() {
        Method::Post => verify(secret, headers, request.body(), at, Moment::now()),
        _ => Received::Refused(AlertRefusal::NoMessage),
    };
    let response = match (sender.try_send(received), received) {
        (Err(TrySendError::Full(_)), _) => Response::error(503, "too many messages"),
        (_, Received::Refused(refusal)) => refusal.response(),
        _ => Response::new(204),
    };
    exchange.reply.send(response);
}

/// Checks a message and reads it.
pub fn verify(secret: &[u8], headers: AlertHeaders<'_>, body: &[u8], at: Duration, now: Moment) -> Received {
    let read = || {
        let id = headers.id.ok_or(AlertRefusal::NoMessage)?;
        let timestamp = headers.timestamp.ok_or(AlertRefusal::NoMessage)?;
        let dated = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        let is_ours =
            is_signed(secret, headers.signature, &[body]) && is_signed(secret, headers.signature_v2, &dated);
        if !is_ours {
            return Err(AlertRefusal::BadSignature);
        }
        let sent = timestamp.parse().map(Moment::from_seconds).map_err(|_| AlertRefusal::Garbage)?;
        if now.since(sent).max(sent.since(now)) > MOST_AGE {
            return Err(AlertRefusal::Old);
        }
        let id = id.parse().map_err(|_| AlertRefusal::Garbage)?;
        let body: AlertBody = serde_json::from_slice(body).map_err(|_| AlertRefusal::Garbage)?;
        Ok(alert(id, &body, at).map_or(Received::Other, Received::Alert))
    };
    read().unwrap_or_else(Received::Refused)
}

/// `None`: it is not about the state of a simulated machine.
fn alert(id: i64, body: &AlertBody, at: Duration) -> Option<ReceivedAlert> {
    let kind = match body.event.as_str() {
        "machine.offline" => AlertKind::Offline,
        "machine.online" => AlertKind::Online,
        "machine.flapping" => AlertKind::Flapping,
        _ => return None,
    };
    let machine = body.machine.name.strip_prefix(PREFIX)?.parse().ok()?;
    Some(ReceivedAlert { id, machine, kind, at })
}

fn is_signed(secret: &[u8], signature: Option<&str>, parts: &[&[u8]]) -> bool {
    let expected = signature.and_then(|text| text.strip_prefix("sha256=")).and_then(bytes);
    let (Some(expected), Ok(mut mac)) = (expected, Hmac::<Sha256>::new_from_slice(secret)) else {
        return false;
    };
    parts.iter().for_each(|part| mac.update(part));
    mac.verify_slice(&expected).is_ok()
}

/// From hexadecimal digits.
fn bytes(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || text.len() % 2 != 0 {
        return None;
    }
    let digits = |place| u8::from_str_radix(text.get(place..place + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(digits).collect()
}

#[cfg(test)]
mod tests;
