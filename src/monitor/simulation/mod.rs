//! A simulated fleet: so many machines with a token each, over kept-alive connections, as fast as they can or at their
//! interval. For sizing a server, and for the benchmarks.
//!
//! | file | what it owns |
//! |---|---|
//! | `plan` | what is sent: bytes, built once |
//! | `driver` | a thread with its share of the connections |
//! | `connection` | one connection: request out, answer in |
//! | `latencies` | how long answers took |
//!
//! Plain HTTP only: in front of TLS it would measure itself.

mod connection;
mod driver;
pub mod latencies;
mod plan;

pub use plan::{Content, Pace, Plan};

use driver::Driver;
use latencies::Latencies;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// What became of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// From the first request that counts to the last answer.
    pub length: Duration,
    /// Requests that were answered with a 2xx, and how long that took.
    pub accepted: Latencies,
    /// Requests answered otherwise, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Connections that broke or were refused; each was opened again.
    pub broken: u64,
    /// Heartbeats that were due while the one before had no answer yet: left out.
    pub late: u64,
    /// Heartbeats in a request.
    pub batch: usize,
}

impl Report {
    /// Heartbeats that were accepted, each second.
    pub fn rate(&self) -> f64 {
        self.accepted.count() as f64 * self.batch as f64 / self.length.as_secs_f64().max(1e-9)
    }

    fn add(&mut self, other: &Report) {
        self.length = self.length.max(other.length);
        self.accepted.add(&other.accepted);
        for (status, count) in &other.refused {
            *self.refused.entry(*status).or_default() += count;
        }
        self.broken += other.broken;
        self.late += other.late;
    }
}

/// Carries out `plan` on so many threads; answers that arrive in the first `warm_up` do not count.
///
/// # Errors
/// A thread or its poll could not be made.
pub fn run(plan: &Arc<Plan>, threads: usize, warm_up: Duration) -> io::Result<Report> {
    let begin = Instant::now() + warm_up;
    let mut running = Vec::new();
    for number in 0..threads {
        let mut driver = Driver::new(plan.clone(), number, threads, begin)?;
        let thread = thread::Builder::new().name(format!("fleet-{number}"));
        running.push(thread.spawn(move || driver.run())?);
    }
    let mut report = Report { batch: plan.content.batch(), ..Report::default() };
    for thread in running {
        let part = thread.join().map_err(|_| io::Error::other("a thread of the fleet has panicked"))?;
        report.add(&part?);
    }
    Ok(report)
}
