//! The cameras of one machine in memory, and the minutes that the database does not have. Pure.
//!
//! A minute of the monitor's clock counts as up if the camera was connected in its last report of that minute, as down if it
//! was disconnected, and not at all if its state was unknown or the machine was silent.

use crate::clock::Moment;
use crate::mac::Mac;
use crate::monitor::conditions::facts::{CameraFacts, Facts, MAX_SUBJECTS};
use crate::monitor::machine;
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Minutes of a day.
pub const DAY: u32 = 24 * 60;

/// Minutes that the clock repeats after a step back, or that a restart repeats, count once, up to this many. After a larger
/// step the clock was wrong before, and minutes count again.
const REPEATED: u32 = 60;

/// Unsaved days of all cameras of a machine: 8 days without a successful write. Then the oldest are dropped.
const MOST_UNSAVED: usize = 8 * MAX_SUBJECTS;

/// The cameras of one machine: 44 bytes each, and a name until that is written.
#[derive(Debug, Default)]
pub struct CameraMinutes {
    /// The minute that is in progress, since 1970.
    minute: u32,
    cameras: Vec<KnownCamera>,
    unsaved: Vec<UnsavedDay>,
    /// Whether cameras were refused, and whether that is written.
    refused: Refused,
}

#[derive(Debug)]
struct KnownCamera {
    mac: Mac,
    /// As last reported in the minute that is in progress.
    state: Option<CameraState>,
    /// Hash of the last name.
    name: u32,
    /// The last minute that was counted.
    counted: u32,
    unsaved_name: Option<Box<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CameraState {
    Up,
    Down,
    Unknown,
}

/// 12 bytes.
#[derive(Debug)]
struct UnsavedDay {
    mac: Mac,
    /// Since 1970, until 2149.
    day: u16,
    up: u16,
    down: u16,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Refused {
    #[default]
    Nothing,
    Unsaved,
    Saved,
}

/// Minutes of one camera and day, to be added to those of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraDay {
    pub mac: Mac,
    /// `None`: as the database has it.
    pub name: Option<Box<str>>,
    /// Since 1970.
    pub day: u16,
    pub up: u16,
    pub down: u16,
    /// The last minute of a report, since 1970.
    pub reported: u32,
}

/// A camera that the database knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCamera {
    pub mac: Mac,
    pub name: Option<String>,
    /// The last minute of a report, since 1970.
    pub reported: u32,
}

/// Everything about a machine's cameras that the database does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnsavedCameras {
    pub days: Vec<CameraDay>,
    /// There were more than [`MAX_SUBJECTS`], and that is not written.
    pub were_refused: bool,
}

impl CameraMinutes {
    /// Loads what the database knows, before the first report.
    pub fn load(&mut self, stored: Vec<StoredCamera>) {
        let known = |camera: StoredCamera| KnownCamera {
            mac: camera.mac,
            state: None,
            name: camera.name.as_deref().map_or(0, hash),
            counted: camera.reported,
            unsaved_name: None,
        };
        self.cameras = stored.into_iter().take(MAX_SUBJECTS).map(known).collect();
    }

    /// Cameras as one heartbeat reports them.
    pub fn report(&mut self, reported: &[CameraFacts<'_>], now: Moment) {
        if !self.is_in_progress(now) {
            self.end_minute();
            self.minute = minute(now);
        }
        for (index, facts) in reported.iter().enumerate() {
            let Some(mac) = facts.mac.as_deref().and_then(Mac::parse) else { continue };
            match self.position(mac, index) {
                Some(at) => self.cameras[at].report(facts),
                None if self.refused == Refused::Nothing => self.refused = Refused::Unsaved,
                None => {}
            }
        }
    }

    /// `facts` of the latest report without the cameras that were refused: they have no history, so they get no incident.
    pub fn without_refused<'f, 'a>(&self, facts: &'f Facts<'a>) -> Cow<'f, Facts<'a>> {
        if self.refused == Refused::Nothing {
            return Cow::Borrowed(facts);
        }
        let is_refused = |camera: &CameraFacts<'_>| {
            let mac = camera.mac.as_deref().and_then(Mac::parse);
            mac.is_some_and(|mac| self.cameras.iter().all(|known| known.mac != mac))
        };
        let mut accepted = facts.clone();
        accepted.cameras.retain(|camera| !is_refused(camera));
        Cow::Owned(accepted)
    }

    /// Heartbeats list cameras in the same order: most are where `guess` says. `None`: there are too many.
    fn position(&mut self, mac: Mac, guess: usize) -> Option<usize> {
        if self.cameras.get(guess).is_some_and(|camera| camera.mac == mac) {
            return Some(guess);
        }
        if let Some(at) = self.cameras.iter().position(|camera| camera.mac == mac) {
            return Some(at);
        }
        if self.cameras.len() >= MAX_SUBJECTS {
            return None;
        }
        self.cameras.reserve_exact(1);
        self.cameras.push(KnownCamera { mac, state: None, name: 0, counted: 0, unsaved_name: None });
        Some(self.cameras.len() - 1)
    }

    fn end_minute(&mut self) {
        let CameraMinutes { minute, cameras, unsaved, .. } = self;
        for camera in cameras {
            let Some(state) = camera.state.take() else { continue };
            if camera.has_counted(*minute) {
                continue;
            }
            camera.counted = *minute;
            let (up, down) = (state == CameraState::Up, state == CameraState::Down);
            add(unsaved, UnsavedDay { mac: camera.mac, day: day(*minute), up: up.into(), down: down.into() });
        }
    }

    fn is_in_progress(&self, now: Moment) -> bool {
        self.minute == minute(now)
    }

    /// Whether [`CameraMinutes::drain`] would return anything.
    pub fn has_unsaved(&self, now: Moment) -> bool {
        let is_over = !self.is_in_progress(now) && self.cameras.iter().any(|camera| camera.state.is_some());
        is_over || !self.unsaved.is_empty() || self.refused == Refused::Unsaved
    }

    /// Removes and returns what the database does not have; the minute that is in progress is left for the next call.
    pub fn drain(&mut self, now: Moment) -> UnsavedCameras {
        if !self.is_in_progress(now) {
            self.end_minute();
        }
        let cameras = &mut self.cameras;
        let day = |unsaved: UnsavedDay| {
            let UnsavedDay { mac, day, up, down } = unsaved;
            // Not if the camera was forgotten meanwhile.
            let camera = cameras.iter_mut().find(|camera| camera.mac == mac)?;
            let (name, reported) = (camera.unsaved_name.take(), camera.counted);
            Some(CameraDay { mac, name, day, up, down, reported })
        };
        let days = std::mem::take(&mut self.unsaved).into_iter().filter_map(day).collect();
        let were_refused = self.refused == Refused::Unsaved;
        if were_refused {
            self.refused = Refused::Saved;
        }
        UnsavedCameras { days, were_refused }
    }

    /// Takes back what could not be written.
    pub fn not_saved(&mut self, unsaved: UnsavedCameras) {
        if unsaved.were_refused {
            self.refused = Refused::Unsaved;
        }
        let newer = std::mem::take(&mut self.unsaved);
        for CameraDay { mac, name, day, up, down, .. } in unsaved.days {
            if let Some(camera) = self.cameras.iter_mut().find(|camera| camera.mac == mac) {
                camera.unsaved_name = camera.unsaved_name.take().or(name);
            }
            add(&mut self.unsaved, UnsavedDay { mac, day, up, down });
        }
        for day in newer {
            add(&mut self.unsaved, day);
        }
    }

    /// Drops a camera, which makes room for another one.
    pub fn forget(&mut self, mac: Mac) {
        self.cameras.retain(|camera| camera.mac != mac);
        self.unsaved.retain(|unsaved| unsaved.mac != mac);
    }
}

impl KnownCamera {
    fn report(&mut self, facts: &CameraFacts<'_>) {
        self.state = Some(match facts.is_connected {
            Some(true) => CameraState::Up,
            Some(false) => CameraState::Down,
            None => CameraState::Unknown,
        });
        let Some(name) = facts.hostname.as_deref() else { return };
        let hash = hash(name);
        // It is printed on terminals.
        if self.name != hash && machine::hostname(name).is_ok() {
            self.name = hash;
            self.unsaved_name = Some(name.into());
        }
    }

    fn has_counted(&self, minute: u32) -> bool {
        (minute..=minute.saturating_add(REPEATED)).contains(&self.counted)
    }
}

fn add(unsaved: &mut Vec<UnsavedDay>, new: UnsavedDay) {
    if let Some(known) = unsaved.iter_mut().find(|known| known.mac == new.mac && known.day == new.day) {
        known.up = known.up.saturating_add(new.up);
        known.down = known.down.saturating_add(new.down);
        return;
    }
    if unsaved.len() >= MOST_UNSAVED {
        unsaved.remove(0);
    }
    unsaved.reserve_exact(1);
    unsaved.push(new);
}

fn hash(name: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish() as u32
}

/// Minutes since 1970.
pub fn minute(at: Moment) -> u32 {
    u32::try_from(at.0.div_euclid(60_000)).unwrap_or(0)
}

/// Days since 1970, until 2149.
pub fn day(minute: u32) -> u16 {
    u16::try_from(minute / DAY).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
