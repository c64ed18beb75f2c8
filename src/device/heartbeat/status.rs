//! The status that the heartbeat thread publishes: its results so far, and its progress.

use super::last_hour::LastHour;
use super::outcome::Outcome;
use crate::clock::Now;
use crate::latest::Latest;
use crate::wire::{self, Reason};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Written by the heartbeat thread alone.
#[derive(Debug)]
pub struct HeartbeatStatus {
    record: Latest<Record>,
    last_hour: Mutex<LastHour>,
    begin: Instant,
    /// The loop's last iteration, in milliseconds since `begin`.
    passed: AtomicU64,
}

impl HeartbeatStatus {
    pub fn new(begin: Instant) -> HeartbeatStatus {
        HeartbeatStatus {
            record: Latest::new(Record::default()),
            last_hour: Mutex::new(LastHour::new(begin)),
            begin,
            passed: AtomicU64::new(0),
        }
    }

    pub fn record(&self) -> Arc<Record> {
        self.record.get()
    }

    /// The samples of the last hour, locked: the heartbeat thread waits for it.
    pub fn last_hour(&self) -> MutexGuard<'_, LastHour> {
        self.last_hour.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the program began.
    pub fn begin(&self) -> Instant {
        self.begin
    }

    /// Time since the loop's last iteration.
    pub fn stalled_for(&self, now: Instant) -> Duration {
        let passed = self.begin + Duration::from_millis(self.passed.load(Ordering::Relaxed));
        now.saturating_duration_since(passed)
    }

    pub(super) fn mark_iteration(&self, now: Instant) {
        let passed = now.saturating_duration_since(self.begin).as_millis();
        self.passed.store(u64::try_from(passed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn publish(&self, record: Record, now: Instant) {
        let before = self.record.get().tally;
        let sent = record.tally.sent().saturating_sub(before.sent());
        let acknowledged = record.tally.acknowledged().saturating_sub(before.acknowledged());
        if let Some(heartbeat) = &record.heartbeat {
            self.last_hour().update(heartbeat, sent, acknowledged, now);
        }
        self.record.put(record);
    }
}

/// The results so far.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The latest heartbeat, whether or not it was sent.
    pub heartbeat: Option<Arc<wire::Heartbeat>>,
    /// The last result as a sentence.
    pub result: String,
    /// Whether the server took the last one; `None` before the first.
    pub works: Option<bool>,
    pub accepted: Option<Now>,
    pub counts: Counts,
    pub tally: Tally,
    /// Empty with fewer than two.
    pub servers: Vec<ServerReport>,
}

/// One server of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerReport {
    /// Host and port.
    pub name: String,
    /// Heartbeats go there now.
    pub in_use: bool,
    /// Whether it took the last heartbeat or check; `null` before the first.
    pub works: Option<bool>,
}

/// How many heartbeats were sent, and for which cause.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub scheduled: u64,
    pub immediate: u64,
    pub retried: u64,
    pub failed: u64,
}

impl Counts {
    /// The line behind the last result, for systemd and the log.
    pub fn status(self, result: &str) -> String {
        let Counts { scheduled, immediate, retried, failed } = self;
        format!("{result}; {scheduled} scheduled, {immediate} immediate, {retried} retried, {failed} failed")
    }
}

/// The words for the ends that a heartbeat may have.
const OUTCOMES: [&str; 6] = ["accepted", "refused", "rejected", "busy", "failed", "cut"];

/// Every heartbeat that was sent, by its reason and its end.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally([[u64; OUTCOMES.len()]; Reason::ALL.len()]);

impl Tally {
    pub(super) fn add(&mut self, reason: Reason, outcome: &Outcome) {
        let end = match outcome {
            Outcome::Accepted { .. } => 0,
            Outcome::Refused { .. } => 1,
            Outcome::Rejected { .. } => 2,
            Outcome::Busy { .. } => 3,
            Outcome::Failed { .. } | Outcome::Foreign { .. } => 4,
            Outcome::Cut => 5,
        };
        let place = Reason::ALL.iter().position(|known| *known == reason);
        // Every reason has its place.
        if let Some(count) = place.and_then(|place| self.0.get_mut(place)?.get_mut(end)) {
            *count += 1;
        }
    }

    /// Transmissions, whatever their end.
    pub fn sent(&self) -> u64 {
        self.0.iter().flatten().sum()
    }

    pub fn acknowledged(&self) -> u64 {
        self.0.iter().filter_map(|row| row.first()).sum()
    }

    /// Reason, outcome, how many; the zeros too.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        Reason::ALL.iter().zip(&self.0).flat_map(|(reason, row)| {
            OUTCOMES.iter().zip(row).map(|(outcome, count)| (reason.as_str(), *outcome, *count))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_is_counted_by_its_reason_and_its_end() {
        let mut tally = Tally::default();
        let taken = Outcome::Accepted { status: 204, monitor: false };
        for (reason, outcome) in [
            (Reason::Scheduled, &taken),
            (Reason::Scheduled, &taken),
            (Reason::Shutdown, &Outcome::Cut),
            (Reason::Startup, &Outcome::Refused { status: 401, with_token: true }),
        ] {
            tally.add(reason, outcome);
        }
        let counted: Vec<_> = tally.iter().filter(|(_, _, count)| *count > 0).collect();
        let expected = [("startup", "refused", 1), ("scheduled", "accepted", 2), ("shutdown", "cut", 1)];
        assert_eq!(counted, expected);
        assert_eq!(tally.iter().count(), 42);
        assert_eq!((tally.sent(), tally.acknowledged()), (4, 2));
    }

    #[test]
    fn the_age_of_a_stalled_loop_grows() {
        let begin = Instant::now();
        let heartbeat_status = HeartbeatStatus::new(begin);
        let later = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(heartbeat_status.stalled_for(later(3)), Duration::from_secs(3));
        heartbeat_status.mark_iteration(later(10));
        assert_eq!(heartbeat_status.stalled_for(later(12)), Duration::from_secs(2));
        assert_eq!(heartbeat_status.stalled_for(later(9)), Duration::ZERO);
    }
}
