//! The past of a machine: means of a minute, later of a quarter of an hour, later of an hour.
//!
//! Means only: a minimum and a maximum would cost three times the space, and short excursions stand in the minutes of
//! the last two days. A bucket without a beat is a gap and stays one. What is older than the minutes are kept is in the
//! coarser resolutions alone; nothing is kept twice.

pub mod packed;

use super::beat::{FIGURES, Sample};
use super::fleet::Fleet;
use super::store::{MachineId, Store, StoreError};
use crate::clock::Moment;
use packed::Packed;
use std::collections::BTreeMap;
use std::time::Duration;

/// More points than a screen has are refused to nobody, and get a longer step instead.
pub const MAX_POINTS: u64 = 5_000;

/// How finely a stretch of the past is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution {
    /// Of a bucket.
    pub seconds: i64,
    /// In a row of the table.
    pub buckets: usize,
    /// What is older is handed down to the next one.
    pub kept: Duration,
}

const HOUR: u64 = 3600;

/// Finest first. Rows of an hour, a day, a week: few enough to be read together, small enough to be rewritten.
pub const RESOLUTIONS: [Resolution; 3] = [
    Resolution { seconds: 60, buckets: 60, kept: Duration::from_secs(48 * HOUR) },
    Resolution { seconds: 900, buckets: 96, kept: Duration::from_secs(30 * 24 * HOUR) },
    Resolution { seconds: 3600, buckets: 168, kept: Duration::from_secs(365 * 24 * HOUR) },
];

impl Resolution {
    /// The number since 1970 of the bucket that `at` lies in.
    pub fn bucket(&self, at: Moment) -> i64 {
        at.0.div_euclid(self.seconds * 1000)
    }

    pub fn begin(&self, bucket: i64) -> Moment {
        Moment(bucket.saturating_mul(self.seconds * 1000))
    }

    /// The first bucket of the row that `bucket` stands in, and its place there.
    pub fn row(&self, bucket: i64) -> (i64, usize) {
        let buckets = self.buckets as i64;
        let place = bucket.rem_euclid(buckets);
        (bucket - place, place as usize)
    }
}

/// Figures at a moment: the mean of the `step` that begins there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub at: Moment,
    pub sample: Sample,
}

/// The history of `machine` from `from` (included) to `to` (excluded), a point for each `step` in which something was
/// measured. A step is at least a minute and a whole number of minutes, and so long that there are at most
/// [`MAX_POINTS`]; where the past is kept more coarsely than `step`, the points are further apart.
///
/// # Errors
/// The database could not be read.
pub fn query(
    store: &Store,
    fleet: &Fleet,
    machine: MachineId,
    from: Moment,
    to: Moment,
    step: Duration,
) -> Result<Vec<Point>, StoreError> {
    let step = fitting(step, to.since(from));
    let mut means = Means { step, from, to, sums: BTreeMap::new() };
    let minutes = RESOLUTIONS[0];
    // Memory before the database: what is written in between is there twice rather than missing, and counts once.
    let newest: BTreeMap<i64, Packed> = fleet.minutes(machine).into_iter().collect();
    for resolution in RESOLUTIONS {
        store.history(machine, resolution, from, to, |bucket, packed| {
            if resolution != minutes || !newest.contains_key(&bucket) {
                means.add(resolution.begin(bucket), packed);
            }
        })?;
    }
    for (bucket, packed) in &newest {
        means.add(minutes.begin(*bucket), *packed);
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

/// Sums and counts of each step's figures.
struct Means {
    /// In milliseconds.
    step: i64,
    from: Moment,
    to: Moment,
    sums: BTreeMap<i64, [(f32, u32); FIGURES]>,
}

impl Means {
    fn add(&mut self, at: Moment, packed: Packed) {
        if at < self.from || at >= self.to {
            return;
        }
        let sums = self.sums.entry(at.0.div_euclid(self.step)).or_insert([(0.0, 0); FIGURES]);
        for ((sum, count), figure) in sums.iter_mut().zip(packed.sample().figures()) {
            if let Some(figure) = figure {
                *sum += figure;
                *count += 1;
            }
        }
    }

    fn points(self) -> Vec<Point> {
        let step = self.step;
        let point = |(number, sums): (i64, [(f32, u32); FIGURES])| Point {
            at: Moment(number * step),
            sample: Sample::of(sums.map(|(sum, count)| (count > 0).then(|| sum / count as f32))),
        };
        self.sums.into_iter().map(point).collect()
    }
}

/// The buckets of the next coarser resolution that these buckets make: each the mean of what there is.
pub fn coarser(row: &[(i64, Packed)], fine: Resolution, coarse: Resolution) -> Vec<(i64, Packed)> {
    let step = coarse.seconds * 1000;
    let mut means = Means { step, from: Moment(i64::MIN), to: Moment(i64::MAX), sums: BTreeMap::new() };
    for (bucket, packed) in row {
        means.add(fine.begin(*bucket), *packed);
    }
    let points = means.points().into_iter();
    points.map(|point| (coarse.bucket(point.at), Packed::from(point.sample))).collect()
}

#[cfg(test)]
mod tests;
