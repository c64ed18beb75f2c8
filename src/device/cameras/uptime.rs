//! The share of the observed part of the last 24 hours in which a camera was connected.
//!
//! Times are seconds on the monotonic clock, 0 when the camera entered the list and negative in earlier runs of the
//! daemon: a step of the wall clock (a Pi without a clock chip boots in the past) does not change the share.

use super::camera::Status;
use std::collections::VecDeque;
use std::time::Instant;

pub const DAY: i32 = 86_400;

/// A camera that changes more often is reported of a shorter time.
const TRANSITIONS: usize = 96;

/// What it was, from when on. In memory some bytes, unless it flaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    begin: Instant,
    transitions: VecDeque<(i32, Status)>,
}

impl History {
    pub fn new(begin: Instant) -> History {
        History { begin, transitions: VecDeque::new() }
    }

    /// Seconds from the begin to `now`.
    pub fn second(&self, now: Instant) -> i32 {
        // A process does not run for 68 years.
        i32::try_from(now.saturating_duration_since(self.begin).as_secs()).unwrap_or(i32::MAX)
    }

    /// From now on its status is this one.
    pub fn note(&mut self, now: Instant, status: Status) {
        self.note_at(self.second(now), status);
    }

    /// Adds what `newer`, the history of the same camera under another key, knows.
    pub fn append(&mut self, newer: &History) {
        let shift = self.second(newer.begin);
        newer.transitions().for_each(|(second, status)| self.note_at(second.saturating_add(shift), status));
    }

    fn note_at(&mut self, now: i32, status: Status) {
        if self.transitions.back().is_some_and(|(_, last)| *last == status) {
            return;
        }
        self.forget(now);
        if self.transitions.len() == TRANSITIONS {
            self.transitions.pop_front();
        }
        self.transitions.push_back((now, status));
    }

    /// What ended more than a day ago.
    fn forget(&mut self, now: i32) {
        while self.transitions.get(1).is_some_and(|(ended, _)| *ended <= now.saturating_sub(DAY)) {
            self.transitions.pop_front();
        }
    }

    /// Percent; absent without observation.
    pub fn share(&self, now: Instant) -> Option<f64> {
        self.share_at(self.second(now))
    }

    fn share_at(&self, now: i32) -> Option<f64> {
        let ends = self.transitions.iter().skip(1).map(|(begin, _)| *begin).chain([now]);
        let (mut known, mut up) = (0_i32, 0_i32);
        for ((begin, status), end) in self.transitions.iter().zip(ends) {
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
        self.transitions.iter().copied()
    }

    /// As it was saved; what lies in the future or out of order comes from a clock that was wrong, and counts for
    /// nothing. `until`: the last observation.
    pub fn restore(
        begin: Instant,
        transitions: impl IntoIterator<Item = (i32, Status)>,
        until: i32,
    ) -> History {
        let mut history = History::new(begin);
        let mut last = i32::MIN;
        for (at, status) in transitions.into_iter().filter(|(at, _)| *at <= until.min(0)).take(TRANSITIONS) {
            if at >= last {
                history.note_at(at, status);
                last = at;
            }
        }
        history.note_at(until.min(0).max(last), Status::Unknown);
        history
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Connected, Disconnected, Unknown};

    fn share(history: &History, now: i32) -> Option<f64> {
        history.share_at(now).map(f64::round)
    }

    #[test]
    fn only_observed_time_counts_as_uptime() {
        let mut history = History::new(Instant::now());
        assert_eq!(history.share_at(100), None);
        history.note_at(100, Connected);
        assert_eq!(history.share_at(100), None);
        assert_eq!(share(&history, 200), Some(100.0));
        history.note_at(200, Disconnected);
        assert_eq!(share(&history, 300), Some(50.0));
        history.note_at(300, Unknown);
        assert_eq!(share(&history, 10_000), Some(50.0));
    }

    #[test]
    fn what_is_older_than_a_day_is_forgotten() {
        let mut history = History::new(Instant::now());
        history.note_at(0, Disconnected);
        history.note_at(DAY / 2, Connected);
        assert_eq!(share(&history, DAY), Some(50.0));
        assert_eq!(share(&history, DAY + DAY / 4), Some(75.0));
        assert_eq!(share(&history, 3 * DAY), Some(100.0));
        history.note_at(3 * DAY, Disconnected);
        assert_eq!(history.transitions.len(), 2);
    }

    #[test]
    fn the_history_of_a_flapping_camera_is_bounded() {
        let mut history = History::new(Instant::now());
        for second in 0..10_000 {
            history.note_at(second, if second % 2 == 0 { Connected } else { Disconnected });
        }
        assert_eq!(history.transitions.len(), TRANSITIONS);
        assert_eq!(share(&history, 10_000), Some(50.0));
    }

    #[test]
    fn the_time_between_two_runs_is_unknown_and_a_file_from_the_future_is_ignored() {
        let history = History::restore(Instant::now(), [(-400, Connected), (-300, Disconnected)], -200);
        assert_eq!(share(&history, 5_000), Some(50.0));
        let nonsense =
            History::restore(Instant::now(), [(500, Connected), (i32::MAX, Disconnected)], i32::MAX);
        assert_eq!(nonsense.share_at(1_000), None);
        let disorder = History::restore(Instant::now(), [(-100, Connected), (-500, Disconnected)], -50);
        assert_eq!(share(&disorder, 0), Some(100.0));
        let mut long = History::restore(Instant::now(), [(-400, Connected)], -400);
        long.note_at(0, Connected);
        assert_eq!(share(&long, 100), Some(100.0));
    }
}
