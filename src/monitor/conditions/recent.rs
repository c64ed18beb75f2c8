//! What is remembered of a machine's earlier heartbeats: boots, when each uplink last worked, the growth of the recording,
//! and the error counts that are not new. Pure. Times are whole seconds of the monitor's wall clock.

use crate::clock::Moment;
use crate::monitor::conditions::facts::{Facts, FileSystemFacts, RecordingFacts, UplinkFacts};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// An uplink that worked within this time is expected to work. Seconds.
const PROVEN: u32 = 7 * 86_400;

/// Boots are counted over an hour. Seconds.
const BOOTS: u32 = 3600;
/// Boots that are remembered: the largest threshold.
const MOST_BOOTS: usize = 8;

/// A recording whose file has the same size for this long does not grow. Muxers write every few seconds; sizes are
/// rounded to 0.1 MB, which 13 kbit/s fill in this time. Seconds.
const GROWS_WITHIN: u32 = 60;

/// Bound of each list.
const MOST: usize = 16;

/// A machine without reboots, standby uplinks and recordings has no list on the heap.
#[derive(Debug, Default)]
pub struct Recent {
    /// Boot ids (hashed) and when each was first seen, oldest first.
    boots: Vec<(u32, u32)>,
    /// Uplinks (hashed) and when each last worked.
    proven: Vec<(u32, u32)>,
    growth: Option<Growth>,
    /// Mount points (hashed) and their errors when they were first seen.
    errors: Vec<(u32, u32)>,
}

/// The recorded file at the last beat at which it had grown.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Growth {
    file: Option<u64>,
    size_mb: f32,
    since: u32,
}

impl Recent {
    /// Boots within the last hour. `None`: the device has no boot id. The first boot that is seen may be old.
    pub fn boots(&mut self, boot_id: Option<&str>, now: Moment) -> Option<usize> {
        let (id, now) = (hash(boot_id?), seconds(now));
        if self.boots.iter().all(|(known, _)| *known != id) {
            let at = if self.boots.is_empty() { 0 } else { now };
            if self.boots.len() >= MOST_BOOTS {
                self.boots.remove(0);
            }
            self.boots.reserve_exact(1);
            self.boots.push((id, at));
        }
        Some(self.boots.iter().filter(|(_, at)| now.saturating_sub(*at) < BOOTS).count())
    }

    /// Notes which uplinks worked: the active one delivered this heartbeat.
    pub fn note_uplinks(&mut self, facts: &Facts<'_>, now: Moment) {
        let at = seconds(now);
        for uplink in &facts.uplinks {
            let proven = match facts.active == Some(uplink.name) {
                true => Some(Duration::ZERO),
                false => uplink.proven,
            };
            let age = proven.map(|age| u32::try_from(age.as_secs()).unwrap_or(u32::MAX));
            if let Some(at) = age.and_then(|age| at.checked_sub(age)) {
                set(&mut self.proven, hash(uplink.name.as_str()), at, |known| known.max(at));
            }
        }
    }

    /// Whether the uplink worked within the last 7 days.
    pub fn is_proven(&self, uplink: &UplinkFacts, now: Moment) -> bool {
        let name = hash(uplink.name.as_str());
        self.proven.iter().any(|(known, at)| *known == name && seconds(now).saturating_sub(*at) < PROVEN)
    }

    /// Whether the recording grows. `None`: its size is unknown.
    pub fn grows(&mut self, recording: Option<RecordingFacts>, now: Moment) -> Option<bool> {
        let RecordingFacts { size_mb, file } = recording?;
        let (size_mb, now) = (size_mb?, seconds(now));
        let is_same =
            |growth: &Growth| growth.file == file && growth.size_mb == size_mb && growth.since <= now;
        let since = self.growth.filter(is_same).map_or(now, |growth| growth.since);
        self.growth = Some(Growth { file, size_mb, since });
        Some(now - since < GROWS_WITHIN)
    }

    /// The errors that the kernel has counted, if some are new since the file system was first seen; fewer than then are a
    /// repair. `None`: unknown.
    pub fn new_errors(&mut self, facts: &FileSystemFacts<'_>) -> Option<Option<u32>> {
        let counted = [facts.errors, facts.io_errors];
        if counted == [None, None] {
            return None;
        }
        let count = counted.iter().flatten().fold(0_u32, |sum, count| sum.saturating_add(*count));
        let path = hash(facts.path.as_deref().unwrap_or_default());
        // A disk that was replaced or repaired begins at a smaller number.
        let first = set(&mut self.errors, path, count, |known| known.min(count));
        Some(first.is_some_and(|first| count > first).then_some(count))
    }

    /// An incident of `path` is open since before the monitor started, with this many errors.
    pub fn had_new_errors(&mut self, path: &str, errors: u32) {
        set(&mut self.errors, hash(path), errors.saturating_sub(1), |known| known);
    }
}

/// Sets the value of `key` to `change` of the known one, or to `first`. Returns it; `None` if there are too many.
fn set(list: &mut Vec<(u32, u32)>, key: u32, first: u32, change: impl Fn(u32) -> u32) -> Option<u32> {
    if let Some((_, value)) = list.iter_mut().find(|(known, _)| *known == key) {
        *value = change(*value);
        return Some(*value);
    }
    if list.len() >= MOST {
        return None;
    }
    list.reserve_exact(1);
    list.push((key, first));
    Some(first)
}

fn hash(text: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish() as u32
}

/// Seconds since 1970, until 2106.
fn seconds(at: Moment) -> u32 {
    u32::try_from(at.seconds()).unwrap_or(0)
}
