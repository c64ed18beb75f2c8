//! Who holds a lease.

use crate::monitor::store::Store;

/// Identifies the process in its leases: its number among the monitors of its database, otherwise a random number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseOwner(pub(super) i64);

impl LeaseOwner {
    pub fn of(store: &Store) -> LeaseOwner {
        store.process().map_or_else(LeaseOwner::new, LeaseOwner)
    }

    pub fn new() -> LeaseOwner {
        LeaseOwner(i64::from_ne_bytes(fastrand::u64(..).to_ne_bytes()))
    }
}

impl Default for LeaseOwner {
    fn default() -> LeaseOwner {
        LeaseOwner::new()
    }
}
