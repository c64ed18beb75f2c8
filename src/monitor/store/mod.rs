//! The database: SQLite, one writer, SQL by hand; one file a subject.
//!
//! One process serves a database; the command line changes it from another one while it is served, and the server
//! notices (`PRAGMA data_version`).

/// What stands in `machine_state.status`. Only the recorder's thread changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Added, and never heard of.
    New = 0,
    Online = 1,
    Offline = 2,
    /// It said that it is being stopped.
    Stopped = 3,
}

/// What stands in `outbox.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    Waiting = 0,
    /// A courier has it, until `leased_until`.
    Leased = 1,
    Delivered = 2,
    /// Given up: expired, or refused for good.
    Dead = 3,
    /// Overtaken: an outage shorter than the recipient wants to hear of, a channel that was switched off.
    Skipped = 4,
}

/// A machine's number, as in `machine.id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(pub i64);
