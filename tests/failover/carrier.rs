//! Cables, access points and addresses that come and go.

use crate::rig::{Plan, active, health, state};
use crate::support::eventually;
use crate::support::lateness::in_time;
use crate::support::net::Shape;
use std::time::{Duration, Instant};

/// A switch, and the heartbeat that tells of it: from the event, with a server in the next room.
const AT_ONCE: Duration = Duration::from_millis(50);
/// The hold before a failback, and the three probes that go with it.
const FAILBACK: Duration = Duration::from_secs(7);

fn the_heartbeat_moves_down_the_ranks_and_back(mode: &'static str) {
    let Some(rig) = Plan::new(mode).start() else { return };
    rig.settle_on_all();

    let cut = rig.net.carrier("eth0", false);
    rig.fails_over(cut, AT_ONCE, "wlan1", "failover_to_wlan1");
    rig.says("[Failover] eth0 disconnected");
    rig.says("[Failover] Connecting to wlan1");
    rig.says("[Network] Triggering immediate heartbeat: failover_to_wlan1");
    rig.says("[Meeting] Immediate heartbeat triggered by event");
    rig.wait("acknowledged over wlan1", |seen| state(seen) == "wlan1_active");

    let cut = rig.net.carrier("wlan1", false);
    rig.fails_over(cut, AT_ONCE, "wlan0", "failover_to_wlan0");
    rig.says("[Network] Triggering immediate heartbeat: failover_to_wlan0");

    let back = rig.net.carrier("eth0", true);
    let request = rig.fails_over(back, FAILBACK, "eth0", "eth0_priority");
    let held = request.at - back;
    assert!(held >= Duration::from_millis(4_900), "failed back after {held:?}, before the hold was over");
    rig.says("[Network] Triggering immediate heartbeat: eth0_priority");
    rig.stays(Duration::from_secs(2), "eth0");
}

#[test]
fn a_pulled_cable_moves_the_heartbeat_at_once_and_back_after_the_hold_with_routes() {
    the_heartbeat_moves_down_the_ranks_and_back("routes");
}

#[test]
fn a_pulled_cable_moves_the_heartbeat_at_once_and_back_after_the_hold_with_observe() {
    the_heartbeat_moves_down_the_ranks_and_back("observe");
}

#[test]
fn a_standby_that_reboots_is_reported_and_changes_nothing_else() {
    let Some(rig) = Plan::new("routes").start() else { return };
    rig.settle_on_all();
    rig.net.carrier("wlan1", false);
    rig.stays(Duration::from_millis(500), "eth0");
    rig.wait("wlan1 down", |seen| health(seen, "wlan1") == "down" && rig.came_over(seen, "eth0"));
    rig.net.carrier("wlan1", true);
    rig.wait("wlan1 good again", |seen| health(seen, "wlan1") == "valid" && rig.came_over(seen, "eth0"));
    rig.stays(Duration::from_millis(500), "eth0");
}

#[test]
fn a_standby_whose_gateway_is_silent_is_reported_dead_before_it_is_needed() {
    let Some(rig) = Plan::new("routes").start() else { return };
    rig.settle_on_all();
    let silent = rig.net.silence_gateway("wlan1");
    let seen = rig.wait("wlan1 dead", |seen| health(seen, "wlan1") == "dead");
    // The probe of a standby comes every 2 s, and 3 x 100 ms without an answer end it.
    in_time(silent, seen.at, Duration::from_millis(2_400), "a dead standby is reported");
    let cut = rig.net.carrier("eth0", false);
    rig.fails_over(cut, AT_ONCE, "wlan0", "failover_to_wlan0");
}

#[test]
fn a_kernel_whose_timers_are_late_is_waited_for() {
    let Some(rig) = Plan::new("routes").start() else { return };
    rig.settle_on_all();
    // Three questions take it 0.75 s instead of 0.3, as on a device that is very busy.
    rig.net.device.sysctl("ipv4/neigh/wlan1/retrans_time_ms", 250);
    let silent = rig.net.silence_gateway("wlan1");
    let seen = rig.wait("wlan1 dead", |seen| health(seen, "wlan1") == "dead");
    in_time(
        silent,
        seen.at,
        Duration::from_millis(2_850),
        "a dead standby is reported after the first probe",
    );
}

#[test]
fn an_active_access_point_that_reboots_leaves_no_network_and_then_recovers_at_once() {
    let Some(rig) = (Plan { unplugged: &["eth0", "wlan0"], ..Plan::new("routes") }).start() else { return };
    rig.settle(&["wlan1"]);
    rig.net.carrier("wlan1", false);
    rig.says("no_network");
    let back = rig.net.carrier("wlan1", true);
    let request = rig.next_over("wlan1");
    in_time(back, request.at, Duration::from_secs(1), "recovery");
    assert!(["failover", "connectivity_restored"].contains(&request.reason().as_str()), "{request:?}");
    rig.says("[Meeting] Connectivity restored, sending immediate heartbeat");
}

#[test]
fn a_lost_lease_moves_the_heartbeat_at_once_although_the_carrier_stays() {
    let Some(rig) = Plan::new("routes").start() else { return };
    rig.settle_on_all();
    let lost = rig.net.take_address("eth0");
    rig.fails_over(lost, AT_ONCE, "wlan1", "failover_to_wlan1");
    rig.wait("no address", |seen| health(seen, "eth0") == "no_address");
    let back = Instant::now();
    rig.net.give_address("eth0");
    rig.fails_over(back, FAILBACK, "eth0", "eth0_priority");
}

#[test]
fn an_uplink_that_is_switched_off_is_left_at_once() {
    let Some(rig) = Plan::new("routes").start() else { return };
    rig.settle_on_all();
    let off = rig.net.device.switch("eth0", false);
    rig.fails_over(off, AT_ONCE, "wlan1", "failover_to_wlan1");
    rig.wait("down", |seen| health(seen, "eth0") == "down");
}

#[test]
fn an_uplink_that_vanishes_is_left_at_once_and_reported_absent() {
    let Some(rig) = Plan::new("routes").start() else { return };
    rig.settle_on_all();
    let gone = Instant::now();
    rig.net.router.ip("link del p-eth0");
    rig.fails_over(gone, AT_ONCE, "wlan1", "failover_to_wlan1");
    rig.wait("absent", |seen| health(seen, "eth0") == "absent");
}

#[test]
fn a_carrier_without_an_address_is_no_reason_to_leave_wifi() {
    let Some(net) = Plan::new("routes").net() else { return };
    net.take_address("eth0");
    net.carrier("eth0", false);
    let Some(rig) = Plan::new("routes").start_in(net) else { return };
    rig.settle(&["wlan1", "wlan0"]);
    rig.net.carrier("eth0", true);
    rig.stays(Duration::from_secs(7), "wlan1");
    rig.wait("carrier, no address", |seen| health(seen, "eth0") == "no_address" && active(seen) == "wlan1");
}

#[test]
fn all_uplinks_down_and_one_back_sends_within_a_second() {
    let Some(rig) = Plan::new("routes").start() else { return };
    rig.settle_on_all();
    for uplink in ["wlan1", "wlan0", "eth0"] {
        rig.net.carrier(uplink, false);
    }
    rig.says("no_network");
    let back = rig.net.carrier("wlan0", true);
    let request = rig.next_over("wlan0");
    in_time(back, request.at, Duration::from_secs(1), "recovery");
    assert_eq!(active(&request), "wlan0");
}

#[test]
fn a_flapping_cable_makes_fewer_heartbeats_than_flaps_and_one_failback_a_hold() {
    let keys = &[("log.level", "\"debug\"")];
    let plan = Plan { shape: Shape { tap: true, ..Shape::default() }, keys, ..Plan::new("routes") };
    let Some(rig) = plan.start() else { return };
    rig.settle_on_all();
    // The kernel merges changes that come close together, so each switch waits until the daemon has seen the one before.
    let seen = |change: &str| {
        rig.daemon.log_lines("uplink eth0: ").iter().filter(|line| line.contains(change)).count()
    };
    let switch = |on: bool, change: &str| {
        let before = seen(change);
        rig.net.carrier_of_tap(on);
        eventually(&format!("eth0 {change}"), || seen(change) > before);
        std::thread::sleep(Duration::from_millis(300));
    };
    let (begin, flaps) = (Instant::now(), 16);
    for _ in 0..flaps {
        switch(false, "-> down");
        switch(true, "down -> ");
    }
    let flapped = begin.elapsed();
    let requests = rig.server.requests_during(Duration::from_secs(8));
    let failbacks: Vec<_> = requests.iter().filter(|r| rig.came_over(r, "eth0")).map(|r| r.at).collect();
    assert!(requests.len() < flaps, "{} heartbeats for {flaps} flaps", requests.len());
    assert!(!requests.is_empty(), "left eth0 at least once");
    for pair in failbacks.windows(2) {
        assert!(
            pair[1] - pair[0] >= Duration::from_secs(5),
            "two failbacks within a hold: {:?}",
            pair[1] - pair[0]
        );
    }
    // Three losses within a minute double the hold of 5 s: no failback in the 8 s after the last flap.
    assert!(failbacks.iter().all(|at| *at <= begin + flapped + BOUNDARY), "back on a cable that flapped");
}

#[test]
fn thousands_of_flaps_are_logged_and_sent_within_a_bound() {
    let Some(rig) = Plan::new("observe").start() else { return };
    rig.settle_on_all();
    let before = rig.daemon.log().len();
    let flaps = 2500;
    let begin = Instant::now();
    rig.net.device.ip_batch(&"link set eth0 down\nlink set eth0 up\n".repeat(flaps));
    let seconds = usize::try_from(begin.elapsed().as_secs()).expect("short") + 8;
    let requests = rig.server.requests_during(Duration::from_secs(8)).len();
    // 10 at once, then one a second; and what is sent while none of them is acknowledged.
    assert!(requests <= 20 + 2 * seconds, "{requests} heartbeats for {flaps} flaps in {seconds} s");
    let lines = rig.daemon.log().len() - before;
    // 20 changes of up to 4 lines, then one in 10 s; a line for each immediate heartbeat.
    assert!(lines <= 100 + 4 * seconds, "{lines} lines for {flaps} flaps in {seconds} s");
    rig.wait("the daemon works on", |seen| !active(seen).is_empty());
}

/// The kernel tells of a flap up to 1 s late.
const BOUNDARY: Duration = Duration::from_secs(1);
