//! The progress of one kind of work: since when it has been failing or unfinished.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Written by the threads that do the work, read by those that report on it.
#[derive(Debug, Default)]
pub struct Progress {
    /// For work of several threads, where the success of one says nothing about the others: failures are forgotten after
    /// this long without one. `None`: a success ends the failure.
    memory: Option<Duration>,
    state: Mutex<ProgressState>,
    successes: AtomicU64,
}

#[derive(Debug, Default, Clone, Copy)]
struct ProgressState {
    /// Start of the work that has not succeeded yet.
    since: Option<Instant>,
    failed: Option<Instant>,
}

impl Progress {
    /// For work of several threads.
    pub fn of_many(memory: Duration) -> Progress {
        Progress { memory: Some(memory), ..Progress::default() }
    }

    /// The work starts. Not for work of several threads.
    pub fn started(&self, now: Instant) {
        self.state().since.get_or_insert(now);
    }

    pub fn failed(&self, now: Instant) {
        let mut state = self.state();
        self.forget(&mut state, now);
        state.since.get_or_insert(now);
        state.failed = Some(now);
    }

    pub fn succeeded(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        if self.memory.is_none() {
            *self.state() = ProgressState::default();
        }
    }

    /// What failed did so for a reason that is over.
    pub fn start_anew(&self) {
        *self.state() = ProgressState::default();
    }

    /// Grows with each success: work that does not even start makes no progress either.
    pub fn successes(&self) -> u64 {
        self.successes.load(Ordering::Relaxed)
    }

    /// Time for which the work has been failing or unfinished; for several threads, from the first to the last failure.
    pub fn stuck_for(&self, now: Instant) -> Duration {
        let mut state = self.state();
        self.forget(&mut state, now);
        let until = if self.memory.is_some() { state.failed.unwrap_or(now) } else { now };
        state.since.map_or(Duration::ZERO, |since| until.saturating_duration_since(since))
    }

    fn forget(&self, state: &mut ProgressState, now: Instant) {
        let is_over =
            |memory| state.failed.is_some_and(|failed| now.saturating_duration_since(failed) > memory);
        if self.memory.is_some_and(is_over) {
            *state = ProgressState::default();
        }
    }

    fn state(&self) -> MutexGuard<'_, ProgressState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn work_that_fails_or_does_not_end_is_stuck_until_it_succeeds() {
        let (progress, begin) = (Progress::default(), Instant::now());
        assert_eq!(progress.stuck_for(begin), Duration::ZERO);
        progress.started(begin);
        progress.failed(begin + SECOND);
        progress.started(begin + SECOND * 5);
        assert_eq!(progress.stuck_for(begin + SECOND * 20), SECOND * 20);
        progress.succeeded();
        assert_eq!(progress.stuck_for(begin + SECOND * 21), Duration::ZERO);
    }

    #[test]
    fn a_success_of_one_thread_does_not_end_the_failures_of_another() {
        let (progress, begin) = (Progress::of_many(SECOND * 30), Instant::now());
        progress.failed(begin);
        assert_eq!(
            progress.stuck_for(begin + SECOND * 16),
            Duration::ZERO,
            "a single failure has no duration"
        );
        progress.succeeded();
        progress.failed(begin + SECOND * 20);
        assert_eq!(progress.stuck_for(begin + SECOND * 25), SECOND * 20);
        assert_eq!(progress.stuck_for(begin + SECOND * 51), Duration::ZERO);
        progress.failed(begin + SECOND * 60);
        assert_eq!(progress.stuck_for(begin + SECOND * 61), Duration::ZERO);
    }
}
