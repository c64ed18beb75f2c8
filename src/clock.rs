//! Both clocks: the wall clock, which is shown and stored, and the monotonic clock, which measures durations.

use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The current time on both clocks. It is read once per event and passed as an argument, so that all decisions about
/// that event agree and a test can set both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub monotonic: Instant,
    pub wall: Moment,
}

impl Now {
    /// Reads both clocks at one moment. Repeats if the process was stopped between the two readings: the difference
    /// would look like a step of the wall clock.
    pub fn read() -> Now {
        loop {
            let before = Instant::now();
            let wall = Moment::now();
            let monotonic = Instant::now();
            if monotonic.saturating_duration_since(before) < LONGEST_READING {
                return Now { monotonic, wall };
            }
        }
    }

    /// Time since `earlier` on the monotonic clock; zero if `earlier` is later.
    pub fn since(self, earlier: Instant) -> Duration {
        self.monotonic.saturating_duration_since(earlier)
    }

    /// Both clocks after `duration`.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Now {
        Now { monotonic: self.monotonic + duration, wall: self.wall.plus(duration) }
    }
}

/// Far above what two readings take on a busy machine, far below what counts as a step.
const LONGEST_READING: Duration = Duration::from_millis(500);

/// Time for which the machine has been suspended since it booted: [`Instant`] stands still meanwhile.
#[cfg(feature = "monitor")]
pub fn suspended() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let of = |id| Duration::try_from(clock_gettime(id)).unwrap_or_default();
    // In this order the difference is never too small.
    let awake = of(ClockId::Monotonic);
    of(ClockId::Boottime).saturating_sub(awake)
}

/// Time left until `deadline`; zero if it has passed.
pub fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Time left until `deadline`, for a timeout in which zero would mean "for ever".
///
/// # Errors
/// `TimedOut`: the deadline has passed.
pub fn remaining_or_timeout(deadline: Instant) -> io::Result<Duration> {
    let left = remaining(deadline);
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A time on the wall clock, in milliseconds since 1970, as it is stored in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub i64);

impl Moment {
    /// By the clock of the database's server where several monitors share one, otherwise by this machine's.
    pub fn now() -> Moment {
        #[cfg(feature = "postgres")]
        if let Some(time) = crate::followed_clock::now() {
            return Moment(time);
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// `seconds` since 1970; seconds that do not fit saturate.
    pub fn from_seconds(seconds: i64) -> Moment {
        Moment(seconds.saturating_mul(1000))
    }

    /// Whole seconds since 1970, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    #[must_use]
    pub fn plus(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(milliseconds(duration)))
    }

    #[must_use]
    pub fn minus(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_sub(milliseconds(duration)))
    }

    /// Time since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Parses RFC 3339 with any offset. `None` if it is not RFC 3339, or before 1970.
    pub fn from_rfc_3339(text: &str) -> Option<Moment> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let milliseconds = i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()?;
        (milliseconds >= 0).then_some(Moment(milliseconds))
    }

    /// RFC 3339 in UTC, to the second: `2026-01-21T14:30:00Z`. `None` after the year 9999.
    pub fn rfc_3339(self) -> Option<String> {
        OffsetDateTime::from_unix_timestamp(self.seconds()).ok()?.format(&Rfc3339).ok()
    }
}

/// Whole milliseconds of `duration`; more than 292 million years saturate.
pub fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_in_utc_to_the_second() {
        assert_eq!(Moment(1_769_005_800_999).rfc_3339().as_deref(), Some("2026-01-21T14:30:00Z"));
        assert_eq!(Moment(0).rfc_3339().as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(Moment(i64::MAX).rfc_3339(), None);
    }

    #[test]
    fn no_arithmetic_on_moments_overflows() {
        assert_eq!(Moment(i64::MAX).plus(Duration::MAX), Moment(i64::MAX));
        assert_eq!(Moment::from_seconds(i64::MAX), Moment(i64::MAX));
        assert_eq!(Moment(0).since(Moment(5)), Duration::ZERO);
        assert_eq!(Moment(i64::MAX).since(Moment(i64::MIN)), Duration::from_millis(i64::MAX as u64));
    }
}
