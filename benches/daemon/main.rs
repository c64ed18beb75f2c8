//! Measures the daemon from outside, beside its limits and beside two peers; `benches/README.md` says how.

#[path = "../support/figures.rs"]
mod figures;
#[path = "../../tests/support/https.rs"]
mod https;
mod latency;
#[path = "../support/parts.rs"]
mod parts;
mod peers;
#[path = "../support/process.rs"]
mod process;
mod receiver;
mod steady;
mod subject;
mod syscalls;
mod wire;

use figures::{Figure, Table, limits};
use parts::{Benchmark, Outcome, Plan, no_obstacle};
use std::process::ExitCode;
use std::time::Duration;

/// At which all is measured unless a line of the table says otherwise.
const INTERVAL: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|first| first == wire::INSIDE) {
        return wire::inside();
    }
    Benchmark {
        usage: "cargo bench --bench daemon -- [size] [footprint] [wire] [trigger] [peers] [--seconds N]",
        parts: &[
            ("size", size),
            ("footprint", steady::measure),
            ("wire", wire::measure),
            ("trigger", latency::measure),
            ("peers", peers::measure),
        ],
        // Of memory, CPU and wake-ups; system calls are counted in half of it.
        plan: Plan { window: Duration::from_secs(60), rounds: 1 },
        shortest: Duration::from_secs(10),
        obstacle: no_obstacle,
    }
    .main()
}

fn size(_: &Plan) -> Outcome<Vec<Table>> {
    let bytes =
        std::fs::metadata(subject::BINARY).map_err(|error| format!("{}: {error}", subject::BINARY))?.len();
    let mut table = Table::new("Release binary");
    table.add(Figure::new("size", bytes as f64 / 1024.0, "KiB").at_most(limits::BINARY_KIB));
    Ok(vec![table])
}
