//! A heartbeat that is on its way when its uplink dies.

use crate::rig::Plan;
use crate::support::lateness::in_time;
use crate::support::server::Reply;
use std::time::Duration;

const AT_ONCE: Duration = Duration::from_millis(50);

fn an_unanswered_post_does_not_hold_the_next_one_up(mode: &'static str) {
    let keys = &[("heartbeat.timeout", "\"10s\"")];
    let Some(rig) = (Plan { keys, ..Plan::new(mode) }).start() else { return };
    rig.settle_on_all();
    let eth0 = rig.net.address("eth0");
    rig.server.become_one_that(move |request| match request.peer.ip() == eth0 {
        true => Reply::Hang,
        false => Reply::ok(),
    });
    rig.daemon.signal(rustix::process::Signal::USR1);
    rig.next_over("eth0");
    // It has arrived, and waits for its answer.
    let cut = rig.net.carrier("eth0", false);
    rig.fails_over(cut, AT_ONCE, "wlan1", "failover_to_wlan1");
}

#[test]
fn a_post_in_flight_on_a_cable_that_is_pulled_does_not_hold_the_next_one_up_with_routes() {
    an_unanswered_post_does_not_hold_the_next_one_up("routes");
}

#[test]
fn a_post_in_flight_on_a_cable_that_is_pulled_does_not_hold_the_next_one_up_with_observe() {
    an_unanswered_post_does_not_hold_the_next_one_up("observe");
}

#[test]
fn after_a_switch_heartbeats_leave_over_https_too() {
    let Some(rig) = (Plan { https: true, ..Plan::new("routes") }).start() else { return };
    rig.settle_on_all();
    let cut = rig.net.carrier("eth0", false);
    // A connection, a handshake (resumed), and the request.
    let request = rig.fails_over(cut, Duration::from_millis(100), "wlan1", "failover_to_wlan1");
    assert_eq!(request.number, 0, "on a connection of its own");
    // One that the race opened before the switch was known is renewed once; then it is kept.
    let next = rig.wait("a connection that is kept", |seen| seen.number > 0);
    assert!(rig.came_over(&next, "wlan1"));
}

#[test]
fn a_post_over_a_long_way_is_at_the_server_within_three_round_trips_of_the_switch() {
    let shape = crate::support::net::Shape { delay: Duration::from_millis(20), ..Default::default() };
    let Some(rig) = (Plan { https: true, shape, ..Plan::new("routes") }).start() else { return };
    rig.settle_on_all();
    let cut = rig.net.carrier("eth0", false);
    let request = rig.next_over("wlan1");
    in_time(cut, request.at, Duration::from_millis(3 * 40 + 20), "HTTPS at 40 ms round trip");
}
