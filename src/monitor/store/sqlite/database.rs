//! The connections of a process to a file: one that writes, several that read.

use super::connection::{self, Manner};
use super::file::{FileIdentity, identity};
use super::lock::Lock;
use super::{create, migrate};
use crate::clock::Moment;
use crate::monitor::store::error::StoreError;
use crate::monitor::store::sql::{Connection, Transaction};
use rusqlite::TransactionBehavior;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest wait of the server for a command that writes. The recorder has 15 s before heartbeats are refused.
pub(super) const SERVER_PATIENCE: Duration = Duration::from_secs(2);
/// Longest wait of a command for the server, whose longest transaction is a flush.
const COMMAND_PATIENCE: Duration = Duration::from_secs(5);
/// Idle read connections that stay open; each uses 0.1 to 0.5 MB.
pub(super) const IDLE_READERS: usize = 2;

/// A database in a file, for all threads of a process.
#[derive(Debug)]
pub struct SqliteDatabase {
    pub(super) path: PathBuf,
    pub(super) identity: FileIdentity,
    pub(super) manner: Manner,
    pub(super) writer: Mutex<Writer>,
    pub(super) readers: Mutex<Vec<rusqlite::Connection>>,
    /// Only the server has one.
    _lock: Option<Lock>,
}

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) connection: rusqlite::Connection,
    /// SQLite's counter of the commits of other processes (`PRAGMA data_version`).
    pub(super) seen: i64,
    pub(super) wal: Option<FileIdentity>,
}

impl SqliteDatabase {
    /// Opens the database to serve it: makes it where there is none, migrates an older one (a copy is kept beside
    /// it), and keeps other monitors away until it is dropped.
    ///
    /// # Errors
    /// Nothing was changed, or nothing but complete migrations.
    pub fn open_for_serving(path: &Path, now: Moment) -> Result<SqliteDatabase, StoreError> {
        let manner = Manner { patience: SERVER_PATIENCE, durable: true };
        let database = prepare(path, now, manner, Purpose::Serve, migrate::MIGRATIONS)?;
        connection::make_room(&held(&database.writer).connection)?;
        Ok(database)
    }

    /// Opens the database for a command, while a server may be running; makes it where there is none.
    ///
    /// # Errors
    /// As [`SqliteDatabase::open_for_serving`]; [`StoreError::Older`] if it would have to be migrated under a running
    /// server.
    pub fn open_beside(path: &Path, now: Moment) -> Result<SqliteDatabase, StoreError> {
        let manner = Manner { patience: COMMAND_PATIENCE, durable: true };
        prepare(path, now, manner, Purpose::Command, migrate::MIGRATIONS)
    }

    /// [`SqliteDatabase::open_beside`] for a command that makes no sense without a database.
    ///
    /// # Errors
    /// As there, and there is none.
    pub fn open_existing(path: &Path, now: Moment) -> Result<SqliteDatabase, StoreError> {
        // A file without read permission may exist: opening it reports the error.
        if fs::metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            let why = "there is no such file; the first start of the service makes it";
            return Err(StoreError::Other(why.into()));
        }
        SqliteDatabase::open_beside(path, now)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// See [`Store::write`](crate::monitor::store::Store::write).
    pub(in crate::monitor::store) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.transact(work)
    }

    /// See [`Store::transact`](crate::monitor::store::Store::transact).
    pub(in crate::monitor::store) fn transact<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut writer = held(&self.writer);
        self.still_there()?;
        let connection = &mut writer.connection;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
        let done = work(&Transaction::new(&transaction))?;
        transaction.commit().map_err(StoreError::from)?;
        Ok(done)
    }

    /// See [`Store::read`](crate::monitor::store::Store::read).
    pub(in crate::monitor::store) fn read<T>(
        &self,
        work: impl FnOnce(&Connection<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.still_there()?;
        let idle = held(&self.readers).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => connection::reader(&self.path, self.manner)?,
        };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
        let done = work(&Connection::new(&transaction))?;
        transaction.commit()?;
        // After an error the connection is closed instead.
        let mut readers = held(&self.readers);
        if readers.len() < IDLE_READERS {
            readers.push(connection);
        }
        Ok(done)
    }

    /// Whether another process has changed anything since the last call.
    pub fn changed_by_others(&self) -> Result<bool, StoreError> {
        let mut writer = held(&self.writer);
        self.still_there()?;
        let now = data_version(&writer.connection)?;
        Ok(std::mem::replace(&mut writer.seen, now) != now)
    }

    /// Fails if the file was removed or replaced: SQLite would continue to write to the removed file.
    pub(super) fn still_there(&self) -> Result<(), StoreError> {
        match identity(&self.path) {
            Some(identity) if identity == self.identity => Ok(()),
            _ => Err(StoreError::Gone),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Serve,
    Command,
}

pub(super) fn prepare(
    path: &Path,
    now: Moment,
    manner: Manner,
    purpose: Purpose,
    migrations: &[&str],
) -> Result<SqliteDatabase, StoreError> {
    // One lock for a database, also if it is reached by a link; SQLite follows links, too.
    let resolved = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let path = resolved.as_path();
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => create::create(path, migrations)?,
        Err(error) => return Err(StoreError::of_file(path, &error)),
        // Never made so here (see `create`), so there were machines in it once.
        Ok(metadata) if metadata.len() == 0 => return Err(StoreError::Corrupt("it is empty".into())),
        Ok(_) => {}
    }
    let lock = (purpose == Purpose::Serve).then(|| Lock::acquire(path)).transpose()?;
    let mut connection = connection::writer(path, manner)?;
    migrate::recognise(&connection)?;
    let (found, known) = (migrate::version(&connection)?, migrate::latest(migrations));
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    if found < known {
        // A command may migrate as well as a server, if there is none.
        let alone = if lock.is_none() { Some(Lock::acquire(path)) } else { None };
        if matches!(alone, Some(Err(StoreError::Held { .. }))) {
            return Err(StoreError::Older { found, known });
        }
        let _alone = alone.transpose()?;
        migrate::keep_copy(&connection, path, now)?;
        migrate::migrate(&mut connection, migrations)?;
    }
    let seen = data_version(&connection)?;
    let identity = identity(path).ok_or(StoreError::Gone)?;
    Ok(SqliteDatabase {
        path: path.to_owned(),
        identity,
        manner,
        writer: Mutex::new(Writer { connection, seen, wal: None }),
        readers: Mutex::new(Vec::new()),
        _lock: lock,
    })
}

fn data_version(connection: &rusqlite::Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("PRAGMA data_version", [], |row| row.get(0))?)
}

/// Ignores poisoning: the transaction of a thread that panicked was rolled back.
pub(super) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
impl SqliteDatabase {
    /// A new database that does not wait for the disk.
    pub fn scratch(path: &Path) -> SqliteDatabase {
        let manner = Manner { patience: SERVER_PATIENCE, durable: false };
        prepare(path, Moment(0), manner, Purpose::Serve, migrate::MIGRATIONS).expect("a new database")
    }
}
