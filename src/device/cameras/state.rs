//! `cameras.json` in the state directory: keeps the cameras across restarts.
//!
//! It is replaced as a whole and synced before it takes its name, so that a reader, and a daemon that was killed at any
//! moment, finds the old content or the new one.

use super::camera::{CameraOrigin, Status};
use super::roster::Roster;
use super::tracked::TrackedCamera;
use super::uptime::History;
use crate::atomic_file;
use crate::clock::{Moment, Now};
use crate::device::config::{CameraPlan, MOST_CAMERAS};
use crate::device::host;
use crate::mac::Mac;
use serde::{Deserialize, Serialize, Serializer};
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub const NAME: &str = "cameras.json";

/// All cameras that there may be, each with a full history, have 9 MiB; a larger file is not ours.
const LIMIT: u64 = 16 * 1024 * 1024;

/// Times are Unix times.
#[derive(Deserialize)]
struct Saved {
    saved_at: i64,
    cameras: Vec<SavedCamera>,
}

/// [`Saved`] as it is written: camera by camera, so that a thousand of them take no second place in memory.
#[derive(Serialize)]
struct Saving<'a> {
    saved_at: i64,
    #[serde(serialize_with = "each")]
    cameras: (&'a Roster, Now),
}

#[derive(Serialize, Deserialize)]
struct SavedCamera {
    mac: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ip: Option<IpAddr>,
    origin: SavedOrigin,
    status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_seen: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
    /// Files of earlier versions do not say so: their cameras count as real.
    #[serde(default = "yes")]
    answered: bool,
    /// Since when it was what, for the share of the last 24 hours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    history: Vec<(i64, Status)>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SavedOrigin {
    Config,
    Api,
    Dhcp,
}

/// How many cameras the file knows, and how many of them were connected when it was written; absent without a file.
pub fn count(state_dir: &Path) -> io::Result<Option<(usize, usize)>> {
    let bytes = match StateFile::new(state_dir).read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let saved: Saved = serde_json::from_slice(&bytes)?;
    let connected = saved.cameras.iter().filter(|camera| camera.status == Status::Connected).count();
    Ok(Some((saved.cameras.len(), connected)))
}

/// The file, and whether it could be written last.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    /// Said once.
    failed: bool,
}

impl StateFile {
    pub fn new(state_dir: &Path) -> StateFile {
        StateFile { path: state_dir.join(NAME), failed: false }
    }

    /// The cameras of an earlier run. A file that cannot be understood is set aside, for a person to look at.
    pub fn load(&self, plan: &Arc<CameraPlan>, now: Now) -> Vec<(Mac, TrackedCamera)> {
        let bytes = match self.read() {
            Ok(bytes) => bytes,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    log::warn!("cameras: cannot read {}: {error}", self.path.display());
                }
                return Vec::new();
            }
        };
        match serde_json::from_slice(&bytes) {
            Ok(saved) => restored(saved, plan, now),
            Err(error) => {
                let aside = self.path.with_extension("json.broken");
                let what = match fs::rename(&self.path, &aside) {
                    Ok(()) => format!("set aside as {}", aside.display()),
                    Err(error) => format!("it cannot be set aside: {error}"),
                };
                log::warn!(
                    "cameras: {} is corrupt ({error}); {what}; starting with an empty list",
                    self.path.display()
                );
                Vec::new()
            }
        }
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(&self.path)?.take(LIMIT).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// A full or read-only disk costs the memory of a restart, and nothing else.
    pub fn save(&mut self, roster: &Roster, now: Now) {
        match self.replace(roster, now) {
            Ok(()) if self.failed => {
                log::info!("cameras: {} can be written again", self.path.display());
                self.failed = false;
            }
            Err(error) if !self.failed => {
                log::warn!("cameras: cannot write {}: {error}", self.path.display());
                self.failed = true;
            }
            Ok(()) | Err(_) => {}
        }
    }

    fn replace(&self, roster: &Roster, now: Now) -> io::Result<()> {
        let saving = Saving { saved_at: now.wall.seconds(), cameras: (roster, now) };
        atomic_file::replace_durably(&self.path, |file| Ok(serde_json::to_writer(file, &saving)?))
    }
}

fn yes() -> bool {
    true
}

fn unix(moment: Moment) -> u64 {
    u64::try_from(moment.seconds()).unwrap_or(0)
}

/// From the seconds of a history to Unix time.
fn offset(history: &History, now: Now) -> i64 {
    now.wall.seconds() - i64::from(history.second(now.monotonic))
}

fn each<S: Serializer>((roster, now): &(&Roster, Now), serializer: S) -> Result<S::Ok, S::Error> {
    let camera = |(mac, known): (Mac, &TrackedCamera)| SavedCamera {
        mac: mac.to_string(),
        hostname: known.hostname.clone(),
        ip: known.ip,
        origin: match known.origin {
            CameraOrigin::Config => SavedOrigin::Config,
            CameraOrigin::Api => SavedOrigin::Api,
            CameraOrigin::Dhcp => SavedOrigin::Dhcp,
        },
        status: known.status,
        last_seen: known.last_seen.map(unix),
        since: known.since.map(unix),
        answered: known.answered,
        history: known
            .history
            .transitions()
            .map(|(second, status)| (i64::from(second) + offset(&known.history, *now), status))
            .collect(),
    };
    serializer.collect_seq(roster.cameras().map(camera))
}

/// A camera that makes no sense is left out: the file may have been edited.
fn restored(saved: Saved, plan: &Arc<CameraPlan>, now: Now) -> Vec<(Mac, TrackedCamera)> {
    // Times out of range come from a wrong clock and are ignored.
    let since_start = |unix: i64| i32::try_from(unix.saturating_sub(now.wall.seconds())).unwrap_or(i32::MAX);
    let time =
        |seconds: Option<u64>| seconds.and_then(|s| Some(Moment::from_seconds(i64::try_from(s).ok()?)));
    let camera = |camera: SavedCamera| {
        let origin = match camera.origin {
            SavedOrigin::Config => CameraOrigin::Config,
            SavedOrigin::Api => CameraOrigin::Api,
            SavedOrigin::Dhcp => CameraOrigin::Dhcp,
        };
        let mut known = TrackedCamera::new(origin, plan.clone(), now.monotonic);
        known.hostname = camera.hostname.and_then(|name| host::hostname(&name).ok());
        known.ip = camera.ip;
        known.status = camera.status;
        (known.last_seen, known.since) = (time(camera.last_seen), time(camera.since));
        known.answered = camera.answered;
        let transitions = camera.history.into_iter().map(|(at, status)| (since_start(at), status));
        known.history = History::restore(now.monotonic, transitions, since_start(saved.saved_at));
        Some((host::mac(&camera.mac).ok()?, known))
    };
    saved.cameras.into_iter().take(MOST_CAMERAS).filter_map(camera).collect()
}
