//! How an uplink is used, which decides how often it is probed.

use std::time::{Duration, Instant};

/// Gateway probes are cheap (one ARP or neighbour solicitation), and the only thing that sees a switch die while
/// the carrier stays: 500 ms + 3 x 100 ms in the kernel is Dead within 0.9 s.
const GATEWAY_ACTIVE: Duration = Duration::from_millis(500);
const GATEWAY_STANDBY: Duration = Duration::from_secs(2);
/// The whole way out, by a TCP connection; a standby may be metered.
const UPSTREAM_ACTIVE: Duration = Duration::from_secs(5);
pub const UPSTREAM_STANDBY: Duration = Duration::from_secs(30);
/// A standby that failed: its return is to be known before it is needed. A question without an answer has 60 bytes.
const UPSTREAM_FAILED: Duration = Duration::from_secs(10);
/// A better uplink that works again is probed often, until it has answered three times in a row.
const UPSTREAM_TRIAL: Duration = Duration::from_secs(1);
/// Without any network, the first uplink to return is used within a second.
const UPSTREAM_OFFLINE: Duration = Duration::from_millis(500);

/// A probe may come early by this part of its interval, to share a wake-up with another.
const COALESCE: u32 = 10;

/// Role of an uplink at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Active,
    Standby,
    /// Better than the active one, and so taken back once it has proved itself.
    Trial,
    /// Nothing works.
    Offline,
    /// Nothing works, and has not for a while: a fleet must not hammer a server that is down.
    LongOffline,
}

impl Role {
    pub fn gateway(self) -> Duration {
        match self {
            Role::Active | Role::Offline | Role::LongOffline => GATEWAY_ACTIVE,
            Role::Standby | Role::Trial => GATEWAY_STANDBY,
        }
    }

    /// `proved`: it has answered often enough; `failing`: it does not answer.
    pub fn upstream(self, proved: bool, failing: bool) -> Duration {
        match self {
            Role::Trial if !proved && !failing => UPSTREAM_TRIAL,
            Role::Active | Role::Trial | Role::LongOffline => UPSTREAM_ACTIVE,
            Role::Standby if failing => UPSTREAM_FAILED,
            Role::Standby => UPSTREAM_STANDBY,
            Role::Offline => UPSTREAM_OFFLINE,
        }
    }
}

/// A probe that is nearly due is sent at any wake-up of the thread.
pub fn early(due: Instant, last: Option<Instant>) -> Instant {
    let slack = last.map_or(Duration::ZERO, |last| due.saturating_duration_since(last) / COALESCE);
    due.checked_sub(slack).unwrap_or(due)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_and_the_last_results_decide_how_often_an_uplink_is_probed() {
        // In ms: gateway; upstream if not proved, proved, failing.
        for (role, gateway, upstream) in [
            (Role::Active, 500, [5_000, 5_000, 5_000]),
            (Role::Standby, 2_000, [30_000, 30_000, 10_000]),
            (Role::Trial, 2_000, [1_000, 5_000, 5_000]),
            (Role::Offline, 500, [500, 500, 500]),
            (Role::LongOffline, 500, [5_000, 5_000, 5_000]),
        ] {
            let states = [(false, false), (true, false), (false, true)];
            let intervals = states.map(|(proved, failing)| role.upstream(proved, failing).as_millis());
            assert_eq!((role.gateway().as_millis(), intervals), (gateway, upstream), "{role:?}");
        }
    }

    #[test]
    fn a_probe_may_come_a_tenth_of_its_interval_early_and_the_first_one_not_at_all() {
        let last = Instant::now();
        let due = last + Duration::from_secs(30);
        assert_eq!(early(due, Some(last)), last + Duration::from_secs(27));
        assert_eq!(early(due, None), due);
    }
}
