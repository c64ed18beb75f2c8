//! Errors of the database, each a sentence that says what to do.

use super::location::DatabaseLocation;
use rusqlite::ErrorCode;
use rusqlite::ffi::{
    SQLITE_IOERR_CORRUPTFS, SQLITE_IOERR_DATA, SQLITE_IOERR_SHMSIZE, SQLITE_READONLY_DBMOVED,
};
use std::io;
use std::path::Path;

/// Why an operation of the database failed. After `Full`, `ReadOnly`, `Busy` and `Gone` the same store
/// works as soon as the cause has ended: nothing of the failed transaction is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("the database's disk is full; free some space, and the monitor continues without a restart")]
    Full,
    #[error(
        "the database cannot be written; its file and directory must be writable for the user that the \
         service runs as, on a file system that is not mounted read-only"
    )]
    ReadOnly,
    /// Another process held the write lock longer than the timeout.
    #[error(
        "the database is locked by another program; end that program (a backup tool, a sqlite3 shell), or retry"
    )]
    Busy,
    /// SQLite's error.
    #[error(
        "the database is damaged ({0}); stop the monitor, keep the file for analysis, \
         and put a backup in its place"
    )]
    Corrupt(String),
    /// The file was removed, or another one is at its path.
    #[error(
        "the database file was removed or replaced while it was in use; put it back, \
         or restart the monitor to use the new one"
    )]
    Gone,
    /// The schema is of a later program.
    #[error(
        "the database has version {found}, and this program knows version {known}; install the later \
         heartbeat-monitor again, or restore the backup that it made beside the file"
    )]
    Newer { found: i64, known: i64 },
    /// The schema is of an earlier program, which serves the file at this moment.
    #[error(
        "the database has version {found}, and this program would make it version {known} under a monitor \
         that serves it; restart the service first"
    )]
    Older { found: i64, known: i64 },
    /// Another monitor serves the file; its process id, where that could be read.
    #[error("{} serves this database; stop that one first", holder(pid))]
    Held { pid: String },
    /// PostgreSQL: nothing was done.
    #[error("the database server cannot be used ({0}); the monitor tries again")]
    Unreachable(String),
    /// PostgreSQL: a commit got no answer.
    #[error("the database server did not confirm a transaction; whether it has taken effect is unknown")]
    Uncertain,
    /// An error of a file, as a sentence that names it.
    #[error("{0}")]
    File(String),
    /// Any other error, as SQLite's text or our own.
    #[error("the database: {0}")]
    Other(String),
}

impl StoreError {
    /// The error of a file beside the database, or of the database if SQLite has no reason.
    pub(super) fn of_file(path: &Path, error: &io::Error) -> StoreError {
        let path = path.display();
        match error.kind() {
            io::ErrorKind::StorageFull => StoreError::Full,
            io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly,
            io::ErrorKind::PermissionDenied => {
                StoreError::File(format!("cannot open {path}: {error}; run it with sudo"))
            }
            _ => StoreError::File(format!("{path}: {error}")),
        }
    }

    /// The sentence about the database at `location`.
    fn about(&self, location: &DatabaseLocation) -> String {
        match self {
            StoreError::File(why) => why.clone(),
            StoreError::Other(why) => format!("{location}: {why}"),
            error => format!("{location}: {error}"),
        }
    }
}

fn holder(pid: &str) -> String {
    match pid {
        "" => "another heartbeat-monitor".into(),
        pid => format!("a heartbeat-monitor with pid {pid}"),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        let Some(code) = error.sqlite_error() else { return StoreError::Other(error.to_string()) };
        match (code.code, code.extended_code) {
            (_, SQLITE_READONLY_DBMOVED) => StoreError::Gone,
            // The shared index of the WAL could not grow, which takes a full disk. Other failed writes for want of
            // space come as SQLITE_FULL.
            (ErrorCode::DiskFull, _) | (_, SQLITE_IOERR_SHMSIZE) => StoreError::Full,
            (ErrorCode::ReadOnly, _) => StoreError::ReadOnly,
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => StoreError::Busy,
            (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _)
            | (_, SQLITE_IOERR_DATA | SQLITE_IOERR_CORRUPTFS) => StoreError::Corrupt(error.to_string()),
            // The database itself was opened; its log or the file of a further connection was not.
            (ErrorCode::CannotOpen, _) => StoreError::Other(format!(
                "{error}; its directory must be writable for the user that the service runs as, \
                 and the process must have file descriptors left"
            )),
            _ => StoreError::Other(error.to_string()),
        }
    }
}

/// Why a database could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .error.about(.location))]
pub struct OpenError {
    pub location: DatabaseLocation,
    pub error: StoreError,
}
