//! Checks of all cameras whose requester waits for the end.

use super::camera::CameraInfo;
use super::check::CameraKey;
use super::event::CheckDone;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Requests that may wait at the same time.
const CAPACITY: usize = 16;

#[derive(Default)]
pub struct PendingChecks(Vec<PendingCheck>);

struct PendingCheck {
    missing: BTreeSet<CameraKey>,
    done: CheckDone,
}

impl PendingChecks {
    /// `done` is called after the checks of these cameras. It is dropped if too many requests wait already.
    pub fn add(&mut self, missing: BTreeSet<CameraKey>, done: CheckDone) {
        if self.0.len() < CAPACITY {
            self.0.push(PendingCheck { missing, done });
        }
    }

    pub fn remove(&mut self, key: CameraKey) {
        for check in &mut self.0 {
            check.missing.remove(&key);
        }
    }

    /// Calls every `done` whose checks have ended.
    pub fn finish(&mut self, list: impl Fn() -> Arc<Vec<CameraInfo>>) {
        let mut place = 0;
        while place < self.0.len() {
            if self.0[place].missing.is_empty() {
                (self.0.remove(place).done)(list());
            } else {
                place += 1;
            }
        }
    }
}

impl fmt::Debug for PendingChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PendingChecks({})", self.0.len())
    }
}
