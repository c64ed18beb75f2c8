//! `heartbeat-monitor enroll ...`

use super::token_file::Destination;
use crate::clock::Moment;
use crate::config::Period;
use crate::duration::rough;
use crate::monitor::registry::enrolment::EnrolmentKey;
use crate::monitor::store::{Refused, Store};
use crate::table::{or_dash, table};
use clap::Subcommand;
use std::path::Path;

#[derive(Debug, Subcommand)]
pub enum EnrollCommand {
    /// Make a key with which one device can add itself; it is printed alone on the last line, only this once
    Add {
        /// How long it can be used
        #[arg(long = "for", value_name = "TIME", default_value = "1h")]
        valid: Period,
        /// The group that the machine will be in
        #[arg(long)]
        group: Option<String>,
        #[command(flatten)]
        token: Destination,
    },
    /// List the keys whose time is not over
    List,
    /// Remove a key
    Remove {
        /// As listed
        id: i64,
    },
}

/// What is to be printed.
///
/// # Errors
/// One sentence; nothing was changed.
pub fn run(command: EnrollCommand, database: &Path, now: Moment) -> Result<String, Refused> {
    let store = Store::open_beside(database, now)?;
    match command {
        EnrollCommand::Add { valid, group, token } => token.deliver(|hand_over| {
            let key = store.add_key(valid.0, group.as_deref(), now, hand_over)?;
            Ok((format!("one device can enrol itself within {valid}"), key))
        }),
        EnrollCommand::List => {
            let rows: Vec<_> = store.keys(now)?.iter().map(|key| row(key, now)).collect();
            match rows.is_empty() {
                true => Ok("no enrolment keys; heartbeat-monitor enroll add makes one".into()),
                false => Ok(table(["ID", "STILL VALID", "GROUP", "USED BY MACHINE"], &rows)),
            }
        }
        EnrollCommand::Remove { id } => {
            store.remove_key(id)?;
            Ok(format!("enrolment key {id} is removed"))
        }
    }
}

fn row(key: &EnrolmentKey, now: Moment) -> [String; 4] {
    let used = match (key.used_at, key.machine) {
        (None, _) => "-".to_owned(),
        (Some(_), Some(machine)) => machine.0.to_string(),
        (Some(_), None) => "removed".to_owned(),
    };
    [key.id.to_string(), rough(key.expires_at.since(now)), or_dash(key.group.as_deref()), used]
}
