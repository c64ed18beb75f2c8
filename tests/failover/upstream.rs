//! Uplinks whose carrier is there, and nothing behind it: routers, gateways, portals, servers.

use crate::rig::{Plan, Rig, active, health, proven_s};
use crate::support::lateness::in_time;
use crate::support::request::Request;
use crate::support::server::{Reply, Server};
use std::time::Duration;

/// A probe every 5 s, a second failure, and the standby's answer.
const PROBE_CYCLE: Duration = Duration::from_secs(7);

/// The heartbeat returns to eth0, because of an event. What was on its way there when it died may arrive before: the
/// kernel goes on sending it for as long as a heartbeat may take.
fn comes_back(rig: &Rig) {
    let is_back = |request: &Request| rig.came_over(request, "eth0") && request.reason() == "failover";
    assert_eq!(active(&rig.server.request_that(is_back)), "eth0");
}

fn a_dead_upstream(mode: &'static str) {
    let keys = &[("heartbeat.timeout", "\"2s\"")];
    let Some(rig) = (Plan { interval: "3s", keys, ..Plan::new(mode) }).start() else { return };
    rig.settle_on_all();
    let before = rig.server.request_that(|request| request.reason() == "scheduled");
    let dropped = rig.net.drop_upstream("eth0");
    let request = rig.next_over("wlan1");
    // The next beat after the fault; one that was already on its way is repeated within the same limit.
    let beat = before.at + Duration::from_secs(3);
    in_time(beat, request.at, Duration::from_secs(1), "the heartbeat after its beat");
    let heartbeat =
        rig.wait("the state follows", |seen| active(seen) == "wlan1" && health(seen, "eth0") == "dead");
    in_time(dropped, heartbeat.at, PROBE_CYCLE, "the state");
    rig.net.restore_upstream("eth0");
    comes_back(&rig);
}

#[test]
fn a_router_that_loses_its_own_uplink_costs_a_heartbeat_less_than_a_second_with_routes() {
    a_dead_upstream("routes");
}

#[test]
fn a_router_that_loses_its_own_uplink_costs_a_heartbeat_less_than_a_second_with_observe() {
    a_dead_upstream("observe");
}

#[test]
fn a_silent_gateway_is_dead_within_nine_tenths_of_a_second() {
    let Some(rig) = Plan::new("routes").start() else { return };
    rig.settle_on_all();
    let silent = rig.net.silence_gateway("eth0");
    let request = rig.fails_over(silent, Duration::from_millis(900), "wlan1", "failover_to_wlan1");
    assert_eq!(health(&request, "eth0"), "dead");
    rig.net.restore_gateway("eth0");
    comes_back(&rig);
}

#[test]
fn a_server_that_is_down_is_no_reason_to_switch_and_is_not_hammered() {
    let Some(mut rig) = (Plan { interval: "1s", ..Plan::new("routes") }).start() else { return };
    rig.settle_on_all();
    let port = rig.server.address().port();
    drop(std::mem::replace(&mut rig.server, Server::always(Reply::ok())));
    // Two upstream probes of the active uplink, and what would follow.
    std::thread::sleep(Duration::from_secs(12));
    rig.server = Server::on(rig.net.listen(port), None, |_| Reply::ok());
    let back = rig.server.request();
    assert!(rig.came_over(&back, "eth0"), "switched because the server was down: {back:?}");
    rig.has_never_switched();
    let failures = rig.daemon.log_lines("refused").len();
    assert!(failures <= 3, "said {failures} times: {:?}", rig.daemon.log());
}

/// A resolver that everything reaches and a server that nothing reaches: still no reason, on any uplink.
#[test]
fn a_server_that_is_down_behind_good_uplinks_leaves_them_valid() {
    let Some(rig) = (Plan { interval: "1s", ..Plan::new("routes") }).start() else { return };
    rig.settle_on_all();
    rig.server.reset_connections(true);
    std::thread::sleep(Duration::from_secs(8));
    rig.server.reset_connections(false);
    rig.wait("still on eth0", |seen| rig.came_over(seen, "eth0") && health(seen, "eth0") == "valid");
    rig.has_never_switched();
}

#[test]
fn a_captive_portal_is_marked_and_nothing_fails_back_to_it() {
    let mut plan = Plan::new("routes");
    plan.unplugged = &["eth0"];
    plan.keys = &[("network.captive_portal_check", "\"http://10.99.0.1/generate_204\"")];
    let Some(net) = plan.net() else { return };
    let location = vec![("Location", "http://10.1.0.1/login".to_owned())];
    let _portal =
        Server::on(net.listen_as_portal(), None, move |_| Reply::Answer(302, location.clone(), Vec::new()));
    let _check = Server::on(net.listen(80), None, |_| Reply::status(204));
    net.portal("eth0");
    let Some(rig) = plan.start_in(net) else { return };
    rig.settle(&["wlan1", "wlan0"]);
    rig.net.carrier("eth0", true);
    rig.wait("eth0 is a portal", |seen| health(seen, "eth0") == "portal");
    rig.stays(Duration::from_secs(7), "wlan1");
    let seen = rig.look();
    assert_eq!(proven_s(&seen, "eth0"), None, "a portal accepts connections, and they prove nothing");
    let (used, standby) = (proven_s(&seen, "wlan1"), proven_s(&seen, "wlan0"));
    assert!(used.is_some_and(|age| age < 60) && standby.is_some_and(|age| age < 60), "{used:?} {standby:?}");
    // The portal lets it through now, as after a login.
    rig.net.router.nft("delete table ip portal_eth0");
    comes_back(&rig);
}

/// Only the server cannot be reached over eth0, for a moment: the other probe still finds it good, so that nothing is
/// switched, and no failback brings the connection home.
#[test]
fn a_connection_that_a_standby_won_comes_back_to_the_uplink_in_use() {
    let Some(rig) = Plan::new("routes").start() else { return };
    rig.settle_on_all();
    rig.net.router.nft(&format!(
        "table ip lost {{ chain forward {{ type filter hook forward priority 0;
         iifname \"p-eth0\" ip daddr {} drop; }}
}}",
        rig.net.server_ip()
    ));
    rig.daemon.signal(rustix::process::Signal::USR1);
    rig.next_over("wlan1");
    rig.net.router.nft("delete table ip lost");
    rig.wait("over eth0 again", |seen| rig.came_over(seen, "eth0") && active(seen) == "eth0");
    rig.has_never_switched();
}
