//! Which connections are closed to be made again, and when: decided by the seed.

use fastrand::Rng;
use std::time::{Duration, Instant};

pub struct Churn {
    order: Vec<u32>,
    next: usize,
    due: Instant,
    /// `None`: no connection is closed.
    pause: Option<Duration>,
}

impl Churn {
    /// `rate` connections of `machines` in a second, from `begin` on.
    pub fn new(machines: usize, rate: f64, seed: u64, begin: Instant) -> Churn {
        let pause = (rate > 0.0 && machines > 0).then(|| Duration::from_secs_f64(1.0 / rate));
        let count = if pause.is_some() { u32::try_from(machines).unwrap_or(u32::MAX) } else { 0 };
        let mut order: Vec<u32> = (0..count).collect();
        Rng::with_seed(seed).shuffle(&mut order);
        Churn { order, next: 0, due: begin, pause }
    }

    /// The machine whose turn has come, by its index; all have one turn before one has its second.
    pub fn due(&mut self, now: Instant) -> Option<usize> {
        let pause = self.pause.filter(|_| self.due <= now)?;
        self.due += pause;
        let index = self.order[self.next % self.order.len()];
        self.next += 1;
        Some(index as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn first(seed: u64, count: usize) -> Vec<usize> {
        let begin = Instant::now();
        let mut churn = Churn::new(50, 10.0, seed, begin);
        std::iter::from_fn(|| churn.due(begin + Duration::from_secs(100))).take(count).collect()
    }

    #[test]
    fn the_seed_decides_the_order_and_each_machine_has_its_turn() {
        assert_eq!(first(7, 50), first(7, 50));
        assert_ne!(first(7, 50), first(8, 50));
        assert_eq!(first(7, 50).into_iter().collect::<HashSet<_>>().len(), 50);
        assert_eq!(first(7, 60)[50..], first(7, 10));
    }

    #[test]
    fn the_rate_decides_how_many() {
        let begin = Instant::now();
        let mut churn = Churn::new(50, 10.0, 7, begin);
        let count = |churn: &mut Churn, seconds| {
            std::iter::from_fn(|| churn.due(begin + Duration::from_secs(seconds))).count()
        };
        assert_eq!(count(&mut churn, 0), 1);
        assert_eq!(count(&mut churn, 3), 30);
        assert_eq!(count(&mut Churn::new(50, 0.0, 7, begin), 100), 0);
        assert_eq!(count(&mut Churn::new(0, 10.0, 7, begin), 100), 0);
    }
}
