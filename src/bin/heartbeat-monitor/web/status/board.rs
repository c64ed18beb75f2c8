//! The machines of one page at one moment.

use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::monitor::status_pages::shown::{ShownMachine, StateCounts, shown};
use heartbeat_daemon::monitor::store::{Store, StoreError};

/// Machines on one page, which takes up to 10 ms.
pub const PAGE: usize = 100;

/// A group that has a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPage {
    pub group: String,
    pub is_secret: bool,
}

/// All machines of a group, as they are shown.
pub struct StatusBoard {
    pub page: OpenPage,
    pub machines: Vec<ShownMachine>,
    pub counts: StateCounts,
    pub at: Moment,
}

impl StatusBoard {
    pub fn load(store: &Store, page: OpenPage, now: Moment) -> Result<StatusBoard, StoreError> {
        let machines = shown(&page.group, &store.group_machines(&page.group, now)?);
        let counts = StateCounts::of(machines.iter().map(|machine| machine.state));
        Ok(StatusBoard { page, machines, counts, at: now })
    }

    /// At least one.
    pub fn pages(&self) -> usize {
        self.machines.len().div_ceil(PAGE).max(1)
    }

    /// The machines of page `number`, from 1.
    pub fn part(&self, number: usize) -> &[ShownMachine] {
        let first = number.saturating_sub(1).saturating_mul(PAGE).min(self.machines.len());
        &self.machines[first..(first + PAGE).min(self.machines.len())]
    }
}
