//! The tables on PostgreSQL: made in an empty database, and checked for their version in any other.

use super::client::{PostgresConnection, TransactionKind};
use super::link::PostgresLink;
use crate::monitor::store::error::StoreError;
use crate::monitor::store::sql::Connection;

const TABLES: &str = include_str!("schema.sql");

/// The version that this program knows; `schema.sql` says the same.
pub const VERSION: i64 = 23;

/// # Errors
/// [`StoreError::Newer`], or what the server says.
pub fn make_or_check(link: &mut PostgresLink) -> Result<(), StoreError> {
    let found = match version(link)? {
        Some(found) => found,
        None => match link.transact(TransactionKind::Write, |connection| connection.batch(TABLES)) {
            Ok(()) => return Ok(()),
            // Another process has made them at the same moment, or the server does not allow it.
            Err(error) => version(link)?.ok_or(error)?,
        },
    };
    match found {
        VERSION => Ok(()),
        found => Err(StoreError::Newer { found, known: VERSION }),
    }
}

/// `None`: there are no tables of this program.
fn version(link: &mut PostgresLink) -> Result<Option<i64>, StoreError> {
    link.transact(TransactionKind::Read, |connection: &PostgresConnection| {
        let connection = Connection::of_postgres(connection);
        let is_there =
            "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'schema_version'";
        if !connection.exists(is_there, &[])? {
            return Ok(None);
        }
        connection.query_row("SELECT version FROM schema_version", &[], |row| row.get(0)).map(Some)
    })
}
