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

/// Uplinks and file systems that are remembered, of each.
const MOST: usize = 16;

/// In memory for each machine: one list of what is known, because each list of its own takes 24 bytes and an allocation.
#[derive(Debug, Default)]
pub struct Recent {
    /// Keys and values, in the order in which they were first seen.
    known: Vec<(Key, u32)>,
    growth: Option<Growth>,
}

/// The hash of a name; its last two bits are the kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key(u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remembered {
    /// Of a boot id: when it was first seen.
    Boot = 0,
    /// Of an uplink: when it last worked.
    Proven = 1,
    /// Of a mount point: the errors when it was first seen.
    Errors = 2,
}

/// The recorded file at the last beat at which it had grown.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Growth {
    /// Hash of its path.
    file: Option<u32>,
    size_mb: f32,
    since: u32,
}

impl Recent {
    /// Boots within the last hour. `None`: the device has no boot id. The first boot that is seen may be old.
    pub fn boots(&mut self, boot_id: Option<&str>, now: Moment) -> Option<usize> {
        let (id, now) = (Key::new(Remembered::Boot, boot_id?), seconds(now));
        if self.of(Remembered::Boot).all(|(known, _)| known != id) {
            let boots = self.of(Remembered::Boot).count();
            if boots >= MOST_BOOTS {
                let first = self.known.iter().position(|(key, _)| key.is(Remembered::Boot));
                first.map(|first| self.known.remove(first));
            }
            self.add(id, if boots == 0 { 0 } else { now });
        }
        Some(self.of(Remembered::Boot).filter(|(_, at)| now.saturating_sub(*at) < BOOTS).count())
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
                self.set(Remembered::Proven, uplink.name.as_str(), at, |known| known.max(at));
            }
        }
    }

    /// Whether the uplink worked within the last 7 days.
    pub fn is_proven(&self, uplink: &UplinkFacts, now: Moment) -> bool {
        let key = Key::new(Remembered::Proven, uplink.name.as_str());
        self.known.iter().any(|(known, at)| *known == key && seconds(now).saturating_sub(*at) < PROVEN)
    }

    /// Whether the recording grows. `None`: its size is unknown.
    pub fn grows(&mut self, recording: Option<RecordingFacts>, now: Moment) -> Option<bool> {
        let RecordingFacts { size_mb, file } = recording?;
        let (size_mb, now, file) = (size_mb?, seconds(now), file.map(|hash| hash as u32));
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
        let path = facts.path.as_deref().unwrap_or_default();
        // A disk that was replaced or repaired begins at a smaller number.
        let first = self.set(Remembered::Errors, path, count, |known| known.min(count));
        Some(first.is_some_and(|first| count > first).then_some(count))
    }

    /// An incident of `path` is open since before the monitor started, with this many errors.
    pub fn had_new_errors(&mut self, path: &str, errors: u32) {
        self.set(Remembered::Errors, path, errors.saturating_sub(1), |known| known);
    }

    fn of(&self, kind: Remembered) -> impl Iterator<Item = (Key, u32)> {
        self.known.iter().filter(move |(key, _)| key.is(kind)).copied()
    }

    /// Sets the value of `name` to `change` of the known one, or to `first`. Returns it; `None` if there are too many.
    fn set(&mut self, kind: Remembered, name: &str, first: u32, change: impl Fn(u32) -> u32) -> Option<u32> {
        let key = Key::new(kind, name);
        if let Some((_, value)) = self.known.iter_mut().find(|(known, _)| *known == key) {
            *value = change(*value);
            return Some(*value);
        }
        if self.of(kind).count() >= MOST {
            return None;
        }
        self.add(key, first);
        Some(first)
    }

    fn add(&mut self, key: Key, value: u32) {
        self.known.reserve_exact(1);
        self.known.push((key, value));
    }
}

impl Key {
    fn new(kind: Remembered, name: &str) -> Key {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Key(hasher.finish() as u32 & !3 | kind as u32)
    }

    fn is(self, kind: Remembered) -> bool {
        self.0 & 3 == kind as u32
    }
}

/// Seconds since 1970, until 2106.
fn seconds(at: Moment) -> u32 {
    u32::try_from(at.seconds()).unwrap_or(0)
}
