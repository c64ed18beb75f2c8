//! The moment that retention is counted from: the wall clock, but never faster than a real clock allows.
//!
//! A wall clock that is a year ahead by mistake must not remove a year of history and events, also not after a restart.
//! So the horizon, which the database keeps, moves towards the wall clock at most twice as fast as time passes while the
//! monitor runs: a day with a wrong clock removes one day too much, and after a month without a monitor old data is
//! kept longer for a month.

use crate::clock::{Moment, Now};
use std::time::Instant;

/// The moment that retention is counted from.
#[derive(Debug, Clone, Copy)]
pub struct Horizon {
    moment: Moment,
    advanced: Instant,
}

impl Horizon {
    pub fn new(moment: Moment, now: Instant) -> Horizon {
        Horizon { moment, advanced: now }
    }

    /// Moves it towards `now`, and returns it.
    pub fn advance(&mut self, now: Now) -> Moment {
        let passed = now.since(self.advanced);
        self.moment = self.moment.plus(passed.saturating_mul(2)).min(now.wall);
        self.advanced = now.monotonic;
        self.moment
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const HOUR: Duration = Duration::from_secs(3600);
    const YEAR: Duration = Duration::from_secs(365 * 86_400);

    #[test]
    fn it_follows_the_clock_and_a_clock_that_is_a_year_ahead_only_twice_as_fast_as_time_passes() {
        let (wall, monotonic) = (Moment(1_769_005_800_000), Instant::now());
        let mut horizon = Horizon::new(wall, monotonic);
        assert_eq!(
            horizon.advance(Now { wall: wall.plus(HOUR), monotonic: monotonic + HOUR }),
            wall.plus(HOUR)
        );
        let wrong = wall.plus(YEAR);
        assert_eq!(
            horizon.advance(Now { wall: wrong.plus(HOUR * 2), monotonic: monotonic + HOUR * 2 }),
            wall.plus(HOUR * 3)
        );
        // The clock is right again, and the horizon follows it back.
        assert_eq!(
            horizon.advance(Now { wall: wall.plus(HOUR * 3), monotonic: monotonic + HOUR * 3 }),
            wall.plus(HOUR * 3)
        );
        assert_eq!(
            horizon.advance(Now { wall: wall.plus(HOUR * 2), monotonic: monotonic + HOUR * 4 }),
            wall.plus(HOUR * 2)
        );
    }

    #[test]
    fn after_a_month_without_a_monitor_it_catches_up() {
        let (wall, monotonic) = (Moment(1_769_005_800_000), Instant::now());
        let month = Duration::from_secs(30 * 86_400);
        let mut horizon = Horizon::new(wall.minus(month), monotonic);
        assert_eq!(horizon.advance(Now { wall, monotonic }), wall.minus(month));
        assert_eq!(
            horizon.advance(Now { wall: wall.plus(month), monotonic: monotonic + month }),
            wall.plus(month)
        );
    }
}
