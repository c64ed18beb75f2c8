//! Where the kernel's routes leave no choice: default routes over interfaces that are not uplinks, specific routes to the
//! server, and a server on the own LAN.

use crate::rig::{Plan, Rig, active, health, state};
use crate::support::lateness::in_time;
use crate::support::net::{Net, Shape, UPLINKS};
use crate::support::request::Request;
use crate::support::server::{Reply, Server};
use rustix::process::Signal;
use std::net::IpAddr;
use std::time::{Duration, Instant};

const AT_ONCE: Duration = Duration::from_millis(50);
const IPV6: Shape = Shape { ipv6: true, shared: false, tap: false, taps: false, delay: Duration::ZERO };
/// eth0, over which the kernel's best default route leads, is not an uplink.
const WIFI_ONLY: (&str, &str) = ("network.interfaces", "[\"wlan1\", \"wlan0\"]");

fn unlisted(mode: &'static str, keys: &'static [(&'static str, &'static str)]) -> Plan {
    Plan { keys, ..Plan::new(mode) }
}

/// Heartbeats and all other traffic go over eth0, and the state says so.
fn respects_eth0(rig: &Rig) {
    rig.wait("over eth0, and it says so", |seen| {
        rig.came_over(seen, "eth0") && active(seen) == "eth0" && state(seen) == "eth0_active"
    });
    assert_eq!(rig.net.our_routes(), "");
    let elsewhere = if rig.net.server_ip().is_ipv6() { "2001:db8::1" } else { "1.2.3.4" };
    let way = rig.net.device.ip_show(&format!("route get {elsewhere}"));
    assert!(way.contains("dev eth0"), "{way}");
}

fn a_default_route_over_an_unlisted_interface(mode: &'static str, shape: Shape) {
    let Some(rig) = (Plan { shape, ..unlisted(mode, &[WIFI_ONLY]) }).start() else { return };
    respects_eth0(&rig);
    rig.says("add \"eth0\"");
    // What happens to the uplinks meanwhile concerns no heartbeat.
    rig.server.requests_during(Duration::from_millis(300));
    rig.net.carrier("wlan1", false);
    rig.stays(Duration::from_secs(1), "eth0");
    rig.net.carrier("wlan1", true);
    rig.has_never_switched();
    respects_eth0(&rig);
    assert_eq!(rig.daemon.log_lines("does not name").len(), 1, "{:?}", rig.daemon.log());
    assert!(rig.command(&["failover", "status"]).contains("eth0_active"));
}

#[test]
fn a_default_route_over_an_unlisted_interface_is_respected_with_auto() {
    a_default_route_over_an_unlisted_interface("auto", Shape::default());
}

#[test]
fn a_default_route_over_an_unlisted_interface_is_respected_with_observe() {
    a_default_route_over_an_unlisted_interface("observe", Shape::default());
}

#[test]
fn a_default_ipv6_route_over_an_unlisted_interface_is_respected_with_auto() {
    a_default_route_over_an_unlisted_interface("auto", IPV6);
}

#[test]
fn a_default_ipv6_route_over_an_unlisted_interface_is_respected_with_observe() {
    a_default_route_over_an_unlisted_interface("observe", IPV6);
}

#[test]
fn uplinks_without_internet_do_not_cut_off_a_device_that_an_unlisted_interface_connects() {
    let Some(net) = unlisted("routes", &[WIFI_ONLY]).net() else { return };
    net.drop_upstream("wlan1");
    net.drop_upstream("wlan0");
    let Some(rig) = unlisted("routes", &[WIFI_ONLY]).start_in(net) else { return };
    respects_eth0(&rig);
    // Two probes of each uplink have failed by then.
    rig.stays(Duration::from_secs(4), "eth0");
    respects_eth0(&rig);
    rig.has_never_switched();
}

#[test]
fn a_vpn_that_comes_up_takes_the_heartbeats_at_once_and_gives_them_back() {
    let plan = || unlisted("routes", &[WIFI_ONLY]);
    let Some(net) = plan().net() else { return };
    net.device.ip("route del default dev eth0");
    let Some(rig) = plan().start_in(net) else { return };
    rig.settle(&["wlan1", "wlan0"]);
    let up = Instant::now();
    rig.net.device.ip("route add default via 10.1.0.1 dev eth0 metric 50");
    let request = rig.next_over("eth0");
    in_time(up, request.at, AT_ONCE, "over the VPN");
    assert_eq!((active(&request), state(&request)), ("eth0".into(), "failover_to_eth0".into()));
    respects_eth0(&rig);
    let gone = Instant::now();
    rig.net.device.ip("route del default dev eth0");
    let request = rig.next_over("wlan1");
    in_time(gone, request.at, AT_ONCE, "back");
    assert_eq!(state(&request), "wlan1_priority");
}

/// Half of the internet at a time, as OpenVPN has it: neither is a default route, and no event tells of one.
#[test]
fn a_vpn_with_specific_routes_takes_the_heartbeats_within_a_second_or_two() {
    let plan = || unlisted("routes", &[WIFI_ONLY]);
    let Some(net) = plan().net() else { return };
    net.device.ip("route del default dev eth0");
    let Some(rig) = plan().start_in(net) else { return };
    rig.settle(&["wlan1", "wlan0"]);
    let up = Instant::now();
    rig.net
        .device
        .ip_batch("route add 0.0.0.0/1 via 10.1.0.1 dev eth0\nroute add 128.0.0.0/1 via 10.1.0.1 dev eth0\n");
    let request = rig.next_over("eth0");
    in_time(up, request.at, Duration::from_millis(1_100), "over the VPN");
    assert_eq!(active(&request), "eth0");
    assert!(rig.net.our_routes().is_empty());
    rig.says("route to the server leads over eth0, which [network] interfaces does not name");
}

#[test]
fn a_person_may_choose_an_uplink_against_the_kernel() {
    let Some(rig) = unlisted("routes", &[WIFI_ONLY]).start() else { return };
    respects_eth0(&rig);
    rig.command(&["failover", "manual", "wlan0"]);
    let seen = rig.wait("over wlan0", |seen| rig.came_over(seen, "wlan0"));
    assert_eq!((active(&seen), state(&seen)), ("wlan0".into(), "manual_override".into()));
    assert_eq!(rig.net.our_routes(), "", "the machine's routes stay as they are");
    rig.command(&["failover", "auto"]);
    respects_eth0(&rig);
}

#[test]
fn heartbeats_return_to_the_uplink_that_a_person_chose_once_it_can_be_connected_over() {
    let Some(rig) = unlisted("routes", &[WIFI_ONLY]).start() else { return };
    respects_eth0(&rig);
    rig.net.drop_upstream("wlan0");
    rig.command(&["failover", "manual", "wlan0"]);
    rig.says("manual_override");
    rig.daemon.signal(Signal::USR1);
    rig.next_over("eth0");
    rig.net.restore_upstream("wlan0");
    rig.wait("over wlan0", |seen| rig.came_over(seen, "wlan0"));
}

/// The unlisted interface accepts no heartbeat any more.
fn eth0_delivers_nothing(https: bool) -> Option<(Rig, Instant)> {
    let keys = &[WIFI_ONLY, ("heartbeat.timeout", "\"500ms\"")];
    let rig = Plan { https, interval: "1s", keys, ..Plan::new("routes") }.start()?;
    respects_eth0(&rig);
    let dropped = rig.net.drop_upstream("eth0");
    Some((rig, dropped))
}

#[test]
fn uplinks_help_out_over_https_after_two_undelivered_heartbeats() {
    let Some((rig, _)) = eth0_delivers_nothing(true) else { return };
    rig.next_over("wlan1");
    let heartbeat = rig.server.request_that(|request| active(request) == "wlan1");
    assert!(rig.came_over(&heartbeat, "wlan1"), "it says so: {heartbeat:?}");
    assert_eq!(rig.net.our_routes(), "", "the machine's routes stay as they are");
}

#[test]
fn without_https_no_token_leaves_over_another_interface_than_the_kernels() {
    let Some((rig, _)) = eth0_delivers_nothing(false) else { return };
    let strayed = |request: &Request| !rig.came_over(request, "eth0");
    let requests = rig.server.requests_during(Duration::from_secs(5));
    assert!(!requests.iter().any(strayed), "{requests:?}");
    rig.net.restore_upstream("eth0");
    rig.next_over("eth0");
}

#[test]
fn interfaces_of_one_pattern_are_ranked_by_name_and_one_that_goes_promotes_no_other() {
    let keys = &[("network.interfaces", "[\"wlan*\", \"eth0\"]")];
    let Some(rig) = (Plan { keys, ..Plan::new("routes") }).start() else { return };
    rig.settle(&["wlan0", "wlan1", "eth0"]);
    assert_eq!(state(&rig.look()), "wlan0_priority");
    let cut = rig.net.carrier("wlan0", false);
    rig.fails_over(cut, AT_ONCE, "wlan1", "failover_to_wlan1");
    rig.wait("acknowledged", |seen| state(seen) == "wlan1_active");
    rig.net.carrier("wlan0", true);
    let back = rig.next_over("wlan0");
    assert_eq!(state(&back), "wlan0_priority");
    rig.net.router.ip("link del p-wlan0");
    rig.next_over("wlan1");
    rig.wait("not promoted", |seen| state(seen) == "wlan1_active");
}

/// A host that takes whatever comes from eth0, whatever its destination.
fn wrong_host(net: &Net) -> Server {
    let wrong = Server::on(net.listen_as_portal(), None, |_| Reply::ok());
    net.portal("eth0");
    wrong
}

fn gets_nothing(wrong: &Server, during: Duration) {
    let requests = wrong.requests_during(during);
    assert!(requests.is_empty(), "another host got {requests:?}");
}

fn specific_route(mode: &'static str, shape: Shape) {
    let plan = || Plan { shape, interval: "1s", ..Plan::new(mode) };
    let Some(net) = plan().net() else { return };
    let wrong = wrong_host(&net);
    let route = if shape.ipv6 { "fd99::/64 via fd00:2::1" } else { "10.99.0.0/24 via 10.2.0.1" };
    net.device.ip(&format!("route add {route} dev wlan1"));
    let setup = plan().setup().token("of-the-right-server-alone");
    let rig = plan().start_with(net, setup);
    rig.wait("over wlan1, and it says so", |seen| {
        rig.came_over(seen, "wlan1") && active(seen) == "wlan1" && state(seen) == "wlan1_active"
    });
    assert_eq!(rig.net.our_routes(), "", "the machine's other traffic goes over the best uplink");
    rig.net.carrier("wlan0", false);
    gets_nothing(&wrong, Duration::from_secs(2));
    // The only way is closed: better no heartbeat than one to another host.
    rig.net.drop_upstream("wlan1");
    rig.daemon.signal(Signal::USR1);
    gets_nothing(&wrong, Duration::from_secs(4));
    rig.net.restore_upstream("wlan1");
    rig.next_over("wlan1");
}

#[test]
fn a_specific_route_to_the_server_is_respected_with_routes() {
    specific_route("routes", Shape::default());
}

#[test]
fn a_specific_route_to_the_server_is_respected_with_observe() {
    specific_route("observe", Shape::default());
}

#[test]
fn a_specific_ipv6_route_to_the_server_is_respected_with_routes() {
    specific_route("routes", IPV6);
}

#[test]
fn a_specific_ipv6_route_to_the_server_is_respected_with_observe() {
    specific_route("observe", IPV6);
}

/// Without a route the kernel takes a bound socket's server for a neighbour, and asks the LAN who that is.
#[test]
fn a_lan_without_a_default_route_never_gets_a_heartbeat_for_the_server() {
    let plan = || Plan { interval: "1s", ..Plan::new("observe") };
    let Some(net) = plan().net() else { return };
    let wrong = wrong_host(&net);
    net.device.ip("route del default dev eth0");
    net.router.sysctl("ipv4/conf/p-eth0/proxy_arp", 1);
    let Some(rig) = plan().start_in(net) else { return };
    rig.wait("over wlan1", |seen| rig.came_over(seen, "wlan1"));
    rig.net.drop_upstream("wlan1");
    rig.next_over("wlan0");
    gets_nothing(&wrong, Duration::from_secs(2));
}

/// The device's address over an uplink in the server's subnet.
fn on_the_lan(net: &Net, uplink: &str) -> IpAddr {
    let place = 2 + UPLINKS.iter().position(|name| *name == uplink).expect("an uplink");
    let prefix = if net.server_ip().is_ipv6() { "fd99::" } else { "10.99.0." };
    format!("{prefix}{place}").parse().expect("an address")
}

/// The router answers for the server over `link`, until that loses its carrier.
fn answer_for_the_server(net: &Net, uplink: &str, link: &str) {
    if net.server_ip().is_ipv6() {
        net.router.ip(&format!("neigh replace proxy {} dev {link}", net.server_ip()));
    }
    net.router.ip(&format!("route replace {} dev {link}", on_the_lan(net, uplink)));
}

/// A device whose uplinks all have an address in the server's subnet. The router answers for the server there, with its
/// own hardware address on each cable, or with one for all of them where they share a bridge.
fn server_on_the_lan(shape: Shape, https: bool) -> Option<Rig> {
    let plan = || Plan { shape, https, interval: "1s", ..Plan::new("routes") };
    let net = plan().net()?;
    for uplink in UPLINKS {
        let link = if shape.shared { "br0".to_owned() } else { format!("p-{uplink}") };
        let (family, proxy, prefix) =
            if shape.ipv6 { ("ipv6", "proxy_ndp", "64 nodad") } else { ("ipv4", "proxy_arp", "24") };
        net.router.sysctl(&format!("{family}/conf/{link}/{proxy}"), 1);
        answer_for_the_server(&net, uplink, &link);
        net.device.ip(&format!("addr add {}/{prefix} dev {uplink}", on_the_lan(&net, uplink)));
    }
    let rig = plan().start_in(net)?;
    rig.server.request_that(|request| came_over_lan(&rig, request, "eth0"));
    Some(rig)
}

fn came_over_lan(rig: &Rig, request: &Request, uplink: &str) -> bool {
    request.peer.ip() == on_the_lan(&rig.net, uplink)
}

#[test]
fn failover_to_a_server_on_the_own_lan_works_where_the_same_host_answers() {
    let Some(rig) = server_on_the_lan(Shape { shared: true, ..Shape::default() }, false) else { return };
    rig.wait("all are known", |seen| active(seen) == "eth0");
    rig.net.carrier("eth0", false);
    rig.server.request_that(|request| came_over_lan(&rig, request, "wlan1") && active(request) == "wlan1");
}

fn another_host_gets_nothing(shape: Shape) {
    let Some(rig) = server_on_the_lan(shape, false) else { return };
    rig.net.carrier("eth0", false);
    let requests = rig.server.requests_during(Duration::from_secs(5));
    assert!(requests.iter().all(|request| came_over_lan(&rig, request, "eth0")), "{requests:?}");
    rig.net.carrier("eth0", true);
    answer_for_the_server(&rig.net, "eth0", "p-eth0");
    rig.server.request_that(|request| came_over_lan(&rig, request, "eth0"));
}

#[test]
fn another_host_with_the_servers_address_on_another_lan_gets_nothing() {
    another_host_gets_nothing(Shape::default());
}

#[test]
fn another_host_with_the_servers_ipv6_address_on_another_lan_gets_nothing() {
    another_host_gets_nothing(IPV6);
}

fn https_on_another_lan(shape: Shape) {
    let Some(rig) = server_on_the_lan(shape, true) else { return };
    // As in settle; the device's address in the server's subnet is another one.
    rig.wait("all work", |seen| UPLINKS.iter().all(|uplink| health(seen, uplink) == "valid"));
    rig.server.request_that(|request| came_over_lan(&rig, request, "eth0"));
    rig.net.carrier("eth0", false);
    rig.server.request_that(|request| came_over_lan(&rig, request, "wlan1"));
}

#[test]
fn https_proves_the_server_on_another_lan() {
    https_on_another_lan(Shape::default());
}

#[test]
fn https_proves_the_server_on_another_ipv6_lan() {
    https_on_another_lan(IPV6);
}
