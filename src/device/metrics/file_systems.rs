//! Whether the file systems that the device cannot do without are writable and sound: the root, and the one that holds the
//! recordings.

use super::firmware::Firmware;
use super::mounts::{Mount, MountTable};
use super::reading::Reading;
use super::source::{Absent, Place, Source, Turn, read_parsed};
use crate::device::os::file::KeptFile;
use crate::wire::FileSystem;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Minimum time between two readings: a disk that fails stays so.
const REFRESH: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct FileSystems {
    root: PathBuf,
    recording_dir: Option<PathBuf>,
    /// Time of the last successful reading, and its result.
    known: Option<(Instant, Vec<FileSystem>)>,
}

impl FileSystems {
    pub fn new(root: &Path, recording_dir: Option<&Path>) -> FileSystems {
        FileSystems { root: root.to_owned(), recording_dir: recording_dir.map(Path::to_owned), known: None }
    }

    fn examine(&self) -> Result<Vec<FileSystem>, Absent> {
        let table = MountTable::read(&self.root)?;
        let root = table.holding(Path::new("/"));
        let root = root.ok_or_else(|| Absent::because("the mount table has no root file system"))?;
        let recordings = self.recording_dir.as_deref().and_then(|path| table.holding(path));
        let recordings = recordings.filter(|mount| mount.device != root.device);
        Ok([Some(root), recordings].into_iter().flatten().map(|mount| self.state(mount)).collect())
    }

    fn state(&self, mount: &Mount) -> FileSystem {
        let device = BlockDevice::find(&self.root, &mount.device);
        FileSystem {
            path: mount.point.to_string_lossy().into_owned(),
            read_only: mount.read_only,
            errors: device.as_ref().and_then(|device| device.errors(&self.root)),
            io_errors: device.as_ref().and_then(BlockDevice::io_errors),
        }
    }
}

impl Source for FileSystems {
    type Value = Vec<FileSystem>;

    fn name(&self) -> &'static str {
        "file_systems"
    }

    fn place(&self, _: &Firmware) -> Place {
        Place::words("/proc/1/mountinfo, /sys/dev/block")
    }

    fn read(&mut self, turn: &mut Turn<'_>) -> Result<Vec<FileSystem>, Absent> {
        let fresh = |at: &Instant| turn.now.saturating_duration_since(*at) < REFRESH;
        match &self.known {
            Some((at, known)) if fresh(at) => Ok(known.clone()),
            _ => {
                self.known = None;
                let states = self.examine()?;
                self.known = Some((turn.now, states.clone()));
                Ok(states)
            }
        }
    }

    fn put(&self, value: &Vec<FileSystem>, reading: &mut Reading) {
        reading.file_systems.clone_from(value);
    }

    fn show(&self, value: &Vec<FileSystem>) -> String {
        let one = |state: &FileSystem| {
            let access = if state.read_only { "read-only" } else { "writable" };
            let count = |count: Option<u64>, what: &str| count.map(|count| format!(", {count} {what}"));
            let errors = count(state.errors, "errors").unwrap_or_default();
            let io_errors = count(state.io_errors, "I/O errors").unwrap_or_default();
            format!("{} {access}{errors}{io_errors}", state.path)
        };
        value.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

/// A disk or a partition, as sysfs has it.
struct BlockDevice {
    directory: PathBuf,
}

impl BlockDevice {
    /// `None` for a file system without a block device: overlay, tmpfs, NFS, btrfs.
    fn find(root: &Path, number: &str) -> Option<BlockDevice> {
        let directory = fs::canonicalize(root.join("sys/dev/block").join(number)).ok()?;
        Some(BlockDevice { directory })
    }

    fn errors(&self, root: &Path) -> Option<u64> {
        let name = self.directory.file_name()?;
        number(&root.join("sys/fs/ext4").join(name).join("errors_count"))
    }

    /// The SCSI layer counts, for the whole disk.
    fn io_errors(&self) -> Option<u64> {
        let is_partition = self.directory.join("partition").exists();
        let disk = if is_partition { self.directory.parent()? } else { &self.directory };
        number(&disk.join("device/ioerr_cnt"))
    }
}

/// `12`, or in hexadecimal `0x1a`.
fn number(path: &Path) -> Option<u64> {
    let parse = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    read_parsed(&mut KeptFile::new(path), parse).ok()
}

#[cfg(test)]
mod tests;
