//! The state of one camera, and how check results and DHCP events change it.

use super::camera::{CameraInfo, CameraOrigin, Status};
use super::problem::Problem;
use super::uptime::History;
use crate::clock::{Moment, Now};
use crate::device::config::CameraPlan;
use crate::device::host::Mac;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A camera of the roster, without its key.
#[derive(Debug)]
pub struct TrackedCamera {
    pub hostname: Option<String>,
    pub ip: Option<IpAddr>,
    pub origin: CameraOrigin,
    pub plan: Arc<CameraPlan>,
    /// Set by the configuration; no other source changes it.
    pub fixed_hostname: bool,
    pub fixed_ip: bool,
    pub status: Status,
    pub reachable: Option<bool>,
    /// A check of it has succeeded, in this run or an earlier one.
    pub answered: bool,
    /// Order in which cameras entered the list.
    pub number: u64,
    pub last_seen: Option<Moment>,
    pub since: Option<Moment>,
    pub latency: Option<Duration>,
    pub problem: Option<Problem>,
    pub history: History,
    /// Consecutive failed checks.
    pub failed: u32,
    /// Next scheduled check; `None` if checks are disabled.
    pub due: Option<Instant>,
    pub checking: bool,
}

/// How an event changed the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusChange {
    None,
    /// The first known status: it is saved, and nothing is reported.
    First,
    /// From connected to disconnected, or back.
    Changed,
}

impl TrackedCamera {
    pub fn new(origin: CameraOrigin, plan: Arc<CameraPlan>, now: Instant) -> TrackedCamera {
        TrackedCamera {
            hostname: None,
            ip: None,
            origin,
            plan,
            fixed_hostname: false,
            fixed_ip: false,
            status: Status::Unknown,
            reachable: None,
            answered: false,
            number: 0,
            last_seen: None,
            since: None,
            latency: None,
            problem: None,
            history: History::new(now),
            failed: 0,
            due: None,
            checking: false,
        }
    }

    /// Applies the result of a check. A problem of this machine leaves the status as it is.
    pub fn apply_result(&mut self, result: Result<Duration, Problem>, now: Now) -> StatusChange {
        self.problem = result.err();
        self.latency = result.ok();
        match result {
            Ok(_) => {
                self.reachable = Some(true);
                self.answered = true;
                self.set_connected(now)
            }
            Err(problem) if problem.blames_the_camera() => {
                self.reachable = Some(false);
                self.failed = self.failed.saturating_add(1);
                if self.failed < self.plan.failures {
                    StatusChange::None
                } else {
                    self.set_status(Status::Disconnected, now)
                }
            }
            Err(_) => {
                self.reachable = None;
                // Time without a check counts as unknown.
                self.history.note(now.monotonic, Status::Unknown);
                StatusChange::None
            }
        }
    }

    /// It answered a check, or DHCP reported it.
    pub fn set_connected(&mut self, now: Now) -> StatusChange {
        self.last_seen = Some(now.wall);
        self.failed = 0;
        self.set_status(Status::Connected, now)
    }

    pub fn set_disconnected(&mut self, now: Now) -> StatusChange {
        self.set_status(Status::Disconnected, now)
    }

    fn set_status(&mut self, status: Status, now: Now) -> StatusChange {
        self.history.note(now.monotonic, status);
        let before = std::mem::replace(&mut self.status, status);
        if before == status {
            return StatusChange::None;
        }
        self.since = Some(now.wall);
        if before == Status::Unknown { StatusChange::First } else { StatusChange::Changed }
    }

    /// The public view of it.
    pub fn info(&self, mac: Mac, now: Now) -> CameraInfo {
        CameraInfo {
            mac,
            hostname: self.hostname.clone(),
            ip: self.ip,
            status: self.status,
            reachable: self.reachable,
            last_seen: self.last_seen,
            since: self.since,
            latency: self.latency,
            uptime_24h: self.history.share(now.monotonic),
            method: self.plan.method,
            port: self.plan.port,
            origin: self.origin,
            problem: self.problem.map(|problem| problem.to_string()),
        }
    }
}
