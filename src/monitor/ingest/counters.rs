//! Counts of accepted and refused requests since the start.

use super::answer::IngestRefusal;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IngestFormat {
    Native,
    Streamer,
    Meeting,
    Lunasentri,
}

impl IngestFormat {
    pub const ALL: [IngestFormat; 4] =
        [IngestFormat::Native, IngestFormat::Streamer, IngestFormat::Meeting, IngestFormat::Lunasentri];

    /// As in the metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            IngestFormat::Native => "native",
            IngestFormat::Streamer => "streamer",
            IngestFormat::Meeting => "meeting",
            IngestFormat::Lunasentri => "lunasentri",
        }
    }
}

/// Counted by the HTTP server's thread and the recorder, read by `/metrics`.
#[derive(Debug, Default)]
pub struct IngestCounters {
    accepted: [AtomicU64; IngestFormat::ALL.len()],
    replayed: AtomicU64,
    denied: AtomicU64,
    malformed: AtomicU64,
    busy: AtomicU64,
}

impl IngestCounters {
    pub(super) fn accepted(&self, format: IngestFormat) {
        count(&self.accepted[format as usize], 1);
    }

    pub(super) fn replayed(&self, replays: usize) {
        count(&self.replayed, replays as u64);
    }

    pub(super) fn refused(&self, refusal: &IngestRefusal) {
        match refusal {
            IngestRefusal::NoToken | IngestRefusal::Denied(_) | IngestRefusal::OtherDevice => {
                count(&self.denied, 1)
            }
            IngestRefusal::Malformed(_) | IngestRefusal::Front(_) => count(&self.malformed, 1),
            IngestRefusal::Busy | IngestRefusal::Unwritten { .. } => self.busy(),
            IngestRefusal::Method(_) => {}
        }
    }

    pub(super) fn busy(&self) {
        count(&self.busy, 1);
    }

    /// Heartbeats of this format that got a 2xx, shutdowns included.
    pub fn heartbeats(&self, format: IngestFormat) -> u64 {
        self.accepted[format as usize].load(Ordering::Relaxed)
    }

    /// Stored replays.
    pub fn replays(&self) -> u64 {
        self.replayed.load(Ordering::Relaxed)
    }

    /// Requests without a token, with an unknown one or one of a disabled machine: 401, 403.
    pub fn denials(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }

    /// Malformed requests: 400, 411, 413.
    pub fn malformations(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }

    /// Requests answered 503.
    pub fn refusals(&self) -> u64 {
        self.busy.load(Ordering::Relaxed)
    }
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
