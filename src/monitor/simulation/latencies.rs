//! A histogram of latencies by their leading four bits: quantiles are exact to 6 % at any scale, in 8 KiB.

use std::time::Duration;

const BITS: u32 = 4;
const PLACES: usize = 64 << BITS;

#[derive(Clone)]
pub struct Latencies {
    /// Indexed by [`place`] of the nanoseconds.
    counts: Box<[u64; PLACES]>,
    count: u64,
    most: Duration,
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies { counts: Box::new([0; PLACES]), count: 0, most: Duration::ZERO }
    }
}

impl std::fmt::Debug for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Latencies { count, most, .. } = self;
        write!(f, "{count} latencies, {:?} to {most:?}", self.quantile(0.0))
    }
}

impl Latencies {
    pub fn record(&mut self, latency: Duration) {
        self.counts[place(nanoseconds(latency))] += 1;
        self.count += 1;
        self.most = self.most.max(latency);
    }

    pub fn add(&mut self, other: &Latencies) {
        for (count, other) in self.counts.iter_mut().zip(other.counts.iter()) {
            *count += other;
        }
        self.count += other.count;
        self.most = self.most.max(other.most);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn most(&self) -> Duration {
        self.most
    }

    /// The latency that at least this share (0 to 1) of all did not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (place, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(end(place)).min(self.most);
            }
        }
        self.most
    }
}

fn nanoseconds(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX)
}

/// Numbers below 16 have a place each; above, each power of two has 16 places.
fn place(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(BITS + 1);
    ((shift as usize) << BITS) + (value >> shift) as usize
}

/// The largest value of a place.
fn end(place: usize) -> u64 {
    let shift = (place >> BITS).saturating_sub(1);
    let leading = (place - (shift << BITS)) as u64;
    ((leading + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_in_its_bucket_and_no_bucket_is_wider_than_a_sixteenth() {
        let values = (0..2000).chain((0..60).map(|bit| 1 << bit)).chain((11..60).map(|bit| (1 << bit) - 1));
        for value in values {
            let end = end(place(value));
            assert!(value <= end && end - value <= value / 16, "{value} {end}");
            assert_eq!(place(end), place(value));
            assert_eq!(place(end + 1), place(value) + 1);
        }
        assert!(place(u64::MAX) < PLACES);
    }

    #[test]
    fn quantiles_of_a_thousand_milliseconds() {
        let mut latencies = Latencies::default();
        for millisecond in 1..=1000 {
            latencies.record(Duration::from_millis(millisecond));
        }
        for (share, expected) in [(0.0, 1), (0.5, 500), (0.99, 990), (1.0, 1000)] {
            let quantile = latencies.quantile(share).as_secs_f64() * 1000.0;
            let expected = f64::from(expected);
            assert!((expected..=expected * 1.07).contains(&quantile), "{share} {quantile}");
        }
    }
}
