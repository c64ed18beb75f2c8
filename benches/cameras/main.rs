//! Measures the camera thread in network namespaces, beside its limits; `benches/README.md` says how.

#[path = "../support/figures.rs"]
mod figures;
mod full_check;
mod idle;
#[path = "../../tests/cameras/lan.rs"]
mod lan;
mod memory;
#[path = "../support/parts.rs"]
mod parts;
#[path = "../../tests/support/mod.rs"]
mod support;

use parts::{Benchmark, Plan};
use std::process::ExitCode;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(5);

/// What the project promises.
mod limits {
    pub const UNREACHABLE_S: f64 = 2.2;
    pub const REACHABLE_MS: f64 = 100.0;
    pub const MEMORY_KIB: f64 = 1024.0;
    pub const BYTES_A_MINUTE: f64 = 1024.0;
}

fn main() -> ExitCode {
    Benchmark {
        usage: "cargo bench --bench cameras -- [unreachable] [reachable] [memory] [idle] [--seconds N] (as root)",
        parts: &[
            ("unreachable", |plan| Ok(full_check::unreachable(plan))),
            ("reachable", |plan| Ok(full_check::reachable(plan))),
            ("memory", |plan| Ok(memory::measure(plan))),
            ("idle", |plan| Ok(idle::measure(plan))),
        ],
        plan: Plan { window: Duration::from_secs(120), rounds: 1 },
        shortest: Duration::from_secs(60),
        obstacle: || support::net::obstacle().map(str::to_owned),
    }
    .main()
}
