//! The history of a machine as points: from the database, and newer ones from memory.

use super::packed::Packed;
use super::resolution::{Means, Point, RESOLUTIONS};
use crate::clock::Moment;
use crate::monitor::fleet::Fleet;
use crate::monitor::machine::MachineId;
use crate::monitor::store::{Store, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Most points of a response; a request for more gets a longer step.
pub const MAX_POINTS: u64 = 5_000;

/// The history of `machine` from `from` (included) to `to` (excluded), a point for each `step` in which something was
/// measured. A step is a whole number of minutes, at least one, and long enough for at most [`MAX_POINTS`] points.
/// Where the history is kept more coarsely than `step`, the points are further apart.
pub fn query(
    store: &Store,
    fleet: &Fleet,
    machine: MachineId,
    from: Moment,
    to: Moment,
    step: Duration,
) -> Result<Vec<Point>, StoreError> {
    let step = fitting(step, to.since(from));
    let mut means = Means { step, from, to, spreads: BTreeMap::new() };
    let minutes = RESOLUTIONS[0];
    // Memory before the database: a minute written in between is found twice rather than missing, and counts once.
    let newest: BTreeMap<i64, Packed> = fleet.minutes(machine).into_iter().collect();
    // A bucket that was handed down counts only when its finer ones are gone.
    let mut finer = BTreeSet::new();
    for resolution in RESOLUTIONS {
        let ranges = store.history_ranges(machine, resolution, from, to)?;
        let covered: BTreeSet<i64> = finer.iter().map(|begin| resolution.bucket(*begin)).collect();
        store.history(machine, resolution, from, to, |bucket, packed| {
            let begin = resolution.begin(bucket);
            finer.insert(begin);
            let is_in_memory = resolution == minutes && newest.contains_key(&bucket);
            if !is_in_memory && !covered.contains(&bucket) {
                let minute = (resolution == minutes).then_some([packed; 2]);
                means.add(begin, packed, minute.or_else(|| ranges.get(&bucket).copied()));
            }
        })?;
    }
    for (bucket, packed) in &newest {
        means.add_minute(minutes.begin(*bucket), *packed);
    }
    Ok(means.points())
}

/// Whole minutes, at least one, at most [`MAX_POINTS`] within `span`.
fn fitting(step: Duration, span: Duration) -> i64 {
    let least = span.as_secs().div_ceil(MAX_POINTS);
    let minutes = step.as_secs().max(least).div_ceil(60).max(1);
    // At most as long as the span itself, which came from an i64.
    i64::try_from(minutes.saturating_mul(60_000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
