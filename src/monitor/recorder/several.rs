//! The recorder of a monitor that is one of several on a database: what it tells the others, and what it learns from them.

use super::trouble::Task;
use super::{Recorder, RecorderContext};
use crate::clock::{Moment, Now};
use crate::monitor::fleet::beats::StoredStatus;
use crate::monitor::fleet::elsewhere::PayloadElsewhere;
use crate::monitor::ingest::native::{self, Received};
use crate::monitor::machine::MachineId;
use crate::monitor::store::StoreError;
use rustix::process::{Signal, getpid, kill_process};
use std::time::Duration;

/// A transaction that began this long ago is over: changes are read again for as long, because a later one may be committed
/// before an earlier one.
const LONGEST_TRANSACTION: Duration = Duration::from_secs(30);

/// The last-seen times in the database, which the others show, may be behind by this part of the threshold, and by
/// [`LONGEST_LAG`].
const PART_OF_THRESHOLD: u32 = 8;
const LONGEST_LAG: Duration = Duration::from_secs(30);

/// Machines of other monitors whose states are read in a second, over time: with a large fleet they are read less often.
const STATES_A_SECOND: u32 = 4000;

impl Recorder {
    /// Whether last-seen times are to be written now. One of several monitors writes them less often: what the others need is
    /// written at once (that a machine is theirs no more, that it returns), and a row costs much more on PostgreSQL.
    pub(super) fn seen_is_due(&mut self, now: Now) -> bool {
        let Some(several) = &mut self.several else { return true };
        let period = (self.sweeper.threshold() / PART_OF_THRESHOLD).min(LONGEST_LAG);
        let is_due = several.seen_written.is_none_or(|written| now.since(written) >= period);
        if is_due {
            several.seen_written = Some(now.monotonic);
        }
        is_due
    }

    /// Reads what other processes have changed in the database.
    pub(super) fn read_changes(&mut self, now: Now) {
        let changes = self.shared.store.changed_by_others();
        if let Err(error @ StoreError::Newer { .. }) = &changes {
            self.give_way(error);
        }
        let Some(changes) = self.logged(Task::Registry, changes, now.monotonic) else { return };
        if changes.settings {
            let reloaded = self.reload(now.wall);
            self.logged(Task::Registry, reloaded, now.monotonic);
        } else if changes.statuses {
            self.follow_statuses(now);
        }
        if changes.settings || changes.statuses {
            // A channel may have been added or enabled, and another monitor that wrote messages may have ended.
            self.sweeper.wake_couriers();
        }
    }

    /// A monitor of a later version has changed the tables: this one must not write into them. Its devices go to others.
    fn give_way(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.has_given_way, true) {
            log::error!("{error}; this monitor ends");
            // As by the service manager, which starts it again: the program may have been upgraded meanwhile.
            let _ = kill_process(getpid(), Signal::TERM);
        }
    }

    /// Shows the other monitors that this one is alive, and looks which of them are.
    pub(super) fn show_alive(&mut self, now: Now) {
        let Some(several) = &mut self.several else { return };
        let RecorderContext { store, pulse, .. } = &self.shared;
        let others = several.member.show(store, pulse.heard(), now);
        if let Some(others) = self.logged(Task::Sharing, others, now.monotonic).flatten() {
            self.shared.pulse.set_others(others.alive);
            self.database_works(now);
            if others.has_buried {
                self.sweeper.wake_couriers();
            }
        }
    }

    /// Machines that another monitor found offline, or back.
    fn follow_statuses(&mut self, now: Now) {
        let Some(several) = &mut self.several else { return };
        let states = self.shared.store.states_since(several.statuses_read.minus(LONGEST_TRANSACTION));
        let process = several.member.process();
        if states.is_ok() {
            several.statuses_read = now.wall;
        }
        let Some(states) = self.logged(Task::Registry, states, now.monotonic) else { return };
        let fleet = &self.shared.fleet;
        let back: Vec<_> = states
            .iter()
            .filter_map(|state| fleet.follow(state, process).map(|seen| (state.machine, seen)))
            .collect();
        self.bring_back(&back, now);
    }

    /// What other monitors heard of their machines, as far as they have written it.
    pub(super) fn follow_elsewhere(&mut self, now: Now) {
        let Some(several) = &self.several else { return };
        if self.shared.pulse.others() == Some(0) {
            return;
        }
        let process = several.member.process();
        let states_are_due = several.states_due.is_none_or(|due| due <= now.monotonic);
        let payloads_since = several.payloads_read.map_or(Moment(0), |read| read.minus(LONGEST_TRANSACTION));
        let RecorderContext { store, .. } = &self.shared;
        let states = states_are_due.then(|| store.states_elsewhere(process)).transpose();
        let read = states.and_then(|states| Ok((states, store.payloads_elsewhere(process, payloads_since)?)));
        let Some((states, payloads)) = self.logged(Task::Registry, read, now.monotonic) else { return };
        if let Some(several) = &mut self.several {
            several.payloads_read = Some(now.wall);
            if let Some(states) = &states {
                let pause = Duration::from_secs(1) * u32::try_from(states.len()).unwrap_or(u32::MAX)
                    / STATES_A_SECOND;
                several.states_due = Some(now.monotonic + pause);
            }
        }
        self.adopt_elsewhere(&states.unwrap_or_default(), &payloads, process);
    }

    fn adopt_elsewhere(&self, states: &[StoredStatus], payloads: &[PayloadElsewhere], process: i64) {
        let fleet = &self.shared.fleet;
        for state in states {
            // It is online, so it cannot return.
            let _ = fleet.follow(state, process);
        }
        for heard in payloads {
            let parsed = native::parse(&heard.payload);
            let beat = match &parsed {
                Ok(Received::Beat(beat)) => Some(beat),
                _ => None,
            };
            fleet.hear_of(heard, beat);
        }
    }

    /// Another monitor judged the conditions of these machines until now, and wrote what it found.
    pub(super) fn load_moved(&mut self, moved: &[MachineId], now: Now) {
        if moved.is_empty() {
            return;
        }
        let loaded = self.adopt_conditions_of(moved);
        self.logged(Task::Registry, loaded, now.monotonic);
    }

    fn adopt_conditions_of(&self, moved: &[MachineId]) -> Result<(), StoreError> {
        let RecorderContext { store, fleet, .. } = &self.shared;
        let mut stored = store.stored_conditions_of(moved)?;
        for &machine in moved {
            let known = stored.remove(&machine).unwrap_or_default();
            fleet.adopt_conditions(machine, known.judged, known.open);
        }
        Ok(())
    }

    /// Tells the other monitors that this one ends.
    pub(super) fn leave(&mut self, now: Now) {
        if let Some(several) = &self.several {
            if let Err(error) = several.member.leave(&self.shared.store, now.wall) {
                log::warn!(
                    "cannot tell the other monitors that this one ends, they notice it after 15 s: {error}"
                );
            }
        }
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests;
