//! What the front has done, for `/metrics`. Written by the reactor's thread, read by any.

use std::sync::atomic::{AtomicU64, Ordering};

/// All but `open` only grow.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that are open now.
    pub open: Counter,
    pub accepted: Counter,
    /// Connections refused with 503, because there were too many.
    pub refused: Counter,
    /// Connections closed to make room: idle ones, and unfinished ones of whoever holds most.
    pub evicted: Counter,
    /// Times that no descriptor was left for a new connection.
    pub exhausted: Counter,
    /// Requests handed to the handler.
    pub requests: Counter,
    /// Answers by the first digit of their status: `[0]` is 1xx.
    pub answers: [Counter; 5],
    /// Of them 503.
    pub unavailable: Counter,
    /// Requests answered 408, or cut before a byte of them had come.
    pub late_requests: Counter,
    /// Requests that the handler did not answer in time.
    pub late_answers: Counter,
    /// Connections cut because the client did not take its answer.
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

/// A number that one thread writes.
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
