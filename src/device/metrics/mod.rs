//! One thread that reads the machine: /proc, sysfs, the firmware, the network, the device's activities.
//!
//! Each file is one source of facts and fails alone; `source` says what they have in common, `sampler` which there
//! are, `schedule` when each is asked, `doctor` why one has nothing. `identity` is read once, at start.

mod activity;
mod app_version;
mod clock;
mod cpu;
mod disk;
mod doctor;
mod fan;
mod file_systems;
mod firmware;
mod gps;
mod hwmon;
mod identity;
mod load;
mod memory;
mod modem;
mod mounts;
pub mod network;
mod plausible;
mod power;
mod reading;
mod recording;
mod routes;
mod sampler;
pub mod schedule;
pub mod source;
mod temperature;
mod terms;
mod throttled;
mod wifi;
mod worker;

pub use doctor::{SourceReport, render};
pub use identity::{HardwareId, Identity, Origin, REMEMBERED, identify, read_identity};
pub use reading::{ActivityState, DiskUsage, Reading, RecordingFile};
pub use sampler::{Control, Sampler, run};
