//! One check of one camera, and its result.

use super::problem::Problem;
use crate::device::config::CameraPlan;
use crate::mac::Mac;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Identifies a camera in the roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CameraKey {
    Mac(Mac),
    /// A camera of the configuration whose MAC is not known yet. It is not listed before the neighbour table has it.
    Address(IpAddr),
}

/// A check to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraCheck {
    pub key: CameraKey,
    pub ip: IpAddr,
    pub plan: Arc<CameraPlan>,
}

impl CameraCheck {
    pub fn finish(&self, result: Result<Duration, Problem>) -> CheckResult {
        CheckResult { key: self.key, ip: self.ip, result }
    }
}

/// The latency, or why the check failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckResult {
    pub key: CameraKey,
    pub ip: IpAddr,
    pub result: Result<Duration, Problem>,
}
