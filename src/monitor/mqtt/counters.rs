//! What the thread `mqtt` has done, for `/metrics` and `/healthz`. Nothing is queued or dropped: each look at the fleet
//! publishes what has changed since the last one that the broker acknowledged.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Written by the thread, read by any; kept when a reload starts another thread.
#[derive(Debug, Default)]
pub struct MqttCounters {
    is_configured: AtomicBool,
    is_connected: AtomicBool,
    published: AtomicU64,
    opened: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
    left_out: AtomicU64,
}

/// A reading of [`MqttCounters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MqttCounts {
    pub is_connected: bool,
    /// Messages that were sent, and acknowledged unless they need no acknowledgement.
    pub published: u64,
    /// Connections that were opened.
    pub opened: u64,
    /// Attempts that opened none.
    pub failed: u64,
    /// Connections that broke.
    pub lost: u64,
    /// Machines that are not published, because there are too many.
    pub left_out: u64,
}

impl MqttCounters {
    /// `None`: no broker is configured.
    pub fn read(&self) -> Option<MqttCounts> {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.is_configured.load(Ordering::Relaxed).then(|| MqttCounts {
            is_connected: self.is_connected.load(Ordering::Relaxed),
            published: get(&self.published),
            opened: get(&self.opened),
            failed: get(&self.failed),
            lost: get(&self.lost),
            left_out: get(&self.left_out),
        })
    }

    /// A thread was started, or has ended.
    pub(super) fn set_configured(&self, is_configured: bool) {
        self.is_configured.store(is_configured, Ordering::Relaxed);
        self.is_connected.store(false, Ordering::Relaxed);
    }

    pub(super) fn opened(&self) {
        self.is_connected.store(true, Ordering::Relaxed);
        count(&self.opened, 1);
    }

    pub(super) fn failed(&self) {
        count(&self.failed, 1);
    }

    pub(super) fn lost(&self) {
        self.is_connected.store(false, Ordering::Relaxed);
        count(&self.lost, 1);
    }

    pub(super) fn published(&self, messages: usize) {
        count(&self.published, messages as u64);
    }

    pub(super) fn left_out(&self, machines: usize) {
        self.left_out.store(machines as u64, Ordering::Relaxed);
    }
}

fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_kept_over_a_reload_and_absent_without_a_broker() {
        let counters = MqttCounters::default();
        assert_eq!(counters.read(), None);
        counters.set_configured(true);
        counters.failed();
        counters.opened();
        counters.published(16);
        let working = counters.read().expect("configured");
        assert_eq!((working.is_connected, working.opened, working.failed), (true, 1, 1));
        counters.lost();
        assert!(counters.read().is_some_and(|counts| !counts.is_connected && counts.lost == 1));
        counters.opened();
        counters.set_configured(false);
        assert_eq!(counters.read(), None);
        counters.set_configured(true);
        let counts = counters.read().expect("configured");
        assert_eq!((counts.is_connected, counts.opened, counts.published), (false, 2, 16));
    }
}
