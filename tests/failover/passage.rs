//! Uplinks that accept every connection and let no heartbeat through: login pages, filters, MTU holes.

use crate::rig::{Plan, Rig, active, health};
use crate::support::https::Authority;
use crate::support::net::Net;
use crate::support::request::Request;
use crate::support::server::{Reply, Server};
use std::any::Any;
use std::time::Duration;

const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n<html>log in</html>";

fn plan() -> Plan {
    let keys = &[("heartbeat.timeout", "\"1s\""), ("network.failback_hold", "\"1s\"")];
    Plan { interval: "1s", keys, ..Plan::new("routes") }
}

/// Everything over eth0 ends at what `open` makes in the router, from the start.
fn behind(plan: Plan, open: impl FnOnce(&Net) -> Box<dyn Any>) -> Option<(Rig, Box<dyn Any>)> {
    let net = plan.net()?;
    let portal = open(&net);
    net.portal("eth0");
    Some((plan.start_in(net)?, portal))
}

/// The heartbeat moves to wlan1, then the whole device does, and TCP probes do not bring it back.
fn moves_to_wlan1(rig: &Rig, eth0: &str) {
    // Its event comes first: it would look like one of the time in which it stays.
    let is_event = |request: &Request| request.is_live() && request.reason() == "failover";
    rig.server.request_that(|request| is_event(request) && rig.came_over(request, "wlan1"));
    rig.wait("eth0 is given up", |seen| health(seen, "eth0") == eth0 && active(seen) == "wlan1");
    rig.stays(Duration::from_secs(4), "wlan1");
    rig.wait("eth0 stays given up", |seen| health(seen, "eth0") == eth0 && active(seen) == "wlan1");
}

fn a_portal_that_answers(reply: Reply, eth0: &str) {
    let open = |net: &Net| -> Box<dyn Any> {
        Box::new(Server::on(net.listen_as_portal(), None, move |_| reply.clone()))
    };
    let Some((rig, _portal)) = behind(plan(), open) else { return };
    moves_to_wlan1(&rig, eth0);
}

#[test]
fn an_uplink_that_redirects_heartbeats_is_a_portal() {
    a_portal_that_answers(
        Reply::Answer(302, vec![("Location", "http://10.1.0.1/".to_owned())], vec![]),
        "portal",
    );
}

#[test]
fn an_uplink_that_resets_what_it_accepted_is_dead() {
    a_portal_that_answers(Reply::Reset, "dead");
}

/// With a listener that nothing is accepted from, the kernel connects and nobody answers.
#[test]
fn an_uplink_that_is_silent_after_the_connection_is_dead() {
    let Some((rig, _portal)) = behind(plan(), |net| Box::new(net.listen_as_portal())) else { return };
    moves_to_wlan1(&rig, "dead");
}

#[test]
fn an_uplink_that_is_silent_to_tls_is_dead() {
    let plan = Plan { https: true, ..plan() };
    let Some((rig, _portal)) = behind(plan, |net| Box::new(net.listen_as_portal())) else { return };
    moves_to_wlan1(&rig, "dead");
}

#[test]
fn an_uplink_with_a_certificate_of_its_own_is_dead() {
    let open = |net: &Net| -> Box<dyn Any> {
        let tls = Authority::new().server(&["portal.test"]);
        Box::new(Server::on(net.listen_as_portal(), Some(tls), |_| Reply::ok()))
    };
    let Some((rig, _portal)) = behind(Plan { https: true, ..plan() }, open) else { return };
    moves_to_wlan1(&rig, "dead");
}

/// Small packets pass, so that it connects; those that carry a heartbeat do not.
#[test]
fn an_uplink_that_loses_large_packets_is_dead() {
    let plan = plan();
    let Some(net) = plan.net() else { return };
    net.router.nft(
        "table ip hole { chain forward { type filter hook forward priority 0;
         iifname \"p-eth0\" ip length > 400 drop; }
}",
    );
    let Some(rig) = plan.start_in(net) else { return };
    moves_to_wlan1(&rig, "dead");
}

/// It has answered with heartbeat-monitor's JSON before, so the page is not its own. When the cable is plugged in again, a
/// copy of a heartbeat finds that the login page is gone.
#[test]
fn a_login_page_in_place_of_heartbeat_monitor_is_a_portal_until_a_copy_of_a_heartbeat_gets_through() {
    let Some(rig) = plan().start() else { return };
    rig.server.become_one_that(|_| Reply::monitor());
    rig.settle_on_all();
    let _portal = Server::on(rig.net.listen_as_portal(), None, |_| Reply::Bytes(PAGE));
    rig.net.portal("eth0");
    rig.server.reset_connections(true);
    rig.server.reset_connections(false);
    moves_to_wlan1(&rig, "portal");

    rig.net.router.nft("delete table ip portal_eth0");
    rig.net.carrier("eth0", false);
    rig.wait("the cable is out", |seen| health(seen, "eth0") == "down");
    let mut ids = vec![rig.look().id()];
    rig.net.carrier("eth0", true);
    let copy = rig.server.request_that(|request| {
        if request.is_live() {
            ids.push(request.id());
        }
        request.is_live() && rig.came_over(request, "eth0")
    });
    let originals = ids.iter().filter(|id| **id == copy.id()).count() - 1;
    assert_eq!(originals, 1, "a copy of one that was delivered over wlan1: {copy:?}");
    rig.wait("back on eth0", |seen| active(seen) == "eth0" && rig.came_over(seen, "eth0"));
}

/// Nothing delivers, so it is the server; the first heartbeat that gets through proves nothing against an uplink.
#[test]
fn a_server_that_hangs_for_all_uplinks_is_no_reason_to_switch() {
    let Some(rig) = plan().start() else { return };
    rig.settle_on_all();
    rig.server.become_one_that(|_| Reply::Hang);
    rig.server.requests_during(Duration::from_secs(8));
    rig.server.become_one_that(|_| Reply::ok());
    rig.wait("over eth0", |seen| rig.came_over(seen, "eth0") && health(seen, "eth0") == "valid");
    rig.has_never_switched();
}
