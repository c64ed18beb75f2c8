//! `heartbeat-monitor monitor ...`: the monitors of a database.

use crate::clock::Moment;
use crate::monitor::instances::words::{HEADINGS, row};
use crate::monitor::store::{DatabaseLocation, Refused, Store};
use crate::table::table;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum MonitorCommand {
    /// List the monitors of this database: whether each one is alive, its clock, and the heartbeats that it receives
    List,
}

/// Returns the output.
pub fn run(command: MonitorCommand, database: &DatabaseLocation, now: Moment) -> Result<String, Refused> {
    let MonitorCommand::List = command;
    let store = Store::open_existing(database, now)?;
    if store.process().is_none() {
        return Ok(
            "a database in a file has one monitor; several need PostgreSQL (see \"Several monitors\" in the manual)"
                .into(),
        );
    }
    // By the clock of the database, which is known only now.
    let now = Moment::now();
    let rows: Vec<_> = store.instances()?.iter().map(|instance| row(instance, now)).collect();
    match rows.is_empty() {
        true => Ok("no monitor has served this database yet".into()),
        false => Ok(table(HEADINGS, &rows)),
    }
}
