//! The carrier stays, and nothing comes through.

use crate::figures::{Figure, Table};
use crate::rig::{Plan, active, health};
use crate::rounds::{self, Times};
use crate::{SEEDS, limits};
use std::time::{Duration, Instant};

/// A round takes a probe cycle and more.
const MOST_ROUNDS: usize = 10;
const MOST_GATEWAYS: usize = 30;
/// Of the scheduled heartbeats here.
const BEAT: Duration = Duration::from_secs(2);
/// As for all rounds, with the timeout that is the default.
const KEYS: &[(&str, &str)] = &[("network.failback_hold", "\"5m\""), ("heartbeat.timeout", "\"2s\"")];

pub fn upstream(plan: &crate::parts::Plan) -> Vec<Table> {
    ["observe", "routes"].into_iter().map(|mode| dropped(mode, plan.rounds.min(MOST_ROUNDS))).collect()
}

/// The next heartbeat after its beat, and the state after the fault.
fn dropped(mode: &'static str, rounds: usize) -> Table {
    let rig = rounds::start(Plan { interval: "2s", keys: KEYS, ..rounds::plan(mode) });
    let round = |number: usize| {
        let dead = rounds::ready(&rig);
        let before = rig.server.request_that(|request| request.reason() == "scheduled");
        // Into different moments between two beats.
        std::thread::sleep(Duration::from_millis(number as u64 * 173 % 1_700));
        let fault = rig.net.drop_upstream(dead);
        let next = rig.server.request_that(|request| !rig.came_over(request, dead));
        let late = next.at.saturating_duration_since(before.at + BEAT);
        let report =
            rig.wait("the state follows", |seen| active(seen) != dead && health(seen, dead) == "dead");
        rig.net.restore_upstream(dead);
        // A lost carrier drops the state of the link; as a standby it would be probed again in 30 s.
        rig.net.carrier(dead, false);
        rig.net.carrier(dead, true);
        (late, report.at.saturating_duration_since(fault))
    };
    let (late, follows): (Vec<_>, Vec<_>) = (0..rounds).map(round).unzip();
    let (late, follows) = (Times::new(late), Times::new(follows));
    let mut table = Table::new(format!("Carrier kept, upstream dropped, mode {mode}, {rounds} rounds"));
    table.add(Figure::new("heartbeat after its beat, p50", late.at(0.5), "ms"));
    let worst = Figure::new("heartbeat after its beat, max", late.at(1.0), "ms");
    table.add(worst.at_most(limits::AFTER_ITS_BEAT));
    table.add(Figure::new("state follows, p50", follows.at(0.5), "ms"));
    table.add(Figure::new("state follows, max", follows.at(1.0), "ms").at_most(limits::STATE_FOLLOWS));
    table.note(SEEDS);
    table
}

/// From the last frame that the gateway heard to the heartbeat that calls the uplink dead.
pub fn gateway(plan: &crate::parts::Plan) -> Vec<Table> {
    let rig = rounds::start(rounds::plan("routes"));
    let round = |number: usize| {
        let dead = rounds::ready(&rig);
        // Into different moments of the 500 ms between two probes.
        std::thread::sleep(Duration::from_millis(number as u64 * 37 % 500));
        rig.net.silence_gateway(dead);
        // From when the rule stands: starting a program is no part of it.
        let silent = Instant::now();
        let request = rig
            .server
            .request_that(|request| !rig.came_over(request, dead) && health(request, dead) == "dead");
        rig.net.restore_gateway(dead);
        request.at.saturating_duration_since(silent)
    };
    let times = Times::new((0..plan.rounds.min(MOST_GATEWAYS)).map(round).collect());
    let mut table =
        Table::new(format!("Gateway silent, to the POST that calls it dead, {} rounds", times.len()));
    times.add_to(&mut table, [None, None, Some(limits::GATEWAY_DEAD)]);
    table.note(SEEDS);
    vec![table]
}
