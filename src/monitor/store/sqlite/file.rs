//! The database's file and the files beside it: names, identity, owner.

use rustix::process::geteuid;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

/// Permissions: the group (backup tools) may read, others may not, because the file contains the channels' secrets.
pub const MODE: u32 = 0o640;

/// Identifies a file independently of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
}

pub fn identity(path: &Path) -> Option<FileIdentity> {
    let metadata = fs::metadata(path).ok()?;
    Some(FileIdentity { device: metadata.dev(), inode: metadata.ino() })
}

/// `path` with more at the end of its name.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// What root makes beside the service's files must be the service's: `sudo heartbeat-monitor machine add` may come
/// before the first start. SQLite does the same for its journals.
pub fn give_to_owner_of_directory(file: &File, path: &Path) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let owner = fs::metadata(directory(path))?;
    fchown(file, Some(owner.uid()), Some(owner.gid()))
}

pub fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}
