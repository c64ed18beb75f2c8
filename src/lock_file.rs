//! A lock file that contains the pid of the process that holds it.

use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io::{self, Read, Write};

/// A locked file. The kernel drops the lock when the process ends, however it ends, so a file that was left behind does
/// not prevent a start.
#[derive(Debug)]
pub struct LockFile(File);

#[derive(Debug)]
pub enum LockError {
    /// Another process holds the lock; empty if its pid is unknown.
    Held { pid: String },
    /// The file system does not support locks.
    Io(io::Error),
}

impl LockFile {
    /// Locks `file`, which must not be opened with truncation: the content is the holder's.
    pub fn lock(mut file: File) -> Result<LockFile, LockError> {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(LockFile(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                // For the message only: without it the message is shorter.
                let _ = Read::by_ref(&mut file).take(20).read_to_string(&mut pid);
                Err(LockError::Held { pid: pid.trim().to_owned() })
            }
            Err(error) => Err(LockError::Io(error.into())),
        }
    }

    /// # Errors
    /// The file cannot be written; it stays locked.
    pub fn write_pid(&mut self) -> io::Result<()> {
        self.0.set_len(0)?;
        writeln!(self.0, "{}", std::process::id())
    }

    pub fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for LockFile {
    /// Empties the file: a script that kills the process named in it must not kill another one. The file stays, because
    /// two starting processes could otherwise lock two files of the same name.
    fn drop(&mut self) {
        let _ = self.0.set_len(0);
        // Closing is not enough: a child that is just being started has the same open file for a moment.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// True if another open file holds a lock on `file`.
pub fn is_locked(file: &File) -> bool {
    // Shared: two processes that check at the same time do not see each other's lock.
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            // See LockFile's drop.
            let _ = flock(file, FlockOperation::Unlock);
            false
        }
        Err(error) => error == rustix::io::Errno::WOULDBLOCK,
    }
}
