//! A simulated fleet for sizing a server and for the benchmarks: machines with one token each send heartbeats over
//! keep-alive connections, at their interval or as fast as possible.
//!
//! | file | what it owns |
//! |---|---|
//! | `plan` | the requests: bytes, built once |
//! | `driver` | a thread with its share of the connections |
//! | `connection` | one connection: request out, response in |
//! | `latencies` | a histogram of response times |
//! | `report` | the result |
//!
//! Plain HTTP only: with TLS it would measure its own handshakes.

mod connection;
mod driver;
pub mod latencies;
mod plan;
mod report;

pub use plan::{Content, Plan, SendRate, with_cameras};
pub use report::Report;

use driver::Driver;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Runs `plan` on `threads` threads; responses during the first `warm_up` are not counted.
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
        let part = thread.join().map_err(|_| io::Error::other("a fleet thread panicked"))?;
        report.add(&part?);
    }
    Ok(report)
}
