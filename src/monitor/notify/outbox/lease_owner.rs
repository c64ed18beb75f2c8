//! Who holds a lease.

/// Identifies the process in its leases: a random number, drawn at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseOwner(pub(super) i64);

impl LeaseOwner {
    pub fn new() -> LeaseOwner {
        LeaseOwner(i64::from_ne_bytes(fastrand::u64(..).to_ne_bytes()))
    }
}

impl Default for LeaseOwner {
    fn default() -> LeaseOwner {
        LeaseOwner::new()
    }
}
