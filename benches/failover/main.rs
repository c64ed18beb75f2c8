//! Measures failover from outside, in network namespaces, beside its limits; `benches/README.md` says how.

#[path = "../support/figures.rs"]
mod figures;
mod idle;
#[path = "../support/parts.rs"]
mod parts;
#[path = "../../tests/failover/rig.rs"]
mod rig;
mod rounds;
#[path = "../../tests/support/mod.rs"]
mod support;
mod switch;
mod upstream;

use parts::{Benchmark, Plan};
use std::process::ExitCode;
use std::time::Duration;

/// Of the scheduled heartbeats, where nothing else is said: none falls into a round.
const INTERVAL: Duration = Duration::from_secs(60);

/// What the project promises, in ms unless the name says otherwise.
mod limits {
    pub const SWITCH_P50: f64 = 5.0;
    pub const SWITCH_P95: f64 = 20.0;
    pub const SWITCH_MAX: f64 = 100.0;
    /// Three round trips of 40 ms, and 20 ms.
    pub const HTTPS: f64 = 140.0;
    pub const AFTER_ITS_BEAT: f64 = 1_000.0;
    /// A probe cycle of the active uplink (5 s) and 2 s.
    pub const STATE_FOLLOWS: f64 = 7_000.0;
    pub const GATEWAY_DEAD: f64 = 900.0;
    pub const RETURN_P95: f64 = 1_000.0;
    pub const WAKE_UPS_PER_S: f64 = 8.0;
    pub const WAKE_UPS_PER_S_WITHOUT_PROBES: f64 = 0.2;
    pub const CPU_US_PER_WAKE_UP: f64 = 20.0;
}

/// What the replaced programs promise for a failover, for each table that measures one.
const SEEDS: &str =
    "the system that this replaces promises 1000 to 3000 ms, and 1000 ms after the internet is back";

fn main() -> ExitCode {
    Benchmark {
        usage: "cargo bench --bench failover -- [carrier] [https] [upstream] [gateway] [return] [idle] [--rounds N] \
                [--seconds N] (as root)",
        parts: &[
            ("carrier", |plan| Ok(switch::carrier(plan))),
            ("https", |plan| Ok(switch::https(plan))),
            ("upstream", |plan| Ok(upstream::upstream(plan))),
            ("gateway", |plan| Ok(upstream::gateway(plan))),
            ("return", |plan| Ok(switch::all_dead_and_one_back(plan))),
            ("idle", |plan| Ok(idle::measure(plan))),
        ],
        plan: Plan { window: Duration::from_secs(60), rounds: 200 },
        shortest: Duration::from_secs(1),
        obstacle: || support::net::obstacle().map(str::to_owned),
    }
    .main()
}
