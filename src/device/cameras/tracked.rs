//! The state of one camera, and how check results and DHCP events change it.

use super::camera::{CameraInfo, CameraOrigin, Status};
use super::problem::Problem;
use super::uptime::History;
use crate::clock::{Moment, Now};
use crate::device::config::CameraPlan;
use crate::mac::Mac;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Additional checks after a first failure, that long after it: whether a camera is down is known before its next
/// scheduled check.
const RECHECKS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(5)];

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
    /// Consecutive failed checks; `None` before the first check.
    pub failed: Option<u32>,
    /// When the first of them failed.
    failing_since: Option<Instant>,
    /// Next scheduled check; `None` if checks are disabled.
    pub due: Option<Instant>,
    /// Next additional check.
    recheck: Option<Instant>,
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
            failed: None,
            failing_since: None,
            due: None,
            recheck: None,
            checking: false,
        }
    }

    /// When a check of it is to start; `None` while one is running, and if checks are disabled.
    pub fn next_check(&self) -> Option<Instant> {
        let due = self.due.filter(|_| !self.checking)?;
        Some(self.recheck.map_or(due, |recheck| due.min(recheck)))
    }

    /// Schedules the checks after the one that starts now. An additional one leaves the schedule as it is: all cameras
    /// with one interval are checked on one wake-up.
    pub fn schedule_next(&mut self, now: Instant, enabled: bool) {
        self.recheck = None;
        if self.due.is_none_or(|due| due <= now) {
            self.due = enabled.then_some(now + self.plan.interval);
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
                self.failed = Some(0);
                self.set_connected(now)
            }
            Err(problem) if problem.blames_the_camera() => {
                self.reachable = Some(false);
                let failed = self.failed.unwrap_or(0).saturating_add(1);
                self.failed = Some(failed);
                self.schedule_recheck(failed, now.monotonic);
                if failed < self.plan.failures {
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
        self.failed = self.failed.map(|_| 0);
        self.recheck = None;
        self.set_status(Status::Connected, now)
    }

    /// After the first and the second failure, unless the next scheduled check is soon anyway.
    fn schedule_recheck(&mut self, failed: u32, now: Instant) {
        if failed == 1 {
            self.failing_since = Some(now);
        }
        let place = usize::try_from(failed).unwrap_or(usize::MAX) - 1;
        let wait = RECHECKS.get(place).filter(|wait| self.due.is_some() && **wait < self.plan.interval);
        self.recheck = wait.and_then(|wait| Some(self.failing_since? + *wait));
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
            failed_checks: self.failed,
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
