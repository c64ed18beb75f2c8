//! The pid file: one instance at a time.

use rustix::fs::{FlockOperation, flock};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// A locked file with this process's id in it. The kernel drops the lock with the process, however that ends,
/// so a file that was left behind is no obstacle.
#[derive(Debug)]
pub struct PidFile {
    file: File,
}

#[derive(Debug)]
pub enum PidFileError {
    /// Another process holds the lock; what stands in the file.
    Held {
        path: PathBuf,
        pid: String,
    },
    Io {
        path: PathBuf,
        error: io::Error,
    },
}

impl fmt::Display for PidFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PidFileError::Held { path, pid } => {
                let path = path.display();
                write!(
                    f,
                    "heartbeat-daemon runs already with pid {pid} ({path} is locked); stop that one first"
                )
            }
            PidFileError::Io { path, error } => {
                let path = path.display();
                write!(
                    f,
                    "{path} cannot be written: {error}; run as root or as the service's user, \
                     or set pidfile in [daemon] to a place of yours"
                )
            }
        }
    }
}

impl std::error::Error for PidFileError {}

impl PidFile {
    /// Creates the file and its directory where needed, and locks it.
    ///
    /// # Errors
    /// Another instance holds it, or it cannot be written.
    pub fn lock(path: &Path) -> Result<PidFile, PidFileError> {
        let failed = |error| PidFileError::Io { path: path.to_owned(), error };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        // Not truncated before it is locked: it may be another instance's.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                // For the sentence only: an unreadable file just makes it shorter.
                let _ = Read::by_ref(&mut file).take(20).read_to_string(&mut pid);
                return Err(PidFileError::Held { path: path.to_owned(), pid: pid.trim().to_owned() });
            }
            Err(error) => return Err(failed(error.into())),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
        Ok(PidFile { file })
    }
}

impl Drop for PidFile {
    /// Empties the file: a script that kills what stands in it must not kill a stranger. The file itself stays,
    /// or two starting instances could lock two files of the same name.
    fn drop(&mut self) {
        let _ = self.file.set_len(0);
        // Closing it would not do: a child that is just being started has the same open file for a moment.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_instance_is_told_who_holds_the_lock() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("run").join("heartbeat-daemon.pid");
        let first = PidFile::lock(&path).expect("locked");
        let pid = std::process::id().to_string();
        assert_eq!(fs::read_to_string(&path).expect("readable").trim(), pid);
        let error = PidFile::lock(&path).expect_err("held").to_string();
        assert!(error.contains(&format!("runs already with pid {pid}")), "{error}");
        drop(first);
        assert_eq!(fs::read_to_string(&path).expect("readable"), "");
        PidFile::lock(&path).expect("free again");
    }

    #[test]
    fn a_file_left_behind_by_a_dead_process_is_no_obstacle() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("stale.pid");
        fs::write(&path, "999999999999\n").expect("written");
        let _lock = PidFile::lock(&path).expect("locked");
        assert_eq!(fs::read_to_string(&path).expect("readable").trim(), std::process::id().to_string());
    }

    #[test]
    fn an_unwritable_place_says_what_to_do() {
        let error = PidFile::lock(Path::new("/proc/no/heartbeat.pid")).expect_err("unwritable").to_string();
        assert!(error.contains("/proc/no/heartbeat.pid") && error.contains("pidfile in [daemon]"), "{error}");
    }
}
