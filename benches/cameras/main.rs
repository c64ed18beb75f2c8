//! Measures the camera thread in network namespaces, beside its limits; `benches/README.md` says how.
//!
//! Figures are not tests: a missed limit is said, and the exit code stays 0. It is 1 only where a
//! figure could not be measured.

#[path = "../daemon/figures.rs"]
mod figures;
mod full_check;
mod idle;
#[path = "../../tests/cameras/lan.rs"]
mod lan;
mod memory;
#[path = "../../tests/support/mod.rs"]
mod support;

use figures::Table;
use std::process::ExitCode;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(5);
const USAGE: &str =
    "cargo bench --bench cameras -- [unreachable] [reachable] [memory] [idle] [--seconds N] (as root)";

/// What the project promises.
mod limits {
    pub const UNREACHABLE_S: f64 = 2.2;
    pub const REACHABLE_MS: f64 = 100.0;
    pub const MEMORY_KIB: f64 = 1024.0;
    pub const BYTES_A_MINUTE: f64 = 1024.0;
}

/// How long to look at what happens seldom.
struct Plan {
    window: Duration,
}

type Part = (&'static str, fn(&Plan) -> Vec<Table>);
const PARTS: [Part; 4] = [
    ("unreachable", full_check::unreachable),
    ("reachable", full_check::reachable),
    ("memory", memory::measure),
    ("idle", idle::measure),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` says --bench; `cargo test --all-targets` starts this program too, and does not.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("measures for some minutes: {USAGE}");
        return ExitCode::SUCCESS;
    }
    match plan(&arguments) {
        Ok((plan, parts)) => run(&plan, &parts),
        Err(problem) => {
            eprintln!("{problem}\nusage: {USAGE}");
            ExitCode::from(2)
        }
    }
}

fn plan(arguments: &[String]) -> Result<(Plan, Vec<String>), String> {
    let mut plan = Plan { window: Duration::from_secs(120) };
    let mut parts = Vec::new();
    let mut rest = arguments.iter().filter(|argument| *argument != "--bench");
    while let Some(argument) = rest.next() {
        if argument == "--seconds" {
            let seconds = rest.next().and_then(|value| value.parse().ok());
            let seconds = seconds.filter(|seconds| (60..=3600).contains(seconds));
            plan.window = Duration::from_secs(seconds.ok_or("--seconds wants 60 to 3600")?);
        } else if PARTS.iter().any(|(part, _)| part == argument) {
            parts.push(argument.clone());
        } else {
            return Err(format!("{argument}: no such part"));
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
