//! Which undecodable requests are logged: one line per machine and cause per hour.

use super::Cause;
use crate::monitor::machine::MachineId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(3600);
/// Machines and causes that are remembered. Beyond that nothing more is logged in this hour; `/metrics` counts on.
const MOST: usize = 4096;

/// When each was logged last.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<HashMap<(MachineId, Cause), Instant>>);

impl Complaints {
    /// True once an hour for each machine and cause: the caller logs it then.
    pub fn is_due(&self, machine: MachineId, cause: Cause, now: Instant) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < EVERY;
        if logged.get(&(machine, cause)).is_some_and(is_recent) {
            return false;
        }
        if logged.len() >= MOST {
            logged.retain(|_, at| is_recent(at));
        }
        let has_room = logged.len() < MOST;
        if has_room {
            logged.insert((machine, cause), now);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_machine_and_cause_is_logged_once_an_hour_and_memory_is_bounded() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        let is_due = |machine, cause, seconds| {
            complaints.is_due(MachineId(machine), cause, start + Duration::from_secs(seconds))
        };
        assert!(is_due(1, Cause::NotUtf8, 0));
        assert!(!is_due(1, Cause::NotUtf8, 3599));
        assert!(is_due(1, Cause::NotJson, 1));
        assert!(is_due(2, Cause::NotUtf8, 1));
        assert!(is_due(1, Cause::NotUtf8, 3600));
        let logged = (10..10_000).filter(|machine| is_due(*machine, Cause::NotJson, 3601)).count();
        assert!(logged <= MOST, "{logged}");
        assert!(!is_due(20_000, Cause::NotJson, 3602), "no room");
        assert!(is_due(20_000, Cause::NotJson, 7300), "the hour is over");
    }
}
