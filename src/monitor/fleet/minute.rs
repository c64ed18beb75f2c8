//! The minute that is being measured: sums and counts, of which the mean is kept.

use crate::clock::Moment;
use crate::monitor::beat::{FIGURES, Sample};
use crate::monitor::history::packed::Packed;

#[derive(Debug, Default)]
pub(super) struct Minute {
    /// Since 1970.
    number: i64,
    sums: [f32; FIGURES],
    counts: [u16; FIGURES],
}

impl Minute {
    /// The minute that `now` is in, without samples.
    pub(super) fn of(now: Moment) -> Minute {
        Minute { number: number(now), ..Minute::default() }
    }

    pub(super) fn contains(&self, now: Moment) -> bool {
        self.number == number(now)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts == [0; FIGURES]
    }

    pub(super) fn add(&mut self, sample: Sample) {
        for (index, figure) in sample.figures().into_iter().enumerate() {
            if let Some(figure) = figure.filter(|_| self.counts[index] < u16::MAX) {
                self.sums[index] += figure;
                self.counts[index] += 1;
            }
        }
    }

    /// The minute's number and its means; `None` if nothing was measured.
    pub(super) fn mean(&self) -> Option<(i64, Packed)> {
        let mean = |index: usize| match self.counts[index] {
            0 => None,
            count => Some(self.sums[index] / f32::from(count)),
        };
        let packed = Packed::from(Sample::of(std::array::from_fn(mean)));
        (!packed.is_empty()).then_some((self.number, packed))
    }
}

/// Minutes since 1970.
fn number(now: Moment) -> i64 {
    now.0.div_euclid(60_000)
}
