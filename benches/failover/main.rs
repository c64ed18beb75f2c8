//! Measures failover from outside, in network namespaces, beside its limits; `benches/README.md` says how.
//!
//! Figures are not tests: a missed limit is said, and the exit code stays 0. It is 1 only where a
//! figure could not be measured.

#[path = "../daemon/figures.rs"]
mod figures;
mod idle;
#[path = "../../tests/failover/rig.rs"]
mod rig;
mod rounds;
#[path = "../../tests/support/mod.rs"]
mod support;
mod switch;
mod upstream;

use figures::Table;
use std::process::ExitCode;
use std::time::Duration;

/// Of the scheduled heartbeats, where nothing else is said: none falls into a round.
const INTERVAL: Duration = Duration::from_secs(60);
const USAGE: &str = "cargo bench --bench failover -- [carrier] [https] [upstream] [gateway] [return] [idle] [--rounds N] \
     [--seconds N]";

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

/// How often, and how long.
struct Plan {
    rounds: usize,
    window: Duration,
}

type Part = (&'static str, fn(&Plan) -> Vec<Table>);
const PARTS: [Part; 6] = [
    ("carrier", switch::carrier),
    ("https", switch::https),
    ("upstream", upstream::upstream),
    ("gateway", upstream::gateway),
    ("return", switch::all_dead_and_one_back),
    ("idle", idle::measure),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` says --bench; `cargo test --all-targets` starts this program too, and does not.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("measures for some minutes: {USAGE}");
        return ExitCode::SUCCESS;
    }
    let (plan, parts) = match plan(&arguments) {
        Ok(plan) => plan,
        Err(problem) => {
            eprintln!("{problem}\nusage: {USAGE}");
            return ExitCode::from(2);
        }
    };
    if let Some(reason) = support::net::obstacle() {
        println!("not measured: {reason}");
        return ExitCode::FAILURE;
    }
    run(&plan, &parts)
}

fn plan(arguments: &[String]) -> Result<(Plan, Vec<String>), String> {
    let mut plan = Plan { rounds: 200, window: Duration::from_secs(60) };
    let mut parts = Vec::new();
    let mut rest = arguments.iter().filter(|argument| *argument != "--bench");
    while let Some(argument) = rest.next() {
        let mut number =
            || rest.next().and_then(|value| value.parse().ok()).filter(|n| (1..=3600).contains(n));
        match argument.as_str() {
            "--rounds" => plan.rounds = number().ok_or("--rounds wants 1 to 3600")? as usize,
            "--seconds" => plan.window = Duration::from_secs(number().ok_or("--seconds wants 1 to 3600")?),
            name if PARTS.iter().any(|(part, _)| *part == name) => parts.push(name.to_owned()),
            _ => return Err(format!("{argument}: no such part")),
        }
    }
    Ok((plan, parts))
}

/// All parts if none is named. What goes wrong in one of them is a panic there, and costs only that part.
fn run(plan: &Plan, parts: &[String]) -> ExitCode {
    println!("{}", figures::machine());
    let mut code = ExitCode::SUCCESS;
    for (name, measure) in PARTS {
        if !parts.is_empty() && !parts.iter().any(|part| part == name) {
            continue;
        }
        match std::panic::catch_unwind(|| measure(plan)) {
            Ok(tables) => tables.iter().for_each(|table| println!("{table}")),
            Err(_) => {
                println!("\n{name}: not measured, for the reason above");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
