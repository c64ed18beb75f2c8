//! Counters of a server for `/metrics`, written by the reactor's thread and read by any.

use std::sync::atomic::{AtomicU64, Ordering};

/// All except `open` only increase.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections open now.
    pub open: Counter,
    pub accepted: Counter,
    /// Connections refused with 503, because there were too many.
    pub refused: Counter,
    /// Connections closed to make room: idle ones, and unfinished ones of the network that holds most.
    pub evicted: Counter,
    /// Accepts that failed because no descriptor was left.
    pub exhausted: Counter,
    /// Requests handed to the handler.
    pub requests: Counter,
    /// Responses by the first digit of their status: `[0]` is 1xx.
    pub answers: [Counter; 5],
    /// Responses with status 503.
    pub unavailable: Counter,
    /// Requests answered 408, or whose connection was closed before their first byte.
    pub late_requests: Counter,
    /// Requests that the handler did not answer in time.
    pub late_answers: Counter,
    /// Connections closed because the client did not read its response.
    pub slow_readers: Counter,
}

impl Counters {
    pub(super) fn answered(&self, status: u16) {
        let class = usize::from(status / 100).saturating_sub(1);
        if let Some(counter) = self.answers.get(class) {
            counter.add(1);
        }
        if status == 503 {
            self.unavailable.add(1);
        }
    }
}

/// A number that one thread writes and any thread reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}
