//! Delay between the attempts of an operation that fails.

use std::time::Duration;

/// `first` after the first failure, doubled up to `longest`; `jitter` (0 to 1) adds up to half after the cap. With the
/// jitter below the cap, everything that reached the cap would be retried at the same moments for ever.
pub fn delay(first: Duration, longest: Duration, failures: u32, jitter: f64) -> Duration {
    let doubled = (first * (1 << failures.saturating_sub(1).min(16))).min(longest);
    doubled + doubled.mul_f64(jitter / 2.0)
}
