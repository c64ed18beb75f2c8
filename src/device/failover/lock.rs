//! The failover lock, by which other programs keep uplinks as they are.

use crate::device::os::file::open_regular;
use crate::lock_file;
use std::path::Path;

/// Whether another process holds a lock on the file. A file that does not exist, or that is not a regular file, is not
/// locked.
pub fn is_locked(path: &Path) -> bool {
    let Ok(file) = open_regular(path) else { return false };
    lock_file::is_locked(&file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{FlockOperation, flock};
    use std::fs::File;

    #[test]
    fn another_holders_lock_is_seen_and_a_missing_file_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("failover.lock");
        assert!(!is_locked(&path));
        let file = File::create(&path).expect("created");
        assert!(!is_locked(&path));
        flock(&file, FlockOperation::LockExclusive).expect("locked");
        assert!(is_locked(&path));
        flock(&file, FlockOperation::Unlock).expect("unlocked");
        assert!(!is_locked(&path));
        std::fs::remove_file(&path).expect("removed");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).expect("made");
        assert!(!is_locked(&path), "a FIFO does not hang the failover thread");
    }
}
