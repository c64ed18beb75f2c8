//! The recorder's database tasks that fail: each is logged once when it begins to fail, and once when it works again.

use crate::duration::go;
use crate::monitor::fleet::Fleet;
use crate::monitor::store::StoreError;
use std::time::{Duration, Instant};

/// Without a failure for this long, a task works again.
pub const CALM: Duration = Duration::from_secs(60);

/// A task of the recorder that uses the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    Registry,
    Returns,
    Conditions,
    Shutdowns,
    Replays,
    Write,
    Ageing,
    Events,
    Sweep,
    Announcements,
    Setup,
    Wal,
    Sharing,
}

impl Task {
    /// After "cannot".
    fn as_str(self) -> &'static str {
        match self {
            Task::Registry => "read machines and tokens from the database",
            Task::Returns => "record that machines are back",
            Task::Conditions => "record what began and ended on machines",
            Task::Shutdowns => "record that machines were stopped",
            Task::Replays => "store replays",
            Task::Write => "write heartbeats to the database",
            Task::Ageing => "summarise old history",
            Task::Events => "write events",
            Task::Sweep => "take silent machines offline",
            Task::Announcements => "announce what was held back",
            Task::Setup => "judge how machines were set up",
            Task::Wal => "save a removed write-ahead log",
            Task::Sharing => "tell the other monitors that this one is alive",
        }
    }

    /// Whether it is repeated until it succeeds, so that only a success shows that it works again.
    fn must_succeed(self) -> bool {
        use Task::{Ageing, Announcements, Registry, Setup, Sharing, Sweep, Wal, Write};
        matches!(self, Write | Sweep | Announcements | Setup | Ageing | Registry | Wal | Sharing)
    }

    /// Time without a failure after which it works again. Writing is the same each time; a task that concerns certain
    /// machines only fails and succeeds in turns while a part of the database is damaged.
    fn calm(self) -> Duration {
        if self == Task::Write { Duration::ZERO } else { CALM }
    }
}

#[derive(Debug)]
struct TaskFailure {
    task: Task,
    since: Instant,
    failed: Instant,
    /// It has succeeded since its last failure.
    succeeded: bool,
    error: StoreError,
}

/// At most one entry for each task.
#[derive(Debug, Default)]
pub struct TaskFailures(Vec<TaskFailure>);

impl TaskFailures {
    pub fn succeeded(&mut self, task: Task) {
        if let Some(trouble) = self.0.iter_mut().find(|trouble| trouble.task == task) {
            trouble.succeeded = true;
        }
    }

    /// Logs the first failure of a task, and each change of its reason.
    pub fn failed(&mut self, task: Task, error: StoreError, now: Instant) {
        match self.0.iter_mut().find(|trouble| trouble.task == task) {
            Some(trouble) => {
                if trouble.error != error {
                    log::error!("cannot {}: {error}", task.as_str());
                }
                trouble.error = error;
                trouble.failed = now;
                trouble.succeeded = false;
            }
            None => {
                log::error!(
                    "cannot {}: {error} (what cannot be written now is kept in memory and tried again)",
                    task.as_str()
                );
                self.0.push(TaskFailure { task, since: now, failed: now, succeeded: false, error });
            }
        }
    }

    /// Drops the tasks that work again, and logs each.
    pub fn end(&mut self, now: Instant) {
        self.0.retain(|trouble| {
            let is_calm = now.saturating_duration_since(trouble.failed) >= trouble.task.calm();
            let is_over = is_calm && (trouble.succeeded || !trouble.task.must_succeed());
            if is_over {
                let length = trouble.failed.saturating_duration_since(trouble.since).as_secs();
                let length = go(Duration::from_secs(length));
                log::info!("can {} again; it had failed for {length}", trouble.task.as_str());
            }
            !is_over
        });
    }

    pub fn concern(&self, task: Task) -> bool {
        self.0.iter().any(|trouble| trouble.task == task)
    }

    /// The reason of the oldest one.
    pub fn error(&self) -> Option<&StoreError> {
        self.0.first().map(|trouble| &trouble.error)
    }

    /// systemd's status line: the fleet, and the reason of the oldest failure.
    pub fn status(&self, fleet: &Fleet) -> String {
        let (online, all) = fleet.online();
        let machines = format!("{online} of {all} machines online");
        match self.error() {
            Some(error) => format!("{machines}; {error}"),
            None => machines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_task_that_fails_and_succeeds_in_turns_stays_in_trouble_until_a_minute_without_a_failure() {
        let (mut troubles, begin) = (TaskFailures::default(), Instant::now());
        for turn in 0..20 {
            troubles.failed(Task::Sweep, StoreError::Busy, begin + SECOND * turn * 2);
            troubles.succeeded(Task::Sweep);
            troubles.end(begin + SECOND * (turn * 2 + 1));
            assert!(troubles.concern(Task::Sweep), "turn {turn}");
        }
        troubles.end(begin + SECOND * 38 + CALM);
        assert!(troubles.error().is_none());
    }

    #[test]
    fn only_a_success_shows_that_a_repeated_task_works_again() {
        let (mut troubles, begin) = (TaskFailures::default(), Instant::now());
        troubles.failed(Task::Write, StoreError::Full, begin);
        troubles.failed(Task::Replays, StoreError::Full, begin);
        troubles.end(begin + CALM);
        assert!(troubles.concern(Task::Write) && !troubles.concern(Task::Replays));
        troubles.succeeded(Task::Write);
        troubles.end(begin + CALM);
        assert!(troubles.error().is_none());
    }
}
