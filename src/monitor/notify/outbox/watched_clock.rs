//! Steps of the wall clock while the process runs, which the monotonic clock shows, and what they change in the outbox.

use crate::clock::{Now, milliseconds};
use crate::monitor::notify::delivery_state::UNDELIVERED;
use crate::monitor::store::StoreError;
use crate::monitor::store::sql::{Transaction, params};
use std::time::Duration;

/// A wall clock that gains or loses more than this between two comparisons was set; slewing stays far below.
const CLOCK_STEP: Duration = Duration::from_secs(1);

/// How far the wall clock was set, in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClockSteps {
    pub forward: Duration,
    pub back: Duration,
}

/// Compares the wall clock with the monotonic clock.
#[derive(Debug)]
pub struct WatchedClock {
    compared_at: Now,
    /// Steps that the database does not know of.
    unsaved: ClockSteps,
}

impl WatchedClock {
    pub fn new(now: Now) -> WatchedClock {
        WatchedClock { compared_at: now, unsaved: ClockSteps::default() }
    }

    /// The step since the last comparison.
    pub fn compare(&mut self, now: Now) -> ClockSteps {
        let last = std::mem::replace(&mut self.compared_at, now);
        let expected = last.wall.plus(now.since(last.monotonic));
        let step = |by: Duration| if by > CLOCK_STEP { by } else { Duration::ZERO };
        let steps =
            ClockSteps { forward: step(now.wall.since(expected)), back: step(expected.since(now.wall)) };
        self.unsaved.forward += steps.forward;
        self.unsaved.back += steps.back;
        steps
    }

    /// Both clocks at the last comparison.
    pub fn compared_at(&self) -> Now {
        self.compared_at
    }

    pub fn unsaved(&self) -> ClockSteps {
        self.unsaved
    }

    pub fn saved(&mut self) {
        self.unsaved = ClockSteps::default();
    }
}

impl ClockSteps {
    pub fn is_none(self) -> bool {
        self == ClockSteps::default()
    }

    /// What is not delivered expires later by a step forward, and a retry is due earlier by a step back. A mail that may
    /// have arrived stays as it is: `forget_the_future` treats it.
    pub(super) fn apply(self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        if !self.forward.is_zero() {
            let sql = &format!("UPDATE outbox SET expires_at = expires_at + ?1 WHERE {UNDELIVERED}");
            transaction.execute(sql, params![milliseconds(self.forward)])?;
        }
        if !self.back.is_zero() {
            let sql = &format!(
                "UPDATE outbox SET due_at = due_at - ?1
                 WHERE {UNDELIVERED} AND attempts > 0 AND uncertain_since IS NULL"
            );
            transaction.execute(sql, params![milliseconds(self.back)])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use std::time::Instant;

    #[test]
    fn steps_of_the_wall_clock_are_added_until_they_are_saved() {
        let seconds = Duration::from_secs;
        let start = Now { monotonic: Instant::now(), wall: Moment(1_763_774_609_000) };
        let mut clock = WatchedClock::new(start);
        let later = start.plus(seconds(60));
        assert!(clock.compare(later).is_none());
        let slewed = Now { wall: later.wall.plus(Duration::from_millis(1000)), ..later };
        assert!(clock.compare(slewed).is_none(), "a second is no step");
        let ahead = Now { wall: slewed.wall.plus(seconds(3600)), ..later };
        assert_eq!(clock.compare(ahead).forward, seconds(3600));
        let right = Now { wall: later.wall, ..later };
        assert_eq!(clock.compare(right).back, seconds(3601));
        assert_eq!(clock.unsaved(), ClockSteps { forward: seconds(3600), back: seconds(3601) });
        clock.saved();
        assert!(clock.unsaved().is_none());
    }
}
