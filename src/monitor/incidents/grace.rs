//! Since when silence counts against a machine: a gap in the monitor's own work, or a step of its clock, gives every
//! machine its whole threshold again.

use crate::clock::{Moment, Now};
use std::time::{Duration, Instant};

/// A wall clock that gains or loses more than this against the monotonic clock was set; slewing stays far below.
const CLOCK_STEP: Duration = Duration::from_secs(5);

/// A busy machine or a slow database delays checks by seconds, during which the monitor listened. With a check interval of a second
/// each delay would be a gap, and no silence would ever be long enough; so a pause up to this, and up to this part of the
/// threshold, is none. A device that sends every 5 s was silent for less than half of its threshold then.
const SHORT_PAUSE: Duration = Duration::from_secs(5);
const PART_OF_THRESHOLD: u32 = 4;

/// The longest time between two checks that is no gap.
pub fn longest_pause(interval: Duration, threshold: Duration) -> Duration {
    (interval * 2).max(SHORT_PAUSE.min(threshold / PART_OF_THRESHOLD))
}

/// Since when the monitor has listened without a gap, and both clocks at the last check.
#[derive(Debug)]
pub struct Listening {
    since: Moment,
    checked: Instant,
    checked_at: Moment,
}

/// The clocks' difference to the last check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockCheck {
    Regular,
    /// No check for this long.
    Gap(Duration),
    Forward(Duration),
    /// The database may contain moments that are in the future now.
    Back(Duration),
}

impl Listening {
    pub fn new(now: Now) -> Listening {
        Listening { since: now.wall, checked: now.monotonic, checked_at: now.wall }
    }

    pub fn since(&self) -> Moment {
        self.since
    }

    /// Silence before `moment` no longer counts: heartbeats were refused or lost until then.
    pub fn restart(&mut self, moment: Moment) {
        self.since = self.since.max(moment);
    }

    /// Compares the clocks with the last check; restarts the grace after a step, or after a gap: more than `longest`.
    pub fn check(&mut self, longest: Duration, now: Now) -> ClockCheck {
        let passed = now.since(self.checked);
        let expected = self.checked_at.plus(passed);
        let (forward, back) = (now.wall.since(expected), expected.since(now.wall));
        let found = if forward > CLOCK_STEP {
            ClockCheck::Forward(forward)
        } else if back > CLOCK_STEP {
            ClockCheck::Back(back)
        } else if passed > longest {
            ClockCheck::Gap(passed)
        } else {
            ClockCheck::Regular
        };
        // Back also after a step that is too small to be called one.
        self.since = if found == ClockCheck::Regular { self.since.min(now.wall) } else { now.wall };
        (self.checked, self.checked_at) = (now.monotonic, now.wall);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const INTERVAL: Duration = Duration::from_secs(30);
    const LONGEST: Duration = Duration::from_secs(60);
    const WALL: Moment = Moment(1_769_000_000_000);

    /// A first check on time; a second one after `passed`, with a wall clock that is `step_ms` off.
    fn second_check(passed: Duration, step_ms: i64) -> (ClockCheck, Moment, Now) {
        let start = Now { monotonic: Instant::now(), wall: WALL };
        let mut listening = Listening::new(start);
        let first = start.plus(INTERVAL);
        assert_eq!(listening.check(LONGEST, first), ClockCheck::Regular);
        assert_eq!(listening.since(), WALL);
        let later = first.plus(passed);
        let second = Now { wall: Moment(later.wall.0 + step_ms), ..later };
        (listening.check(LONGEST, second), listening.since(), second)
    }

    #[test]
    fn checks_each_second_that_are_late_now_and_then_are_no_gaps() {
        for (interval_s, threshold_s, expected_s) in [
            (1, 4, 2.0),
            (1, 12, 3.0),
            (1, 30, 5.0),
            (1, 600, 5.0),
            (2, 12, 4.0),
            (5, 30, 10.0),
            (30, 120, 60.0),
        ] {
            let longest = longest_pause(SECOND * interval_s, SECOND * threshold_s);
            assert_eq!(longest, Duration::from_secs_f64(expected_s), "{interval_s} s, {threshold_s} s");
        }
    }

    #[test]
    fn gaps_and_steps_restart_the_grace_and_small_differences_do_not() {
        for (passed, step_ms, expected) in [
            (INTERVAL, 0, ClockCheck::Regular),
            (INTERVAL * 2, 0, ClockCheck::Regular),
            (INTERVAL * 2 + SECOND, 0, ClockCheck::Gap(INTERVAL * 2 + SECOND)),
            (INTERVAL, 5_000, ClockCheck::Regular),
            (INTERVAL, 5_001, ClockCheck::Forward(Duration::from_millis(5_001))),
            (INTERVAL, -5_000, ClockCheck::Regular),
            (INTERVAL, -5_001, ClockCheck::Back(Duration::from_millis(5_001))),
            (INTERVAL * 9, 60_000, ClockCheck::Forward(SECOND * 60)),
        ] {
            let (found, since, second) = second_check(passed, step_ms);
            assert_eq!(found, expected, "{passed:?} {step_ms}");
            let restarted = if expected == ClockCheck::Regular { WALL } else { second.wall };
            assert_eq!(since, restarted, "{passed:?} {step_ms}");
        }
    }

    #[test]
    fn the_next_check_compares_with_the_last_one() {
        let start = Now { monotonic: Instant::now(), wall: WALL };
        let mut listening = Listening::new(start);
        let stepped = Now { wall: WALL.plus(SECOND * 90), ..start.plus(INTERVAL) };
        assert_eq!(listening.check(LONGEST, stepped), ClockCheck::Forward(SECOND * 60));
        assert_eq!(listening.check(LONGEST, stepped.plus(INTERVAL)), ClockCheck::Regular);
        assert_eq!(listening.since(), stepped.wall);
    }

    #[test]
    fn the_start_is_never_in_the_future_and_only_a_restart_moves_it_forward() {
        let start = Now { monotonic: Instant::now(), wall: WALL };
        let mut listening = Listening::new(start);
        listening.restart(WALL.minus(SECOND));
        assert_eq!(listening.since(), WALL);
        listening.restart(WALL.plus(SECOND * 3));
        assert_eq!(listening.since(), WALL.plus(SECOND * 3));
        let slow = Now { wall: WALL.plus(SECOND), ..start.plus(SECOND * 4) };
        assert_eq!(listening.check(LONGEST, slow), ClockCheck::Regular);
        assert_eq!(listening.since(), WALL.plus(SECOND));
    }
}
