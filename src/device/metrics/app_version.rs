//! The version of the application that the device exists for: the first line of a file of its own.

use super::firmware::Firmware;
use super::reading::Reading;
use super::source::{Absent, Place, Source, Turn, under};
use crate::device::os::file::open_regular;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A version, not a text: what is longer is cut off.
const MAX_CHARACTERS: usize = 64;

#[derive(Debug)]
pub struct AppVersion {
    path: Option<PathBuf>,
    /// Reread only when the file changed: the check costs one system call instead of four.
    known: Option<(Stamp, String)>,
}

/// An update replaces the file or writes to it; either shows here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl AppVersion {
    pub fn new(root: &Path, file: Option<&Path>) -> AppVersion {
        AppVersion { path: file.map(|file| under(root, file)), known: None }
    }
}

impl Source for AppVersion {
    type Value = String;

    fn name(&self) -> &'static str {
        "app_version"
    }

    fn place(&self, _: &Firmware) -> Place {
        self.path.as_deref().map_or(Place::words("[metrics] app_version_file"), Place::file)
    }

    fn read(&mut self, _: &mut Turn<'_>) -> Result<String, Absent> {
        let Some(path) = &self.path else {
            return Err(Absent::for_good("not configured: [metrics] app_version_file"));
        };
        let unreadable = |error| Absent::Unreadable { path: path.clone(), error };
        let stamp = stamp(path).map_err(unreadable)?;
        if let Some((_, version)) = self.known.as_ref().filter(|(known, _)| *known == stamp) {
            return Ok(version.clone());
        }
        let version = first_line(path).map_err(unreadable)?;
        self.known = Some((stamp, version.clone()));
        Ok(version)
    }

    fn put(&self, value: &String, reading: &mut Reading) {
        reading.app_version = Some(value.clone());
    }

    fn show(&self, value: &String) -> String {
        value.clone()
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        // Opening a FIFO would wait for its writer.
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    Ok(Stamp { inode: metadata.ino(), size: metadata.len(), modified })
}

fn first_line(path: &Path) -> io::Result<String> {
    let mut start = Vec::new();
    open_regular(path)?.take(4096).read_to_end(&mut start)?;
    let text = String::from_utf8_lossy(&start);
    let line: String = text.lines().next().unwrap_or("").trim().chars().take(MAX_CHARACTERS).collect();
    match line.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::InvalidData, "its first line is empty")),
        false => Ok(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn read(source: &mut AppVersion) -> Result<String, Absent> {
        let mut firmware = Firmware::choose(Path::new("/proc/nowhere"));
        source.read(&mut Turn { now: Instant::now(), limit: Duration::ZERO, firmware: &mut firmware })
    }

    #[test]
    fn an_update_of_the_file_shows_and_its_removal_too() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("VERSION");
        let mut source = AppVersion::new(root.path(), Some(Path::new("/VERSION")));
        read(&mut source).expect_err("not there yet");
        fs::write(&path, "3.10\nbuilt on a Tuesday\n").expect("written");
        assert_eq!(read(&mut source).expect("there"), "3.10");
        assert_eq!(read(&mut source).expect("still there"), "3.10");
        fs::write(&path, "3.11.0\n").expect("written");
        assert_eq!(read(&mut source).expect("new"), "3.11.0");
        fs::remove_file(&path).expect("removed");
        read(&mut source).expect_err("gone");
    }

    #[test]
    fn what_is_no_version_is_absent_or_cut_off() {
        let root = tempfile::tempdir().expect("a directory");
        let mut source = AppVersion::new(root.path(), Some(Path::new("VERSION")));
        let path = root.path().join("VERSION");
        fs::write(&path, "\n3.10\n").expect("written");
        read(&mut source).expect_err("empty first line");
        fs::write(&path, "é".repeat(100_000)).expect("written");
        assert_eq!(read(&mut source).expect("cut off").chars().count(), MAX_CHARACTERS);
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("created");
        read(&mut source).expect_err("a directory");
    }

    #[test]
    fn without_a_configured_file_the_search_runs_once() {
        let mut source = AppVersion::new(Path::new("/proc/nowhere"), None);
        assert!(matches!(read(&mut source), Err(Absent::ForGood(_))));
    }
}
