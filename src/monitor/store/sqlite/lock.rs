//! One monitor serves a database: a lock on a file beside it.
//!
//! The database itself has SQLite's locks: POSIX drops all of a process's locks on a file as soon as
//! any descriptor of that file is closed, so nothing here ever opens the database but SQLite.

use super::file::{MODE, beside, give_to_owner_of_directory};
use crate::lock_file::{LockError, LockFile};
use crate::monitor::store::error::StoreError;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The lock of one database, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: LockFile,
}

impl Lock {
    /// # Errors
    /// [`StoreError::Held`], or the file cannot be written.
    pub fn acquire(database: &Path) -> Result<Lock, StoreError> {
        let path = path(database);
        let failed = |error: io::Error| StoreError::of_file(&path, &error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(MODE)
            .open(&path)
            .map_err(failed)?;
        let mut lock = LockFile::lock(file).map_err(|error| match error {
            LockError::Held { pid } => StoreError::Held { pid },
            LockError::Io(error) => failed(error),
        })?;
        give_to_owner_of_directory(lock.file(), &path).map_err(failed)?;
        // On a full disk the lock works without the pid.
        let _ = lock.write_pid();
        Ok(Lock { _file: lock })
    }
}

fn path(database: &Path) -> PathBuf {
    beside(database, ".lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_monitor_gets_the_pid_of_the_first() {
        let dir = tempfile::tempdir().expect("a directory");
        let database = dir.path().join("monitor.db");
        let first = Lock::acquire(&database).expect("locked");
        let error = Lock::acquire(&database).expect_err("held");
        assert_eq!(error, StoreError::Held { pid: std::process::id().to_string() });
        drop(first);
        Lock::acquire(&database).expect("free again");
    }

    #[test]
    fn a_killed_monitors_pid_file_does_not_block() {
        let dir = tempfile::tempdir().expect("a directory");
        let database = dir.path().join("monitor.db");
        std::fs::write(path(&database), "999999999999\n").expect("written");
        Lock::acquire(&database).expect("locked");
    }
}
