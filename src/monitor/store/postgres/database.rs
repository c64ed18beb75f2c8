//! The connections of a process to a PostgreSQL server: one that writes, several that read.

use super::client::TransactionKind;
use super::link::{PostgresLink, PostgresWay};
use super::schema;
use super::serving::Serving;
use super::url::PostgresUrl;
use crate::monitor::store::error::StoreError;
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
    /// `None`: it is of a command.
    serving: Mutex<Option<Serving>>,
    /// Changes by other stores that this one knows: the sum of their numbers, see `schema.sql`.
    seen: Mutex<i64>,
}

impl PostgresDatabase {
    /// [`PostgresDatabase::open`] for the monitor that serves the database.
    ///
    /// # Errors
    /// As there; and [`StoreError::Served`].
    pub fn open_for_serving(url: &PostgresUrl) -> Result<PostgresDatabase, StoreError> {
        let database = PostgresDatabase::open(url)?;
        let serving = Serving::take(&mut held(&database.writer), database.process)?;
        *held(&database.serving) = Some(serving);
        Ok(database)
    }

    /// Connects, and makes the tables in a database that has none. Several processes may do so at the same moment.
    ///
    /// # Errors
    /// The server cannot be reached, the schema is of a later program, or what the server says.
    pub fn open(url: &PostgresUrl) -> Result<PostgresDatabase, StoreError> {
        PostgresDatabase::open_with(url, schema::make_or_check)
    }

    /// [`PostgresDatabase::open`] for a command that makes no sense without tables.
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
            last_change(&Connection::of_postgres(connection), process)
        })?;
        Ok(PostgresDatabase {
            way,
            process,
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
            serving: Mutex::new(None),
            seen: Mutex::new(seen),
        })
    }

    /// See [`Store::transact`](crate::monitor::store::Store::transact).
    pub fn transact<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        held(&self.serving).as_ref().map_or(Ok(()), Serving::check)?;
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

    /// See [`Store::changed_by_others`](crate::monitor::store::Store::changed_by_others).
    pub fn changed_by_others(&self) -> Result<bool, StoreError> {
        if let Some(serving) = &mut *held(&self.serving) {
            serving.renew(&mut held(&self.writer))?;
        }
        let now = self.read(|connection| last_change(connection, self.process))?;
        Ok(std::mem::replace(&mut *held(&self.seen), now) != now)
    }

    /// See [`Store::disk_usage`](crate::monitor::store::Store::disk_usage).
    pub fn disk_usage(&self) -> Result<u64, StoreError> {
        let sql = "SELECT pg_database_size(current_database())";
        let bytes: i64 = self.read(|connection| connection.query_row(sql, &[], |row| row.get(0)))?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        if let Some(serving) = &*held(&self.serving) {
            serving.release(&mut held(&self.writer));
        }
    }
}

/// The sum of the numbers of all stores but `process`.
fn last_change(connection: &Connection<'_>, process: u32) -> Result<i64, StoreError> {
    let sql = "SELECT CAST(coalesce(sum(number), 0) AS BIGINT) FROM last_change WHERE process <> ?1";
    connection.query_row(sql, params![process], |row| row.get(0))
}

/// Ignores poisoning: the transaction of a thread that panicked was rolled back.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
