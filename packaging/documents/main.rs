//! What a package holds besides the program: man pages, completions, copyright. Each is made from what the program
//! itself is made from: its command line, its shipped configuration, its dependencies.
//!
//! ```sh
//! cargo metadata ... | cargo run --example documents -- heartbeat-daemon 2026-01-31 target/documents
//! ```
//!
//! An example, so that nothing of it can get into a program that is shipped.

mod copyright;
mod page;
mod settings;

use clap::Command;
use clap_complete::aot::{Shell, generate_to};
use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;

/// Which file of the sources is a program's default configuration, as it is installed.
const SHIPPED: [(&str, &str); 2] = [
    ("heartbeat-daemon", "packaging/config.toml"),
    ("heartbeat-monitor", "packaging/heartbeat-monitor.toml"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, date, out] = arguments.as_slice() else {
        return Err("usage: documents PROGRAM DATE DIRECTORY <METADATA".into());
    };
    let command = command(program).ok_or_else(|| format!("{program} is not a program of these features"))?;
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

/// The command line of a program, if these features have it.
fn command(program: &str) -> Option<Command> {
    match program {
        #[cfg(feature = "device")]
        "heartbeat-daemon" => Some(heartbeat_daemon::device::cli::command()),
        #[cfg(feature = "monitor")]
        "heartbeat-monitor" => Some(heartbeat_daemon::monitor::cli::command()),
        _ => None,
    }
}
