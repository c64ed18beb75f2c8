//! The monitor's clock: the only one that decides. What a device says of the time is shown, never believed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
}

/// As the database keeps durations; what does not fit is 292 million years.
pub fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
