//! The state of failover as the API and the command line show it.

use super::decision::UplinkState;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// What `failover status` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailoverStatus {
    pub active: Option<String>,
    pub state: String,
    /// `observe`, `routes` or `networkmanager`.
    pub backend: String,
    /// Seconds until the manual override ends; `None` without an override, or with one that does not end.
    pub manual_s: Option<u64>,
    pub uplinks: Vec<UplinkState>,
    /// Policy routing rules whose packets do not follow the uplink; mode `routes` only.
    #[serde(default)]
    pub not_covered: Vec<String>,
}

/// A status as the failover thread publishes it: it stays true while the override runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedStatus {
    pub status: FailoverStatus,
    manual_until: Option<Instant>,
    /// The uplinks in the configured order, for heartbeats: also those whose interface has never been there.
    pub configured: Vec<UplinkState>,
}

impl PublishedStatus {
    pub fn new(
        status: FailoverStatus,
        manual_until: Option<Instant>,
        configured: Vec<UplinkState>,
    ) -> PublishedStatus {
        PublishedStatus { status, manual_until, configured }
    }

    /// The status at `now`.
    pub fn at(&self, now: Instant) -> FailoverStatus {
        let manual_s = self.manual_until.map(|until| until.saturating_duration_since(now).as_secs());
        FailoverStatus { manual_s, ..self.status.clone() }
    }
}

/// A manual override, or its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailoverCommand {
    Auto,
    /// `limit`: `None` lasts until `Auto` or a restart.
    Manual {
        interface: String,
        limit: Option<Duration>,
    },
}

/// Receives the status after a command, or why the command was refused.
pub type CommandDone = Box<dyn FnOnce(Result<FailoverStatus, String>) + Send>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::LinkState;

    #[test]
    fn the_time_left_of_an_override_is_counted_when_the_status_is_read() {
        let uplinks = vec![UplinkState { interface: "wlan0".into(), state: LinkState::Valid }];
        let status = FailoverStatus {
            active: Some("wlan0".into()),
            state: "wlan0_active".into(),
            backend: "observe".into(),
            manual_s: None,
            uplinks,
            not_covered: Vec::new(),
        };
        let now = Instant::now();
        let published =
            PublishedStatus::new(status.clone(), Some(now + Duration::from_secs(600)), Vec::new());
        assert_eq!(published.at(now + Duration::from_secs(60)).manual_s, Some(540));
        assert_eq!(PublishedStatus::new(status.clone(), None, Vec::new()).at(now), status);
    }
}
