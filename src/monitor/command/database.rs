//! `heartbeat-monitor db ...`

use crate::clock::Moment;
use crate::monitor::store::{DatabaseLocation, Refused, Store, Vacuumed};
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum DatabaseCommand {
    /// Check the whole database for damage
    Check,
    /// Copy the current state of the database to a new file
    Backup {
        /// New file; must not exist
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Return unused space to the file system
    Vacuum,
}

/// Returns the output.
pub fn run(command: DatabaseCommand, database: &DatabaseLocation, now: Moment) -> Result<String, Refused> {
    let store = Store::open_existing(database, now)?;
    match command {
        DatabaseCommand::Check => check(&store),
        DatabaseCommand::Backup { file } => {
            let bytes = store.backup(&file)?;
            Ok(format!("{}: {}, checked", file.display(), size(bytes)))
        }
        DatabaseCommand::Vacuum => {
            let Vacuumed { before, after, whole } = store.vacuum()?;
            let how = if whole { "" } else { "; not defragmented, because the monitor is running" };
            Ok(format!("{} before, {} after{how}", size(before), size(after)))
        }
    }
}

fn check(store: &Store) -> Result<String, Refused> {
    let report = store.check()?;
    let path = store.location();
    if report.problems.is_empty() {
        let (bytes, free) = (size(report.bytes), size(report.free));
        return Ok(format!("{path}: good; version {}, {bytes}, {free} of it free", report.version));
    }
    let problems = report.problems.join("\n  ");
    Err(Refused::because(format!(
        "{path}: damaged:\n  {problems}\nStop the monitor, keep this file for analysis, and restore a backup."
    )))
}

/// In binary units, as `ls -h` and `du -h` show it.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 3] = ["KiB", "MiB", "GiB"];
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests;
