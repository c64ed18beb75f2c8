//! What the device is doing: streaming, tracking, recording, by the signs that the configuration names.
//!
//! No program is started for it: pid files, /proc and the cgroup tree tell.

use super::doctor::SourceReport;
use super::firmware::Firmware;
use super::recording::Recording;
use super::source::{Absent, Place, Source, Turn, under};
use super::worker::{Budget, Worker};
use super::{ActivityState, Reading, RecordingFile};
use crate::device::config::{self, Sign};
use crate::device::os::file::KeptFile;
use crate::wire::ActivityName;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A scan opens a file for each process; what has started is seen within this time.
const SCAN_EVERY: Duration = Duration::from_secs(10);
/// Processes that a scan looks at; the kernel's default allows 32768.
const PROCESSES: usize = 65_536;

/// Watches the configured activities.
#[derive(Debug)]
pub struct Activities {
    streaming: Option<Watch>,
    tracking: Option<Watch>,
    recording: Option<Watch>,
    /// Absent if the configuration names no place of recordings.
    file: Option<RecordedFile>,
    expected: Vec<ActivityName>,
}

/// The file that is being recorded. Recordings may lie on a network file system.
#[derive(Debug)]
struct RecordedFile {
    place: String,
    worker: Worker<RecordingFile>,
}

impl RecordedFile {
    fn new(root: &Path, config: &config::Activity, budget: &Budget) -> Option<RecordedFile> {
        let mut recording = Recording::new(root, config);
        let place = recording.place()?;
        let worker =
            Worker::start(budget, Path::new(&place), move || recording.find().map_err(Absent::because));
        Some(RecordedFile { place, worker })
    }
}

impl Activities {
    pub fn new(root: &Path, config: &config::Activity, budget: &Budget) -> Activities {
        let watch = |sign: &Option<Sign>| sign.as_ref().map(|sign| Watch::new(root, sign));
        Activities {
            streaming: watch(&config.streaming),
            tracking: watch(&config.tracking),
            recording: watch(&config.recording),
            file: RecordedFile::new(root, config, budget),
            expected: config.expected.clone(),
        }
    }

    /// What is going on now; an activity without a sign is unknown.
    pub fn sample(&mut self, now: Instant) -> ActivityState {
        // `inspect` reports why a value is missing.
        let is_active =
            |watch: &mut Option<Watch>| watch.as_mut().and_then(|watch| watch.is_active(now).ok());
        let recording = is_active(&mut self.recording);
        ActivityState {
            streaming: is_active(&mut self.streaming),
            tracking: is_active(&mut self.tracking),
            recording,
            recording_file: match recording {
                Some(true) => self.file.as_mut().and_then(|file| file.worker.read(now).ok()),
                _ => None,
            },
            expected: self.expected.clone(),
        }
    }

    /// Each configured activity, for `doctor`.
    pub fn reports(&mut self, now: Instant) -> Vec<SourceReport> {
        let watches = [
            ("streaming", &mut self.streaming),
            ("tracking", &mut self.tracking),
            ("recording", &mut self.recording),
        ];
        let mut inspections: Vec<SourceReport> = watches
            .into_iter()
            .filter_map(|(name, watch)| Some((name, watch.as_mut()?)))
            .map(|(name, watch)| {
                SourceReport::read(name, watch.place(), || {
                    watch.is_active(now).map(|yes| if yes { "yes" } else { "no" }.into())
                })
            })
            .collect();
        if let Some(file) = &mut self.file {
            inspections.push(SourceReport::read("recording_file", &*file.place, || {
                let found = file.worker.read(now).map_err(|absent| absent.to_string());
                found.map(|RecordingFile { path, bytes }| format!("{}, {bytes} bytes", path.display()))
            }));
        }
        inspections
    }
}

impl Source for Activities {
    type Value = ActivityState;

    fn name(&self) -> &'static str {
        "activity"
    }

    fn place(&self, _firmware: &Firmware) -> Place {
        Place::words("[activity]")
    }

    fn read(&mut self, turn: &mut Turn<'_>) -> Result<Self::Value, Absent> {
        Ok(self.sample(turn.now))
    }

    fn put(&self, value: &Self::Value, reading: &mut Reading) {
        reading.activity.clone_from(value);
    }

    fn show(&self, value: &Self::Value) -> String {
        format!("{value:?}")
    }

    fn inspect(&mut self, turn: &mut Turn<'_>) -> Vec<SourceReport> {
        self.reports(turn.now)
    }

    fn unresponsive(&self) -> Option<&Path> {
        self.file.as_ref().and_then(|file| file.worker.unresponsive())
    }
}

/// One sign and what is remembered of it.
#[derive(Debug)]
enum Watch {
    Pidfile { root: PathBuf, path: PathBuf },
    Process(Process),
    Unit(Unit),
}

impl Watch {
    fn new(root: &Path, sign: &Sign) -> Watch {
        match sign {
            Sign::Pidfile(path) => Watch::Pidfile { root: root.to_owned(), path: under(root, path) },
            Sign::Process(name) => Watch::Process(Process {
                root: root.to_owned(),
                name: name.clone(),
                stat: None,
                scanned: None,
            }),
            Sign::Unit(name) => {
                Watch::Unit(Unit { root: root.to_owned(), name: name.clone(), files: Vec::new() })
            }
        }
    }

    fn place(&self) -> String {
        match self {
            Watch::Pidfile { path, .. } => path.display().to_string(),
            Watch::Process(process) => format!("a process named {}", process.name),
            Watch::Unit(unit) => format!("cgroup of {}", unit.name),
        }
    }

    fn is_active(&mut self, now: Instant) -> Result<bool, String> {
        match self {
            Watch::Pidfile { root, path } => pidfile_alive(root, path),
            Watch::Process(process) => process.runs(now),
            Watch::Unit(unit) => unit.is_populated(),
        }
    }
}

fn pidfile_alive(root: &Path, path: &Path) -> Result<bool, String> {
    let mut pidfile = KeptFile::new(path);
    let text = match pidfile.read_text() {
        Ok(text) => text,
        // Not started, or it has cleaned up after itself.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let first = text.split_ascii_whitespace().next().unwrap_or_default();
    let pid: u32 = first.parse().map_err(|_| format!("{}: {first:.20?} is not a pid", path.display()))?;
    let lives = living_name(&mut stat_of(root, pid))?.is_some();
    if !lives {
        others_are_seen(root)?;
    }
    Ok(lives)
}

/// The reason where `/proc` does not show the processes of other users.
const HIDDEN: &str = "the processes of other users are hidden from this one (/proc mounted with hidepid=, or \
                      ProtectProc= in the unit)";

/// A process that is not seen has ended only where the processes of others are seen. `ProtectProc=invisible` and
/// `hidepid=2` hide their directories; `hidepid=1` shows these, and refuses to open what is in them.
///
/// # Errors
/// [`HIDDEN`].
fn others_are_seen(root: &Path) -> Result<(), String> {
    match stat_of(root, 1).read() {
        Ok(_) => Ok(()),
        Err(_) => Err(HIDDEN.into()),
    }
}

fn stat_of(root: &Path, pid: u32) -> KeptFile {
    KeptFile::new(root.join(format!("proc/{pid}/stat")))
}

/// Name of the process whose /proc/PID/stat this is; `None` if it has ended. A zombie, whose parent has not asked for
/// its status yet, has ended.
///
/// # Errors
/// [`HIDDEN`]: the file may not be read.
fn living_name(stat: &mut KeptFile) -> Result<Option<String>, String> {
    match stat.read() {
        Ok(text) => Ok(name_of_living(&String::from_utf8_lossy(text))),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(HIDDEN.into()),
        Err(_) => Ok(None),
    }
}

/// `pid (name) state ...`: the name may contain any character, also brackets.
fn name_of_living(stat: &str) -> Option<String> {
    let (before, rest) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let state = rest.trim_start().chars().next()?;
    (!matches!(state, 'Z' | 'X' | 'x')).then(|| name.to_owned())
}

/// Any process of one name.
#[derive(Debug)]
struct Process {
    root: PathBuf,
    name: String,
    /// Of the process that was found. Kept open it stands for that very process: once it has ended a read
    /// fails, even if its number is in use again.
    stat: Option<KeptFile>,
    scanned: Option<Instant>,
}

impl Process {
    fn runs(&mut self, now: Instant) -> Result<bool, String> {
        if self.stat.as_mut().is_some_and(|stat| bears(stat, &self.name)) {
            return Ok(true);
        }
        // One that has just gone may have been restarted: look at once. Later, only now and then.
        let has_gone = self.stat.take().is_some();
        if has_gone || self.scanned.is_none_or(|at| now.saturating_duration_since(at) >= SCAN_EVERY) {
            self.stat = self.find()?;
            self.scanned = Some(now);
        }
        if self.stat.is_none() {
            others_are_seen(&self.root)?;
        }
        Ok(self.stat.is_some())
    }

    fn find(&self) -> Result<Option<KeptFile>, String> {
        let proc = self.root.join("proc");
        let entries = fs::read_dir(&proc).map_err(|error| format!("{}: {error}", proc.display()))?;
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut stats = pids.take(PROCESSES).map(|pid| stat_of(&self.root, pid));
        Ok(stats.find_map(|mut stat| bears(&mut stat, &self.name).then_some(stat)))
    }
}

/// Whether a living process of this name is seen behind `stat`.
fn bears(stat: &mut KeptFile, name: &str) -> bool {
    matches!(living_name(stat), Ok(Some(living)) if living == name)
}

/// A unit of the system manager, by the cgroup that systemd makes for it.
#[derive(Debug)]
struct Unit {
    root: PathBuf,
    name: String,
    /// Where the kernel would tell; empty until systemd's tree is found.
    files: Vec<KeptFile>,
}

impl Unit {
    /// Whether a process lives in the unit's cgroup. A unit that does not run has no cgroup.
    fn is_populated(&mut self) -> Result<bool, String> {
        if self.files.is_empty() {
            self.files = unit_files(&self.root, &self.name).ok_or("systemd has no cgroups here")?;
        }
        Ok(self.files.iter_mut().any(populated))
    }
}

/// The files that may tell of a unit, in the first tree that systemd uses: cgroup v2 alone, v2 beside v1, v1.
fn unit_files(root: &Path, unit: &str) -> Option<Vec<KeptFile>> {
    let trees = [("", "cgroup.events"), ("unified", "cgroup.events"), ("systemd", "cgroup.procs")];
    let (slice, file) = trees
        .map(|(tree, file)| (root.join("sys/fs/cgroup").join(tree).join("system.slice"), file))
        .into_iter()
        .find(|(slice, _)| slice.is_dir())?;
    let mut files = vec![KeptFile::new(slice.join(unit).join(file))];
    if let Some((prefix, _)) = unit.split_once('@') {
        // The instances of a template share a slice, in whose name systemd writes the prefix's '-' as \x2d,
        // for a '-' there means a slice within a slice.
        let own = format!("system-{}.slice", prefix.replace('-', "\\x2d"));
        files.push(KeptFile::new(slice.join(own).join(unit).join(file)));
    }
    Some(files)
}

fn populated(file: &mut KeptFile) -> bool {
    let says_so = |text: &str| match text.contains("populated ") {
        true => text.lines().any(|line| line == "populated 1"),
        // cgroup v1: the pids themselves.
        false => !text.is_empty(),
    };
    match file.read_text() {
        Ok(text) => says_so(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        // The cgroup that was kept open is gone; a restarted unit has a new one.
        Err(_) => file.read_text().is_ok_and(says_so),
    }
}

#[cfg(test)]
mod tests;
