//! Suspend time of the machine, and durations in Go's notation.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How long the machine has been suspended since it was booted: [`Instant`] stands still meanwhile.
pub fn suspended() -> Duration {
    let of = |id| Duration::try_from(clock_gettime(id)).unwrap_or_default();
    // In this order the difference is never too small.
    let awake = of(ClockId::Monotonic);
    of(ClockId::Boottime).saturating_sub(awake)
}

/// Go's form of a duration, which the users of the original system grep for: `30s`, `2m0s`, `1h0m0s`, `1.5s`, `250ms`.
pub fn go_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0 => return "0s".into(),
        1..1_000 => return format!("{nanos}ns"),
        1_000..1_000_000 => return format!("{}µs", decimal(nanos, 3)),
        1_000_000..1_000_000_000 => return format!("{}ms", decimal(nanos, 6)),
        _ => {}
    }
    let seconds = duration.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let rest = decimal(nanos % 60_000_000_000, 9);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

/// The same in whole seconds, rounded up, for a wait of which nobody wants to know the nanoseconds.
pub fn go_seconds(wait: Duration) -> String {
    go_duration(Duration::from_secs(wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))))
}

/// `value` / 10^`places`, without zeros at the end.
fn decimal(value: u128, places: u32) -> String {
    let unit = 10u128.pow(places);
    let fraction = format!("{:0width$}", value % unit, width = places as usize);
    match fraction.trim_end_matches('0') {
        "" => (value / unit).to_string(),
        digits => format!("{}.{digits}", value / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (250_000_000, "250ms"),
            (1_500_000_000, "1.5s"),
            (30_000_000_000, "30s"),
            (120_000_000_000, "2m0s"),
            (135_000_000_000, "2m15s"),
            (135_250_000_000, "2m15.25s"),
            (3_600_000_000_000, "1h0m0s"),
            (93_784_000_000_000, "26h3m4s"),
        ];
        for (nanos, written) in cases {
            assert_eq!(go_duration(Duration::from_nanos(nanos)), written);
        }
    }

    #[test]
    fn a_wait_is_written_in_whole_seconds_and_never_as_none() {
        for (nanos, written) in [(5_175_850_652, "6s"), (1, "1s"), (60_000_000_000, "1m0s"), (0, "0s")] {
            assert_eq!(go_seconds(Duration::from_nanos(nanos)), written);
        }
    }
}
