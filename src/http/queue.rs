//! A bounded queue from the reactor to worker threads. Requests beyond its bound get 503 with Retry-After at once.

use super::message::Response;
use super::reply::Exchange;
use crossbeam_channel::{Receiver, unbounded};
use std::ops::RangeInclusive;

/// Random for each response, so that a refused fleet does not retry at the same moment.
const RETRY_AFTER_S: RangeInclusive<u32> = 1..=5;

/// A handler that queues up to `depth` exchanges for the threads that receive. Those end once the handler is
/// dropped, which [`super::Server::run`] does when it returns.
pub fn queue(depth: usize) -> (impl FnMut(Exchange) + Send + 'static, Receiver<Exchange>) {
    // A bounded channel has all its places from the start: 190 KiB for 1,024 exchanges that hardly ever wait.
    let (sender, receiver) = unbounded();
    let handler = move |exchange: Exchange| {
        // This is the only sender: the queue does not grow between the check and the sending.
        if sender.len() >= depth {
            return exchange.reply.send(busy());
        }
        if let Err(error) = sender.send(exchange) {
            error.into_inner().reply.send(busy());
        }
    };
    (handler, receiver)
}

/// 503 with a `Retry-After` of a few seconds.
pub fn busy() -> Response {
    Response::error(503, "too busy: try again later").header("Retry-After", retry_after())
}

pub(super) fn retry_after() -> String {
    fastrand::u32(RETRY_AFTER_S).to_string()
}
