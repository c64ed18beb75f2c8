//! Writes what is in memory only: last-seen times, payloads, minutes.

use super::Recorder;
use super::trouble::Task;
use crate::clock::{Moment, Now};
use crate::monitor::fleet::Unsaved;
use crate::monitor::machine::MachineId;
use std::time::Duration;

/// Machines whose payloads and minutes are written with each write: two pages of 4 KiB each, and again when the
/// journal is folded in, 0.2 MB/s together.
const SAVED_AT_ONCE: u64 = 60;
/// Bounds of the time for which a machine's payload and minutes are in memory only, in writes: 1 to 15 minutes.
const SAVE_PERIOD: std::ops::RangeInclusive<u64> = 12..=180;

/// Machines in one transaction while stopping.
const BATCH: usize = 1000;

impl Recorder {
    /// Writes the last-seen times, and payloads and minutes of the machines whose turn it is.
    pub(super) fn write(&mut self, now: Now) {
        let fleet = self.shared.fleet.clone();
        let period = (fleet.len() as u64 / SAVED_AT_ONCE).clamp(*SAVE_PERIOD.start(), *SAVE_PERIOD.end());
        let turn = (self.turn + 1) % period;
        let unsaved = fleet.drain_unsaved(now.wall, |machine| machine.0.unsigned_abs() % period == turn);
        let is_written = match self.seen_is_due(now) {
            true => self.flush(&unsaved, now),
            false => self.save(&[], &unsaved, now).is_some(),
        };
        match is_written {
            true => (self.waited, self.turn) = (0, turn),
            false => fleet.not_saved(unsaved),
        }
        self.follow_elsewhere(now);
        self.age(now);
    }

    /// Writes the last-seen times and `unsaved`, and brings back who is not online in the database. False if that failed;
    /// the next write includes them.
    pub(super) fn flush(&mut self, unsaved: &[Unsaved], now: Now) -> bool {
        let fleet = self.shared.fleet.clone();
        let beats = fleet.drain_changed();
        let Some(astray) = self.save(&beats, unsaved, now) else {
            fleet.not_written(&beats);
            return false;
        };
        self.database_works(now);
        // A machine that is not believed to be online is reported with its next beat; one that is being stopped stays so.
        let back: Vec<_> = astray.into_iter().filter(|(machine, _)| fleet.is_online(*machine)).collect();
        self.bring_back(&back, now);
        true
    }

    fn save(
        &mut self,
        beats: &[(MachineId, Moment)],
        unsaved: &[Unsaved],
        now: Now,
    ) -> Option<Vec<(MachineId, Moment)>> {
        let saved = self.shared.store.save_beats(beats, unsaved);
        self.logged(Task::Write, saved, now.monotonic)
    }

    /// Something was written.
    pub(super) fn database_works(&mut self, now: Now) {
        if !self.shared.pulse.is_fresh(now.monotonic) {
            // Heartbeats were refused meanwhile, so silence in that time does not count.
            self.sweeper.ingest_was_down(now.wall);
            // Machines whose return could not be recorded then may be heard by other monitors now.
            self.shared.pulse.returns.start_anew();
        }
        self.shared.pulse.flushed(now.monotonic);
    }

    pub(super) fn write_everything(&mut self, now: Now) {
        self.save_marks(now);
        // Also the minute that is not over.
        let mut unsaved = self.shared.fleet.drain_unsaved(now.wall.plus(Duration::from_secs(60)), |_| true);
        let mut is_written = true;
        while is_written {
            let rest = unsaved.split_off(unsaved.len().min(BATCH));
            is_written = self.flush(&unsaved, now);
            if rest.is_empty() {
                break;
            }
            unsaved = rest;
        }
        // A trouble that has just ended is still among them.
        if let Some(error) = self.troubles.error().filter(|_| !is_written) {
            log::error!("stopped, but some heartbeats and history could not be written: {error}");
        }
    }
}
