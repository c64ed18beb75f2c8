//! Measures the monitor from outside, beside its limits and beside nginx; `benches/README.md` says how.
//!
//! Figures are not tests: a missed limit is said, and the exit code stays 0. It is 1 only where a figure could not be
//! measured.

#[path = "../daemon/figures.rs"]
mod figures;
mod growth;
mod ingest;
mod nginx;
#[path = "../daemon/process.rs"]
#[allow(dead_code, reason = "the daemon's benchmark looks at more")]
mod process;
mod steady;
mod subject;

use figures::Table;
use std::process::ExitCode;
use std::time::Duration;

/// Why something could not be measured, as a sentence for the person who started it.
type Outcome<T> = Result<T, String>;

const USAGE: &str = "cargo bench --features monitor --bench monitor -- [ingest] [replays] [steady] [idle] [growth] [--seconds N]";
type Part = (&'static str, fn(&Plan) -> Outcome<Vec<Table>>);
const PARTS: [Part; 5] = [
    ("ingest", ingest::measure),
    ("replays", ingest::replays),
    ("steady", steady::measure),
    ("idle", steady::idle),
    ("growth", growth::measure),
];

/// At which a steady fleet beats.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long to look.
struct Plan {
    /// Of each window.
    window: Duration,
}

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

fn plan(arguments: &[String]) -> Outcome<(Plan, Vec<Part>)> {
    let mut plan = Plan { window: Duration::from_secs(10) };
    let mut parts = Vec::new();
    let mut arguments = arguments.iter().filter(|argument| *argument != "--bench");
    while let Some(argument) = arguments.next() {
        if argument == "--seconds" {
            let seconds = arguments.next().and_then(|number| number.parse().ok());
            let seconds = seconds.filter(|seconds| (5..=3600).contains(seconds));
            plan.window = Duration::from_secs(seconds.ok_or("--seconds takes 5 to 3600")?);
            continue;
        }
        let part = PARTS.iter().find(|(name, _)| name == argument);
        parts.push(*part.ok_or_else(|| format!("there is no part named {argument}"))?);
    }
    if parts.is_empty() {
        parts.extend(PARTS);
    }
    Ok((plan, parts))
}

fn run(plan: &Plan, parts: &[Part]) -> ExitCode {
    let mut result = ExitCode::SUCCESS;
    for (name, measure) in parts {
        match measure(plan) {
            Ok(tables) => tables.iter().for_each(|table| println!("{table}")),
            Err(problem) => {
                eprintln!("{name} could not be measured: {problem}");
                result = ExitCode::FAILURE;
            }
        }
    }
    result
}
