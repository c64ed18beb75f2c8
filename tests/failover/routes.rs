//! Routes of ours: there while they are needed, gone afterwards, whatever happens in between.

use crate::rig::{Plan, Rig, active};
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
