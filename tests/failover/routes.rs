//! Routes of ours: there while they are needed, gone afterwards, whatever happens in between.

use crate::rig::{Plan, Rig, active, health};
use crate::support::daemon::Daemon;
use crate::support::eventually;
use rustix::process::Signal;
use std::time::Duration;

const AT_ONCE: Duration = Duration::from_millis(50);

/// A device that has failed over to wlan1, with our route in place.
fn failed_over() -> Option<Rig> {
    let rig = Plan::new("routes").start()?;
    rig.settle_on_all();
    assert_eq!(rig.net.our_routes(), "", "the kernel's own choice needs no route of ours");
    let cut = rig.net.carrier("eth0", false);
    rig.fails_over(cut, AT_ONCE, "wlan1", "failover_to_wlan1");
    let routes = rig.net.our_routes();
    assert!(routes.contains("default") && routes.contains("dev wlan1"), "no route of ours: {routes}");
    assert_eq!(routes.lines().count(), 1, "{routes}");
    Some(rig)
}

#[test]
fn a_route_of_ours_is_gone_after_the_return() {
    let Some(rig) = failed_over() else { return };
    rig.net.carrier("eth0", true);
    rig.next_over("eth0");
    eventually("our route is gone", || rig.net.our_routes().is_empty());
    let all = rig.net.device.ip_show("route show default");
    assert_eq!(all.lines().count(), 3, "the system's own routes are all there: {all}");
}

#[test]
fn a_route_of_ours_is_gone_after_an_orderly_stop() {
    let Some(mut rig) = failed_over() else { return };
    rig.daemon.signal(Signal::TERM);
    rig.daemon.wait_for_end(Duration::from_secs(20));
    assert_eq!(rig.net.our_routes(), "");
    let farewell = rig.server.request_that(|request| request.reason() == "shutdown");
    assert!(rig.came_over(&farewell, "wlan1"), "{farewell:?}");
}

/// A device whose wlan1 has this default route instead of its usual one, after eth0's cable was pulled and a heartbeat
/// left over wlan1 from `source`.
fn failed_over_to(route: &str, source: &str) -> Option<Rig> {
    let net = Plan::new("routes").net()?;
    net.device.ip("route del default dev wlan1");
    net.device.ip_batch(route);
    let rig = Plan::new("routes").start_in(net)?;
    rig.settle_on_all();
    rig.net.carrier("eth0", false);
    let request = rig.server.request_that(|request| request.peer.ip().to_string() == source);
    assert_eq!(active(&request), "wlan1", "{request:?}");
    Some(rig)
}

/// The machine's traffic goes over wlan1, by a route of ours with these attributes.
fn follows_over_wlan1(rig: &Rig, attributes: &[&str]) {
    let routes = rig.net.our_routes();
    for attribute in attributes {
        assert!(routes.contains(attribute), "{attribute} is missing: {routes}");
    }
    assert!(!routes.contains("linkdown"), "{routes}");
    let way = rig.net.device.ip_show("route get 1.2.3.4");
    assert!(way.contains("dev wlan1"), "{way}");
}

#[test]
fn a_copied_route_keeps_a_gateway_that_no_route_leads_to() {
    let route = "addr del 10.2.0.2/24 dev wlan1\naddr add 10.2.0.2/32 dev wlan1\n\
        route add default via 10.2.0.1 dev wlan1 metric 200 onlink\n";
    let Some(rig) = failed_over_to(route, "10.2.0.2") else { return };
    follows_over_wlan1(&rig, &["via 10.2.0.1", "onlink"]);
    rig.net.carrier("eth0", true);
    rig.next_over("eth0");
    eventually("our route is gone", || rig.net.our_routes().is_empty());
    let own = rig.net.device.ip_show("route show default dev wlan1");
    assert!(own.contains("metric 200"), "not ours, and still there: {own}");
}

#[test]
fn a_copied_route_keeps_its_source_mtu_advmss_and_window() {
    let route = "addr add 10.2.0.77/24 dev wlan1\n\
        route add default via 10.2.0.1 dev wlan1 metric 200 src 10.2.0.77 mtu lock 1280 advmss 1200 initcwnd 4\n";
    let Some(rig) = failed_over_to(route, "10.2.0.77") else { return };
    follows_over_wlan1(&rig, &["src 10.2.0.77", "mtu lock 1280", "advmss 1200", "initcwnd 4"]);
    // The route changes under us: the copy follows.
    rig.net.device.ip("route replace default via 10.2.0.1 dev wlan1 metric 200 mtu 1400");
    eventually("the copy is that of the new route", || {
        let routes = rig.net.our_routes();
        routes.contains("mtu 1400") && !routes.contains("src") && routes.lines().count() == 1
    });
}

#[test]
fn an_address_with_two_prefixes_is_not_lost_when_one_of_them_is_removed() {
    let Some(net) = Plan::new("routes").net() else { return };
    net.device.ip("addr add 10.1.0.2/32 dev eth0");
    let Some(rig) = Plan::new("routes").start_in(net) else { return };
    rig.settle_on_all();
    rig.net.device.ip("addr del 10.1.0.2/32 dev eth0");
    rig.stays(Duration::from_millis(500), "eth0");
    rig.wait("still good", |seen| health(seen, "eth0") == "valid" && active(seen) == "eth0");
    rig.has_never_switched();
}

#[test]
fn policy_routing_that_the_mode_does_not_follow_is_named() {
    let Some(rig) = Plan::new("routes").start() else { return };
    rig.settle_on_all();
    assert!(rig.daemon.log_lines("policy routing").is_empty(), "{:?}", rig.daemon.log());
    rig.net.device.ip("rule add from 10.7.0.0/16 lookup 123 priority 77");
    rig.says("policy routing sends some packets to other tables (rule 77: table 123)");
    assert!(rig.command(&["failover", "status"]).contains("rule 77: table 123"));
    rig.net.device.ip("rule del priority 77");
    rig.says("policy routing has ended");
    rig.has_never_switched();
}

fn kill(daemon: &mut Daemon) {
    daemon.signal(Signal::KILL);
    daemon.wait_for_end(Duration::from_secs(20));
}

#[test]
fn a_route_that_a_killed_daemon_left_is_gone_after_the_next_start() {
    let Some(mut rig) = failed_over() else { return };
    kill(&mut rig.daemon);
    assert_ne!(rig.net.our_routes(), "", "nobody could clean up");
    rig.net.carrier("eth0", true);
    let setup = Plan::new("routes").setup().to(&rig.server.url("/"));
    let command = rig.net.become_daemon();
    rig.daemon = rig.net.device.enter(|| setup.start_as(command));
    rig.server.request_that(|request| rig.came_over(request, "eth0"));
    eventually("the old route is gone", || rig.net.our_routes().is_empty());
}

#[test]
fn the_cleanup_command_removes_what_a_killed_daemon_left_and_nothing_else() {
    let Some(mut rig) = failed_over() else { return };
    kill(&mut rig.daemon);
    let own = rig.net.device.ip_show("route show default metric 200");
    rig.command(&["cleanup"]);
    assert_eq!(rig.net.our_routes(), "");
    assert_eq!(rig.net.device.ip_show("route show default metric 200"), own);
    // With nothing to do it is good as well.
    rig.command(&["cleanup"]);
}

#[test]
fn a_route_of_ours_that_goes_with_an_address_is_added_again_once() {
    let Some(rig) = failed_over() else { return };
    rig.net.take_address("wlan1");
    rig.net.give_address("wlan1");
    eventually("our route is back", || rig.net.our_routes().contains("default"));
    rig.wait("all is well", |seen| !active(seen).is_empty());
    let routes = rig.net.our_routes();
    assert_eq!(routes.lines().count(), 1, "{routes}");
}

#[test]
fn routes_without_the_privilege_are_not_tried_and_the_heartbeat_moves_all_the_same() {
    let way = &["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
    let Some(rig) = (Plan { way, ..Plan::new("auto") }).start() else { return };
    rig.says("observe");
    rig.settle_on_all();
    let cut = rig.net.carrier("eth0", false);
    rig.fails_over(cut, AT_ONCE, "wlan1", "failover_to_wlan1");
    assert_eq!(rig.net.our_routes(), "");
}

#[test]
fn auto_takes_routes_where_it_may_and_needs_no_network_manager() {
    let Some(rig) = Plan::new("auto").start() else { return };
    rig.says("routes");
    rig.settle_on_all();
    let cut = rig.net.carrier("eth0", false);
    rig.fails_over(cut, AT_ONCE, "wlan1", "failover_to_wlan1");
    assert!(rig.net.our_routes().contains("dev wlan1"));
    assert!(rig.daemon.log_lines("nmcli").is_empty(), "{:?}", rig.daemon.log());
}
