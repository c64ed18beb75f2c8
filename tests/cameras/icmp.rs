//! Pings, in namespaces that allow them or not.

use crate::lan::{Listener, Watching, address, entry, mac, socket};
use crate::support::namespace::Namespace;
use crate::support::skip;
use heartbeat_daemon::device::cameras::{CameraInfo, Status};
use std::net::SocketAddr;
use std::sync::Arc;

/// `None` where there can be no namespaces.
fn namespace(may_ping: bool) -> Option<Namespace> {
    let namespace = match Namespace::new() {
        Ok(namespace) => namespace,
        Err(error) => {
            skip(&format!("no network namespace: {error}"));
            return None;
        }
    };
    if may_ping {
        let path = "/proc/sys/net/ipv4/ping_group_range";
        namespace.enter(|| std::fs::write(path, "0 2147483647")).expect("a sysctl of the namespace");
    }
    Some(namespace)
}

/// What comes in and is like this is dropped.
fn drop_incoming(namespace: &Namespace, what: &str) {
    namespace
        .nft(&format!("table ip t {{ chain c {{\ntype filter hook input priority 0\n{what} drop\n}}\n}}\n"));
}

fn check(text: &str) -> Arc<Vec<CameraInfo>> {
    Watching::start(text).check()
}

fn at(number: u16, ip: &str, more: &str) -> String {
    format!("[[cameras.camera]]\nmac = \"{}\"\naddress = \"{ip}\"\n{more}\n", mac(number))
}

#[test]
fn where_the_kernel_allows_it_a_ping_finds_cameras_of_both_families() {
    let Some(namespace) = namespace(true) else { return };
    namespace.ip("route add blackhole 192.0.2.0/24");
    drop_incoming(&namespace, "ip daddr 127.9.9.9");
    let list = namespace.enter(|| {
        let silent = at(3, "127.9.9.9", "icmp_timeout = \"300ms\"");
        let text = [at(1, "127.5.5.5", ""), at(2, "::1", ""), silent, at(4, "192.0.2.1", "")].concat();
        check(&format!("method = \"icmp\"\n{text}"))
    });
    let reachable: Vec<_> = list.iter().map(|camera| camera.reachable).collect();
    assert_eq!(reachable, [Some(true), Some(true), Some(false), Some(false)]);
    let problems: Vec<_> = list.iter().skip(2).map(|camera| camera.problem.as_deref()).collect();
    assert_eq!(problems, [Some("no answer in time"), Some("no route to it")]);
}

#[test]
fn a_ping_that_is_lost_once_is_no_outage() {
    let Some(namespace) = namespace(true) else { return };
    // The first request only: 36 bytes.
    drop_incoming(&namespace, "icmp type echo-request quota until 40 bytes");
    let list = namespace
        .enter(|| check(&format!("method = \"icmp\"\nicmp_timeout = \"1s\"\n{}", at(1, "127.5.5.5", ""))));
    assert_eq!(list[0].reachable, Some(true), "{:?}", list[0]);
    assert!(list[0].latency.is_some_and(|latency| latency.as_millis() >= 500), "{:?}", list[0]);
}

#[test]
fn where_the_kernel_forbids_it_both_is_tcp_and_icmp_finds_nothing_out() {
    let Some(namespace) = namespace(false) else { return };
    let list = namespace.enter(|| {
        let camera = Listener::accepting();
        let icmp = entry(1, camera.address, "method = \"icmp\"");
        let both = entry(2, camera.address, "method = \"both\"");
        let gone = entry(3, Listener::refusing().address, "method = \"both\"");
        check(&[icmp, both, gone].concat())
    });
    assert_eq!(list[0].status, Status::Unknown);
    assert_eq!(list[0].reachable, None, "nobody knows");
    assert!(list[0].problem.as_deref().is_some_and(|why| why.contains("net.ipv4.ping_group_range")));
    assert_eq!((list[1].reachable, list[2].reachable), (Some(true), Some(false)));
}

#[test]
fn both_is_a_ping_first_and_a_connection_if_it_fails() {
    let Some(namespace) = namespace(true) else { return };
    drop_incoming(&namespace, "icmp type echo-request ip daddr 127.9.9.9");
    let list = namespace.enter(|| {
        let _listens = socket([127, 9, 9, 9].into(), 8080, 8);
        let pinged = SocketAddr::from((address(), 9));
        let connected = SocketAddr::from(([127, 9, 9, 9], 8080));
        let more = "method = \"both\"\nicmp_timeout = \"300ms\"";
        check(&[entry(1, pinged, more), entry(2, connected, more)].concat())
    });
    assert_eq!((list[0].reachable, list[1].reachable), (Some(true), Some(true)));
    assert!(
        list[1].latency.is_some_and(|latency| latency.as_millis() < 300),
        "of the connection: {:?}",
        list[1]
    );
}
