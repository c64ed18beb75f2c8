//! Delay between the attempts of an operation that fails: of heartbeats in the daemon, of deliveries in the monitor.

use std::time::Duration;

/// `first` after the first failure, doubled up to `longest`; `jitter` (0 to 1) adds up to half after the cap. With the
/// jitter below the cap, everything that reached the cap would be retried at the same moments for ever.
pub fn delay(first: Duration, longest: Duration, failures: u32, jitter: f64) -> Duration {
    let doubled = (first * (1 << failures.saturating_sub(1).min(16))).min(longest);
    doubled + doubled.mul_f64(jitter / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_delay_doubles_up_to_the_longest() {
        let delays = [1, 2, 3, 4, 5, 17, u32::MAX].map(|failures| delay(SECOND, SECOND * 10, failures, 0.0));
        assert_eq!(delays.map(|delay| delay.as_secs()), [1, 2, 4, 8, 10, 10, 10]);
        assert_eq!(delay(SECOND, SECOND * 10, 0, 0.0), SECOND, "before the first failure");
    }

    #[test]
    fn jitter_spreads_the_longest_delay_too() {
        assert_eq!(delay(SECOND * 2, SECOND * 10, 1, 1.0), SECOND * 3);
        assert_eq!(delay(SECOND * 2, SECOND * 10, 9, 0.5), Duration::from_millis(12_500));
        assert_eq!(delay(SECOND * 2, SECOND * 10, 9, 1.0), SECOND * 15);
    }
}
