//! The thread that removes expired rows from the database, and returns unused memory, once an hour.

use crate::clock::{Moment, Now};
use crate::heap;
use crate::monitor::instances::duty::Duty;
use crate::monitor::retention::ahead;
use crate::monitor::retention::horizon::Horizon;
use crate::monitor::store::{Store, StoreError};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// Interval of the removal.
const EVERY: Duration = Duration::from_secs(3600);
/// Not at the start itself, when a fleet comes back.
const FIRST: Duration = Duration::from_secs(60);

/// Pause between two batches, in which the recorder can write.
const TURN: Duration = Duration::from_millis(100);

/// How long rows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    pub events: Duration,
    pub deliveries: Duration,
}

/// Runs until the other end of `changes` is dropped.
pub fn run(store: &Store, mut kept: Kept, changes: &Receiver<Kept>) {
    let mut pause = FIRST;
    let mut horizon = None;
    loop {
        match changes.recv_timeout(pause) {
            Ok(changed) => kept = changed,
            Err(RecvTimeoutError::Timeout) => {
                match advanced(store, &mut horizon) {
                    Ok(Some(now)) => {
                        ahead::make(store, Moment::now());
                        tidy(store, &mut kept, changes, now);
                    }
                    Ok(None) => {}
                    Err(error) => {
                        log::debug!("cannot remove expired rows, will try again in an hour: {error}")
                    }
                }
                // What was needed for the start, or for the removal, is not needed soon.
                heap::trim();
                pause = EVERY;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// The moment that retention is counted from, for now and for the next start. `None`: another monitor of the database
/// removes the rows.
fn advanced(store: &Store, horizon: &mut Option<Horizon>) -> Result<Option<Moment>, StoreError> {
    let now = Now::read();
    if !store.takes_on(Duty::Pruning, now.wall)? {
        return Ok(None);
    }
    let horizon = match horizon {
        Some(horizon) => horizon,
        None => horizon.insert(Horizon::new(store.horizon(now.wall)?, now.monotonic)),
    };
    let moment = horizon.advance(now);
    store.set_horizon(moment)?;
    Ok(Some(moment))
}

/// A backup program may read the table for hours; the next attempt is in an hour.
fn remove_event_partitions(store: &Store, before: Moment) -> Result<(), StoreError> {
    match store.remove_event_partitions(before) {
        Ok(0) => {}
        Ok(removed) => {
            log::debug!("dropped {removed} partitions with events that are older than [retention] says")
        }
        Err(StoreError::Busy) => {
            log::debug!("a transaction of another program delays the removal of old events")
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Batch by batch; stops where the monitor does.
fn tidy(store: &Store, kept: &mut Kept, changes: &Receiver<Kept>, now: Moment) {
    let mut prune = || -> Result<usize, StoreError> {
        let mut removed = store.forget_expired(now)? + store.prune_sessions(now)?;
        store.prune_activity(now)?;
        if store.process().is_some() {
            store.forget_dead_instances(now)?;
            store.forget_old_changes()?;
        }
        remove_event_partitions(store, now.minus(kept.events))?;
        loop {
            match store.prune(now.minus(kept.events), now.minus(kept.deliveries))? {
                0 => return Ok(removed),
                some => removed += some,
            }
            match changes.recv_timeout(TURN) {
                Ok(changed) => *kept = changed,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(removed),
            }
        }
    };
    match prune() {
        Ok(0) => {}
        Ok(removed) => log::debug!("removed {removed} rows that are older than [retention] says"),
        // The recorder has the same problem, and logs it.
        Err(error) => log::debug!("cannot remove expired rows, will try again in an hour: {error}"),
    }
}
