//! `heartbeat-monitor token ...`: read tokens, for programs that use the API.

use super::audited::AuditedChange;
use super::token_file::Destination;
use crate::clock::Moment;
use crate::duration::ago;
use crate::monitor::store::{DatabaseLocation, Refused, Store};
use crate::table::table;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a read token for the API; it is printed alone on the last line, only once
    Add {
        /// Name of the program or person that uses it
        name: String,
        #[command(flatten)]
        token: Destination,
    },
    /// List all read tokens by name
    List,
    /// Delete a read token
    Remove {
        /// Name, as listed
        name: String,
    },
}

impl TokenCommand {
    /// `None`: it changes nothing.
    pub fn audited(&self) -> Option<AuditedChange> {
        Some(match self {
            TokenCommand::Add { name, .. } => AuditedChange::of("token.add", name),
            TokenCommand::List => return None,
            TokenCommand::Remove { name } => AuditedChange::of("token.remove", name),
        })
    }
}

/// Returns the output.
pub fn run(command: TokenCommand, database: &DatabaseLocation, now: Moment) -> Result<String, Refused> {
    let store = Store::open_beside(database, now)?;
    match command {
        TokenCommand::Add { name, token } => token.deliver(|deliver_token| {
            let token = store.add_reader(&name, now, deliver_token)?;
            Ok((format!("read token \"{name}\" created"), token))
        }),
        TokenCommand::List => {
            let readers = store.readers()?;
            let rows: Vec<_> =
                readers.into_iter().map(|reader| [reader.name, ago(Some(reader.created_at), now)]).collect();
            match rows.is_empty() {
                true => Ok("no read tokens; create one with heartbeat-monitor token add NAME".into()),
                false => Ok(table(["NAME", "CREATED"], &rows)),
            }
        }
        TokenCommand::Remove { name } => {
            store.remove_reader(&name)?;
            Ok(format!("read token \"{name}\" removed"))
        }
    }
}
