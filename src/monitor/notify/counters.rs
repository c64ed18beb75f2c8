//! Deliveries by outcome, and whether the couriers' own work with the outbox makes progress.

use super::channel::{KINDS, Kind};
use crate::monitor::progress::Progress;
use std::sync::atomic::{AtomicU64, Ordering};

/// What was done since the start, for each kind of channel; for `/metrics`.
#[derive(Debug, Default)]
pub struct Counters {
    kinds: [KindCounters; KINDS.len()],
    /// The look at the outbox for what is due, and its lease.
    pub reading: Progress,
    /// What became of the rows, and the leases of those in flight.
    pub marking: Progress,
}

#[derive(Debug, Default)]
struct KindCounters {
    delivered: AtomicU64,
    failed: AtomicU64,
    dead: AtomicU64,
}

/// A reading of [`Counters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub kind: Kind,
    /// Rows of the outbox that a receiver has accepted.
    pub delivered: u64,
    /// Attempts that did not work.
    pub failed: u64,
    /// Rows that were given up.
    pub dead: u64,
}

impl Counters {
    pub fn read(&self) -> Vec<Counts> {
        let read = |kind: Kind| {
            let of = &self.kinds[kind as usize];
            let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            Counts { kind, delivered: get(&of.delivered), failed: get(&of.failed), dead: get(&of.dead) }
        };
        KINDS.into_iter().map(read).collect()
    }

    pub(super) fn delivered(&self, kind: Kind, rows: usize) {
        self.kinds[kind as usize].delivered.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, kind: Kind) {
        self.kinds[kind as usize].failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn given_up(&self, kind: Kind, rows: usize) {
        self.kinds[kind as usize].dead.fetch_add(rows as u64, Ordering::Relaxed);
    }
}
