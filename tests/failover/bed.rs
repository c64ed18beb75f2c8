//! The network of these tests, without the daemon: each fault does what its name says, and nothing else.

use crate::rig::Plan;
use crate::support::net::{Net, Shape, UPLINKS};
use crate::support::server::{Reply, Server};
use crate::support::{SOON, eventually};
use heartbeat_daemon::device::metrics::network::NetworkSource;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// A way that is dropped takes that long to be noticed here; a good one less than 1 ms.
const LIMIT: Duration = Duration::from_millis(700);

/// Connects to the server over this uplink.
fn reach(net: &Net, server: SocketAddr, uplink: &str, limit: Duration) -> io::Result<()> {
    net.device.enter(|| {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
        socket.bind_device(Some(uplink.as_bytes()))?;
        socket.connect_timeout(&server.into(), limit)
    })
}

/// Exactly these uplinks reach the server, now or soon: a gateway may have to be asked for its address first.
fn reachable(net: &Net, server: &Server, expected: &[&str]) {
    eventually(&format!("{expected:?} reach the server, and no other uplink"), || {
        let reaches = |uplink: &&str| reach(net, server.address(), uplink, LIMIT).is_ok();
        UPLINKS.into_iter().filter(reaches).collect::<Vec<_>>() == expected
    });
}

fn bed(shape: Shape) -> Option<(Net, Server)> {
    let net = Plan { shape, ..Plan::new("off") }.net()?;
    let server = Server::on(net.listen(0), None, |_| Reply::ok());
    Some((net, server))
}

#[test]
fn each_uplink_reaches_the_server_and_each_fault_stops_its_own_uplink_only() {
    let Some((net, server)) = bed(Shape::default()) else { return };
    reachable(&net, &server, &UPLINKS);
    net.carrier("eth0", false);
    reachable(&net, &server, &["wlan1", "wlan0"]);
    net.carrier("eth0", true);
    net.drop_upstream("wlan1");
    reachable(&net, &server, &["eth0", "wlan0"]);
    net.restore_upstream("wlan1");
    net.silence_gateway("wlan0");
    reachable(&net, &server, &["eth0", "wlan1"]);
    net.restore_gateway("wlan0");
    net.take_address("eth0");
    reachable(&net, &server, &["wlan1", "wlan0"]);
    net.give_address("eth0");
    reachable(&net, &server, &UPLINKS);
}

#[test]
fn an_ipv6_bed_a_shared_subnet_and_a_long_way_reach_the_server() {
    let shapes = [
        Shape { ipv6: true, ..Shape::default() },
        Shape { shared: true, ..Shape::default() },
        Shape { delay: Duration::from_millis(20), ..Shape::default() },
        Shape { tap: true, ..Shape::default() },
    ];
    for shape in shapes {
        let Some((net, server)) = bed(shape) else { return };
        reachable(&net, &server, &UPLINKS);
        net.carrier("wlan1", false);
        reachable(&net, &server, &["eth0", "wlan0"]);
    }
    let Some((net, server)) = bed(shapes[2]) else { return };
    // On a busy machine one try may take longer than its limit.
    eventually("the server is reached over the long way", || {
        let begin = Instant::now();
        let reached = reach(&net, server.address(), "eth0", LIMIT).is_ok();
        assert!(begin.elapsed() >= Duration::from_millis(40), "one round trip: {:?}", begin.elapsed());
        reached
    });
}

#[test]
fn the_carrier_of_a_cable_in_user_space_comes_and_goes() {
    let Some((net, server)) = bed(Shape { tap: true, ..Shape::default() }) else { return };
    for _ in 0..2 {
        net.carrier_of_tap(false);
        reachable(&net, &server, &["wlan1", "wlan0"]);
        net.carrier_of_tap(true);
        reachable(&net, &server, &UPLINKS);
    }
}

/// With equal indexes of both ends it would be 300-700 ms.
#[test]
fn the_kernel_reports_a_pulled_cable_at_once() {
    let Some((net, _server)) = bed(Shape::default()) else { return };
    let mut took: Vec<Duration> = (0..9)
        .map(|_| {
            net.carrier("eth0", true);
            std::thread::sleep(Duration::from_millis(50));
            net.device.enter(|| {
                let mut network = NetworkSource::new(Path::new("/"));
                let is_up = |network: &mut NetworkSource| {
                    let ethernet = network.sample(Instant::now()).ethernet.expect("eth0");
                    ethernet.state == heartbeat_daemon::wire::LinkState::Up
                };
                eventually("the cable is in", || is_up(&mut network));
                let cut = net.carrier("eth0", false);
                while is_up(&mut network) {}
                cut.elapsed()
            })
        })
        .collect();
    took.sort_unstable();
    assert!(took[4] < Duration::from_millis(150), "{took:?}");
}

#[test]
fn a_portal_takes_every_connection_of_its_uplink() {
    for ipv6 in [false, true] {
        let Some((net, server)) = bed(Shape { ipv6, ..Shape::default() }) else { return };
        let portal = Server::on(net.listen_as_portal(), None, |_| Reply::status(302));
        net.portal("eth0");
        for uplink in UPLINKS {
            reach(&net, server.address(), uplink, SOON).expect("reached");
        }
        eventually("one of three at the portal", || (portal.connections(), server.connections()) == (1, 2));
    }
}
