//! The connections of a process to a PostgreSQL server: one that writes, several that read.

use super::client::TransactionKind;
use super::figures;
use super::link::{PostgresLink, PostgresWay};
use super::schema;
use super::url::PostgresUrl;
use crate::followed_clock::ClockQuery;
use crate::monitor::store::changes::ChangesByOthers;
use crate::monitor::store::error::StoreError;
use crate::monitor::store::figures::ServerFigures;
use crate::monitor::store::sql::{Connection, Transaction, params};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Idle read connections that stay open. Each one is a process on the server.
const IDLE_READERS: usize = 2;

/// A database on a PostgreSQL server, for all threads of a process.
#[derive(Debug)]
pub struct PostgresDatabase {
    way: Arc<PostgresWay>,
    /// Names this store in the table `last_change`; chosen at random.
    process: u32,
    writer: Mutex<PostgresLink>,
    readers: Mutex<Vec<PostgresLink>>,
    /// The changes by other stores that this one knows.
    seen: Mutex<LastChanges>,
}

/// The sums of the numbers of all stores but one, see `schema.sql`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LastChanges {
    settings: i64,
    statuses: i64,
}

impl PostgresDatabase {
    /// Connects, makes the tables in a database that has none, and migrates older ones. Several processes may do so at the same
    /// moment. From now on the process has the time from the server.
    ///
    /// # Errors
    /// The server cannot be reached, the schema is of a later program, or what the server says.
    pub fn open_for_serving(url: &PostgresUrl) -> Result<PostgresDatabase, StoreError> {
        PostgresDatabase::open_with(url, schema::make_or_migrate)
    }

    /// [`PostgresDatabase::open_for_serving`] for a command beside monitors that run.
    ///
    /// # Errors
    /// As there, and the schema is of an earlier program.
    pub fn open_beside(url: &PostgresUrl) -> Result<PostgresDatabase, StoreError> {
        PostgresDatabase::open_with(url, schema::make_or_check)
    }

    /// [`PostgresDatabase::open_beside`] for a command that makes no sense without tables.
    ///
    /// # Errors
    /// As there, and there are none.
    pub fn open_existing(url: &PostgresUrl) -> Result<PostgresDatabase, StoreError> {
        PostgresDatabase::open_with(url, schema::check)
    }

    fn open_with(
        url: &PostgresUrl,
        check: fn(&mut PostgresLink) -> Result<(), StoreError>,
    ) -> Result<PostgresDatabase, StoreError> {
        let process = fastrand::u32(1..);
        let way = Arc::new(PostgresWay::new(url.clone(), process)?);
        let mut writer = PostgresLink::new(&way);
        check(&mut writer)?;
        let seen = writer.transact(TransactionKind::Read, |connection| {
            last_changes(&Connection::of_postgres(connection), process)
        })?;
        Ok(PostgresDatabase {
            way,
            process,
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
            seen: Mutex::new(seen),
        })
    }

    /// See [`Store::transact`](crate::monitor::store::Store::transact).
    pub fn transact<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut writer = held(&self.writer);
        writer.transact(TransactionKind::Write, |connection| work(&Transaction::of_postgres(connection)))
    }

    /// See [`Store::read`](crate::monitor::store::Store::read).
    pub fn read<T>(
        &self,
        work: impl FnOnce(&Connection<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = held(&self.readers).pop();
        let mut link = idle.unwrap_or_else(|| PostgresLink::new(&self.way));
        let done =
            link.transact(TransactionKind::Read, |connection| work(&Connection::of_postgres(connection)));
        let mut readers = held(&self.readers);
        if readers.len() < IDLE_READERS {
            readers.push(link);
        }
        done
    }

    /// See [`Store::changed_by_others`](crate::monitor::store::Store::changed_by_others). Reads the server's clock, too.
    ///
    /// # Errors
    /// [`StoreError::Newer`]: a later program has made tables of them that this one cannot use.
    pub fn changed_by_others(&self) -> Result<ChangesByOthers, StoreError> {
        let now = self.read(|connection| last_changes(connection, self.process))?;
        let known = std::mem::replace(&mut *held(&self.seen), now);
        Ok(ChangesByOthers {
            settings: known.settings != now.settings,
            statuses: known.statuses != now.statuses,
        })
    }

    /// Moves the numbers of processes that have changed nothing for a day to process 0; otherwise each command would leave rows
    /// for good. The sums, which monitors compare, stay the same.
    pub fn forget_old_changes(&self) -> Result<(), StoreError> {
        let sql = "WITH old AS (DELETE FROM last_change WHERE process <> 0 AND at < now() - INTERVAL '1 day'
                                RETURNING what, number)
                   INSERT INTO last_change AS known (process, what, number, at)
                   SELECT 0, what, sum(number), now() FROM old GROUP BY what
                   ON CONFLICT (process, what) DO UPDATE SET number = known.number + excluded.number";
        self.transact(|transaction| transaction.execute(sql, &[]).map(|_| ()))
    }

    /// See [`Store::server_figures`](crate::monitor::store::Store::server_figures).
    pub fn figures(&self) -> Result<ServerFigures, StoreError> {
        self.read(figures::read)
    }

    pub fn process(&self) -> u32 {
        self.process
    }

    /// See [`Store::disk_usage`](crate::monitor::store::Store::disk_usage).
    pub fn disk_usage(&self) -> Result<u64, StoreError> {
        let sql = "SELECT pg_database_size(current_database())";
        let bytes: i64 = self.read(|connection| connection.query_row(sql, &[], |row| row.get(0)))?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }
}

/// Of all stores but `process`.
fn last_changes(connection: &Connection<'_>, process: u32) -> Result<LastChanges, StoreError> {
    let sql = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT),
                      CAST(coalesce(sum(number) FILTER (WHERE what = 'settings'), 0) AS BIGINT),
                      CAST(coalesce(sum(number) FILTER (WHERE what = 'status'), 0) AS BIGINT),
                      (SELECT oldest FROM schema_version)
               FROM last_change WHERE process <> ?1";
    let clock = ClockQuery::send();
    connection.query_row(sql, params![process], |row| {
        clock.receive(row.get(0)?);
        schema::is_usable(row.get(3)?)?;
        Ok(LastChanges { settings: row.get(1)?, statuses: row.get(2)? })
    })
}

/// Ignores poisoning: the transaction of a thread that panicked was rolled back.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
