//! Counts of deliveries by result, the channels that fail, and the progress of the couriers' work with the outbox.

use super::channel::{Channel, ChannelId, ChannelKind, KINDS};
use super::http::without_response;
use crate::monitor::progress::Progress;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Counts since the start by kind of channel, for `/metrics`.
#[derive(Debug, Default)]
pub struct DeliveryCounters {
    kinds: [KindCounters; KINDS.len()],
    /// Finding and leasing due rows.
    pub reading: Progress,
    /// Marking rows and renewing their leases.
    pub marking: Progress,
    /// Channels with undelivered messages that have delivered nothing since their first failure.
    failing: Mutex<BTreeMap<ChannelId, FailingChannel>>,
}

/// A channel that does not deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingChannel {
    pub kind: ChannelKind,
    /// Of the first failure since the last success, or since the start.
    pub since: Instant,
    /// Of the last failure, without the receiver's response.
    pub why: String,
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

    /// The channels that do not deliver.
    pub fn failing(&self) -> Vec<(ChannelId, FailingChannel)> {
        self.failing_map().iter().map(|(id, failing)| (*id, failing.clone())).collect()
    }

    pub(super) fn channel_failed(&self, channel: &Channel, why: &str, now: Instant) {
        let mut map = self.failing_map();
        let new = || FailingChannel { kind: channel.kind, since: now, why: String::new() };
        map.entry(channel.id).or_insert_with(new).why = without_response(why).to_owned();
    }

    pub(super) fn channel_works(&self, channel: ChannelId) {
        self.failing_map().remove(&channel);
    }

    /// Forgets the channels that `known` refuses: nothing is to be delivered over them.
    pub(super) fn retain_failing(&self, known: impl Fn(ChannelId) -> bool) {
        self.failing_map().retain(|id, _| known(*id));
    }

    fn failing_map(&self) -> MutexGuard<'_, BTreeMap<ChannelId, FailingChannel>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
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
