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

/// The kept connection's packets are dropped without a word, as by a router that has forgotten it.
fn a_forgotten_connection_is_redialled(https: bool) {
    let keys = &[("heartbeat.timeout", "\"5s\"")];
    let plan = Plan { https, unplugged: &["wlan1", "wlan0"], keys, ..Plan::new("observe") };
    let Some(rig) = plan.start() else { return };
    let seen = rig.look();
    let before = rig.look();
    assert_eq!(before.peer, seen.peer, "a kept connection");
    rig.net.router.nft(&format!(
        "table ip forgotten {{ chain forward {{ type filter hook forward priority 0;
         tcp sport {} drop; }}
}}",
        before.peer.port()
    ));
    let begin = std::time::Instant::now();
    rig.daemon.signal(rustix::process::Signal::USR1);
    let after = rig.server.request_that(|request| request.peer != before.peer);
    // 500 ms of silence, then a new connection, within the limit of one heartbeat.
    in_time(begin, after.at, Duration::from_secs(2), "the same heartbeat over a new connection");
    assert_eq!((after.number, after.reason().as_str()), (0, "trigger"));
    let seq = |request: &crate::support::request::Request| request.json()["seq"].as_u64();
    assert_eq!(seq(&after), seq(&before).map(|seq| seq + 1), "no heartbeat was lost in between");
    assert_eq!(rig.daemon.log_lines("failed"), Vec::<String>::new());
}

#[test]
fn a_connection_that_a_router_has_forgotten_is_redialled_without_a_failure() {
    a_forgotten_connection_is_redialled(false);
}

#[test]
fn a_connection_that_a_router_has_forgotten_is_redialled_without_a_failure_over_https() {
    a_forgotten_connection_is_redialled(true);
}

/// 700 ms: a connection, TLS and the request need 2.1 s.
#[test]
fn https_over_a_slow_line_gets_through_within_the_default_limit_and_the_log_names_the_setting() {
    let shape = crate::support::net::Shape { delay: Duration::from_millis(350), ..Default::default() };
    let keys = &[("heartbeat.timeout", "\"2s\"")];
    let plan = Plan {
        https: true,
        shape,
        unplugged: &["wlan1", "wlan0"],
        interval: "5s",
        keys,
        ..Plan::new("observe")
    };
    let Some(rig) = plan.start() else { return };
    let line = rig.daemon.wait_for_line("about the line", |line| line.contains("the connection is slow"));
    assert!(line.contains("raise timeout") && line.contains("a round trip takes"), "{line}");
    rig.says("works again");
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
