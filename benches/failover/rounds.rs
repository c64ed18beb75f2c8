//! Rounds of one fault: which uplink is in use, and what all rounds took.

use crate::figures::{Figure, Table};
use crate::rig::{Plan, Rig, health};
use crate::support::net::UPLINKS;
use std::time::Duration;

/// For rounds in which the uplink that is left is the first one again: what comes back is a standby at once, and
/// nothing fails back to it in the middle of a round.
const NO_FAILBACK: &[(&str, &str)] = &[("network.failback_hold", "\"5m\"")];

/// A daemon that never fails back.
pub fn plan(mode: &'static str) -> Plan {
    Plan { keys: NO_FAILBACK, ..Plan::new(mode) }
}

pub fn start(plan: Plan) -> Rig {
    let rig = plan.start().expect("there are namespaces here");
    rig.settle_on_all();
    rig
}

/// Once all uplinks are good: the one that is in use.
pub fn ready(rig: &Rig) -> &'static str {
    let all_good = |seen: &_| UPLINKS.iter().all(|uplink| health(seen, uplink) == "valid");
    let seen = rig.wait("all uplinks valid", all_good);
    UPLINKS.into_iter().find(|uplink| rig.came_over(&seen, uplink)).expect("it came over one of them")
}

/// What the rounds took, sorted.
pub struct Times(Vec<Duration>);

impl Times {
    pub fn new(mut times: Vec<Duration>) -> Times {
        times.sort_unstable();
        Times(times)
    }

    /// The nearest rank, in ms.
    pub fn at(&self, share: f64) -> f64 {
        let index = ((self.0.len() - 1) as f64 * share).round() as usize;
        self.0[index].as_secs_f64() * 1e3
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// p50, p95 and max, each beside its limit if it has one.
    pub fn add_to(&self, table: &mut Table, limits: [Option<f64>; 3]) {
        for ((name, share), limit) in [("p50", 0.5), ("p95", 0.95), ("max", 1.0)].into_iter().zip(limits) {
            let figure = Figure::new(name, self.at(share), "ms");
            table.add(match limit {
                Some(limit) => figure.at_most(limit),
                None => figure,
            });
        }
    }
}
