//! A limit on what happens in bursts: a number of events at once, and later ones at a steady pace.

use std::time::{Duration, Instant};

/// Allows `capacity` events at once, and one more each `refill`.
#[derive(Debug)]
pub struct Burst {
    capacity: u32,
    refill: Duration,
    /// Events that are allowed now.
    left: u32,
    /// When `left` was last less than `capacity` and became larger.
    filled: Option<Instant>,
}

impl Burst {
    pub const fn new(capacity: u32, refill: Duration) -> Burst {
        Burst { capacity, refill, left: capacity, filled: None }
    }

    /// Whether one more event may happen now; then it counts.
    ///
    /// # Errors
    /// The moment at which the next one may.
    pub fn allow(&mut self, now: Instant) -> Result<(), Instant> {
        let filled = *self.filled.get_or_insert(now);
        let passed = now.saturating_duration_since(filled).as_nanos() / self.refill.as_nanos().max(1);
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        let filled = match self.left.saturating_add(passed) {
            // The first event after a rest: the next refill is counted from it.
            left if left >= self.capacity => {
                self.left = self.capacity;
                now
            }
            left => {
                self.left = left;
                filled + self.refill * passed
            }
        };
        self.filled = Some(filled);
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(filled + self.refill),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_is_allowed_and_then_one_event_each_refill() {
        let begin = Instant::now();
        let mut burst = Burst::new(3, SECOND);
        for _ in 0..3 {
            assert_eq!(burst.allow(begin), Ok(()));
        }
        assert_eq!(burst.allow(begin + SECOND / 2), Err(begin + SECOND));
        assert_eq!(burst.allow(begin + SECOND), Ok(()));
        assert_eq!(burst.allow(begin + SECOND), Err(begin + SECOND * 2));
        assert_eq!(burst.allow(begin + SECOND * 5 / 2), Ok(()));
        assert_eq!(burst.allow(begin + SECOND * 5 / 2), Err(begin + SECOND * 3), "half a refill is not lost");
    }

    #[test]
    fn a_pause_allows_one_full_burst() {
        let begin = Instant::now();
        let mut burst = Burst::new(3, SECOND);
        let allowed = |burst: &mut Burst, at| (0..100).filter(|_| burst.allow(at).is_ok()).count();
        assert_eq!(allowed(&mut burst, begin), 3);
        assert_eq!(allowed(&mut burst, begin + SECOND * 86_400), 3);
        let flood =
            (0..1000).filter(|n| burst.allow(begin + SECOND * 90_000 + SECOND / 100 * *n).is_ok()).count();
        assert_eq!(flood, 3 + 9, "10 s of 100 events a second");
    }
}
