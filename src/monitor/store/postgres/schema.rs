//! The tables on PostgreSQL: made in an empty database, and checked for their version in any other.

use super::client::{PostgresConnection, TransactionKind};
use super::link::PostgresLink;
use crate::monitor::store::error::StoreError;
use crate::monitor::store::sql::Connection;

const TABLES: &str = include_str!("schema.sql");

/// The version that this program knows; `schema.sql` says the same.
pub const VERSION: i64 = 24;

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
    check_version(found)
}

/// # Errors
/// As [`make_or_check`]; and there are no tables of this program.
pub fn check(link: &mut PostgresLink) -> Result<(), StoreError> {
    let missing = "there are no tables of this program; the first start of the service makes them";
    check_version(version(link)?.ok_or(StoreError::Other(missing.into()))?)
}

fn check_version(found: i64) -> Result<(), StoreError> {
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

#[cfg(test)]
mod tests {
    use crate::monitor::store::postgres::cluster;
    use crate::monitor::store::postgres::database::PostgresDatabase;
    use crate::monitor::store::sql::Connection;
    use crate::monitor::store::{Store, StoreError};

    /// Tables that only monitors with a server need.
    const OF_POSTGRES: [&str; 2] = ["schema_version.", "last_change."];

    #[test]
    fn tables_are_not_made_by_looking_for_them() {
        let Some(cluster) = cluster::shared() else { return };
        let url = cluster.url(&cluster.database(), "sslmode=disable");
        let missing = PostgresDatabase::open_existing(&url).expect_err("there are none");
        assert!(missing.to_string().contains("no tables"), "{missing}");
        PostgresDatabase::open_existing(&url).expect_err("there are still none");
        PostgresDatabase::open(&url).expect("made");
        PostgresDatabase::open_existing(&url).expect("there");
    }

    /// The other engine has the same version, so that a later migration is one for both.
    #[test]
    fn both_engines_have_the_same_version() {
        let migrations =
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/monitor/store/sqlite/migrations"));
        let latest = migrations.expect("listed").flatten().filter_map(|file| {
            file.file_name().to_string_lossy().split('_').next().and_then(|number| number.parse::<i64>().ok())
        });
        assert_eq!(latest.max(), Some(super::VERSION));
        assert!(super::TABLES.contains(&format!("INSERT INTO schema_version VALUES ({});", super::VERSION)));
    }

    #[test]
    fn both_engines_have_the_same_tables_and_columns() {
        let Some(cluster) = cluster::shared() else { return };
        let url = cluster.url(&cluster.database(), "sslmode=disable");
        let database = PostgresDatabase::open(&url).expect("tables");
        let columns = |connection: &Connection<'_>, sql: &str| -> Result<Vec<String>, StoreError> {
            let mut columns = connection.query_all(sql, &[], |row| row.get::<String>(0))?;
            columns.sort();
            Ok(columns)
        };
        let there = database.read(|connection| {
            let sql = "SELECT CAST(table_name || '.' || column_name AS TEXT) FROM information_schema.columns
                       WHERE table_schema = 'public'";
            columns(connection, sql)
        });
        let mut there = there.expect("listed");
        there.retain(|column| !OF_POSTGRES.iter().any(|table| column.starts_with(table)));
        let here = Store::scratch_file().read(|connection| {
            let sql = "SELECT t.name || '.' || c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c
                       WHERE t.type IN ('table', 'view') AND t.name NOT LIKE 'sqlite~_%' ESCAPE '~'";
            columns(connection, sql)
        });
        assert_eq!(Ok(there), here);
    }
}
