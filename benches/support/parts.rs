//! A benchmark's command line: which of its parts are measured, for how long; and how one that cannot be is told.
//!
//! Figures are not tests: a missed limit is said, and the exit code stays 0. It is 1 only where a figure could not be
//! measured.

use crate::figures::{self, Table};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

/// Why something could not be measured, as a sentence for the person who started it. A panic does as well: it costs
/// only its part.
pub type Outcome<T> = Result<T, String>;
pub type Part = (&'static str, fn(&Plan) -> Outcome<Vec<Table>>);

/// How long to look, and how often.
#[allow(dead_code, reason = "each benchmark uses its own")]
pub struct Plan {
    pub window: Duration,
    pub rounds: usize,
}

pub struct Benchmark {
    /// Of its options, in one line.
    pub usage: &'static str,
    pub parts: &'static [Part],
    /// Unless the command line says otherwise.
    pub plan: Plan,
    /// Less than this says nothing.
    pub shortest: Duration,
    /// Why nothing can be measured here.
    pub obstacle: fn() -> Option<String>,
}

/// Of those that need nothing special.
#[allow(dead_code, reason = "each benchmark uses its own")]
pub fn no_obstacle() -> Option<String> {
    None
}

const MOST: u64 = 3600;

impl Benchmark {
    pub fn main(mut self) -> ExitCode {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        // `cargo bench` says --bench; `cargo test --all-targets` starts this program too, and does not.
        if !arguments.iter().any(|argument| argument == "--bench") {
            println!("measures for some minutes: {}", self.usage);
            return ExitCode::SUCCESS;
        }
        let parts = match self.understand(&arguments) {
            Ok(parts) => parts,
            Err(problem) => {
                eprintln!("{problem}\nusage: {}", self.usage);
                return ExitCode::from(2);
            }
        };
        if let Some(reason) = (self.obstacle)() {
            println!("not measured: {reason}");
            return ExitCode::FAILURE;
        }
        println!("{}", figures::machine());
        let mut code = ExitCode::SUCCESS;
        for part in parts {
            if !measure(part, &self.plan) {
                code = ExitCode::FAILURE;
            }
        }
        code
    }

    /// All parts if none is named.
    fn understand(&mut self, arguments: &[String]) -> Outcome<Vec<Part>> {
        let mut parts = Vec::new();
        let mut rest = arguments.iter().filter(|argument| *argument != "--bench");
        while let Some(argument) = rest.next() {
            let mut number = |least: u64| {
                let number = rest.next().and_then(|value| value.parse().ok());
                let number = number.filter(|number| (least..=MOST).contains(number));
                number.ok_or_else(|| format!("{argument} wants {least} to {MOST}"))
            };
            match argument.as_str() {
                "--seconds" => self.plan.window = Duration::from_secs(number(self.shortest.as_secs())?),
                "--rounds" => self.plan.rounds = number(1)? as usize,
                name => {
                    let part = self.parts.iter().find(|(part, _)| *part == name);
                    parts.push(*part.ok_or_else(|| format!("{name}: no such part"))?);
                }
            }
        }
        Ok(if parts.is_empty() { self.parts.to_vec() } else { parts })
    }
}

/// Prints its tables; false if anything is missing in them.
fn measure((name, part): Part, plan: &Plan) -> bool {
    let tables = match catch_unwind(AssertUnwindSafe(|| part(plan))) {
        Ok(Ok(tables)) => tables,
        Ok(Err(problem)) => {
            println!("\n{name}: not measured: {problem}");
            return false;
        }
        Err(_) => {
            println!("\n{name}: not measured, for the reason above");
            return false;
        }
    };
    tables.iter().for_each(|table| println!("{table}"));
    tables.iter().all(|table| !table.incomplete)
}
