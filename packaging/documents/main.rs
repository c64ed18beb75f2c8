//! Generates the other files of a package: man pages, completions, copyright; and the SBOM of a release. Their sources are those of the program: its
//! command line, its shipped configuration, its dependencies.
//!
//! ```sh
//! cargo metadata ... | cargo run --example documents -- heartbeat-daemon 2026-01-31 target/documents
//! cargo metadata ... | cargo run --example documents -- sbom heartbeat-daemon 1.0.0
//! ```
//!
//! It is a cargo example, so that none of it gets into a shipped program.

mod copyright;
mod crates;
mod page;
mod sbom;
mod settings;

use clap::Command;
use clap_complete::aot::{Shell, generate_to};
use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;

/// The default configuration of each program in the sources.
const SHIPPED: [(&str, &str); 2] = [
    ("heartbeat-daemon", "packaging/config.toml"),
    ("heartbeat-monitor", "packaging/heartbeat-monitor.toml"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, date, out] = arguments.as_slice() else {
        return Err(
            "usage: documents PROGRAM DATE DIRECTORY <METADATA, or documents sbom PROGRAM VERSION".into()
        );
    };
    if program == "sbom" {
        return print_sbom(date, out);
    }
    let command = command(program).ok_or_else(|| format!("{program} is not built with these features"))?;
    let (_, shipped) = SHIPPED.iter().find(|(name, _)| name == program).ok_or("no configuration")?;
    let out = Path::new(out);
    fs::create_dir_all(out)?;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));

    fs::write(out.join(format!("{program}.8")), page::program(command.clone(), date)?)?;
    let settings = settings::page(program, date, &fs::read_to_string(sources.join(shipped))?);
    fs::write(out.join(format!("{program}.toml.5")), settings)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command.clone(), program.as_str(), out)?;
    }
    let metadata = serde_json::from_reader(io::stdin().lock())?;
    fs::write(out.join("copyright"), copyright::of(&metadata, &sources.join("LICENSE-MIT"))?)?;
    Ok(())
}

fn print_sbom(program: &str, version: &str) -> Result<(), Box<dyn Error>> {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock"))?;
    let metadata = serde_json::from_reader(io::stdin().lock())?;
    let sbom = sbom::of(&metadata, &lock, program, version)?;
    println!("{}", serde_json::to_string_pretty(&sbom)?);
    Ok(())
}

/// The command line of a program; `None` if its feature is off.
fn command(program: &str) -> Option<Command> {
    match program {
        #[cfg(feature = "device")]
        "heartbeat-daemon" => Some(heartbeat_daemon::device::cli::command()),
        #[cfg(feature = "monitor")]
        "heartbeat-monitor" => Some(heartbeat_daemon::monitor::cli::command()),
        _ => None,
    }
}
