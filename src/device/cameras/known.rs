//! One camera: what is known of it, and what follows from an answer or from DHCP's word.

use super::camera::{Camera, Origin, Status};
use super::problem::Problem;
use super::uptime::History;
use crate::clock::{Moment, Now};
use crate::device::config::CameraPlan;
use crate::device::host::Mac;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Everything known of a camera but what it is called by in the list.
#[derive(Debug)]
pub struct Known {
    pub hostname: Option<String>,
    pub ip: Option<IpAddr>,
    pub origin: Origin,
    pub plan: Arc<CameraPlan>,
    /// The configuration says so, and nobody else is believed.
    pub fixed_hostname: bool,
    pub fixed_ip: bool,
    pub status: Status,
    pub reachable: Option<bool>,
    /// Whether a check of it ever succeeded, in earlier runs too.
    pub answered: bool,
    /// Order in which cameras entered the list.
    pub number: u64,
    pub last_seen: Option<Moment>,
    pub since: Option<Moment>,
    pub latency: Option<Duration>,
    pub problem: Option<Problem>,
    pub history: History,
    /// Checks that failed in a row.
    pub failed: u32,
    /// Of the next check; absent where none is due by itself.
    pub due: Option<Instant>,
    pub checking: bool,
}

/// What others should hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Nothing,
    /// The first status that is known of it: no change, but worth keeping.
    First,
    /// From connected to disconnected, or back.
    Changed,
}

impl Known {
    pub fn new(origin: Origin, plan: Arc<CameraPlan>, now: Instant) -> Known {
        Known {
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

    /// Takes the outcome of a check. A problem of this machine's own says nothing of the camera.
    pub fn learn(&mut self, result: Result<Duration, Problem>, now: Now) -> Effect {
        self.problem = result.err();
        self.latency = result.ok();
        match result {
            Ok(_) => {
                self.reachable = Some(true);
                self.answered = true;
                self.is_there(now)
            }
            Err(problem) if problem.is_the_cameras() => {
                self.reachable = Some(false);
                self.failed = self.failed.saturating_add(1);
                if self.failed < self.plan.failures {
                    Effect::Nothing
                } else {
                    self.set(Status::Disconnected, now)
                }
            }
            Err(_) => {
                self.reachable = None;
                // Nobody looked.
                self.history.note(now.monotonic, Status::Unknown);
                Effect::Nothing
            }
        }
    }

    /// It answered, or DHCP says that it is there.
    pub fn is_there(&mut self, now: Now) -> Effect {
        self.last_seen = Some(now.wall);
        self.failed = 0;
        self.set(Status::Connected, now)
    }

    pub fn is_gone(&mut self, now: Now) -> Effect {
        self.set(Status::Disconnected, now)
    }

    fn set(&mut self, status: Status, now: Now) -> Effect {
        self.history.note(now.monotonic, status);
        let before = std::mem::replace(&mut self.status, status);
        if before == status {
            return Effect::Nothing;
        }
        self.since = Some(now.wall);
        if before == Status::Unknown { Effect::First } else { Effect::Changed }
    }

    /// As others see it.
    pub fn view(&self, mac: Mac, now: Now) -> Camera {
        Camera {
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
