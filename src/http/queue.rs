//! From the reactor to worker threads: a bounded queue. What does not fit is told to come back later, at once.

use super::message::Response;
use super::reply::Exchange;
use crossbeam_channel::{Receiver, bounded};
use std::ops::RangeInclusive;

/// Drawn anew for each client, so that a fleet that was turned away does not come back as one.
const RETRY_AFTER_S: RangeInclusive<u32> = 1..=5;

/// A handler that queues up to `depth` exchanges for the threads that receive. Those end once the handler is
/// dropped, which [`super::Server::run`] does when it returns.
pub fn queue(depth: usize) -> (impl FnMut(Exchange) + Send + 'static, Receiver<Exchange>) {
    let (sender, receiver) = bounded(depth);
    let handler = move |exchange: Exchange| {
        if let Err(error) = sender.try_send(exchange) {
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
