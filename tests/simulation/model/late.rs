//! When silence counts: the checks of each interval, and what a gap, a fault or a step of the clock does to them.

use super::{Checked, Machine, Model, Status, check};
use crate::monitor::Entry;
use crate::world::signed;

const MASS: usize = 5;
/// A step of the clock that the monitor does not notice.
pub(super) const SMALL_STEP: u64 = 5000;

/// Since when silence counts: at least and at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listening {
    pub certain: u64,
    pub possible: u64,
}

impl Model {
    /// The process was stopped, for longer than a flush may be late if `is_long`. Heartbeats may be refused until the next
    /// flush, which is at `flushed_by` at the latest.
    pub fn was_stalled(&mut self, t: u64, flushed_by: u64, is_long: bool) {
        self.listening.possible = flushed_by;
        if is_long {
            self.listening.certain = t;
        }
    }

    /// A step of the monitor met a fault of the disk.
    pub fn fault(&mut self) {
        self.fault_pending = true;
    }

    /// A step that flushed worked.
    pub fn flushed(&mut self, t: u64) {
        if std::mem::take(&mut self.fault_pending) {
            self.listening.possible = t;
        }
    }

    /// Before a sweep, which has not met a fault so far.
    fn check_clock(&mut self, t: u64, offset: i64, healthy: bool) {
        if t - self.checked_possible > 2 * self.check_interval {
            self.listening.certain = t;
        }
        if t - self.checked_certain > 2 * self.check_interval {
            self.listening.possible = t;
        }
        let step = (offset - self.checked_offset).unsigned_abs();
        if step > SMALL_STEP {
            self.listening.possible = t;
            let seen = *self.step_seen.get_or_insert(t);
            if healthy {
                self.listening.certain = self.listening.certain.max(seen);
            }
        }
        if self.is_behind {
            self.listening.possible = t;
            self.is_behind = !healthy;
        }
        self.checked_possible = t;
        if healthy {
            (self.checked_certain, self.checked_offset, self.step_seen) = (t, offset, None);
        }
    }

    fn silence(&self, machine: &Machine, since: u64, t: u64) -> Option<u64> {
        (machine.status == Status::Online)
            .then(|| t.saturating_sub(machine.last_beat.unwrap_or(0).max(since)))
    }

    fn late(&self, t: u64, since: u64, slack: i64) -> Vec<usize> {
        let is_late = |machine: &Machine| {
            let silence = self.silence(machine, since, t);
            silence.is_some_and(|silence| signed(silence) > signed(machine.threshold) + slack)
        };
        (0..self.machines.len()).filter(|index| is_late(&self.machines[*index])).collect()
    }

    /// A sweep at `t`, `wall` by the monitor's clock, and what it has written.
    pub fn sweep(&mut self, t: u64, wall: i64, healthy: bool, entries: &[Entry]) -> Checked {
        self.check_clock(t, wall - signed(t), healthy);
        if healthy {
            self.flushed(t);
            self.forget_the_future(t, wall);
        } else {
            self.may_forget_the_future(wall);
        }
        let slack = signed(self.tolerance);
        let may_be_late = self.late(t, self.listening.certain, -slack);
        let must_be_late = self.late(t, self.listening.possible, slack);
        let went: Vec<usize> =
            entries.iter().filter(|entry| entry.kind == "offline").map(|entry| entry.machine).collect();
        for machine in &went {
            check(may_be_late.contains(machine), || {
                let state = &self.machines[*machine];
                format!(
                    "false alarm: m{} went offline after {:?} ms, listening since {:?}",
                    machine + 1,
                    state.last_beat.map(|beat| t - beat),
                    self.listening
                )
            })?;
        }
        let online = self.machines.iter().filter(|machine| machine.status == Status::Online).count();
        let is_mass = |late: usize| late >= MASS && online - late <= late;
        if went.is_empty() && is_mass(may_be_late.len()) && !self.doubted {
            self.doubted = healthy && !must_be_late.is_empty();
            self.may_doubt = true;
        } else {
            check(!is_mass(went.len()) || self.may_doubt || slack > 0, || {
                format!("half of the fleet was announced without a second check: {went:?}")
            })?;
            let missing = must_be_late.iter().find(|machine| healthy && !went.contains(machine));
            check(missing.is_none(), || {
                format!("missed: m{} is late and still online", missing.unwrap_or(&0) + 1)
            })?;
            self.doubted &= !healthy;
            self.may_doubt &= !healthy;
        }
        self.observe(entries, t, wall)?;
        if healthy {
            self.check_announced(wall)?;
            self.check_summary(wall)?;
            self.check_repetitions(wall, entries)?;
        }
        Ok(())
    }

    /// The clock went back, and a sweep noticed.
    fn forget_the_future(&mut self, t: u64, wall: i64) {
        for row in self.rows.iter_mut().filter(|row| row.created > wall) {
            row.due -= row.created - wall;
            row.created = wall;
            row.ready = row.ready.max(t + u64::try_from(row.due - wall).unwrap_or(0));
        }
        for row in &mut self.rows {
            row.written.set_back(wall);
            if let Some(settled) = &mut row.settled {
                settled.set_back(wall);
            }
        }
        for machine in &mut self.machines {
            machine.since = machine.since.min(wall);
        }
        self.forget_future_incidents(wall);
    }
}
