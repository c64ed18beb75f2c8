//! What was taken and what was refused, since the start.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Native,
    Streamer,
    Meeting,
    Lunasentri,
}

impl Format {
    pub const ALL: [Format; 4] = [Format::Native, Format::Streamer, Format::Meeting, Format::Lunasentri];

    /// As a label of a metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Native => "native",
            Format::Streamer => "streamer",
            Format::Meeting => "meeting",
            Format::Lunasentri => "lunasentri",
        }
    }
}

/// Counted by the front and the recorder, read by `/metrics`.
#[derive(Debug, Default)]
pub struct Counters {
    taken: [AtomicU64; 4],
    replayed: AtomicU64,
    denied: AtomicU64,
    malformed: AtomicU64,
    busy: AtomicU64,
}

impl Counters {
    pub(super) fn taken(&self, format: Format) {
        count(&self.taken[format as usize], 1);
    }

    pub(super) fn replayed(&self, replays: usize) {
        count(&self.replayed, replays as u64);
    }

    pub(super) fn denied(&self) {
        count(&self.denied, 1);
    }

    pub(super) fn malformed(&self) {
        count(&self.malformed, 1);
    }

    pub(super) fn busy(&self) {
        count(&self.busy, 1);
    }

    /// Live heartbeats and farewells of this format that were answered with a 2xx.
    pub fn heartbeats(&self, format: Format) -> u64 {
        self.taken[format as usize].load(Ordering::Relaxed)
    }

    /// Replays that were stored.
    pub fn replays(&self) -> u64 {
        self.replayed.load(Ordering::Relaxed)
    }

    /// Requests with no token, an unknown one, or a disabled machine's: 401, 403.
    pub fn denials(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }

    /// Requests that were no heartbeat: 400, 411.
    pub fn malformations(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }

    /// Heartbeats that were sent away: 503.
    pub fn refusals(&self) -> u64 {
        self.busy.load(Ordering::Relaxed)
    }
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
