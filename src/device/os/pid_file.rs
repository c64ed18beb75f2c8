//! The pid file: one instance at a time.

use super::file::{is_file_system_trouble, open_regular, open_regular_with};
use super::instance_socket::InstanceSocket;
use crate::lock_file::{LockError, LockFile};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The lock of the one instance, for its `Drop` alone.
#[derive(Debug)]
pub enum PidFile {
    File {
        _file: LockFile,
    },
    /// Where the file system is full or read-only and there is no file yet.
    Socket {
        _socket: InstanceSocket,
    },
    /// Not even that: the daemon runs all the same.
    Nothing,
}

#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    /// Another process holds the lock; the content of the file.
    #[error(
        "heartbeat-daemon is already running{}; it locks {}; stop it first",
        if .pid.is_empty() { String::new() } else { format!(" (pid {pid})") },
        .path.display()
    )]
    Held { path: PathBuf, pid: String },
    #[error(
        "cannot write {}: {error}; run as root or as the service's user, \
         or set pidfile in [daemon] to a path that you may write",
        .path.display()
    )]
    Io { path: PathBuf, error: io::Error },
}

impl PidFile {
    /// Creates the file and its directory where needed, and locks it. While the file system is full or read-only, an
    /// abstract socket is locked in its place, with a warning: no heartbeat is lost for a file.
    ///
    /// # Errors
    /// Another instance holds it, or it cannot be written for another reason.
    pub fn lock(path: &Path) -> Result<PidFile, PidFileError> {
        let failed = |error| PidFileError::Io { path: path.to_owned(), error };
        match open(path) {
            Ok(file) => lock_file(path, file),
            Err(error) if is_file_system_trouble(&error) => {
                log::warn!("cannot write {}: {error}; running without it", path.display());
                lock_socket(path)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

/// Not truncated: it may be another instance's.
fn open(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    match open_regular_with(OpenOptions::new().read(true).write(true).create(true).truncate(false), path) {
        // A file that can only be read can be locked all the same.
        Err(error) if is_file_system_trouble(&error) => open_regular(path).map_err(|_| error),
        opened => opened,
    }
}

fn lock_file(path: &Path, file: File) -> Result<PidFile, PidFileError> {
    let held = |pid| PidFileError::Held { path: path.to_owned(), pid };
    let mut file = match LockFile::lock(file) {
        Ok(file) => file,
        Err(LockError::Held { pid }) => return Err(held(pid)),
        // A file system without locks.
        Err(LockError::Io(error)) => {
            log::warn!("cannot lock {}: {error}; running without it", path.display());
            return lock_socket(path);
        }
    };
    if InstanceSocket::is_held(path) {
        return Err(held(String::new()));
    }
    if let Err(error) = file.write_pid() {
        // It is locked, which is what matters; scripts that read the pid find none.
        log::warn!("cannot write {}: {error}", path.display());
    }
    Ok(PidFile::File { _file: file })
}

fn lock_socket(path: &Path) -> Result<PidFile, PidFileError> {
    match InstanceSocket::lock(path) {
        Ok(Some(socket)) => Ok(PidFile::Socket { _socket: socket }),
        Ok(None) => Err(PidFileError::Held { path: path.to_owned(), pid: String::new() }),
        Err(error) => {
            log::warn!("cannot make sure that only one heartbeat-daemon runs: {error}");
            Ok(PidFile::Nothing)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_instance_gets_the_pid_of_the_first() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("run").join("heartbeat-daemon.pid");
        let first = PidFile::lock(&path).expect("locked");
        let pid = std::process::id().to_string();
        assert_eq!(fs::read_to_string(&path).expect("readable").trim(), pid);
        let error = PidFile::lock(&path).expect_err("held").to_string();
        assert!(error.contains(&format!("already running (pid {pid})")), "{error}");
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
    fn a_fifo_in_place_of_the_file_is_refused_at_once() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("pid");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).expect("made");
        let error = PidFile::lock(&path).expect_err("no regular file").to_string();
        assert!(error.contains("not a regular file"), "{error}");
    }

    #[test]
    fn an_instance_that_could_make_no_file_is_seen_by_one_that_can() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("pid");
        let first = lock_socket(&path).expect("locked");
        PidFile::lock(&path).expect_err("the first one runs");
        lock_socket(&path).expect_err("the first one runs");
        drop(first);
        PidFile::lock(&path).expect("free again");
    }

    #[test]
    fn an_unwritable_path_gives_advice() {
        let error = PidFile::lock(Path::new("/proc/no/heartbeat.pid")).expect_err("unwritable").to_string();
        assert!(error.contains("/proc/no/heartbeat.pid") && error.contains("pidfile in [daemon]"), "{error}");
    }
}
