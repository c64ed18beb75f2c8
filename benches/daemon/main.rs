//! Measures the daemon from outside, beside its limits and beside two peers; `benches/README.md` says how.
//!
//! Figures are not tests: a missed limit is said, and the exit code stays 0. It is 1 only where a
//! figure could not be measured.

mod figures;
#[path = "../../tests/support/https.rs"]
mod https;
mod latency;
mod peers;
mod process;
mod receiver;
mod steady;
mod subject;
mod syscalls;
mod wire;

use figures::{Figure, Table, limits};
use std::process::ExitCode;
use std::time::Duration;

/// Why something could not be measured, as a sentence for the person who started it.
type Outcome<T> = Result<T, String>;

/// At which all is measured unless a line of the table says otherwise.
const INTERVAL: Duration = Duration::from_secs(5);
const USAGE: &str = "cargo bench --bench daemon -- [size] [footprint] [wire] [trigger] [peers] [--seconds N]";
type Part = (&'static str, fn(&Plan) -> Outcome<Vec<Table>>);
const PARTS: [Part; 5] = [
    ("size", size),
    ("footprint", steady::measure),
    ("wire", wire::measure),
    ("trigger", latency::measure),
    ("peers", peers::measure),
];

/// How long to look.
struct Plan {
    /// Of each window of memory, CPU and wake-ups; system calls are counted in half of it.
    window: Duration,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == wire::INSIDE) {
        return wire::inside();
    }
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

fn plan(arguments: &[String]) -> Outcome<(Plan, Vec<String>)> {
    let mut seconds = 60;
    let mut parts = Vec::new();
    let mut rest = arguments.iter().filter(|argument| *argument != "--bench");
    while let Some(argument) = rest.next() {
        if argument == "--seconds" {
            let value = rest.next().and_then(|value| value.parse().ok());
            seconds =
                value.filter(|seconds| (10..=3600).contains(seconds)).ok_or("--seconds wants 10 to 3600")?;
        } else if PARTS.iter().any(|(name, _)| name == argument) {
            parts.push(argument.clone());
        } else {
            return Err(format!("{argument}: no such part"));
        }
    }
    Ok((Plan { window: Duration::from_secs(seconds) }, parts))
}

/// All parts if none is named.
fn run(plan: &Plan, parts: &[String]) -> ExitCode {
    println!("{}", figures::machine());
    let mut code = ExitCode::SUCCESS;
    for (name, measure) in PARTS {
        if !parts.is_empty() && !parts.iter().any(|part| part == name) {
            continue;
        }
        match measure(plan) {
            Ok(tables) => {
                tables.iter().for_each(|table| println!("{table}"));
                if tables.iter().any(|table| table.incomplete) {
                    code = ExitCode::FAILURE;
                }
            }
            Err(problem) => {
                println!("\n{name}: not measured: {problem}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}

fn size(_: &Plan) -> Outcome<Vec<Table>> {
    let bytes =
        std::fs::metadata(subject::BINARY).map_err(|error| format!("{}: {error}", subject::BINARY))?.len();
    let mut table = Table::new("Release binary");
    table.add(Figure::new("size", bytes as f64 / 1024.0, "KiB").at_most(limits::BINARY_KIB));
    Ok(vec![table])
}
