//! `heartbeat-monitor db ...`

use crate::clock::Moment;
use crate::monitor::retention::ahead;
use crate::monitor::store::{CopiedRows, CopyProgress, DatabaseLocation, Refused, Store, Vacuumed};
use clap::Subcommand;
use std::io::IsTerminal;
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
    /// Copy everything into another, empty database: a file, or postgres://USER@HOST/DATABASE. Stop the monitor first
    Copy {
        #[arg(value_name = "FROM", value_parser = location)]
        from: DatabaseLocation,
        #[arg(value_name = "TO", value_parser = location)]
        to: DatabaseLocation,
    },
}

/// Returns the output.
pub fn run(command: DatabaseCommand, database: &DatabaseLocation, now: Moment) -> Result<String, Refused> {
    let open = || Store::open_existing(database, now);
    match command {
        DatabaseCommand::Check => check(&open()?),
        DatabaseCommand::Backup { file } => {
            let bytes = open()?.backup(&file)?;
            Ok(format!("{}: {}, checked", file.display(), size(bytes)))
        }
        DatabaseCommand::Vacuum => {
            let Vacuumed { before, after, whole } = open()?.vacuum()?;
            let how = if whole { "" } else { "; not defragmented, because the monitor is running" };
            Ok(format!("{} before, {} after{how}", size(before), size(after)))
        }
        DatabaseCommand::Copy { from, to } => copy(&from, &to, now),
    }
}

/// A path or a URL.
fn location(text: &str) -> Result<DatabaseLocation, String> {
    DatabaseLocation::of_url(text).unwrap_or_else(|| Ok(DatabaseLocation::File(text.into())))
}

/// A file is held as if a monitor served it, so that none does.
fn copy(from: &DatabaseLocation, to: &DatabaseLocation, now: Moment) -> Result<String, Refused> {
    drop(Store::open_existing(from, now)?);
    let (source, target) = (Store::open_for_serving(from, now)?, Store::open_for_serving(to, now)?);
    for store in [&source, &target] {
        refuse_if_served(store)?;
    }
    ahead::make_for_copy(&source, &target, Moment::now())?;
    let mut bar = ProgressBar::default();
    let copied = source.copy_into(&target, &mut |progress| bar.show(progress));
    bar.end();
    let CopiedRows { tables, rows } = copied?;
    Ok(format!(
        "{to}: {rows} rows in {tables} tables, compared; now set [store] database, and start the monitor"
    ))
}

/// What monitors write during a copy would be missing in it. A file is held by its one monitor.
fn refuse_if_served(store: &Store) -> Result<(), Refused> {
    let now = Moment::now();
    match store.instances()?.iter().find(|instance| instance.is_alive(now)) {
        None => Ok(()),
        Some(instance) => Err(Refused::because(format!(
            "the monitor on {} serves {}; stop that one first, or, if it was killed, wait 15 s",
            instance.host,
            store.location()
        ))),
    }
}

/// One line on a terminal, written again and again; nothing elsewhere.
#[derive(Default)]
struct ProgressBar {
    is_shown: bool,
}

impl ProgressBar {
    const WIDTH: u64 = 30;

    fn show(&mut self, progress: CopyProgress) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        self.is_shown = true;
        let CopyProgress { table, rows, of_rows } = progress;
        let done = (rows * ProgressBar::WIDTH).checked_div(of_rows).unwrap_or(ProgressBar::WIDTH);
        let (done, left) = ("#".repeat(done as usize), " ".repeat((ProgressBar::WIDTH - done) as usize));
        eprint!("\r[{done}{left}] {table}: {rows} of {of_rows} rows\x1b[K");
    }

    fn end(&self) {
        if self.is_shown {
            eprintln!();
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
