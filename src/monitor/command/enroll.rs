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
    /// Create a key with which one device can enrol; it is printed alone on the last line, only once
    Add {
        /// How long the key is valid
        #[arg(long = "for", value_name = "TIME", default_value = "1h")]
        valid: Period,
        /// Group of the enrolled machine
        #[arg(long)]
        group: Option<String>,
        #[command(flatten)]
        token: Destination,
    },
    /// List the keys that have not expired
    List,
    /// Delete a key
    Remove {
        /// Id, as listed
        id: i64,
    },
}

/// Returns the output.
pub fn run(command: EnrollCommand, database: &Path, now: Moment) -> Result<String, Refused> {
    let store = Store::open_beside(database, now)?;
    match command {
        EnrollCommand::Add { valid, group, token } => token.deliver(|deliver_token| {
            let key = store.add_key(valid.0, group.as_deref(), now, deliver_token)?;
            Ok((format!("key for one device, valid for {valid}"), key))
        }),
        EnrollCommand::List => {
            let rows: Vec<_> = store.keys(now)?.iter().map(|key| row(key, now)).collect();
            match rows.is_empty() {
                true => Ok("no enrolment keys; create one with heartbeat-monitor enroll add".into()),
                false => Ok(table(["ID", "STILL VALID", "GROUP", "USED BY MACHINE"], &rows)),
            }
        }
        EnrollCommand::Remove { id } => {
            store.remove_key(id)?;
            Ok(format!("enrolment key {id} removed"))
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
