//! The result of a simulation.

use super::failure::FailureKind;
use super::latencies::Latencies;
use super::ledger::CausedOutage;
use std::collections::BTreeMap;
use std::time::Duration;

/// The result of a run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// From the first counted request to the last response.
    pub length: Duration,
    /// Requests, each attempt counted.
    pub sent: u64,
    /// All requests, with those before the measurement.
    pub requests: u64,
    /// Latencies of the requests that got a 2xx response.
    pub accepted: Latencies,
    /// Requests that got another status, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Connections that broke or were refused, of machines that send at an interval without those closed while idle; each was
    /// reopened.
    pub broken: u64,
    /// Why, of machines that send at an interval.
    pub failures: BTreeMap<FailureKind, u64>,
    /// Heartbeats that were skipped, because the previous one had no response yet.
    pub late: u64,
    /// Heartbeats per request.
    pub batch: usize,
    /// Most connections that were open at the same time.
    pub connections: usize,
    /// Connections that were closed on purpose, to be made again.
    pub churned: u64,
    /// Machines that had no acknowledged heartbeat when the measurement began.
    pub unready: usize,
    /// Machines whose last heartbeat was not acknowledged.
    pub unacknowledged: usize,
    /// The longest time between two acknowledged heartbeats of a machine, outages excluded.
    pub longest_silence: Duration,
    /// The longest time from the first failure until all machines of a thread were acknowledged again.
    pub longest_disturbance: Duration,
    pub outages: Vec<CausedOutage>,
    /// Processor time of this process from the start on.
    pub cpu: Duration,
}

impl Report {
    /// Accepted heartbeats per second.
    pub fn rate(&self) -> f64 {
        self.accepted.count() as f64 * self.batch as f64 / self.length.as_secs_f64().max(1e-9)
    }

    pub(super) fn record(&mut self, status: u16, latency: Duration) {
        match status {
            200..300 => self.accepted.record(latency),
            _ => *self.refused.entry(status).or_default() += 1,
        }
    }

    pub(super) fn add(&mut self, other: Report) {
        self.length = self.length.max(other.length);
        self.accepted.add(&other.accepted);
        for (status, count) in other.refused {
            *self.refused.entry(status).or_default() += count;
        }
        for (kind, count) in other.failures {
            *self.failures.entry(kind).or_default() += count;
        }
        self.sent += other.sent;
        self.requests += other.requests;
        self.broken += other.broken;
        self.late += other.late;
        self.connections += other.connections;
        self.churned += other.churned;
        self.unready += other.unready;
        self.unacknowledged += other.unacknowledged;
        self.longest_silence = self.longest_silence.max(other.longest_silence);
        self.longest_disturbance = self.longest_disturbance.max(other.longest_disturbance);
        self.outages.extend(other.outages);
    }
}
