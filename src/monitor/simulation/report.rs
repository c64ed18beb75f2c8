//! The result of a simulation.

use super::latencies::Latencies;
use std::collections::BTreeMap;
use std::time::Duration;

/// The result of a run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// From the first counted request to the last response.
    pub length: Duration,
    /// Latencies of the requests that got a 2xx response.
    pub accepted: Latencies,
    /// Requests that got another status, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Connections that broke or were refused; each was reopened.
    pub broken: u64,
    /// Heartbeats that were skipped, because the previous one had no response yet.
    pub late: u64,
    /// Heartbeats per request.
    pub batch: usize,
}

impl Report {
    /// Accepted heartbeats per second.
    pub fn rate(&self) -> f64 {
        self.accepted.count() as f64 * self.batch as f64 / self.length.as_secs_f64().max(1e-9)
    }

    pub(super) fn add(&mut self, other: &Report) {
        self.length = self.length.max(other.length);
        self.accepted.add(&other.accepted);
        for (status, count) in &other.refused {
            *self.refused.entry(*status).or_default() += count;
        }
        self.broken += other.broken;
        self.late += other.late;
    }
}
