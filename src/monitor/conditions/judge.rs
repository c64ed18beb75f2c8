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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::monitor::conditions::catalogue::{CATALOGUE, Condition};
    use std::time::Duration;

    const START: Moment = Moment(1_769_000_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    /// The changes of a sequence of readings, each with its minute.
    fn changes(condition: Condition, readings: &[(u64, Reading)]) -> Vec<(u64, Change)> {
        let (entry, setting) = (condition.entry(), Setting::of(condition.entry()));
        let start = Now { monotonic: Instant::now(), wall: START };
        let mut phase = None;
        let mut changes = Vec::new();
        for &(minute, reading) in readings {
            let now = start.plus(MINUTE * u32::try_from(minute).expect("small"));
            let (next, change) = judge(entry, &setting, phase, reading, now);
            phase = next;
            if change != Change::None {
                changes.push((minute, change));
            }
        }
        changes
    }

    /// A reading of each condition that holds, and one that does not.
    fn bad_and_good(condition: Condition) -> (Reading, Reading) {
        match condition.entry().limit {
            None => (Reading::Bad(None), Reading::Good),
            Some(limit) => {
                let good = limit.ends_at(limit.ends_at(limit.threshold));
                (Reading::Number(limit.threshold), Reading::Number(good))
            }
        }
    }

    #[test]
    fn each_condition_begins_after_its_hold_time_and_ends_after_its_end_time() {
        for entry in &CATALOGUE {
            let (bad, good) = bad_and_good(entry.condition);
            let minutes = |duration: Duration| duration.as_secs().div_ceil(60);
            let (hold, clear) = (minutes(entry.hold), minutes(entry.clear));
            let until = |begin: u64, end: u64, reading| (begin..=end).map(move |minute| (minute, reading));
            let readings: Vec<_> = until(1, 1 + hold, bad).chain(until(500, 500 + clear, good)).collect();
            assert_eq!(
                changes(entry.condition, &readings),
                [(1 + hold, Change::Begins), (500 + clear, Change::Ends)],
                "{}",
                entry.name
            );
        }
    }

    #[test]
    fn a_condition_that_is_over_within_its_hold_time_is_nothing() {
        for entry in CATALOGUE.iter().filter(|entry| !entry.hold.is_zero()) {
            let (bad, good) = bad_and_good(entry.condition);
            assert_eq!(changes(entry.condition, &[(0, bad), (1, good), (500, bad)]), [], "{}", entry.name);
        }
    }

    #[test]
    fn unknown_keeps_the_hold_time_and_neither_begins_nor_ends() {
        use Reading::{Bad, Good, Unknown};
        let camera = |readings: &[(u64, Reading)]| changes(Condition::Camera, readings);
        assert_eq!(camera(&[(0, Bad(None)), (1, Unknown), (9, Unknown)]), []);
        assert_eq!(camera(&[(0, Bad(None)), (1, Unknown), (9, Bad(None))]), [(9, Change::Begins)]);
        assert_eq!(
            camera(&[(0, Bad(None)), (1, Bad(None)), (2, Unknown), (500, Unknown)]),
            [(1, Change::Begins)]
        );
        assert_eq!(camera(&[(0, Unknown), (1, Good), (9, Unknown)]), []);
    }

    #[test]
    fn a_suspicion_starts_the_hold_time_and_only_a_confirmation_begins_an_incident() {
        use Reading::{Bad, Unconfirmed};
        let camera = |readings: &[(u64, Reading)]| changes(Condition::Camera, readings);
        assert_eq!(camera(&[(0, Unconfirmed), (9, Unconfirmed)]), []);
        assert_eq!(camera(&[(0, Unconfirmed), (1, Bad(None))]), [(1, Change::Begins)]);
    }

    #[test]
    fn a_number_between_its_thresholds_keeps_the_state_and_restarts_no_end_time() {
        let at = |celsius| Reading::Number(celsius);
        let heat = |readings: &[(u64, Reading)]| changes(Condition::Temperature, readings);
        assert_eq!(heat(&[(0, at(79.9)), (9, at(79.9))]), []);
        assert_eq!(
            heat(&[(0, at(80.0)), (4, at(78.0)), (9, at(80.0)), (14, at(80.0))]),
            [(14, Change::Begins)]
        );
        let open = [(0, at(80.0)), (5, at(80.0))];
        let then = |readings: &[(u64, Reading)]| heat(&[&open, readings].concat());
        assert_eq!(then(&[(6, at(75.0)), (99, at(75.0))]), [(5, Change::Begins)]);
        assert_eq!(then(&[(6, at(74.9)), (7, at(74.9))]), [(5, Change::Begins), (7, Change::Ends)]);
        assert_eq!(then(&[(6, at(74.9)), (7, at(81.0)), (8, at(74.9))]), [(5, Change::Begins)]);
    }
}
