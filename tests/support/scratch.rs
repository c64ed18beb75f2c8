//! A directory of one test, gone when the test ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Removed with everything in it on drop.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        Scratch::under(&std::env::temp_dir())
    }

    /// Where the file system matters: `/dev/shm` is a tmpfs.
    pub fn under(parent: &Path) -> Scratch {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("heartbeat-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a scratch directory");
        Scratch(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and returns its path as text, as a configuration wants it.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a scratch file");
        path.to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A test that has failed already must not fail again here.
        let _ = fs::remove_dir_all(&self.0);
    }
}
