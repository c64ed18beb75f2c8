//! Measures the monitor from outside, beside its limits and beside nginx; `benches/README.md` says how.

mod conditions;
mod cost;
#[path = "../support/figures.rs"]
mod figures;
mod growth;
mod ingest;
mod nginx;
#[path = "../support/parts.rs"]
mod parts;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "the daemon's benchmark looks at more")]
mod process;
mod report;
mod sizes;
mod steady;
mod subject;

use parts::{Benchmark, Plan, no_obstacle};
use std::process::ExitCode;
use std::time::Duration;

/// At which a steady fleet beats.
const INTERVAL: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    Benchmark {
        usage: "cargo bench --profile monitor --features monitor --bench monitor -- [cost] [ingest] [replays] [conditions] [memory] [steady] [idle] [growth] [report] [sizes] \
                [--seconds N]",
        parts: &[
            ("cost", cost::measure),
            ("ingest", ingest::measure),
            ("replays", ingest::replays),
            ("conditions", conditions::measure),
            ("memory", conditions::memory),
            ("steady", steady::measure),
            ("idle", steady::idle),
            ("growth", growth::measure),
            ("report", report::measure),
            ("sizes", sizes::measure),
        ],
        plan: Plan { window: Duration::from_secs(10), rounds: 3 },
        shortest: Duration::from_secs(5),
        obstacle: no_obstacle,
    }
    .main()
}
