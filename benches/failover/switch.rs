//! From the loss of the carrier, and from its return, to the heartbeat's first bytes at the server.

use crate::figures::Table;
use crate::rig::{Plan, Rig};
use crate::rounds::{self, Times};
use crate::support::net::{Shape, UPLINKS};
use crate::{SEEDS, limits};
use std::time::Duration;

/// One way; a round trip is 40 ms.
const DELAY: Duration = Duration::from_millis(20);
/// A return is slow to set up: all uplinks have to be dead first.
const MOST_RETURNS: usize = 30;

pub fn carrier(plan: &crate::parts::Plan) -> Vec<Table> {
    let measure = |mode| {
        let times = switches(&rounds::start(rounds::plan(mode)), plan.rounds);
        let mut table = Table::new(format!(
            "Carrier lost to the POST at the server, mode {mode}, {} rounds",
            times.len()
        ));
        times.add_to(
            &mut table,
            [Some(limits::SWITCH_P50), Some(limits::SWITCH_P95), Some(limits::SWITCH_MAX)],
        );
        table.note(SEEDS);
        table
    };
    ["observe", "routes"].into_iter().map(measure).collect()
}

pub fn https(plan: &crate::parts::Plan) -> Vec<Table> {
    let measure = |mode| {
        let shape = Shape { delay: DELAY, ..Shape::default() };
        let rig = rounds::start(Plan { https: true, shape, ..rounds::plan(mode) });
        let times = switches(&rig, plan.rounds);
        let title = "The same over HTTPS with a round trip of 40 ms";
        let mut table = Table::new(format!("{title}, mode {mode}, {} rounds", times.len()));
        times.add_to(&mut table, [None, None, Some(limits::HTTPS)]);
        table.note(SEEDS);
        table
    };
    ["observe", "routes"].into_iter().map(measure).collect()
}

fn switches(rig: &Rig, rounds: usize) -> Times {
    let switch = |_| {
        let active = rounds::ready(rig);
        let cut = rig.net.carrier(active, false);
        let request = rig.server.request_that(|request| !rig.came_over(request, active));
        rig.net.carrier(active, true);
        request.at.saturating_duration_since(cut)
    };
    Times::new((0..rounds).map(switch).collect())
}

pub fn all_dead_and_one_back(plan: &crate::parts::Plan) -> Vec<Table> {
    let rig = rounds::start(rounds::plan("routes"));
    let round = |number: usize| {
        rounds::ready(&rig);
        switch_all(&rig, false);
        // Into different moments of the 500 ms between two probes without a network.
        std::thread::sleep(Duration::from_millis(1_500 + number as u64 * 17 % 500));
        rig.server.requests_during(Duration::ZERO);
        let first = UPLINKS[number % UPLINKS.len()];
        let back = rig.net.carrier(first, true);
        let request = rig.server.request_that(|request| rig.came_over(request, first));
        switch_all(&rig, true);
        request.at.saturating_duration_since(back)
    };
    let times = Times::new((0..plan.rounds.min(MOST_RETURNS)).map(round).collect());
    let mut table = Table::new(format!(
        "All uplinks dead, one is back, to the POST at the server, {} rounds",
        times.len()
    ));
    times.add_to(&mut table, [None, Some(limits::RETURN_P95), None]);
    table.note(SEEDS);
    vec![table]
}

fn switch_all(rig: &Rig, on: bool) {
    for uplink in UPLINKS {
        rig.net.carrier(uplink, on);
    }
}
