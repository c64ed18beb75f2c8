//! The latest snapshot as a file, for the device's own web page.

use crate::atomic_file;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file that is replaced as a whole: a reader sees the old content or the new one, never half of it.
///
/// It belongs on tmpfs, so nothing is synced; after a crash of the machine it is gone anyway.
#[derive(Debug)]
pub struct SnapshotFile {
    path: PathBuf,
    /// A failure is said once.
    failed: bool,
}

impl SnapshotFile {
    pub fn new(path: &Path) -> SnapshotFile {
        if path.parent().is_some_and(is_on_disk) {
            log::info!(
                "{} is on a disk, not tmpfs: this can delay heartbeats and wears the SD card; set runtime_dir below /run",
                path.display()
            );
        }
        SnapshotFile { path: path.to_owned(), failed: false }
    }

    /// A full or read-only file system costs the file, not the heartbeat.
    pub fn write(&mut self, content: &[u8]) {
        match atomic_file::replace(&self.path, |file| file.write_all(content)) {
            Ok(()) if self.failed => {
                log::info!("writing {} works again", self.path.display());
                self.failed = false;
            }
            Err(error) if !self.failed => {
                log::warn!("cannot write {}: {error}", self.path.display());
                self.failed = true;
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// On ext4 the rename over an old file waits until the new one's content is written: hundreds of milliseconds on a busy
/// disk, in which no heartbeat leaves.
fn is_on_disk(directory: &Path) -> bool {
    /// `linux/magic.h`: tmpfs, ramfs.
    const IN_MEMORY: [i128; 2] = [0x0102_1994, 0x8584_58f6];
    // The type has 32 bits or 64, with a sign or without. Where it cannot be asked, the first write will say more.
    rustix::fs::statfs(directory)
        .is_ok_and(|found| !IN_MEMORY.contains(&(i128::from(found.f_type) & 0xffff_ffff)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_file_is_replaced_as_a_whole_and_leaves_no_draft() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("heartbeat.json");
        let mut file = SnapshotFile::new(&path);
        for content in ["a long first content", "short"] {
            file.write(content.as_bytes());
            assert_eq!(fs::read_to_string(&path).expect("readable"), content);
        }
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1);
    }

    #[test]
    fn a_file_system_in_memory_is_distinguished_from_a_disk() {
        assert!(!is_on_disk(Path::new("/dev/shm")));
        // Stands for a disk: /proc has no magic number of the two.
        assert!(is_on_disk(Path::new("/proc")) && !is_on_disk(Path::new("/nowhere")));
    }

    #[test]
    fn a_removed_directory_is_tolerated_and_used_once_it_exists() {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("run").join("heartbeat.json");
        let mut file = SnapshotFile::new(&path);
        file.write(b"lost");
        assert!(file.failed);
        fs::create_dir(dir.path().join("run")).expect("created");
        file.write(b"kept");
        assert_eq!((file.failed, fs::read(&path).expect("readable")), (false, b"kept".to_vec()));
    }
}
