//! How much of the last 24 hours a camera was connected, of the time in which somebody looked.
//!
//! Times are seconds on the monotonic clock, 0 at the daemon's start and negative before it: a wall clock that is set
//! (a Pi without a clock chip begins in the past) makes no hours out of nothing.

use super::camera::Status;
use std::collections::VecDeque;

pub const DAY: i32 = 86_400;

/// A camera that changes more often is reported of a shorter time.
const TRANSITIONS: usize = 96;

/// What it was, from when on. In memory some bytes, unless it flaps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History(VecDeque<(i32, Status)>);

impl History {
    /// From now on its status is this one.
    pub fn note(&mut self, now: i32, status: Status) {
        if self.0.back().is_some_and(|(_, last)| *last == status) {
            return;
        }
        self.forget(now);
        if self.0.len() == TRANSITIONS {
            self.0.pop_front();
        }
        self.0.push_back((now, status));
    }

    /// What ended more than a day ago.
    fn forget(&mut self, now: i32) {
        while self.0.get(1).is_some_and(|(ended, _)| *ended <= now.saturating_sub(DAY)) {
            self.0.pop_front();
        }
    }

    /// Percent; absent if nobody looked.
    pub fn share(&self, now: i32) -> Option<f64> {
        let ends = self.0.iter().skip(1).map(|(begin, _)| *begin).chain([now]);
        let (mut known, mut up) = (0_i32, 0_i32);
        for ((begin, status), end) in self.0.iter().zip(ends) {
            let length = end.min(now).saturating_sub((*begin).max(now.saturating_sub(DAY))).max(0);
            match status {
                Status::Connected => (known, up) = (known + length, up + length),
                Status::Disconnected => known += length,
                Status::Unknown => {}
            }
        }
        (known > 0).then(|| f64::from(up) / f64::from(known) * 100.0)
    }

    pub fn transitions(&self) -> impl Iterator<Item = (i32, Status)> + '_ {
        self.0.iter().copied()
    }

    /// As it was saved; what lies in the future or out of order comes from a clock that was wrong, and counts for
    /// nothing. `until`: when somebody looked for the last time.
    pub fn restore(transitions: impl IntoIterator<Item = (i32, Status)>, until: i32) -> History {
        let mut history = History::default();
        let mut last = i32::MIN;
        for (at, status) in transitions.into_iter().filter(|(at, _)| *at <= until.min(0)).take(TRANSITIONS) {
            if at >= last {
                history.note(at, status);
                last = at;
            }
        }
        history.note(until.min(0).max(last), Status::Unknown);
        history
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Connected, Disconnected, Unknown};

    fn share(history: &History, now: i32) -> Option<f64> {
        history.share(now).map(f64::round)
    }

    #[test]
    fn only_time_in_which_somebody_looked_counts() {
        let mut history = History::default();
        assert_eq!(history.share(100), None);
        history.note(100, Connected);
        assert_eq!(history.share(100), None);
        assert_eq!(share(&history, 200), Some(100.0));
        history.note(200, Disconnected);
        assert_eq!(share(&history, 300), Some(50.0));
        history.note(300, Unknown);
        assert_eq!(share(&history, 10_000), Some(50.0));
    }

    #[test]
    fn what_is_older_than_a_day_is_forgotten() {
        let mut history = History::default();
        history.note(0, Disconnected);
        history.note(DAY / 2, Connected);
        assert_eq!(share(&history, DAY), Some(50.0));
        assert_eq!(share(&history, DAY + DAY / 4), Some(75.0));
        assert_eq!(share(&history, 3 * DAY), Some(100.0));
        history.note(3 * DAY, Disconnected);
        assert_eq!(history.0.len(), 2);
    }

    #[test]
    fn a_camera_that_flaps_takes_no_more_memory_than_allowed() {
        let mut history = History::default();
        for second in 0..10_000 {
            history.note(second, if second % 2 == 0 { Connected } else { Disconnected });
        }
        assert_eq!(history.0.len(), TRANSITIONS);
        assert_eq!(share(&history, 10_000), Some(50.0));
    }

    #[test]
    fn the_time_between_two_runs_is_unknown_and_a_file_of_the_future_counts_for_nothing() {
        let history = History::restore([(-400, Connected), (-300, Disconnected)], -200);
        assert_eq!(share(&history, 5_000), Some(50.0));
        let nonsense = History::restore([(500, Connected), (i32::MAX, Disconnected)], i32::MAX);
        assert_eq!(nonsense.share(1_000), None);
        let disorder = History::restore([(-100, Connected), (-500, Disconnected)], -50);
        assert_eq!(share(&disorder, 0), Some(100.0));
        let mut long = History::restore([(-400, Connected)], -400);
        long.note(0, Connected);
        assert_eq!(share(&long, 100), Some(100.0));
    }
}
