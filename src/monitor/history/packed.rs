//! A row of history: for each figure the least value, and how far each bucket is above it, in as few bits as the row
//! needs.
//!
//! ```text
//! 1 (the format)
//! seven times:  width   0xff: the figure is absent in all buckets, nothing follows
//!               least   u16, little-endian
//!               buckets of `width` bits each, lowest bit first: 0 is absent, n is least + n - 1
//! ```
//!
//! Figures change little within a row, so a bucket takes 4 bytes on a typical machine; the worst there can be takes 14.

use crate::monitor::beat::{FIGURES, Sample};

const FORMAT: u8 = 1;
const NO_COLUMN: u8 = 0xff;
const ABSENT: u16 = u16::MAX;

/// The value of one step: half a percent, half a degree, 50 mW, a twentieth of a runnable task. Finer than a chart
/// shows, and each halving would cost a bit of every bucket.
const STEPS: [f32; FIGURES] = [0.5, 0.5, 0.5, 0.5, 0.05, 0.05, 0.5];
/// Temperatures go below zero.
const LEAST: [f32; FIGURES] = [0.0, 0.0, -128.0, 0.0, 0.0, 0.0, 0.0];

/// A bucket's figures, in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed([u16; FIGURES]);

impl Packed {
    pub const EMPTY: Packed = Packed([ABSENT; FIGURES]);

    pub fn is_empty(&self) -> bool {
        *self == Packed::EMPTY
    }

    pub fn sample(&self) -> Sample {
        let figure = |index: usize| {
            let steps = self.0[index];
            (steps != ABSENT).then(|| LEAST[index] + f32::from(steps) * STEPS[index])
        };
        Sample::of(std::array::from_fn(figure))
    }
}

impl From<Sample> for Packed {
    fn from(sample: Sample) -> Packed {
        let figures = sample.figures();
        let steps = |index: usize| {
            let Some(figure) = figures[index] else { return ABSENT };
            // `as` saturates: what does not fit is the most that fits, and figures that large are refused before.
            (((figure - LEAST[index]) / STEPS[index]).round() as u16).min(ABSENT - 1)
        };
        Packed(std::array::from_fn(steps))
    }
}

/// The bytes of a row.
pub fn pack(row: &[Packed]) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    for figure in 0..FIGURES {
        let present = || row.iter().map(|packed| packed.0[figure]).filter(|steps| *steps != ABSENT);
        let (Some(least), Some(most)) = (present().min(), present().max()) else {
            bytes.push(NO_COLUMN);
            continue;
        };
        // One more than the range: 0 is absent.
        let range = u32::from(most - least) + 1;
        let width = u32::BITS - range.leading_zeros();
        bytes.push(width as u8);
        bytes.extend_from_slice(&least.to_le_bytes());
        let above = |packed: &Packed| match packed.0[figure] {
            ABSENT => 0,
            steps => u32::from(steps - least) + 1,
        };
        push_bits(&mut bytes, row.iter().map(above), width);
    }
    bytes
}

fn push_bits(bytes: &mut Vec<u8>, values: impl Iterator<Item = u32>, width: u32) {
    let (mut held, mut count) = (0_u64, 0);
    for value in values {
        held |= u64::from(value) << count;
        count += width;
        while count >= 8 {
            bytes.push(held as u8);
            held >>= 8;
            count -= 8;
        }
    }
    if count > 0 {
        bytes.push(held as u8);
    }
}

/// The buckets of a row; `None` if the bytes are not such a row.
pub fn unpack(bytes: &[u8], buckets: usize) -> Option<Vec<Packed>> {
    let mut row = vec![Packed::EMPTY; buckets];
    let mut rest = bytes.strip_prefix(&[FORMAT])?;
    for figure in 0..FIGURES {
        let (&width, after) = rest.split_first()?;
        rest = after;
        if width == NO_COLUMN {
            continue;
        }
        if !(1..=17).contains(&width) {
            return None;
        }
        let (least, after) = rest.split_first_chunk::<2>()?;
        let least = u32::from(u16::from_le_bytes(*least));
        let (column, after) = after.split_at_checked((buckets * usize::from(width)).div_ceil(8))?;
        rest = after;
        for (packed, above) in row.iter_mut().zip(bits(column, u32::from(width))) {
            if above > 0 {
                packed.0[figure] = u16::try_from(least + above - 1).ok().filter(|steps| *steps != ABSENT)?;
            }
        }
    }
    rest.is_empty().then_some(row)
}

fn bits(column: &[u8], width: u32) -> impl Iterator<Item = u32> {
    let mut bytes = column.iter();
    let (mut held, mut count) = (0_u64, 0);
    std::iter::from_fn(move || {
        while count < width {
            held |= u64::from(*bytes.next()?) << count;
            count += 8;
        }
        let value = held & ((1 << width) - 1);
        held >>= width;
        count -= width;
        // At most 17 bits.
        Some(value as u32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(figures: [Option<f32>; FIGURES]) -> Packed {
        Packed::from(Sample::of(figures))
    }

    #[test]
    fn a_row_comes_back_as_it_was() {
        let mut random = fastrand::Rng::with_seed(1);
        for round in 0..500_u32 {
            let buckets = random.usize(0..170);
            // Narrow columns, wide ones, rows with gaps and rows without.
            let (range, gaps) = (random.u16(1..), (round % 3) as u8);
            let bucket = |random: &mut fastrand::Rng| {
                let mut steps = [0; FIGURES];
                steps.fill_with(|| match random.u8(0..10) < gaps {
                    true => ABSENT,
                    false => random.u16(0..range),
                });
                Packed(steps)
            };
            let row: Vec<Packed> = (0..buckets).map(|_| bucket(&mut random)).collect();
            assert_eq!(unpack(&pack(&row), buckets), Some(row));
        }
    }

    #[test]
    fn the_extremes_fit() {
        let row = [Packed([0; FIGURES]), Packed([ABSENT - 1; FIGURES]), Packed::EMPTY];
        assert_eq!(unpack(&pack(&row), 3).as_deref(), Some(row.as_slice()));
    }

    #[test]
    fn damaged_bytes_are_noticed_and_never_a_panic() {
        let row = [packed([Some(12.5), None, Some(48.8), None, Some(1.9), Some(0.4), Some(80.0)]); 60];
        let bytes = pack(&row);
        for length in 0..bytes.len() {
            assert_eq!(unpack(&bytes[..length], 60), None, "cut to {length}");
        }
        assert_eq!(unpack(&bytes, 96), None);
        let mut random = fastrand::Rng::with_seed(2);
        for _ in 0..20_000 {
            let mut hurt = bytes.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(0..hurt.len());
                hurt[at] = random.u8(..);
            }
            let _ = unpack(&hurt, 60);
        }
    }

    #[test]
    fn figures_come_back_within_half_a_step() {
        let figures = [Some(12.4), Some(99.9), Some(-20.3), Some(0.0), Some(1.93), Some(0.42), None];
        let back = packed(figures).sample().figures();
        for (index, (sent, back)) in figures.iter().zip(back).enumerate() {
            match (sent, back) {
                (Some(sent), Some(back)) => {
                    assert!((sent - back).abs() <= STEPS[index] / 2.0 + 1e-4, "{index}")
                }
                (sent, back) => assert_eq!(*sent, back),
            }
        }
    }

    #[test]
    fn a_figure_outside_the_range_comes_back_as_the_nearest_one_that_fits() {
        for (sent, back) in [(1e9, 32_767.0), (32_767.4, 32_767.0), (32_766.9, 32_767.0), (-3.0, 0.0)] {
            let mut figures = [None; FIGURES];
            figures[0] = Some(sent);
            assert_eq!(packed(figures).sample().figures()[0], Some(back), "{sent}");
        }
    }

    #[test]
    fn a_quiet_machine_takes_four_bytes_a_bucket() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut jitter = |around: f32, by: f32| Some(around + (random.f32() - 0.5) * by);
        let row: Vec<Packed> = (0..60)
            .map(|_| {
                packed([
                    jitter(12.0, 20.0),
                    jitter(41.0, 2.0),
                    jitter(48.0, 3.0),
                    Some(42.0),
                    jitter(2.0, 0.8),
                    jitter(0.4, 0.8),
                    jitter(80.0, 6.0),
                ])
            })
            .collect();
        let length = pack(&row).len();
        assert!(length <= 60 * 4, "{length}");
    }
}
