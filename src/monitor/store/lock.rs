//! One monitor serves a database: a lock on a file beside it.
//!
//! Not on the database itself, whose locks are SQLite's: POSIX drops all of a process's locks on a file as soon as
//! any descriptor of that file is closed, so nothing here ever opens the database but SQLite.

use super::error::StoreError;
use super::file::{MODE, beside, give_to_owner_of_directory};
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Held while it lives; the kernel drops the lock with the process, however that ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// # Errors
    /// [`StoreError::Held`], or the file cannot be written.
    pub fn take(database: &Path) -> Result<Lock, StoreError> {
        let path = path(database);
        let failed = |error: io::Error| StoreError::of_file(&path, &error);
        // Not truncated before it is locked: what stands in it is the holder's.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(MODE)
            .open(&path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                // For the sentence only: without it the sentence is shorter.
                let _ = Read::by_ref(&mut file).take(20).read_to_string(&mut pid);
                return Err(StoreError::Held { pid: pid.trim().to_owned() });
            }
            Err(error) => return Err(failed(error.into())),
        }
        give_to_owner_of_directory(&file, &path).map_err(failed)?;
        // On a full disk the lock is as good without the number in it.
        let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Lock { file })
    }
}

impl Drop for Lock {
    /// Empties the file, so that nobody reads a stranger's pid out of it. It stays: two starting monitors could
    /// otherwise lock two files of the same name.
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
        // Closing it would not do: a child that is just being started has the same open file for a moment.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

fn path(database: &Path) -> PathBuf {
    beside(database, ".lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_monitor_is_told_who_serves() {
        let dir = tempfile::tempdir().expect("a directory");
        let database = dir.path().join("monitor.db");
        let first = Lock::take(&database).expect("locked");
        let error = Lock::take(&database).expect_err("held");
        assert_eq!(error, StoreError::Held { pid: std::process::id().to_string() });
        drop(first);
        Lock::take(&database).expect("free again");
    }

    #[test]
    fn a_pid_left_behind_by_a_killed_monitor_is_no_obstacle() {
        let dir = tempfile::tempdir().expect("a directory");
        let database = dir.path().join("monitor.db");
        std::fs::write(path(&database), "999999999999\n").expect("written");
        Lock::take(&database).expect("locked");
    }
}
