//! How this program uses SQLite: every connection is opened here.

use crate::monitor::store::error::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use rustix::fs::Access;
use std::path::Path;
use std::time::Duration;

/// Pages that a connection may keep, in KiB, taken only as they are needed: the writer's hold what changes, a reader's
/// one answer. What changes each minute grows with the fleet: 1.3 KB of a machine's payload, and its history.
const SMALLEST_WRITER_CACHE: i64 = 96;
const LARGEST_WRITER_CACHE: i64 = 2048;
const KIB_OF_A_MACHINE: i64 = 2;
const READER_CACHE: i64 = 512;
/// The writer's cache also holds the state of all machines, 27 bytes each. Without it each sweep reads them from the file,
/// a fifth of its cost.
const MACHINES_IN_A_KIB: i64 = 32;
/// Statements that the writer keeps compiled: those of a transition and of the couriers, a few KB each.
const WRITER_STATEMENTS: usize = 32;
/// The WAL is cut back to this after a large transaction, in bytes; a checkpoint comes at 4 MB of it.
const JOURNAL_LIMIT: u32 = 4 * 1024 * 1024;

/// How a connection differs from the others of its store.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// How long it waits for another process that writes.
    pub patience: Duration,
    /// Commits survive a loss of power. Only tests do without.
    pub durable: bool,
}

/// A connection that may write.
pub fn writer(path: &Path, manner: Manner) -> Result<Connection, StoreError> {
    let connection = open(path, manner)?;
    connection.execute_batch(&format!("PRAGMA cache_size = -{SMALLEST_WRITER_CACHE};"))?;
    connection.set_prepared_statement_cache_capacity(WRITER_STATEMENTS);
    Ok(connection)
}

/// Gives a writer room for the fleet as it is now.
pub fn make_room(connection: &Connection) -> Result<(), StoreError> {
    let last: Option<i64> =
        connection.query_row("SELECT max(machine_id) FROM machine_state", [], |row| row.get(0))?;
    let machines = last.unwrap_or(0);
    let changes = (SMALLEST_WRITER_CACHE + machines * KIB_OF_A_MACHINE).min(LARGEST_WRITER_CACHE);
    let kib = changes + machines / MACHINES_IN_A_KIB;
    Ok(connection.execute_batch(&format!("PRAGMA cache_size = -{kib};"))?)
}

/// A connection that only reads.
pub fn reader(path: &Path, manner: Manner) -> Result<Connection, StoreError> {
    let connection = open(path, manner)?;
    connection.execute_batch(&format!("PRAGMA cache_size = -{READER_CACHE}; PRAGMA query_only = ON;"))?;
    Ok(connection)
}

fn open(path: &Path, manner: Manner) -> Result<Connection, StoreError> {
    let connection = bare(path)?;
    connection.busy_timeout(manner.patience)?;
    let synchronous = if manner.durable { "FULL" } else { "OFF" };
    connection.execute_batch(&format!(
        "PRAGMA synchronous = {synchronous};
         PRAGMA journal_size_limit = {JOURNAL_LIMIT};
         PRAGMA foreign_keys = ON;"
    ))?;
    let journal: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if journal != "wal" {
        return Err(StoreError::Other(format!(
            "its file system allows no write-ahead log (journal: {journal})"
        )));
    }
    Ok(connection)
}

/// A connection with only the settings that protect against a damaged or foreign file.
pub fn bare(path: &Path) -> Result<Connection, StoreError> {
    // Without SQLite's mutex: a `Connection` is used by one thread at a time, which the compiler checks.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| cannot_open(path, error))?;
    // SQLite silently opens a file without write permission as read-only.
    if connection.is_readonly("main")? {
        return Err(not_allowed(path).unwrap_or(StoreError::ReadOnly));
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // Without it, a statement with a bound LIMIT is compiled at each binding: 43 % of the cost of a sweep.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Not mapped: a file that is cut short or a disk that fails would end the process with SIGBUS.
    connection.execute_batch("PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;")?;
    Ok(connection)
}

/// SQLite only says "cannot open"; the kernel says why.
fn cannot_open(path: &Path, error: rusqlite::Error) -> StoreError {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => StoreError::Gone,
        Err(why) => StoreError::of_file(path, &why),
        Ok(_) => not_allowed(path).unwrap_or_else(|| StoreError::from(error)),
    }
}

/// Why this user may not read and write the file, in the kernel's words. Not tried by opening the file: closing it would
/// end the locks that other connections of this process hold.
fn not_allowed(path: &Path) -> Option<StoreError> {
    let denied = rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK).err()?;
    Some(StoreError::of_file(path, &denied.into()))
}
