//! The tables on PostgreSQL: made in an empty database, migrated by a monitor that starts with a later program, and checked for
//! their version in any other case.
//!
//! Monitors are upgraded one after the other, so those of the version before still run when the first new one migrates. A
//! migration says whether they can go on: they can if it only adds tables, and columns that may be empty.

use super::client::{PostgresConnection, TransactionKind};
use super::link::PostgresLink;
use crate::monitor::store::error::StoreError;
use crate::monitor::store::sql::Connection;
use log::info;

const TABLES: &str = include_str!("schema.sql");

/// The version that `schema.sql` makes.
const FIRST: i64 = 24;

/// A step to the next version. A statement has [`STATEMENT_LIMIT`](super::client::STATEMENT_LIMIT): what fills a large table has
/// to be done by the program that runs.
pub struct Migration {
    pub statements: &'static str,
    /// Programs that know this version or a later one can use the tables afterwards. Others end when they notice.
    pub oldest: i64,
}

/// From [`FIRST`] on. Never change a released one.
pub const MIGRATIONS: &[Migration] = &[];

/// The version that this program knows.
pub const VERSION: i64 = FIRST + MIGRATIONS.len() as i64;

/// What the database says of its tables.
#[derive(Debug, Clone, Copy)]
struct StoredSchema {
    version: i64,
    oldest: i64,
}

/// For a monitor that starts to serve the database.
///
/// # Errors
/// [`StoreError::Newer`], or what the server says.
pub fn make_or_migrate(link: &mut PostgresLink) -> Result<(), StoreError> {
    migrate(link, MIGRATIONS)
}

/// For a command beside monitors that run.
///
/// # Errors
/// [`StoreError::Newer`], [`StoreError::Older`], or what the server says.
pub fn make_or_check(link: &mut PostgresLink) -> Result<(), StoreError> {
    made(link)?.is_known(VERSION)
}

/// # Errors
/// As [`make_or_check`]; and there are no tables of this program.
pub fn check(link: &mut PostgresLink) -> Result<(), StoreError> {
    let missing = "there are no tables of this program; the first start of the service makes them";
    found(link)?.ok_or(StoreError::Other(missing.into()))?.is_known(VERSION)
}

/// Of a process that uses the tables: whether they have become unusable for it. `oldest` is what the database says.
pub fn is_usable(oldest: i64) -> Result<(), StoreError> {
    StoredSchema { version: oldest, oldest }.is_usable(VERSION)
}

impl StoredSchema {
    fn is_usable(self, known: i64) -> Result<(), StoreError> {
        if self.oldest > known { Err(StoreError::Newer { found: self.version, known }) } else { Ok(()) }
    }

    fn is_known(self, known: i64) -> Result<(), StoreError> {
        self.is_usable(known)?;
        match self.version < known {
            true => Err(StoreError::Older { found: self.version, known }),
            false => Ok(()),
        }
    }
}

/// Takes the missing steps, each in a transaction of its own. Several processes may do so at the same moment.
pub fn migrate(link: &mut PostgresLink, migrations: &[Migration]) -> Result<(), StoreError> {
    let known = FIRST + i64::try_from(migrations.len()).unwrap_or(i64::MAX - FIRST);
    let mut reached = made(link)?;
    while reached.version < known {
        reached = link.transact(TransactionKind::Write, |connection: &PostgresConnection| {
            connection.batch("LOCK TABLE schema_version IN EXCLUSIVE MODE")?;
            // Another process may have been faster.
            let found = read(&Connection::of_postgres(connection))?;
            let missing = usize::try_from(found.version - FIRST).ok().and_then(|step| migrations.get(step));
            let Some(step) = missing else { return Ok(found) };
            connection.batch(step.statements)?;
            let reached = StoredSchema { version: found.version + 1, oldest: step.oldest.max(found.oldest) };
            let StoredSchema { version, oldest } = reached;
            connection.batch(&format!("UPDATE schema_version SET version = {version}, oldest = {oldest}"))?;
            info!("the database's tables are of version {version} now");
            Ok::<_, StoreError>(reached)
        })?;
    }
    reached.is_usable(known)
}

/// What there is, after the tables were made in a database that had none.
fn made(link: &mut PostgresLink) -> Result<StoredSchema, StoreError> {
    if let Some(found) = found(link)? {
        return Ok(found);
    }
    match link.transact(TransactionKind::Write, |connection| connection.batch(TABLES)) {
        Ok(()) => Ok(StoredSchema { version: FIRST, oldest: FIRST }),
        // Another process has made them at the same moment, or the server does not allow it.
        Err(error) => found(link)?.ok_or(error),
    }
}

/// `None`: there are no tables of this program.
fn found(link: &mut PostgresLink) -> Result<Option<StoredSchema>, StoreError> {
    link.transact(TransactionKind::Read, |connection: &PostgresConnection| {
        let connection = Connection::of_postgres(connection);
        let is_there =
            "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'schema_version'";
        if connection.exists(is_there, &[])? { read(&connection).map(Some) } else { Ok(None) }
    })
}

fn read(connection: &Connection<'_>) -> Result<StoredSchema, StoreError> {
    connection.query_row("SELECT version, oldest FROM schema_version", &[], |row| {
        Ok(StoredSchema { version: row.get(0)?, oldest: row.get(1)? })
    })
}

#[cfg(test)]
mod tests {
    use super::{FIRST, Migration, StoredSchema, migrate};
    use crate::monitor::store::postgres::cluster;
    use crate::monitor::store::postgres::database::PostgresDatabase;
    use crate::monitor::store::postgres::link::{PostgresLink, PostgresWay};
    use crate::monitor::store::sql::Connection;
    use crate::monitor::store::{Store, StoreError};
    use std::sync::Arc;

    /// Tables that only monitors with a server need.
    const OF_POSTGRES: [&str; 3] = ["schema_version.", "last_change.", "history_ageing."];

    #[test]
    fn tables_are_not_made_by_looking_for_them() {
        let Some(cluster) = cluster::shared() else { return };
        let url = cluster.url(&cluster.database(), "sslmode=disable");
        let missing = PostgresDatabase::open_existing(&url).expect_err("there are none");
        assert!(missing.to_string().contains("no tables"), "{missing}");
        PostgresDatabase::open_existing(&url).expect_err("there are still none");
        PostgresDatabase::open_beside(&url).expect("made");
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
        let first = super::FIRST;
        assert!(super::TABLES.contains(&format!("INSERT INTO schema_version VALUES ({first}, {first});")));
    }

    #[test]
    fn both_engines_have_the_same_tables_and_columns() {
        let Some(cluster) = cluster::shared() else { return };
        let url = cluster.url(&cluster.database(), "sslmode=disable");
        let database = PostgresDatabase::open_beside(&url).expect("tables");
        let columns = |connection: &Connection<'_>, sql: &str| -> Result<Vec<String>, StoreError> {
            let mut columns = connection.query_all(sql, &[], |row| row.get::<String>(0))?;
            columns.sort();
            Ok(columns)
        };
        let there = database.read(|connection| {
            let sql = "SELECT CAST(table_name || '.' || column_name AS TEXT) FROM information_schema.columns
                       WHERE table_schema = 'public'
                         AND table_name NOT IN (SELECT relname FROM pg_class WHERE relispartition)";
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

    /// A later version that adds something, and one that renames something.
    const LATER: [Migration; 2] = [
        Migration { statements: "ALTER TABLE machine ADD COLUMN colour TEXT", oldest: FIRST },
        Migration { statements: "ALTER TABLE machine RENAME COLUMN colour TO color", oldest: FIRST + 2 },
    ];

    #[test]
    fn monitors_of_the_version_before_go_on_until_a_migration_that_they_cannot_use() {
        let Some(cluster) = cluster::shared() else { return };
        let url = cluster.url(&cluster.database(), "sslmode=disable");
        let older = PostgresDatabase::open_for_serving(&url).expect("made");
        let mut newer = PostgresLink::new(&Arc::new(PostgresWay::new(url.clone(), 1).expect("a way")));
        migrate(&mut newer, &LATER[..1]).expect("migrated");
        older.changed_by_others().expect("goes on");
        PostgresDatabase::open_for_serving(&url).expect("another one starts");
        PostgresDatabase::open_existing(&url).expect("commands, too");
        migrate(&mut newer, &LATER).expect("migrated, from where it is");
        let refused = Err(StoreError::Newer { found: FIRST + 2, known: FIRST });
        assert_eq!(older.changed_by_others().map(drop), refused, "notices within a second");
        assert_eq!(PostgresDatabase::open_for_serving(&url).map(drop), refused);
        assert_eq!(PostgresDatabase::open_existing(&url).map(drop), refused);
        migrate(&mut newer, &LATER).expect("there is nothing left to do");
    }

    #[test]
    fn a_migration_that_fails_leaves_everything_as_it_was() {
        let Some(cluster) = cluster::shared() else { return };
        let url = cluster.url(&cluster.database(), "sslmode=disable");
        let mut link = PostgresLink::new(&Arc::new(PostgresWay::new(url.clone(), 1).expect("a way")));
        let statements = "ALTER TABLE machine ADD COLUMN colour TEXT; ALTER TABLE nothing ADD COLUMN a TEXT";
        migrate(&mut link, &[Migration { statements, oldest: FIRST + 1 }]).expect_err("refused");
        migrate(&mut link, &LATER[..1]).expect("the column is not there");
    }

    #[test]
    fn a_command_of_a_later_program_leaves_the_tables_to_the_service() {
        let earlier = StoredSchema { version: FIRST, oldest: FIRST };
        assert_eq!(earlier.is_known(FIRST), Ok(()));
        let refused = Err(StoreError::Older { found: FIRST, known: FIRST + 1 });
        assert_eq!(earlier.is_known(FIRST + 1), refused);
    }
}
