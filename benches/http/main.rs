//! Measures the HTTP front from outside, beside its limits and beside tiny_http; `benches/README.md` says how.

mod crowd;
#[path = "../support/figures.rs"]
mod figures;
#[cfg(feature = "monitor")]
mod handshakes;
mod many;
#[path = "../support/parts.rs"]
mod parts;
mod server;
mod throughput;

use parts::{Benchmark, Plan, no_obstacle};
use std::process::ExitCode;
use std::time::Duration;

/// Between two heartbeats of one device of the fleet.
const INTERVAL: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    if arguments.next().is_some_and(|first| first == server::INSIDE) {
        return server::inside(&arguments.next().unwrap_or_default(), arguments.next());
    }
    Benchmark {
        usage: "cargo bench --features monitor --bench http -- [throughput] [syscalls] [burst] [idle] [slow] [fleet] [descriptors] [handshakes]",
        parts: &[
            ("throughput", |_| Ok(vec![throughput::measure()?])),
            ("syscalls", |_| Ok(vec![throughput::syscalls()?])),
            ("burst", |_| Ok(vec![many::burst()?])),
            ("idle", |_| Ok(vec![many::idle()?])),
            ("slow", |_| Ok(vec![many::slow()?])),
            ("fleet", |_| Ok(vec![many::fleet()?])),
            ("descriptors", |_| Ok(vec![many::descriptors()?])),
            #[cfg(feature = "monitor")]
            ("handshakes", |_| handshakes::measure()),
        ],
        plan: Plan { window: Duration::from_secs(10), rounds: 1 },
        shortest: Duration::from_secs(1),
        obstacle: no_obstacle,
    }
    .main()
}
