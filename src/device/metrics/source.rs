//! What all sources of facts have in common: how one is read, why it has nothing, and when it is asked.

use super::doctor::SourceReport;
use super::firmware::Firmware;
use super::reading::Metrics;
use crate::device::os::file::KeptFile;
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// After an error a path is looked for again, a silent firmware asked again: not more often than this.
pub const SECOND_LOOK: Duration = Duration::from_secs(60);

/// A value is dropped once it is older than this many periods of its source.
const STALE_AFTER: u32 = 3;

/// One source of facts about the machine, which fails alone.
pub trait Source: Send {
    type Value: Send;

    /// As `doctor` calls it.
    const NAME: &'static str;

    /// Where the value comes from, as of now.
    fn place(&self, firmware: &Firmware) -> Place;

    /// # Errors
    /// Why there is no value; the next turn may have one again, unless it is [`Absent::ForGood`].
    fn read(&mut self, turn: &mut Turn<'_>) -> Result<Self::Value, Absent>;

    /// Writes a value to its place in the reading.
    fn put(value: &Self::Value, reading: &mut Metrics);

    /// The value with its unit, for a person.
    fn show(value: &Self::Value) -> String;
}

/// What a source may use while it is its turn.
#[derive(Debug)]
pub struct Turn<'a> {
    pub now: Instant,
    /// How long a program or a peer may take.
    pub limit: Duration,
    pub firmware: &'a mut Firmware,
}

/// Why there is no value.
#[derive(Debug)]
pub enum Absent {
    /// This machine cannot have it before the daemon starts again; it is not asked again.
    ForGood(Cow<'static, str>),
    Unreadable {
        path: PathBuf,
        error: io::Error,
    },
    Because(Cow<'static, str>),
}

impl Absent {
    pub fn because(reason: impl Into<Cow<'static, str>>) -> Absent {
        Absent::Because(reason.into())
    }

    pub fn for_good(reason: impl Into<Cow<'static, str>>) -> Absent {
        Absent::ForGood(reason.into())
    }

    /// The text of a file is not what it should be; at most 40 characters of it are shown.
    pub fn garbage(path: &Path, text: &str) -> Absent {
        let start: String = text.trim().chars().take(40).collect();
        Absent::Because(format!("{}: not understood: {start:?}", path.display()).into())
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Absent::ForGood(reason) | Absent::Because(reason) => f.write_str(reason),
            Absent::Unreadable { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for Absent {}

/// Where a value comes from: a file, a device node or a program, or the words for what is none of these.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    pub text: String,
    /// The file whose permissions decide.
    pub file: Option<PathBuf>,
}

impl Place {
    pub fn file(path: &Path) -> Place {
        Place { text: path.display().to_string(), file: Some(path.to_owned()) }
    }

    pub fn words(text: impl Into<String>) -> Place {
        Place { text: text.into(), file: None }
    }
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

    /// `read` with what was found. After an error the next turn looks for it anew, if a minute has passed.
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
            self.look(now);
        }
        let Some(found) = &mut self.found else { return Err(Absent::because(absent)) };
        let result = read(found);
        if result.is_err() {
            self.look(now);
        }
        result
    }

    fn look(&mut self, now: Instant) {
        if self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < SECOND_LOOK) {
            return;
        }
        self.looked = Some(now);
        self.found = (self.find)(&self.root);
    }
}

/// How often a source is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// It costs a system call or two, or an ioctl.
    EachSample,
    /// It runs a program or asks a peer: asked after a sample was published, one such source at a time; its
    /// value is kept meanwhile.
    Every(Duration),
}

/// All sources, in the order in which they write into a reading.
#[derive(Default)]
pub struct Sources {
    entries: Vec<Box<dyn Entry>>,
    /// When the last reading was made, and how long after the one before.
    last: Option<Instant>,
    spacing: Duration,
}

impl Sources {
    pub fn add(&mut self, pace: Pace, source: impl Source + 'static) {
        self.entries.push(Box::new(Scheduled { source, pace, gone: None, asked: None, kept: None }));
    }

    /// Asks what is asked each time, and adds what is known of the rest.
    pub fn sample(&mut self, turn: &mut Turn<'_>) -> Metrics {
        self.spacing = self.last.map_or(Duration::ZERO, |last| turn.now.saturating_duration_since(last));
        self.last = Some(turn.now);
        // One slow source is asked per sample, so that with long intervals each has to wait for the others.
        let slow = self.entries.iter().filter(|entry| entry.is_slow()).count();
        let round = self.spacing * u32::try_from(slow).unwrap_or(u32::MAX);
        let mut reading = Metrics::default();
        for entry in &mut self.entries {
            entry.fill(turn, round, &mut reading);
        }
        reading
    }

    /// Asks the longest overdue of the slow sources; false if none is due.
    pub fn ask_one(&mut self, turn: &mut Turn<'_>) -> bool {
        let due = self.entries.iter_mut().filter_map(|entry| Some((entry.due(turn.now)?, entry)));
        // The first of equals: never asked is the longest overdue.
        match due.min_by_key(|(due, _)| *due) {
            Some((_, entry)) => entry.ask(turn),
            None => return false,
        }
        true
    }

    /// Asks every source, the slow ones too.
    pub fn inspect(&mut self, turn: &mut Turn<'_>) -> Vec<SourceReport> {
        self.entries.iter_mut().map(|entry| entry.inspect(turn)).collect()
    }
}

/// A source whose type of value is nobody else's business.
trait Entry: Send {
    fn is_slow(&self) -> bool;
    fn fill(&mut self, turn: &mut Turn<'_>, round: Duration, reading: &mut Metrics);
    /// When it was or is to be asked, if that is not in the future; `Some(None)`: it never was.
    fn due(&self, now: Instant) -> Option<Option<Instant>>;
    fn ask(&mut self, turn: &mut Turn<'_>);
    fn inspect(&mut self, turn: &mut Turn<'_>) -> SourceReport;
}

struct Scheduled<S: Source> {
    source: S,
    pace: Pace,
    /// Set once it has failed for good.
    gone: Option<Absent>,
    asked: Option<Instant>,
    kept: Option<S::Value>,
}

impl<S: Source> Scheduled<S> {
    fn read(&mut self, turn: &mut Turn<'_>) -> Result<S::Value, Absent> {
        let result = self.source.read(turn);
        if let Err(Absent::ForGood(reason)) = &result {
            self.gone = Some(Absent::ForGood(reason.clone()));
        }
        result
    }
}

impl<S: Source> Entry for Scheduled<S> {
    fn is_slow(&self) -> bool {
        self.gone.is_none() && self.pace != Pace::EachSample
    }

    fn fill(&mut self, turn: &mut Turn<'_>, round: Duration, reading: &mut Metrics) {
        if self.gone.is_some() {
            return;
        }
        match (self.pace, self.asked) {
            (Pace::EachSample, _) => {
                if let Ok(value) = self.read(turn) {
                    S::put(&value, reading);
                }
            }
            (Pace::Every(period), Some(asked)) => {
                let age = turn.now.saturating_duration_since(asked);
                let fresh = age <= period.max(round) * STALE_AFTER;
                self.kept = self.kept.take().filter(|_| fresh);
                self.kept.iter().for_each(|value| S::put(value, reading));
            }
            (Pace::Every(_), None) => {}
        }
    }

    fn due(&self, now: Instant) -> Option<Option<Instant>> {
        match (self.pace, self.asked) {
            (Pace::EachSample, _) => None,
            _ if self.gone.is_some() => None,
            (Pace::Every(_), None) => Some(None),
            (Pace::Every(period), Some(asked)) => Some(Some(asked + period)).filter(|due| *due <= Some(now)),
        }
    }

    fn ask(&mut self, turn: &mut Turn<'_>) {
        self.asked = Some(turn.now);
        self.kept = self.read(turn).ok();
    }

    fn inspect(&mut self, turn: &mut Turn<'_>) -> SourceReport {
        let begin = Instant::now();
        let result = match self.gone.take() {
            Some(gone) => Err(gone),
            None => self.source.read(turn),
        };
        let cost = begin.elapsed();
        let place = self.source.place(turn.firmware);
        SourceReport::new(S::NAME, place, result.map(|value| S::show(&value)), cost)
    }
}
