//! What the device is doing: streaming, tracking, recording, by the signs that the configuration names.
//!
//! No program is started for it: pid files, /proc and the cgroup tree tell.

use super::doctor::SourceReport;
use super::recording::Recording;
use super::source::under;
use super::{Activity, RecordingFile};
use crate::device::config::{self, Sign};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A scan reads two files a process; what has started is seen within this time.
const SCAN_EVERY: Duration = Duration::from_secs(10);
/// Processes that a scan looks at; the kernel's default allows 32768.
const PROCESSES: usize = 65_536;
/// Longer than any /proc/PID/stat, pid file or cgroup.events.
const SMALL_FILE: u64 = 4096;

/// Watches the configured activities.
#[derive(Debug)]
pub struct Activities {
    streaming: Option<Watch>,
    tracking: Option<Watch>,
    recording: Option<Watch>,
    file: Recording,
}

impl Activities {
    pub fn new(root: &Path, config: &config::Activity) -> Activities {
        let watch = |sign: &Option<Sign>| sign.as_ref().map(|sign| Watch::new(root, sign));
        Activities {
            streaming: watch(&config.streaming),
            tracking: watch(&config.tracking),
            recording: watch(&config.recording),
            file: Recording::new(root, config),
        }
    }

    /// What is going on now; an activity without a sign is unknown.
    pub fn sample(&mut self, now: Instant) -> Activity {
        // The reason for what is missing is told by `inspect`.
        let goes_on = |watch: &mut Option<Watch>| watch.as_mut().and_then(|watch| watch.goes_on(now).ok());
        let recording = goes_on(&mut self.recording);
        Activity {
            streaming: goes_on(&mut self.streaming),
            tracking: goes_on(&mut self.tracking),
            recording,
            recording_file: match recording {
                Some(true) => self.file.find().ok(),
                _ => None,
            },
        }
    }

    /// Each configured activity, for `doctor`.
    pub fn inspect(&mut self, now: Instant) -> Vec<SourceReport> {
        let watches = [
            ("streaming", &mut self.streaming),
            ("tracking", &mut self.tracking),
            ("recording", &mut self.recording),
        ];
        let mut inspections: Vec<SourceReport> = watches
            .into_iter()
            .filter_map(|(name, watch)| Some((name, watch.as_mut()?)))
            .map(|(name, watch)| {
                SourceReport::ask(name, watch.place(), || {
                    watch.goes_on(now).map(|yes| if yes { "yes" } else { "no" }.into())
                })
            })
            .collect();
        if let Some(place) = self.file.place() {
            inspections.push(SourceReport::ask("recording_file", place, || {
                self.file
                    .find()
                    .map(|RecordingFile { path, bytes }| format!("{}, {bytes} bytes", path.display()))
            }));
        }
        inspections
    }
}

/// One sign and what is remembered of it.
#[derive(Debug)]
enum Watch {
    Pidfile { root: PathBuf, path: PathBuf },
    Process { root: PathBuf, name: String, pid: Option<u32>, scanned: Option<Instant> },
    Unit { name: String, events: Vec<PathBuf>, cgroups: Vec<PathBuf> },
}

impl Watch {
    fn new(root: &Path, sign: &Sign) -> Watch {
        match sign {
            Sign::Pidfile(path) => Watch::Pidfile { root: root.to_owned(), path: under(root, path) },
            Sign::Process(name) => {
                Watch::Process { root: root.to_owned(), name: name.clone(), pid: None, scanned: None }
            }
            Sign::Unit(name) => {
                let cgroups: Vec<PathBuf> = cgroup_trees(root);
                let events = cgroups.iter().flat_map(|tree| unit_places(tree, name)).collect();
                Watch::Unit { name: name.clone(), events, cgroups }
            }
        }
    }

    fn place(&self) -> String {
        match self {
            Watch::Pidfile { path, .. } => path.display().to_string(),
            Watch::Process { name, .. } => format!("a process named {name}"),
            Watch::Unit { name, .. } => format!("cgroup of {name}"),
        }
    }

    /// # Errors
    /// One sentence why it cannot be known.
    fn goes_on(&mut self, now: Instant) -> Result<bool, String> {
        match self {
            Watch::Pidfile { root, path } => pidfile_alive(root, path),
            Watch::Process { root, name, pid, scanned } => {
                if pid.is_some_and(|pid| has_name(root, pid, name)) {
                    return Ok(true);
                }
                // One that has just gone may have been restarted: look at once. Later, only now and then.
                let due = scanned.is_none_or(|at| now.saturating_duration_since(at) >= SCAN_EVERY);
                if due || pid.is_some() {
                    *pid = find_process(root, name)?;
                    *scanned = Some(now);
                }
                Ok(pid.is_some())
            }
            Watch::Unit { events, cgroups, .. } => unit_populated(cgroups, events),
        }
    }
}

fn read_small(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(SMALL_FILE).read_to_end(&mut bytes)?;
    // A process may give itself a name that is not UTF-8.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn pidfile_alive(root: &Path, path: &Path) -> Result<bool, String> {
    let text = match read_small(path) {
        Ok(text) => text,
        // Not started, or it has cleaned up after itself.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let first = text.split_ascii_whitespace().next().unwrap_or_default();
    let pid: u32 = first.parse().map_err(|_| format!("{}: {first:?} is not a pid", path.display()))?;
    Ok(is_alive(root, pid))
}

/// A zombie has ended; nobody has asked for its status yet.
fn is_alive(root: &Path, pid: u32) -> bool {
    let Ok(stat) = read_small(&root.join(format!("proc/{pid}/stat"))) else { return false };
    // pid (comm) state ...: the name may hold anything, also brackets.
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, None | Some('Z' | 'X' | 'x'))
}

fn has_name(root: &Path, pid: u32, name: &str) -> bool {
    let comm = read_small(&root.join(format!("proc/{pid}/comm")));
    comm.is_ok_and(|comm| comm.trim_end_matches('\n') == name) && is_alive(root, pid)
}

fn find_process(root: &Path, name: &str) -> Result<Option<u32>, String> {
    let proc = root.join("proc");
    let entries = fs::read_dir(&proc).map_err(|error| format!("{}: {error}", proc.display()))?;
    let mut pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(pids.by_ref().take(PROCESSES).find(|&pid| has_name(root, pid, name)))
}

/// Where systemd keeps its units' cgroups: cgroup v2, and its own v1 hierarchy, alone or beside v2.
fn cgroup_trees(root: &Path) -> Vec<PathBuf> {
    ["sys/fs/cgroup", "sys/fs/cgroup/unified", "sys/fs/cgroup/systemd"].map(|tree| root.join(tree)).to_vec()
}

/// The unit's directory: in system.slice, or for an instance of a template in the template's own slice.
fn unit_places(tree: &Path, unit: &str) -> Vec<PathBuf> {
    let slice = tree.join("system.slice");
    let mut places = vec![slice.join(unit)];
    if let Some((prefix, _)) = unit.split_once('@') {
        // systemd writes a '-' of the name as \x2d there, for a '-' means a slice within a slice.
        let prefix = prefix.replace('-', "\\x2d");
        places.push(slice.join(format!("system-{prefix}.slice")).join(unit));
    }
    places
}

/// Whether a process lives in the unit's cgroup. A unit that is not running has no cgroup.
fn unit_populated(trees: &[PathBuf], places: &[PathBuf]) -> Result<bool, String> {
    for place in places {
        if let Ok(events) = read_small(&place.join("cgroup.events")) {
            if events.lines().any(|line| line == "populated 1") {
                return Ok(true);
            }
        } else if read_small(&place.join("cgroup.procs")).is_ok_and(|pids| !pids.trim().is_empty()) {
            // cgroup v1 has no events.
            return Ok(true);
        }
    }
    match trees.iter().any(|tree| tree.join("system.slice").is_dir()) {
        true => Ok(false),
        false => Err("systemd has no cgroups here".into()),
    }
}

#[cfg(test)]
mod tests;
