//! How finely the past is kept, and means of it.

use super::packed::Packed;
use crate::clock::Moment;
use crate::monitor::beat::{FIGURES, Sample};
use std::collections::BTreeMap;
use std::time::Duration;

/// How finely a stretch of the past is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution {
    /// Of a bucket.
    pub seconds: i64,
    /// In a row of the table.
    pub buckets: usize,
    /// Older samples move to the next resolution.
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

    /// The first bucket of the row that contains `bucket`, and its index there.
    pub fn row(&self, bucket: i64) -> (i64, usize) {
        let buckets = self.buckets as i64;
        let place = bucket.rem_euclid(buckets);
        (bucket - place, place as usize)
    }

    /// The begin of the oldest row that is kept: rows before it are, or will soon be, handed down.
    pub fn kept_from(&self, now: Moment) -> Moment {
        let (row, _) = self.row(self.bucket(now.minus(self.kept)));
        self.begin(row)
    }
}

/// Figures at a moment: of the `step` that begins there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub at: Moment,
    /// Means.
    pub sample: Sample,
    /// The least and the greatest minute mean of each figure; `None` if a part of the step has none.
    pub least: Sample,
    pub greatest: Sample,
}

/// What is known of one figure within a step.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    sum: f32,
    count: u32,
    /// Values whose least and greatest are known.
    ranged: u32,
    least: f32,
    greatest: f32,
}

impl Spread {
    const NONE: Spread =
        Spread { sum: 0.0, count: 0, ranged: 0, least: f32::INFINITY, greatest: f32::NEG_INFINITY };

    fn add(&mut self, value: f32, range: Option<(f32, f32)>) {
        self.sum += value;
        self.count += 1;
        if let Some((least, greatest)) = range {
            self.ranged += 1;
            self.least = self.least.min(least);
            self.greatest = self.greatest.max(greatest);
        }
    }

    fn mean(&self) -> Option<f32> {
        (self.count > 0).then(|| self.sum / self.count as f32)
    }

    /// `bound`, if each value has one.
    fn complete(&self, bound: f32) -> Option<f32> {
        (self.count > 0 && self.ranged == self.count).then_some(bound)
    }
}

/// The figures of each step.
pub struct Means {
    /// In milliseconds.
    pub step: i64,
    pub from: Moment,
    pub to: Moment,
    pub spreads: BTreeMap<i64, [Spread; FIGURES]>,
}

impl Means {
    /// Adds a minute, which is its own least and greatest value.
    pub fn add_minute(&mut self, at: Moment, packed: Packed) {
        self.add(at, packed, Some([packed; 2]));
    }

    /// Adds a bucket, and its least and greatest values if they are known.
    pub fn add(&mut self, at: Moment, packed: Packed, range: Option<[Packed; 2]>) {
        if at < self.from || at >= self.to {
            return;
        }
        let spreads = self.spreads.entry(at.0.div_euclid(self.step)).or_insert([Spread::NONE; FIGURES]);
        let [least, greatest] = range.unwrap_or([Packed::EMPTY; 2]).map(|side| side.sample().figures());
        let bounds = least.into_iter().zip(greatest).map(|(least, greatest)| least.zip(greatest));
        for ((spread, figure), bounds) in spreads.iter_mut().zip(packed.sample().figures()).zip(bounds) {
            if let Some(figure) = figure {
                spread.add(figure, bounds);
            }
        }
    }

    pub fn points(self) -> Vec<Point> {
        let step = self.step;
        let point = |(number, spreads): (i64, [Spread; FIGURES])| Point {
            at: Moment(number * step),
            sample: Sample::of(spreads.map(|spread| spread.mean())),
            least: Sample::of(spreads.map(|spread| spread.complete(spread.least))),
            greatest: Sample::of(spreads.map(|spread| spread.complete(spread.greatest))),
        };
        self.spreads.into_iter().map(point).collect()
    }
}

/// The buckets of the next coarser resolution that these buckets make: each the mean of what there is.
pub fn coarser(row: &[(i64, Packed)], fine: Resolution, coarse: Resolution) -> Vec<(i64, Packed)> {
    let step = coarse.seconds * 1000;
    let mut means = Means { step, from: Moment(i64::MIN), to: Moment(i64::MAX), spreads: BTreeMap::new() };
    for (bucket, packed) in row {
        means.add(fine.begin(*bucket), *packed, None);
    }
    let points = means.points().into_iter();
    points.map(|point| (coarse.bucket(point.at), Packed::from(point.sample))).collect()
}
