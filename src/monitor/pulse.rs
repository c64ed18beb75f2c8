//! Whether the recorder's work makes progress: the flush of beats, the sweep, the recording of machines that come back.

use super::progress::Progress;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Beats that have waited longer for the database are worth too little to be accepted: a restart now would forget so
/// much of being alive. Long enough for a command that holds the database and for a slow disk's worst moment.
pub const STALE: Duration = Duration::from_secs(15);

/// A machine whose return was not recorded beats again within this time.
const MEMORY: Duration = Duration::from_secs(60);

/// Written by the recorder, read by the front.
#[derive(Debug)]
pub struct Pulse {
    begin: Instant,
    /// Milliseconds from `begin`.
    flushed: AtomicU64,
    pub sweep: Progress,
    /// Transitions at the heartbeat itself: returns and farewells.
    pub returns: Progress,
}

impl Pulse {
    pub fn new(now: Instant) -> Pulse {
        Pulse {
            begin: now,
            flushed: AtomicU64::new(0),
            sweep: Progress::default(),
            returns: Progress::of_many(MEMORY),
        }
    }

    /// All beats until now are in the database.
    pub fn flushed(&self, now: Instant) {
        self.flushed.store(self.milliseconds(now), Ordering::Relaxed);
    }

    /// How long ago that was, or since the start.
    pub fn age(&self, now: Instant) -> Duration {
        let ago = self.milliseconds(now).saturating_sub(self.flushed.load(Ordering::Relaxed));
        Duration::from_millis(ago)
    }

    pub fn is_fresh(&self, now: Instant) -> bool {
        self.age(now) <= STALE
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.begin).as_millis()).unwrap_or(u64::MAX)
    }
}
