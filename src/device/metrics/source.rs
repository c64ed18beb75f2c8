//! What all sources of facts have in common: how one is read, where, and why it has nothing.

use super::doctor::SourceReport;
use super::firmware::Firmware;
use super::reading::Reading;
use super::terms::SECOND_LOOK;
pub use super::terms::{Absent, Place};
use crate::device::os::file::KeptFile;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// One source of facts about the machine, which fails alone.
pub trait Source: Send {
    type Value: Send;

    /// As `doctor` calls it.
    fn name(&self) -> &'static str;

    /// Where the value comes from, as of now.
    fn place(&self, firmware: &Firmware) -> Place;

    /// # Errors
    /// Why there is no value; the next turn may have one again, unless it is [`Absent::ForGood`].
    fn read(&mut self, turn: &mut Turn<'_>) -> Result<Self::Value, Absent>;

    /// Writes a value to its place in the reading.
    fn put(&self, value: &Self::Value, reading: &mut Reading);

    /// The value with its unit, for a person.
    fn show(&self, value: &Self::Value) -> String;

    /// The path that this source reads, if it has not answered for three samples.
    fn unresponsive(&self) -> Option<&Path> {
        None
    }

    /// For `doctor`; more than one report where a source is made of several.
    fn inspect(&mut self, turn: &mut Turn<'_>) -> Vec<SourceReport> {
        let begin = Instant::now();
        let result = self.read(turn);
        let cost = begin.elapsed();
        let value = result.map(|value| self.show(&value));
        vec![SourceReport::new(self.name(), self.place(turn.firmware), value, cost)]
    }
}

/// What a source may use while it is its turn.
#[derive(Debug)]
pub struct Turn<'a> {
    pub now: Instant,
    /// How long a program or a peer may take.
    pub limit: Duration,
    pub firmware: &'a mut Firmware,
}

/// `path` of the machine whose file system begins at `root`.
pub fn under(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Reads a kept file and parses its text; both may fail, and the error names the file.
///
/// # Errors
/// The file cannot be read, or `parse` finds nothing in it.
pub fn read_parsed<T>(file: &mut KeptFile, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Absent> {
    // The parser's answer, or the text that it did not understand.
    let read = file.read_text().map(|text| parse(text).ok_or_else(|| text.to_owned()));
    match read {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(text)) => Err(Absent::garbage(file.path(), &text)),
        Err(error) => Err(Absent::Unreadable { path: file.path().to_owned(), error }),
    }
}

/// Something that has to be looked for: found once, looked for again when it fails, at most once a minute.
///
/// hwmon numbers move between boots, and a driver may load long after the daemon.
#[derive(Debug)]
pub struct Sought<T> {
    root: PathBuf,
    find: fn(&Path) -> Option<T>,
    found: Option<T>,
    looked: Option<Instant>,
}

impl<T> Sought<T> {
    pub fn new(root: &Path, find: fn(&Path) -> Option<T>) -> Sought<T> {
        Sought { root: root.to_owned(), find, found: find(root), looked: None }
    }

    pub fn found(&self) -> Option<&T> {
        self.found.as_ref()
    }

    /// Calls `read` with the source. After an error the next turn searches it, if a minute has passed.
    ///
    /// # Errors
    /// Those of `read`, or `absent` where there is nothing.
    pub fn read<V>(
        &mut self,
        now: Instant,
        absent: &'static str,
        read: impl FnOnce(&mut T) -> Result<V, Absent>,
    ) -> Result<V, Absent> {
        if self.found.is_none() {
            self.detect(now);
        }
        let Some(found) = &mut self.found else { return Err(Absent::because(absent)) };
        let result = read(found);
        if result.is_err() {
            self.detect(now);
        }
        result
    }

    fn detect(&mut self, now: Instant) {
        if self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < SECOND_LOOK) {
            return;
        }
        self.looked = Some(now);
        self.found = (self.find)(&self.root);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_source_is_searched_at_most_once_a_minute() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("sensor");
        let find = |root: &Path| Some(root.join("sensor")).filter(|path| path.exists());
        let read = |path: &mut PathBuf| {
            let text = std::fs::read_to_string(&*path);
            text.map_err(|error| Absent::Unreadable { path: path.clone(), error })
        };
        let mut sought = Sought::new(root.path(), find);
        let begin = Instant::now();
        let mut at = |seconds| sought.read(begin + Duration::from_secs(seconds), "no sensor", read).is_ok();
        assert!(!at(0), "looked for, in vain");
        std::fs::write(&path, "1").expect("written");
        assert!(!at(59));
        assert!(at(60));
        std::fs::remove_file(&path).expect("removed");
        assert!(!at(61));
        std::fs::write(&path, "2").expect("written");
        assert!(at(62), "what was found once is tried again each time");
    }
}
