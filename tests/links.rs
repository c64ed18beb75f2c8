//! Real links of the kernel, in a network namespace of their own: what is reported of them as they change.
//!
//! Each test runs itself again under `unshare -n`, which takes root. The namespace ends with it, and all
//! links in it.
#![cfg(feature = "device")]

#[path = "support/skip.rs"]
mod skip;
#[path = "support/unshared.rs"]
mod unshared;

use heartbeat_daemon::device::metrics::network::NetworkSource;
use heartbeat_daemon::device::os::links::Links;
use heartbeat_daemon::device::os::netlink::Socket;
use heartbeat_daemon::wire::{Connection, LinkKind, LinkState};
use netlink_packet_core::NLM_F_DUMP;
use netlink_sys::protocols::NETLINK_ROUTE;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use unshared::{in_namespace, ip};

/// For a machine that is very busy; the kernel takes about 1 ms.
const PATIENCE: Duration = Duration::from_secs(30);

/// Samples until the connection is as it should be.
fn wait_for(network: &mut NetworkSource, what: &str, is_so: impl Fn(&Connection) -> bool) -> Connection {
    let begin = Instant::now();
    loop {
        let connection = network.sample(Instant::now());
        if is_so(&connection) {
            return connection;
        }
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}; it is {connection:?}");
        std::thread::yield_now();
    }
}

fn ethernet(connection: &Connection) -> Option<(&str, LinkState)> {
    connection.ethernet.as_ref().map(|ethernet| (ethernet.interface.as_str(), ethernet.state))
}

#[test]
fn an_ethernet_goes_down_gets_carrier_gets_an_address_and_loses_it_again() {
    in_namespace("an_ethernet_goes_down_gets_carrier_gets_an_address_and_loses_it_again", || {
        let mut network = NetworkSource::new(Path::new("/"));
        let is = |state| move |connection: &Connection| ethernet(connection) == Some(("eth0", state));
        ip("link set lo up");
        wait_for(&mut network, "nothing but lo", |connection| *connection == Connection::default());

        ip("link add eth0 type veth peer name peer0");
        wait_for(&mut network, "switched off", is(LinkState::Down));
        ip("link set eth0 up");
        wait_for(&mut network, "no carrier", is(LinkState::Down));
        ip("link set peer0 up");
        wait_for(&mut network, "carrier without address", is(LinkState::NoAddress));
        ip("address add 169.254.9.9/16 dev eth0");
        wait_for(&mut network, "a link-local address only", |connection| {
            is(LinkState::NoAddress)(connection) && connection.ip_addresses.iter().any(|a| a.ip.is_ipv4())
        });

        ip("address add 10.77.0.2/24 dev eth0");
        ip("route add default via 10.77.0.1 metric 100");
        let connection = wait_for(&mut network, "an address", is(LinkState::Up));
        assert_eq!(connection.active.as_deref(), Some("eth0"));
        let addresses: Vec<_> = connection.ip_addresses.iter().map(|a| (a.ip.to_string(), a.kind)).collect();
        assert_eq!(addresses, [("10.77.0.2".into(), LinkKind::Ethernet)]);
        assert_eq!(connection.traffic.keys().collect::<Vec<_>>(), ["eth0"], "its peer is no uplink");

        ip("link set peer0 down");
        let connection = wait_for(&mut network, "carrier lost", is(LinkState::Down));
        assert!(connection.ip_addresses.is_empty(), "nobody reaches the device there");
    });
}

#[test]
fn the_default_route_names_the_active_interface_by_metric_and_without_ipv4_by_ipv6() {
    let name = "the_default_route_names_the_active_interface_by_metric_and_without_ipv4_by_ipv6";
    in_namespace(name, || {
        let mut network = NetworkSource::new(Path::new("/"));
        let active =
            |name: &'static str| move |connection: &Connection| connection.active.as_deref() == Some(name);
        for n in [0, 1] {
            ip(&format!("link add eth{n} type veth peer name peer{n}"));
            ip(&format!("link set peer{n} up"));
            ip(&format!("link set eth{n} up"));
            ip(&format!("address add 10.77.{n}.2/24 dev eth{n}"));
            ip(&format!("route add default via 10.77.{n}.1 metric {}", 200 - 100 * n));
        }
        let connection = wait_for(&mut network, "the lower metric", active("eth1"));
        assert_eq!(connection.ethernet.expect("an Ethernet").interface, "eth1");
        ip("route del default via 10.77.1.1");
        wait_for(&mut network, "the only one", active("eth0"));
        ip("route del default via 10.77.0.1");
        wait_for(&mut network, "none", |connection| connection.active.is_none());
        // Enough routes in front of the default route that the table has several pages.
        for n in 0..60 {
            ip(&format!("-6 route add 2001:db8:{n:x}::/48 dev eth0"));
        }
        ip("-6 route add default via fe80::1 dev eth1 metric 50");
        wait_for(&mut network, "IPv6", active("eth1"));
        // A virtual link is reported once it has the default route.
        ip("link add br0 type bridge");
        ip("link set br0 up");
        ip("address add 10.78.0.1/24 dev br0");
        ip("route add default via 10.78.0.9");
        let connection = wait_for(&mut network, "a bridge", active("br0"));
        assert!(connection.traffic.contains_key("br0"));
    });
}

/// More than one receive, 32 KiB, has room for: about 1.5 KiB each.
fn many_links() {
    for n in 0..60 {
        ip(&format!("link add quiet{n} type veth peer name other{n}"));
    }
}

#[test]
fn a_dump_is_disturbed_by_a_change_and_the_next_one_is_not() {
    in_namespace("a_dump_is_disturbed_by_a_change_and_the_next_one_is_not", || {
        const RTM_GETLINK: u16 = 18;
        many_links();
        let mut socket = Socket::open(NETLINK_ROUTE).expect("a socket");
        // The first reply arrives while the kernel still has most of the list to write.
        let mut changed = false;
        let disturbed = socket.request(RTM_GETLINK, NLM_F_DUMP, &[0; 16], |_, _| {
            if !changed {
                ip("link add restless0 type bridge");
                changed = true;
            }
        });
        assert_eq!(disturbed.expect_err("inconsistent").kind(), ErrorKind::Interrupted);
        socket.request(RTM_GETLINK, NLM_F_DUMP, &[0; 16], |_, _| {}).expect("nothing changes now");
    });
}

/// Ends with the test, also if that fails.
struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_dump_of_many_links_is_whole_while_others_come_and_go() {
    in_namespace("a_dump_of_many_links_is_whole_while_others_come_and_go", || {
        many_links();
        let restless = "while ip link add restless0 type bridge && ip link del restless0; do :; done";
        let shell = Command::new("/bin/sh").args(["-c", restless]).spawn();
        let _background = Background(shell.expect("a shell"));
        let mut links = Links::default();
        let mut whole = 0;
        let begin = Instant::now();
        while whole < 100 && begin.elapsed() < PATIENCE {
            match links.dump() {
                Ok(all) => {
                    let quiet = all.iter().filter(|link| link.name.starts_with("quiet")).count();
                    assert_eq!(quiet, 60, "links that nobody touches are in every dump");
                    whole += 1;
                }
                // Five disturbed dumps in a row: said, not hidden.
                Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}"),
            }
        }
        assert!(whole > 0);
    });
}
