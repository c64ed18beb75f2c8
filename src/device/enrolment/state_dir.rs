//! The state directory as enrolment uses it: created if it is missing, locked while a request is made, with the daemon's user
//! as the owner of what is stored.

use super::record::{EnrolmentRecord, Owner};
use crate::service_user;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown, lchown};
use std::path::{Path, PathBuf};

/// The granted enrolment, which the daemon reads.
pub const ENROLMENT: &str = "enrolment.json";
/// The one that was requested and is not granted yet.
const PENDING: &str = "enrolment-pending.json";

/// The daemon's user if the unit does not name another one.
const USER: &str = "heartbeat";

/// A locked state directory.
#[derive(Debug)]
pub struct EnrolmentDirectory {
    path: PathBuf,
    /// Whose the files are to be; `None`: those of this process.
    owner: Option<Owner>,
    /// Holds the lock.
    _lock: File,
}

impl EnrolmentDirectory {
    /// Locks `path`; `None` if another process asks to be enrolled just now.
    ///
    /// # Errors
    /// The directory cannot be created or opened.
    pub fn lock(path: &Path) -> io::Result<Option<EnrolmentDirectory>> {
        let created = create(path)?;
        let directory = File::open(path)?;
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            locked => locked?,
        }
        // Only root can give files away; another user is the daemon's own.
        let owner = match created {
            _ if !rustix::process::geteuid().is_root() => None,
            Some(owner) => Some(owner),
            None => directory.metadata().map(|metadata| Some((metadata.uid(), metadata.gid())))?,
        };
        Ok(Some(EnrolmentDirectory { path: path.to_owned(), owner, _lock: directory }))
    }

    /// The stored record of the same request, or else the new one, which is on the disk afterwards.
    ///
    /// # Errors
    /// It cannot be stored.
    pub fn pending(&self, new: EnrolmentRecord) -> io::Result<EnrolmentRecord> {
        for name in [PENDING, ENROLMENT] {
            // A damaged file is replaced.
            let stored = EnrolmentRecord::read(&self.path.join(name)).ok().flatten();
            if let Some(stored) = stored.filter(|stored| stored.repeats(&new)) {
                // The CA may have been renewed.
                return Ok(EnrolmentRecord { ca: new.ca, ..stored });
            }
        }
        new.store(&self.path.join(PENDING), self.owner)?;
        Ok(new)
    }

    /// The request was granted.
    ///
    /// # Errors
    /// It cannot be stored; the pending one stays, and a repeated request gets the same answer.
    pub fn grant(&self, record: &EnrolmentRecord) -> io::Result<()> {
        record.store(&self.path.join(ENROLMENT), self.owner)?;
        absent_is_fine(fs::remove_file(self.path.join(PENDING)))
    }

    /// Gives a file in the directory to its owner.
    ///
    /// # Errors
    /// The file system does not permit it; a missing file is no error.
    pub fn give(&self, name: &str) -> io::Result<()> {
        let Some((user, group)) = self.owner else { return Ok(()) };
        absent_is_fine(lchown(self.path.join(name), Some(user), Some(group)))
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Whether a request was made and is not granted yet.
pub fn is_pending(state_dir: &Path) -> bool {
    state_dir.join(PENDING).exists()
}

/// Creates a missing directory as systemd would for the daemon, and returns its owner.
fn create(path: &Path) -> io::Result<Option<Owner>> {
    if path.is_dir() {
        return Ok(None);
    }
    DirBuilder::new().mode(0o750).recursive(true).create(path)?;
    let owner = service_user::ids_of(USER).filter(|_| rustix::process::geteuid().is_root());
    if let Some((user, group)) = owner {
        chown(path, Some(user), Some(group))?;
    }
    Ok(owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str) -> EnrolmentRecord {
        EnrolmentRecord::new("https://m.example.org/api/v1/heartbeat", "a", None, key)
            .expect("random numbers")
    }

    fn lock(path: &Path) -> EnrolmentDirectory {
        EnrolmentDirectory::lock(path).expect("locked").expect("by nobody else")
    }

    #[test]
    fn a_repeated_request_has_the_same_token_until_another_key_is_used() {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("state");
        let first = lock(&path).pending(record("hbe_aaaaaaaa")).expect("stored");
        assert!(is_pending(&path));
        let again = lock(&path).pending(record("hbe_aaaaaaaa")).expect("stored");
        assert_eq!(again, first, "killed before it was answered");
        lock(&path).grant(&first).expect("stored");
        assert!(!is_pending(&path));
        assert_eq!(EnrolmentRecord::read(&path.join(ENROLMENT)).expect("readable"), Some(first.clone()));
        let after = lock(&path).pending(record("hbe_aaaaaaaa")).expect("stored");
        assert_eq!(after, first, "killed before the key was deleted");
        let other = lock(&path).pending(record("hbe_bbbbbbbb")).expect("stored");
        assert_ne!(other.token, first.token, "perhaps the first one was revoked");
        assert_eq!(
            EnrolmentRecord::read(&path.join(ENROLMENT)).expect("readable"),
            Some(first),
            "still used"
        );
    }

    #[test]
    fn two_at_the_same_time_are_prevented() {
        let scratch = tempfile::tempdir().expect("a directory");
        let held = lock(scratch.path());
        assert!(EnrolmentDirectory::lock(scratch.path()).expect("openable").is_none());
        drop(held);
        lock(scratch.path());
    }
}
