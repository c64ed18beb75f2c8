//! The monitor's clock: the only one that decides. What a device says of the time is shown, never believed.

use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment by the monitor's wall clock, in milliseconds since 1970: as it stands in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub i64);

impl Moment {
    pub fn now() -> Moment {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    #[must_use]
    pub fn plus(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(milliseconds(duration)))
    }

    #[must_use]
    pub fn minus(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_sub(milliseconds(duration)))
    }

    /// Zero if `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// As the seed's webhooks write it, to the second: `2026-01-21T14:30:00Z`. `None` after the year 9999.
    pub fn rfc3339(self) -> Option<String> {
        OffsetDateTime::from_unix_timestamp(self.0.div_euclid(1000)).ok()?.format(&Rfc3339).ok()
    }
}

/// Both clocks at one moment, also where the process is stopped between the two readings: a difference would look like
/// a step of the wall clock.
pub fn clocks() -> (Moment, Instant) {
    loop {
        let before = Instant::now();
        let now = Moment::now();
        let tick = Instant::now();
        if tick.saturating_duration_since(before) < LONGEST_READING {
            return (now, tick);
        }
    }
}

/// Far above what two readings take on a busy machine, far below what counts as a step.
const LONGEST_READING: Duration = Duration::from_millis(500);

/// How long the machine has been suspended since it was booted: [`Instant`] stands still meanwhile.
pub fn suspended() -> Duration {
    let of = |id| Duration::try_from(clock_gettime(id)).unwrap_or_default();
    // In this order the difference is never too small.
    let awake = of(ClockId::Monotonic);
    of(ClockId::Boottime).saturating_sub(awake)
}

/// As the database keeps durations; what does not fit is 292 million years.
pub fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
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

    #[test]
    fn a_moment_is_written_in_utc_to_the_second() {
        assert_eq!(Moment(1_769_005_800_999).rfc3339().as_deref(), Some("2026-01-21T14:30:00Z"));
        assert_eq!(Moment(i64::MAX).rfc3339(), None);
    }

    #[test]
    fn no_arithmetic_on_moments_overflows() {
        assert_eq!(Moment(i64::MAX).plus(Duration::MAX), Moment(i64::MAX));
        assert_eq!(Moment(0).since(Moment(5)), Duration::ZERO);
        assert_eq!(Moment(i64::MAX).since(Moment(i64::MIN)), Duration::from_millis(i64::MAX as u64));
    }
}
