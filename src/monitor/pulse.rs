//! Progress of the recorder: flushing beats, sweeping, recording recoveries; and what its sweeps say about the monitor.

use super::incidents::isolation::Isolated;
use super::progress::Progress;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// While the last flush is older, heartbeats are refused: a restart would lose that much. Long enough for a command that
/// locks the database and for stalls of a slow disk.
pub const STALE: Duration = Duration::from_secs(15);

/// Within this time, a machine whose recovery was not recorded sends another heartbeat.
const MEMORY: Duration = Duration::from_secs(60);

/// Written by the recorder, read by the HTTP server's thread.
#[derive(Debug)]
pub struct Pulse {
    begin: Instant,
    /// Milliseconds from `begin`.
    flushed: AtomicU64,
    pub sweep: Progress,
    /// Transitions that a heartbeat triggers: recoveries and shutdowns.
    pub returns: Progress,
    /// As the last sweep found it.
    isolated: Mutex<Option<Isolated>>,
    /// Heartbeats since the start.
    heard: AtomicU64,
    /// Other monitors of the database that were alive at the last look; `None`: the database has one monitor.
    others: Mutex<Option<usize>>,
}

impl Pulse {
    pub fn new(now: Instant) -> Pulse {
        Pulse {
            begin: now,
            flushed: AtomicU64::new(0),
            sweep: Progress::default(),
            returns: Progress::of_many(MEMORY),
            isolated: Mutex::default(),
            heard: AtomicU64::new(0),
            others: Mutex::default(),
        }
    }

    /// All beats until now are in the database.
    pub fn flushed(&self, now: Instant) {
        self.flushed.store(self.milliseconds(now), Ordering::Relaxed);
    }

    /// Time since the last flush, or since the start.
    pub fn age(&self, now: Instant) -> Duration {
        let ago = self.milliseconds(now).saturating_sub(self.flushed.load(Ordering::Relaxed));
        Duration::from_millis(ago)
    }

    pub fn is_fresh(&self, now: Instant) -> bool {
        self.age(now) <= STALE
    }

    /// Whether heartbeats are taken. Not while they cannot be written, because a restart would lose them; but if no other
    /// monitor of a shared database was alive when it was last read, the database itself is down, and nobody else hears the
    /// devices.
    pub fn takes_heartbeats(&self, now: Instant) -> bool {
        self.is_fresh(now) || self.others() == Some(0)
    }

    /// A heartbeat was received.
    pub fn hear(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    /// Heartbeats since the start.
    pub fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    pub fn set_others(&self, alive: usize) {
        *self.others.lock().unwrap_or_else(PoisonError::into_inner) = Some(alive);
    }

    /// How many other monitors of the database were alive at the last look; `None`: it has one monitor.
    pub fn others(&self) -> Option<usize> {
        *self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_isolated(&self, isolated: Option<Isolated>) {
        *self.isolated.lock().unwrap_or_else(PoisonError::into_inner) = isolated;
    }

    /// Set while this monitor hears nothing from half of the machines that have other monitors, too.
    pub fn isolated(&self) -> Option<Isolated> {
        self.isolated.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.begin).as_millis()).unwrap_or(u64::MAX)
    }
}
