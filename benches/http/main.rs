//! Measures the HTTP front from outside, beside its limits and beside tiny_http; `benches/README.md` says how.
//!
//! Figures are not tests: a missed limit is said, and the exit code stays 0. It is 1 only where a figure could not be
//! measured.

mod crowd;
#[path = "../daemon/figures.rs"]
mod figures;
mod many;
mod server;
mod throughput;

use figures::Table;
use std::process::ExitCode;
use std::time::Duration;

/// Why something could not be measured, as a sentence for the person who started it.
type Outcome<T> = Result<T, String>;

/// Between two heartbeats of one device of the fleet.
const INTERVAL: Duration = Duration::from_secs(5);
const USAGE: &str =
    "cargo bench --bench http -- [throughput] [syscalls] [burst] [idle] [slow] [fleet] [descriptors]";
type Part = (&'static str, fn() -> Outcome<Table>);
const PARTS: [Part; 7] = [
    ("throughput", throughput::measure),
    ("syscalls", throughput::syscalls),
    ("burst", many::burst),
    ("idle", many::idle),
    ("slow", many::slow),
    ("fleet", many::fleet),
    ("descriptors", many::descriptors),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|first| first == server::INSIDE) {
        return server::inside(arguments.get(1).map_or("", String::as_str));
    }
    // `cargo bench` says --bench; `cargo test --all-targets` starts this program too, and does not.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("measures for some minutes: {USAGE}");
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = arguments.iter().find(|argument| PARTS.iter().all(|(name, _)| name != argument)) {
        eprintln!("{unknown}: no such part\nusage: {USAGE}");
        return ExitCode::from(2);
    }
    println!("{}", figures::machine());
    let mut code = ExitCode::SUCCESS;
    for (name, measure) in PARTS {
        if !arguments.is_empty() && !arguments.iter().any(|part| part == name) {
            continue;
        }
        match measure() {
            Ok(table) => println!("{table}"),
            Err(problem) => {
                println!("\n{name}: not measured: {problem}");
                code = ExitCode::FAILURE;
            }
        }
    }
    code
}
