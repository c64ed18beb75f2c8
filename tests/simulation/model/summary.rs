//! The summary: conditions that held when they were first judged are one message to each recipient.

use super::{Checked, Key, Model, check};
use crate::monitor::Entry;
use crate::world::signed;

const GATHERED_FOR: i64 = 5 * 60_000;

impl Model {
    /// What a summary must list, and since when it has been gathered.
    fn unsummarised(&self) -> (Vec<Key>, Option<i64>) {
        let mut keys = Vec::new();
        let mut first: Option<i64> = None;
        for (key, history) in &self.histories {
            let existing = history.open().filter(|incident| incident.existed && !incident.summarised);
            if let Some(incident) = existing {
                keys.push(*key);
                first = Some(first.map_or(incident.began, |first| first.min(incident.began)));
            }
        }
        (keys, first)
    }

    pub(super) fn summarised(&mut self, entries: &[&Entry], t: u64) -> Checked {
        let Some(at) = entries.first().map(|entry| entry.at) else { return Ok(()) };
        let mut found: Vec<Key> = entries.iter().map(|entry| entry.key()).collect();
        found.sort_unstable();
        let (expected, first) = self.unsummarised();
        check(found == expected, || format!("a summary of {found:?} instead of {expected:?}"))?;
        check(first.is_some_and(|first| first <= at - GATHERED_FOR + signed(self.tolerance)), || {
            format!("early: a summary of conditions since {first:?}")
        })?;
        for key in &expected {
            if let Some(incident) = self.history_mut(*key).open_mut() {
                incident.summarised = true;
            }
        }
        self.enqueue_summaries(&expected, at, t);
        Ok(())
    }

    /// After a healthy sweep.
    pub(super) fn check_summary(&self, wall: i64) -> Checked {
        let (keys, first) = self.unsummarised();
        let is_due = first.is_some_and(|first| first <= wall - GATHERED_FOR - signed(self.tolerance));
        check(!is_due, || format!("missed: a summary of {keys:?}"))
    }
}
