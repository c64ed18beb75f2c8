//! What the recorder removes or summarises because of its age, for one share of the machines each minute.

use crate::clock::Now;
use crate::monitor::instances::duty::Duty;
use crate::monitor::recorder::trouble::Task;
use crate::monitor::recorder::{Recorder, RecorderContext};
use crate::monitor::retention::horizon::Horizon;
use crate::monitor::store::StoreError;

/// Turns in which the history is aged, one each minute.
const AGEING_TURNS: i64 = 360;

impl Recorder {
    /// Ages the history and the cameras of one share of the machines each minute.
    pub(super) fn age(&mut self, now: Now) {
        let minute = now.wall.0.div_euclid(60_000);
        if std::mem::replace(&mut self.aged, minute) != minute {
            let aged = self.age_turn(minute.rem_euclid(AGEING_TURNS), now);
            self.logged(Task::Ageing, aged, now.monotonic);
        }
    }

    fn age_turn(&mut self, turn: i64, now: Now) -> Result<usize, StoreError> {
        let RecorderContext { store, fleet, .. } = &self.shared;
        if !store.takes_on(Duty::Pruning, now.wall)? {
            return Ok(0);
        }
        let horizon = match &mut self.horizon {
            Some(horizon) => horizon,
            None => self.horizon.insert(Horizon::new(store.horizon(now.wall)?, now.monotonic)),
        };
        let horizon = horizon.advance(now);
        for forgotten in store.age_cameras(turn, AGEING_TURNS, horizon)? {
            fleet.forget_camera(forgotten);
        }
        let share = fleet.len().div_ceil(AGEING_TURNS as usize).max(1);
        Ok(store.age_history(turn, AGEING_TURNS, horizon)? + store.age_history_partitions(share, horizon)?)
    }
}
