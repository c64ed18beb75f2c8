//! The database of a monitor, whatever engine it is on.

use super::changes::ChangesByOthers;
use super::error::{OpenError, StoreError};
use super::figures::ServerFigures;
use super::location::DatabaseLocation;
#[cfg(feature = "postgres")]
use super::postgres::PostgresDatabase;
use super::refused::Refused;
use super::sql::{Connection, Transaction};
use super::sqlite::{Checked, QuickCheck, SqliteDatabase, Vacuumed};
use crate::clock::Moment;
use std::path::Path;
use std::time::Duration;

/// The database, for all threads of a process.
#[derive(Debug)]
pub struct Store {
    location: DatabaseLocation,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    Sqlite(Box<SqliteDatabase>),
    #[cfg(feature = "postgres")]
    Postgres(Box<PostgresDatabase>),
}

impl Store {
    /// Opens the database to serve it: makes it where there is none, and migrates an older one. A file has one monitor:
    /// others are kept away until this is dropped.
    ///
    /// # Errors
    /// One sentence with the place and what to do; nothing was changed, or nothing but complete migrations.
    pub fn open_for_serving(location: &DatabaseLocation, now: Moment) -> Result<Store, OpenError> {
        let engine = match location {
            DatabaseLocation::File(path) => {
                SqliteDatabase::open_for_serving(path, now).map(Box::new).map(Engine::Sqlite)
            }
            #[cfg(feature = "postgres")]
            DatabaseLocation::Postgres(url) => {
                PostgresDatabase::open_for_serving(url).map(Box::new).map(Engine::Postgres)
            }
        };
        Store::of(location, engine)
    }

    /// Opens the database for a command, while a server may be running; makes it where there is none, so that
    /// machines can be added before the first start.
    ///
    /// # Errors
    /// As [`Store::open_for_serving`]; [`StoreError::Older`] if it would have to be migrated under a running server.
    pub fn open_beside(location: &DatabaseLocation, now: Moment) -> Result<Store, OpenError> {
        let engine = match location {
            DatabaseLocation::File(path) => {
                SqliteDatabase::open_beside(path, now).map(Box::new).map(Engine::Sqlite)
            }
            #[cfg(feature = "postgres")]
            DatabaseLocation::Postgres(url) => {
                PostgresDatabase::open_beside(url).map(Box::new).map(Engine::Postgres)
            }
        };
        Store::of(location, engine)
    }

    /// [`Store::open_beside`] for a command that makes no sense without a database.
    ///
    /// # Errors
    /// As there, and there is no such file, or there are no tables.
    pub fn open_existing(location: &DatabaseLocation, now: Moment) -> Result<Store, OpenError> {
        let engine = match location {
            DatabaseLocation::File(path) => {
                SqliteDatabase::open_existing(path, now).map(Box::new).map(Engine::Sqlite)
            }
            #[cfg(feature = "postgres")]
            DatabaseLocation::Postgres(url) => {
                PostgresDatabase::open_existing(url).map(Box::new).map(Engine::Postgres)
            }
        };
        Store::of(location, engine)
    }

    fn of(location: &DatabaseLocation, engine: Result<Engine, StoreError>) -> Result<Store, OpenError> {
        let location = location.clone();
        match engine {
            Ok(engine) => Ok(Store { location, engine }),
            Err(error) => Err(OpenError { location, error }),
        }
    }

    pub fn location(&self) -> &DatabaseLocation {
        &self.location
    }

    /// Runs one write transaction; an error rolls it back. A process has one at a time, so keep it short.
    pub fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.transact(work)
    }

    /// [`Store::write`] with another error type.
    pub(in crate::monitor) fn transact<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        match &self.engine {
            Engine::Sqlite(database) => database.transact(work),
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.transact(work),
        }
    }

    /// Reads one snapshot, concurrently with the writer. A long read makes the database grow, so read lists by pages.
    pub(in crate::monitor) fn read<T>(
        &self,
        work: impl FnOnce(&Connection<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &self.engine {
            Engine::Sqlite(database) => database.read(work),
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.read(work),
        }
    }

    /// What another process has changed, of that which a monitor keeps in memory, since the last call.
    pub fn changed_by_others(&self) -> Result<ChangesByOthers, StoreError> {
        match &self.engine {
            Engine::Sqlite(database) => {
                Ok(ChangesByOthers { settings: database.changed_by_others()?, statuses: false })
            }
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.changed_by_others(),
        }
    }

    /// The number of this process among the monitors of the database; `None`: a file, which has one monitor.
    pub fn process(&self) -> Option<i64> {
        match &self.engine {
            Engine::Sqlite(_) => None,
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => Some(database.process().into()),
        }
    }

    /// See [`SqliteDatabase::renew_removed_wal`]; other engines have no such file.
    pub fn renew_removed_wal(&self) -> Result<bool, StoreError> {
        self.file().map_or(Ok(false), SqliteDatabase::renew_removed_wal)
    }

    /// See [`SqliteDatabase::quick_check`]; other engines check their pages as they read them.
    pub fn quick_check(&self, limit: Duration) -> Result<QuickCheck, StoreError> {
        self.file().map_or(Ok(QuickCheck::default()), |file| file.quick_check(limit))
    }

    /// What the database takes on its disk, in bytes; on SQLite with its log.
    pub fn disk_usage(&self) -> Result<u64, StoreError> {
        match &self.engine {
            Engine::Sqlite(database) => Ok(database.disk_usage()),
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.disk_usage(),
        }
    }

    /// What a database server says of its upkeep; `None`: a file.
    pub fn server_figures(&self) -> Result<Option<ServerFigures>, StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(None),
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.figures().map(Some),
        }
    }

    /// Removes what a database server remembers of programs that have ended long ago; a file remembers nothing.
    pub fn forget_old_changes(&self) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(()),
            #[cfg(feature = "postgres")]
            Engine::Postgres(database) => database.forget_old_changes(),
        }
    }

    /// See [`SqliteDatabase::check`].
    ///
    /// # Errors
    /// The engine is another one; the sentence says what does the same there.
    pub fn check(&self) -> Result<Checked, Refused> {
        let file = self.file().ok_or_else(|| {
            Refused::because(
                "PostgreSQL is checked with its own tools, on its server: pg_amcheck --all --install-missing, and \
                 pg_checksums --check while it is stopped",
            )
        })?;
        Ok(file.check()?)
    }

    /// See [`SqliteDatabase::backup`].
    ///
    /// # Errors
    /// As there; and as for [`Store::check`].
    pub fn backup(&self, target: &Path) -> Result<u64, Refused> {
        let file = self.file().ok_or_else(|| {
            Refused::because(
                "PostgreSQL is backed up with its own tools: pg_dump --format=custom for one copy, \
                 pg_basebackup and an archive of its log for every moment",
            )
        })?;
        file.backup(target)
    }

    /// See [`SqliteDatabase::vacuum`].
    ///
    /// # Errors
    /// As there; and as for [`Store::check`].
    pub fn vacuum(&self) -> Result<Vacuumed, Refused> {
        let file = self.file().ok_or_else(|| {
            Refused::because(
                "PostgreSQL reuses space by itself (autovacuum); to return it to the disk, while no monitor runs: \
                 vacuumdb --full",
            )
        })?;
        Ok(file.vacuum()?)
    }

    /// See [`SqliteDatabase::vacuum_step`].
    pub fn vacuum_step(&self, pages: u32) -> Result<bool, StoreError> {
        self.file().map_or(Ok(false), |file| file.vacuum_step(pages))
    }

    fn file(&self) -> Option<&SqliteDatabase> {
        match &self.engine {
            Engine::Sqlite(database) => Some(database),
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => None,
        }
    }
}

/// A database for a test, removed with it.
#[cfg(test)]
pub struct Scratch {
    store: std::sync::Arc<Store>,
    pub dir: tempfile::TempDir,
    #[cfg(feature = "postgres")]
    _database: Option<super::postgres::ScratchDatabase>,
}

#[cfg(test)]
impl Scratch {
    /// Closes the database; its files stay until the directory is dropped.
    pub(super) fn close(self) -> tempfile::TempDir {
        self.dir
    }
}

#[cfg(test)]
impl std::ops::Deref for Scratch {
    type Target = std::sync::Arc<Store>;

    fn deref(&self) -> &std::sync::Arc<Store> {
        &self.store
    }
}

#[cfg(test)]
impl Store {
    /// A new database: on the PostgreSQL server that `HEARTBEAT_TESTS_DATABASE` names, otherwise a file.
    pub fn scratch() -> Scratch {
        #[cfg(feature = "postgres")]
        if let Ok(server) = std::env::var("HEARTBEAT_TESTS_DATABASE") {
            return Store::scratch_on(super::postgres::ScratchDatabase::new(&server));
        }
        Store::scratch_file()
    }

    /// A new database on PostgreSQL, which several stores may open; `None`: it is not installed.
    #[cfg(feature = "postgres")]
    pub fn scratch_on_postgres() -> Option<Scratch> {
        let scratch = super::postgres::ScratchDatabase::anywhere().map(Store::scratch_on);
        if scratch.is_none() {
            eprintln!("skipped: no PostgreSQL is installed");
        }
        scratch
    }

    #[cfg(feature = "postgres")]
    fn scratch_on(database: super::postgres::ScratchDatabase) -> Scratch {
        let location = DatabaseLocation::Postgres(Box::new(database.url.clone()));
        let store = Store::open_beside(&location, Moment(0)).expect("a new database");
        let dir = tempfile::tempdir().expect("a scratch directory");
        Scratch { store: std::sync::Arc::new(store), dir, _database: Some(database) }
    }

    /// Makes each row's change of a table fail, until [`Store::allow_changes`]: `refuse_changes("INSERT", "outbox")`.
    pub fn refuse_changes(&self, change: &str, table: &str) {
        let sql = match &self.engine {
            Engine::Sqlite(_) => format!(
                "CREATE TRIGGER refuse_{table} BEFORE {change} ON {table}
                 BEGIN SELECT RAISE(ABORT, 'refused by the test'); END"
            ),
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => format!(
                "CREATE OR REPLACE FUNCTION refuse() RETURNS TRIGGER LANGUAGE plpgsql
                    AS $$ BEGIN RAISE EXCEPTION 'refused by the test'; END $$;
                 CREATE TRIGGER refuse_{table} BEFORE {change} ON {table} FOR EACH ROW EXECUTE FUNCTION refuse()"
            ),
        };
        self.write(|transaction| transaction.execute_batch(&sql)).expect("changes are refused");
    }

    /// Ends [`Store::refuse_changes`].
    pub fn allow_changes(&self, table: &str) {
        let sql = match &self.engine {
            Engine::Sqlite(_) => format!("DROP TRIGGER refuse_{table}"),
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => format!("DROP TRIGGER refuse_{table} ON {table}"),
        };
        self.write(|transaction| transaction.execute_batch(&sql)).expect("changes are allowed");
    }

    /// A database in a file that a test has opened in its own way.
    pub(super) fn on(database: SqliteDatabase) -> Store {
        Store {
            location: DatabaseLocation::File(database.path().to_owned()),
            engine: Engine::Sqlite(Box::new(database)),
        }
    }

    pub(super) fn sqlite(&self) -> &SqliteDatabase {
        self.file().expect("a database in a file")
    }

    /// Of a database in a file.
    pub fn path(&self) -> &Path {
        self.sqlite().path()
    }

    /// A new database in a file of a directory of its own, which does not wait for the disk.
    pub fn scratch_file() -> Scratch {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("monitor.db");
        let store = Store::on(SqliteDatabase::scratch(&path));
        Scratch {
            store: std::sync::Arc::new(store),
            dir,
            #[cfg(feature = "postgres")]
            _database: None,
        }
    }
}
