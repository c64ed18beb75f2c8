//! `heartbeat-monitor token ...`: who may read the API.

use super::token_file::Destination;
use crate::clock::Moment;
use crate::duration::ago;
use crate::monitor::store::{Refused, Store};
use crate::table::table;
use clap::Subcommand;
use std::path::Path;

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token that reads the API; it is printed alone on the last line, only this once
    Add {
        /// Who will use it
        name: String,
        #[command(flatten)]
        token: Destination,
    },
    /// List the names of all read tokens
    List,
    /// Remove a read token
    Remove {
        /// As listed
        name: String,
    },
}

/// What is to be printed.
///
/// # Errors
/// One sentence; nothing was changed.
pub fn run(command: TokenCommand, database: &Path, now: Moment) -> Result<String, Refused> {
    let store = Store::open_beside(database, now)?;
    match command {
        TokenCommand::Add { name, token } => token.deliver(|hand_over| {
            let token = store.add_reader(&name, now, hand_over)?;
            Ok((format!("read token \"{name}\" is made"), token))
        }),
        TokenCommand::List => {
            let readers = store.readers()?;
            let rows: Vec<_> =
                readers.into_iter().map(|reader| [reader.name, ago(Some(reader.created_at), now)]).collect();
            match rows.is_empty() {
                true => Ok("no read tokens; heartbeat-monitor token add NAME makes one".into()),
                false => Ok(table(["NAME", "MADE"], &rows)),
            }
        }
        TokenCommand::Remove { name } => {
            store.remove_reader(&name)?;
            Ok(format!("read token \"{name}\" is removed"))
        }
    }
}
