//! Checks of all cameras that somebody waits for.

use super::camera::Camera;
use super::event::Done;
use super::roster::Key;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// More are not taken: whoever asks so often gets no newer answer.
const MOST: usize = 16;

#[derive(Default)]
pub struct Rounds(Vec<Round>);

struct Round {
    missing: BTreeSet<Key>,
    done: Done,
}

impl Rounds {
    /// `done` waits for these. If too many wait already it is dropped, which is told by its never being called.
    pub fn begin(&mut self, missing: BTreeSet<Key>, done: Done) {
        if self.0.len() < MOST {
            self.0.push(Round { missing, done });
        }
    }

    pub fn ended(&mut self, key: Key) {
        for round in &mut self.0 {
            round.missing.remove(&key);
        }
    }

    /// Calls those that wait for nobody any more.
    pub fn finish(&mut self, list: impl Fn() -> Arc<Vec<Camera>>) {
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

impl fmt::Debug for Rounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rounds({})", self.0.len())
    }
}
