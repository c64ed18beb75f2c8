//! Measures the pages from outside, beside their limits; `benches/README.md` says how.

mod attack;
mod downloads;
#[path = "../support/figures.rs"]
mod figures;
mod fleet;
#[path = "../support/parts.rs"]
mod parts;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "the daemon's benchmark looks at more")]
mod process;
#[path = "../monitor/subject.rs"]
mod subject;
mod visitor;

use parts::{Benchmark, Plan, no_obstacle};
use std::process::ExitCode;
use std::time::Duration;

/// At which the fleet beats.
const INTERVAL: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    Benchmark {
        usage: "cargo bench --profile monitor --features monitor --bench web -- [page] [update] [open] [attack] [downloads] [--seconds N]",
        parts: &[("page", fleet::page), ("update", fleet::update), ("open", fleet::open), ("attack", attack::attack), ("downloads", downloads::downloads)],
        plan: Plan { window: Duration::from_secs(30), rounds: 100 },
        shortest: Duration::from_secs(5),
        obstacle: no_obstacle,
    }
    .main()
}
