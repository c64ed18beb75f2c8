//! The database: SQLite, one writer, SQL by hand; one file a subject.
//!
//! One process serves a database; the command line changes it from another one while it is served, and the server
//! notices (`PRAGMA data_version`).
//!
//! | file | what it owns |
//! |---|---|
//! | `mod` | the connections of a process: who writes, who reads |
//! | `connection` | how SQLite is set up |
//! | `create`, `migrate`, `lock` | a new file, an old file, one server for a file |
//! | `upkeep`, `prune` | check, backup, vacuum; what is kept for how long |
//! | `wal` | a write-ahead log that was removed while it is in use |
//! | `machines`, `watching` | machines and their descriptions; which of them are watched and reported |
//! | `tokens`, `enrolment` | what proves who a device is |
//! | `damage` | a quick check of the tables, for the start |
//! | `credentials` | what the registry keeps of that in memory |
//! | `beats`, `history` | what beats leave: last seen, the latest payload, the past |
//! | `transitions`, `teller` | status, outages, and what is told of them |
//! | `outbox` | what is still to be told, and who is telling it |
//! | `recipients`, `choices` | who is notified, about which machines, and how they are reached |
//! | `reading` | what the read API asks for |
//! | `error`, `refused` | what can be wrong, and what to do |

mod beats;
pub mod choices;
mod connection;
mod create;
pub mod credentials;
mod damage;
pub mod enrolment;
mod error;
mod history;
mod lock;
pub mod machines;
mod migrate;
pub mod outbox;
mod prune;
pub mod reading;
pub mod recipients;
mod refused;
mod simulated;
pub(super) mod teller;
#[cfg(test)]
mod tests;
pub mod tokens;
pub(super) mod transitions;
mod upkeep;
mod wal;
mod watching;

pub use beats::{Past, State};
pub(super) use create::give_to_owner_of_directory;
pub use damage::{Damage, QuickCheck};
pub use error::{OpenError, StoreError};
pub use refused::Refused;
pub use upkeep::{Checked, Vacuumed};

use crate::clock::Moment;
use connection::Manner;
use lock::Lock;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the server waits for a command that writes. The recorder has 15 s before heartbeats are refused.
const SERVER_PATIENCE: Duration = Duration::from_secs(2);
/// How long a command waits for the server, whose longest transaction is a flush.
const COMMAND_PATIENCE: Duration = Duration::from_secs(5);
/// Read connections that stay open for the next one who reads; each has 0.1 to 0.5 MB.
const IDLE_READERS: usize = 2;

/// What stands in `machine_state.status`. Only the recorder's thread changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Added, and never heard of.
    New = 0,
    Online = 1,
    Offline = 2,
    /// It said that it is being stopped.
    Stopped = 3,
}

impl Status {
    /// What the database says; anything that this program never wrote is as good as new.
    fn of(number: i64) -> Status {
        match number {
            1 => Status::Online,
            2 => Status::Offline,
            3 => Status::Stopped,
            _ => Status::New,
        }
    }

    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::New => "new",
            Status::Online => "online",
            Status::Offline => "offline",
            Status::Stopped => "stopped",
        }
    }
}

/// What stands in `outbox.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    Waiting = 0,
    /// A courier has it, until `leased_until`.
    Leased = 1,
    Delivered = 2,
    /// Given up: expired, or refused for good.
    Dead = 3,
    /// Overtaken: an outage shorter than the recipient wants to hear of, a channel that was switched off.
    Skipped = 4,
}

/// A machine's number, as in `machine.id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(pub i64);

/// The database, for all threads of a process.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    identity: Identity,
    manner: Manner,
    writer: Mutex<Writer>,
    readers: Mutex<Vec<Connection>>,
    /// Of the server alone.
    _lock: Option<Lock>,
}

#[derive(Debug)]
struct Writer {
    connection: Connection,
    /// SQLite's count of what others have committed.
    seen: i64,
    wal: wal::Wal,
}

/// Which file it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Store {
    /// Opens the database to serve it: makes it where there is none, migrates an older one (a copy is kept beside
    /// it), and keeps other monitors away until it is dropped.
    ///
    /// # Errors
    /// One sentence with the path and what to do; nothing was changed, or nothing but complete migrations.
    pub fn open_for_serving(path: &Path, now: Moment) -> Result<Store, OpenError> {
        let manner = Manner { patience: SERVER_PATIENCE, durable: true };
        let store = Store::open(path, now, manner, Purpose::Serve)?;
        let room = connection::make_room(&held(&store.writer).connection);
        room.map_err(|error| OpenError { path: path.to_owned(), error })?;
        Ok(store)
    }

    /// Opens the database for a command, while a server may be running; makes it where there is none, so that
    /// machines can be added before the first start.
    ///
    /// # Errors
    /// As [`Store::open_for_serving`]; [`StoreError::Older`] if it would have to be migrated under a running server.
    pub fn open_beside(path: &Path, now: Moment) -> Result<Store, OpenError> {
        let manner = Manner { patience: COMMAND_PATIENCE, durable: true };
        Store::open(path, now, manner, Purpose::Command)
    }

    /// [`Store::open_beside`] for a command that makes no sense without a database.
    ///
    /// # Errors
    /// As there, and there is none.
    pub fn open_existing(path: &Path, now: Moment) -> Result<Store, OpenError> {
        // What may not be looked at may well be there: opening it says so.
        if fs::metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            let error =
                StoreError::Other("there is no such file; the first start of the service makes it".into());
            return Err(OpenError { path: path.to_owned(), error });
        }
        Store::open_beside(path, now)
    }

    fn open(path: &Path, now: Moment, manner: Manner, purpose: Purpose) -> Result<Store, OpenError> {
        prepare(path, now, manner, purpose, migrate::MIGRATIONS)
            .map_err(|error| OpenError { path: path.to_owned(), error })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One transaction that writes; an error undoes all of it. One at a time: keep it short.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.transact(work)
    }

    /// [`Store::write`] for work that has more reasons to fail than the database.
    pub(super) fn transact<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut writer = held(&self.writer);
        self.still_there()?;
        let connection = &mut writer.connection;
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
        let done = work(&transaction)?;
        transaction.commit().map_err(StoreError::from)?;
        Ok(done)
    }

    /// Reads, all of it from one moment, beside the writer. Long readings make the file grow: page them.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.still_there()?;
        let idle = held(&self.readers).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => connection::reader(&self.path, self.manner)?,
        };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        // After an error it is closed instead: the next one who reads begins with a clean one.
        let mut readers = held(&self.readers);
        if readers.len() < IDLE_READERS {
            readers.push(connection);
        }
        Ok(done)
    }

    /// Whether another process has changed anything since this was last asked.
    ///
    /// # Errors
    /// The file has gone or cannot be read.
    pub fn changed_outside(&self) -> Result<bool, StoreError> {
        let mut writer = held(&self.writer);
        self.still_there()?;
        let now = data_version(&writer.connection)?;
        Ok(std::mem::replace(&mut writer.seen, now) != now)
    }

    /// SQLite goes on writing to a file that was removed, and all of it would be lost.
    fn still_there(&self) -> Result<(), StoreError> {
        match identity(&self.path) {
            Some(identity) if identity == self.identity => Ok(()),
            _ => Err(StoreError::Gone),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Serve,
    Command,
}

fn prepare(
    path: &Path,
    now: Moment,
    manner: Manner,
    purpose: Purpose,
    migrations: &[&str],
) -> Result<Store, StoreError> {
    // One lock for a database, by whatever link it is reached; SQLite follows links, too.
    let resolved = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let path = resolved.as_path();
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => create::create(path, migrations)?,
        Err(error) => return Err(StoreError::of_file(path, &error)),
        // Never made so here (see `create`), so there were machines in it once.
        Ok(metadata) if metadata.len() == 0 => return Err(StoreError::Corrupt("it is empty".into())),
        Ok(_) => {}
    }
    let lock = (purpose == Purpose::Serve).then(|| Lock::take(path)).transpose()?;
    let mut connection = connection::writer(path, manner)?;
    migrate::recognise(&connection)?;
    let (found, known) = (migrate::version(&connection)?, migrate::latest(migrations));
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    if found < known {
        // A command may migrate as well as a server, if there is none.
        let alone = if lock.is_none() { Some(Lock::take(path)) } else { None };
        if matches!(alone, Some(Err(StoreError::Held { .. }))) {
            return Err(StoreError::Older { found, known });
        }
        let _alone = alone.transpose()?;
        migrate::keep_copy(&connection, path, now)?;
        migrate::migrate(&mut connection, migrations)?;
    }
    let seen = data_version(&connection)?;
    let identity = identity(path).ok_or(StoreError::Gone)?;
    Ok(Store {
        path: path.to_owned(),
        identity,
        manner,
        writer: Mutex::new(Writer { connection, seen, wal: wal::Wal::default() }),
        readers: Mutex::new(Vec::new()),
        _lock: lock,
    })
}

fn data_version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("PRAGMA data_version", [], |row| row.get(0))?)
}

fn identity(path: &Path) -> Option<Identity> {
    let metadata = fs::metadata(path).ok()?;
    Some(Identity { device: metadata.dev(), inode: metadata.ino() })
}

/// `path` with more at the end of its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A thread that panicked has left the connection as good as it was: its transaction was rolled back.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A database for a test, removed with it.
#[cfg(test)]
pub struct Scratch {
    store: std::sync::Arc<Store>,
    pub dir: tempfile::TempDir,
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
    /// A new database in a directory of its own, which does not wait for the disk.
    pub fn scratch() -> Scratch {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let manner = Manner { patience: SERVER_PATIENCE, durable: false };
        let store = Store::open(&dir.path().join("monitor.db"), Moment(0), manner, Purpose::Serve);
        Scratch { store: std::sync::Arc::new(store.expect("a new database")), dir }
    }
}
