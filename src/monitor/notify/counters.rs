//! Counts of deliveries by result, and the progress of the couriers' work with the outbox.

use super::channel::{ChannelKind, KINDS};
use crate::monitor::progress::Progress;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start by kind of channel, for `/metrics`.
#[derive(Debug, Default)]
pub struct DeliveryCounters {
    kinds: [KindCounters; KINDS.len()],
    /// Finding and leasing due rows.
    pub reading: Progress,
    /// Marking rows and renewing their leases.
    pub marking: Progress,
}

#[derive(Debug, Default)]
struct KindCounters {
    delivered: AtomicU64,
    failed: AtomicU64,
    dead: AtomicU64,
}

/// A reading of [`DeliveryCounters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryCounts {
    pub kind: ChannelKind,
    /// Rows that a receiver accepted.
    pub delivered: u64,
    /// Failed attempts.
    pub failed: u64,
    /// Abandoned rows.
    pub dead: u64,
}

impl DeliveryCounters {
    pub fn read(&self) -> Vec<DeliveryCounts> {
        let read = |kind: ChannelKind| {
            let of = &self.kinds[kind as usize];
            let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            DeliveryCounts {
                kind,
                delivered: get(&of.delivered),
                failed: get(&of.failed),
                dead: get(&of.dead),
            }
        };
        KINDS.into_iter().map(read).collect()
    }

    pub(super) fn delivered(&self, kind: ChannelKind, rows: usize) {
        self.kinds[kind as usize].delivered.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, kind: ChannelKind) {
        self.kinds[kind as usize].failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn abandoned(&self, kind: ChannelKind, rows: usize) {
        self.kinds[kind as usize].dead.fetch_add(rows as u64, Ordering::Relaxed);
    }
}
