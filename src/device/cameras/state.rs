//! `cameras.json` in the state directory: what is known of the cameras, across restarts.
//!
//! It is replaced as a whole and synced before it takes its name, so that a reader, and a daemon that was killed at any
//! moment, finds the old content or the new one.

use super::camera::{Origin, Status};
use super::known::{Known, Moment};
use super::roster::Roster;
use super::uptime::History;
use crate::device::config::{CameraPlan, MOST_CAMERAS};
use crate::device::host::{self, Mac};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub const NAME: &str = "cameras.json";

/// All cameras that there may be, each with a full history, have 9 MiB; a larger file is not ours.
const LIMIT: u64 = 16 * 1024 * 1024;

/// Times are Unix times.
#[derive(Serialize, Deserialize)]
struct Saved {
    saved_at: i64,
    cameras: Vec<SavedCamera>,
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
    pub fn load(&self, plan: CameraPlan, now: Moment) -> Vec<(Mac, Known)> {
        let saved = match self.read() {
            Ok(bytes) => serde_json::from_slice::<Saved>(&bytes).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => Err(error),
        };
        match saved {
            Ok(saved) => restored(saved, plan, now),
            Err(error) => {
                let aside = self.path.with_extension("json.broken");
                log::warn!(
                    "cameras: {} is broken: {error}; set aside as {}, begun anew",
                    self.path.display(),
                    aside.display()
                );
                let _ = fs::rename(&self.path, aside);
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
    pub fn save(&mut self, roster: &Roster, now: Moment) {
        match self.replace(&saved(roster, now)) {
            Ok(()) if self.failed => {
                log::info!("cameras: {} can be written again", self.path.display());
                self.failed = false;
            }
            Err(error) if !self.failed => {
                log::warn!("cameras: {} cannot be written: {error}", self.path.display());
                self.failed = true;
            }
            Ok(()) | Err(_) => {}
        }
    }

    fn replace(&self, saved: &Saved) -> io::Result<()> {
        let draft = self.path.with_extension("json.new");
        let mut file = File::create(&draft)?;
        file.write_all(&serde_json::to_vec(saved)?)?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        // The name too, or a power cut takes it back.
        self.path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn saved(roster: &Roster, now: Moment) -> Saved {
    // What a wall clock shows in the year 292 billion is of no interest.
    let offset = unix(now.wall) as i64 - now.second;
    let camera = |(mac, known): (Mac, &Known)| SavedCamera {
        mac: mac.to_string(),
        hostname: known.hostname.clone(),
        ip: known.ip,
        origin: match known.origin {
            Origin::Config => SavedOrigin::Config,
            Origin::Api => SavedOrigin::Api,
            Origin::Dhcp => SavedOrigin::Dhcp,
        },
        status: known.status,
        last_seen: known.last_seen.map(unix),
        since: known.since.map(unix),
        history: known.history.transitions().map(|(second, status)| (second + offset, status)).collect(),
    };
    Saved { saved_at: now.second + offset, cameras: roster.known().map(camera).collect() }
}

/// A camera that makes no sense is left out: the file may have been edited.
fn restored(saved: Saved, plan: CameraPlan, now: Moment) -> Vec<(Mac, Known)> {
    let offset = unix(now.wall) as i64 - now.second;
    let since_start = |unix: i64| unix.saturating_sub(offset);
    let time = |seconds: Option<u64>| seconds.and_then(|s| UNIX_EPOCH.checked_add(Duration::from_secs(s)));
    let camera = |camera: SavedCamera| {
        let origin = match camera.origin {
            SavedOrigin::Config => Origin::Config,
            SavedOrigin::Api => Origin::Api,
            SavedOrigin::Dhcp => Origin::Dhcp,
        };
        let mut known = Known::new(origin, plan);
        known.hostname = camera.hostname.and_then(|name| host::hostname(&name).ok());
        known.ip = camera.ip;
        known.status = camera.status;
        (known.last_seen, known.since) = (time(camera.last_seen), time(camera.since));
        let transitions = camera.history.into_iter().map(|(at, status)| (since_start(at), status));
        known.history = History::restore(transitions, since_start(saved.saved_at));
        Some((camera.mac.parse().ok()?, known))
    };
    saved.cameras.into_iter().take(MOST_CAMERAS).filter_map(camera).collect()
}
