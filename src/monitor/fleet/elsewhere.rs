//! What another monitor of the database has heard of a machine.

use crate::clock::Moment;
use crate::monitor::machine::MachineId;
use std::time::Duration;

/// By how much the last-seen times of other monitors are behind at most: as often as they write them, and are read.
pub const LAG: Duration = Duration::from_secs(40);

/// The last payload of a machine that another monitor hears.
#[derive(Debug)]
pub struct PayloadElsewhere {
    pub machine: MachineId,
    pub received: Moment,
    pub payload: String,
}
