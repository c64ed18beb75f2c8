//! A simulated fleet for sizing a server, for tests of alerts and for the benchmarks: machines with one token each send
//! heartbeats at their interval, or over a few connections as fast as possible.
//!
//! | file | what it owns |
//! |---|---|
//! | `plan` | the requests, built once; the servers; how machines behave |
//! | `outages`, `churn` | which machines fall silent, which connections are closed, and when: decided by the seed |
//! | `paced` | a thread with its share of the machines, which send at an interval |
//! | `machine`, `choice` | state of one machine; which server it sends to |
//! | `unpaced` | a thread with its share of the connections, which send as fast as possible |
//! | `connection`, `stream` | request out, response in; with or without TLS |
//! | `target` | servers by URL, source addresses |
//! | `alerts`, `ledger` | receives the monitor's webhooks; compares them with the outages |
//! | `failure` | reasons of failures, and limits of this machine behind them |
//! | `latencies`, `report` | a histogram of response times; the result |

pub mod alerts;
mod choice;
mod churn;
mod connection;
pub mod failure;
pub mod latencies;
pub mod ledger;
mod machine;
pub mod outages;
mod paced;
mod plan;
mod report;
mod stream;
pub mod target;
mod unpaced;

pub use paced::FleetSnapshot;
pub use plan::{Behaviour, Content, Plan, SendRate, with_cameras};
pub use report::Report;

use crossbeam_channel::{Receiver, Sender, bounded};
use paced::{PacedThread, RunTimes, ThreadShare};
use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use unpaced::UnpacedThread;

/// Snapshots that wait for their reader; others are dropped.
const SNAPSHOTS: usize = 1024;

/// Runs `plan` on `threads` threads; responses during the first `warm_up` are not counted.
pub fn run(plan: &Arc<Plan>, threads: usize, warm_up: Duration) -> io::Result<Report> {
    RunningFleet::start(plan, threads, warm_up)?.join()
}

/// A fleet that sends.
pub struct RunningFleet {
    threads: Vec<JoinHandle<io::Result<Report>>>,
    start: Instant,
    batch: usize,
    cpu: Duration,
    /// Disconnected when all have ended.
    progress: Receiver<FleetSnapshot>,
    /// Dropped to end it early.
    stop: Sender<()>,
}

impl RunningFleet {
    pub fn start(plan: &Arc<Plan>, threads: usize, warm_up: Duration) -> io::Result<RunningFleet> {
        let start = Instant::now();
        let begin = start + warm_up;
        let (progress, snapshots) = bounded(SNAPSHOTS);
        let (stop, stopped) = bounded(0);
        let mut running = Vec::new();
        for number in 0..threads {
            let thread = thread::Builder::new().name(format!("fleet-{number}"));
            let (plan, progress, stopped) = (plan.clone(), progress.clone(), stopped.clone());
            let spawned = match plan.rate {
                SendRate::Every(interval) => {
                    let times = RunTimes { start, begin, end: begin + plan.length, interval };
                    let fleet = PacedThread::new(plan, ThreadShare { thread: number, threads }, times)?;
                    thread.spawn(move || fleet.run(&stopped, &progress))
                }
                SendRate::Unlimited => {
                    let mut fleet = UnpacedThread::new(plan, number, threads, begin)?;
                    thread.spawn(move || fleet.run())
                }
            };
            running.push(spawned?);
        }
        let (batch, cpu) = (plan.content.batch(), cpu());
        Ok(RunningFleet { threads: running, start, batch, cpu, progress: snapshots, stop })
    }

    /// All times of the report are relative to it.
    pub fn started(&self) -> Instant {
        self.start
    }

    pub fn progress(&self) -> &Receiver<FleetSnapshot> {
        &self.progress
    }

    /// Waits for the end. Drop [`RunningFleet::stop`]'s result before to end early.
    pub fn join(self) -> io::Result<Report> {
        let RunningFleet { threads, batch, stop, .. } = self;
        let mut report = Report { batch, ..Report::default() };
        for thread in threads {
            let part = thread.join().map_err(|_| io::Error::other("a fleet thread panicked"))?;
            report.add(part?);
        }
        drop(stop);
        report.cpu = cpu() - self.cpu;
        Ok(report)
    }

    /// Ends it early.
    pub fn stop(mut self) -> io::Result<Report> {
        self.stop = bounded(0).0;
        self.join()
    }
}

/// Processor time of this process.
fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}
