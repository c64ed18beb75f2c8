//! When a condition begins and ends: hold time and hysteresis. Pure.

use crate::clock::Now;
use crate::monitor::conditions::catalogue::CatalogueEntry;
use crate::monitor::conditions::settings::Setting;
use std::time::Instant;

/// What a heartbeat says about one condition of one subject.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading {
    /// Absent, or of a kind that proves nothing. Neither begins nor ends an incident.
    Unknown,
    Good,
    /// It holds, perhaps with a number to be shown.
    Bad(Option<f32>),
    /// It seems to hold: the hold time begins, and the incident does not.
    Unconfirmed,
    /// Compared with the threshold.
    Number(f32),
}

/// The state of a condition that holds, or has held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Phase {
    /// It holds, and its hold time is not over.
    Pending { since: Instant },
    /// An incident is open. `good_since`: the condition is over since then.
    Open { good_since: Option<Instant> },
}

/// What follows from a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    None,
    Begins,
    Ends,
}

/// How a reading compares with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Unknown,
    Good,
    /// Between the two thresholds.
    Between,
    Unconfirmed,
    Bad,
}

/// The next phase of a condition, `None` while it does not hold, and the change.
pub fn judge(
    entry: &CatalogueEntry,
    setting: &Setting,
    phase: Option<Phase>,
    reading: Reading,
    now: Now,
) -> (Option<Phase>, Change) {
    let level = level(entry, setting, reading);
    match phase {
        None => match level {
            Level::Bad | Level::Unconfirmed => pending(setting, now.monotonic, level, now),
            Level::Unknown | Level::Good | Level::Between => (None, Change::None),
        },
        Some(Phase::Pending { since }) => match level {
            Level::Bad | Level::Unconfirmed => pending(setting, since, level, now),
            Level::Unknown => (phase, Change::None),
            Level::Good | Level::Between => (None, Change::None),
        },
        Some(Phase::Open { good_since }) => match level {
            Level::Bad | Level::Unconfirmed => (Some(Phase::Open { good_since: None }), Change::None),
            Level::Unknown | Level::Between => (phase, Change::None),
            Level::Good => clearing(entry, good_since.unwrap_or(now.monotonic), now),
        },
    }
}

/// Whether `reading` by itself shows that the condition holds.
pub fn holds(entry: &CatalogueEntry, setting: &Setting, reading: Reading) -> bool {
    level(entry, setting, reading) == Level::Bad
}

/// Whether a reading says anything.
pub fn is_known(entry: &CatalogueEntry, setting: &Setting, reading: Reading) -> bool {
    !matches!(level(entry, setting, reading), Level::Unknown | Level::Unconfirmed)
}

fn pending(setting: &Setting, since: Instant, level: Level, now: Now) -> (Option<Phase>, Change) {
    let is_over = now.since(since) >= setting.hold;
    match is_over && level == Level::Bad {
        true => (Some(Phase::Open { good_since: None }), Change::Begins),
        false => (Some(Phase::Pending { since }), Change::None),
    }
}

fn clearing(entry: &CatalogueEntry, good_since: Instant, now: Now) -> (Option<Phase>, Change) {
    match now.since(good_since) >= entry.clear {
        true => (None, Change::Ends),
        false => (Some(Phase::Open { good_since: Some(good_since) }), Change::None),
    }
}

fn level(entry: &CatalogueEntry, setting: &Setting, reading: Reading) -> Level {
    match reading {
        Reading::Unknown => Level::Unknown,
        Reading::Good => Level::Good,
        Reading::Bad(_) => Level::Bad,
        Reading::Unconfirmed => Level::Unconfirmed,
        Reading::Number(number) => match entry.limit.zip(setting.threshold) {
            None => Level::Unknown,
            Some((limit, threshold)) if limit.is_reached(number, threshold) => Level::Bad,
            Some((limit, threshold)) if limit.is_reached(number, limit.ends_at(threshold)) => Level::Between,
            Some(_) => Level::Good,
        },
    }
}
