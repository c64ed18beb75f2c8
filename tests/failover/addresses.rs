//! A server with several addresses, of which some lead nowhere.

use crate::rig::{Plan, Rig, health};
use crate::support::net::Net;
use crate::support::server::{Reply, Server};
use rustix::process::Signal;
use std::net::SocketAddr;

const NAME: &str = "heartbeat.test";

/// A device that knows the server's name as these addresses, in this order.
fn start(plan: Plan, net: Net, addresses: &[&str]) -> Rig {
    // Becomes a shell that mounts the file over /etc/hosts and then becomes the daemon.
    const HOSTS: &[&str] =
        &["sh", "-c", r#"mount --bind "$HEARTBEAT_TEST_HOSTS" /etc/hosts && exec "$@""#, "sh"];
    let lines: Vec<String> = addresses.iter().map(|address| format!("{address} {NAME}\n")).collect();
    let lines = lines.concat();
    let plan = Plan { host: Some(NAME), way: HOSTS, ..plan };
    let setup = plan.setup();
    let hosts = setup.scratch().file("hosts", &lines);
    plan.start_with(net, setup.env("HEARTBEAT_TEST_HOSTS", &hosts))
}

/// Without turns the four IPv6 addresses, over three uplinks each, would take every slot of the race.
#[test]
fn four_dead_ipv6_addresses_do_not_cost_a_heartbeat() {
    let plan = Plan { unplugged: &["wlan0"], ..Plan::new("observe") };
    let Some(net) = plan.net() else { return };
    net.device.ip("-6 addr add 2001:db8:1::2/64 dev eth0 nodad");
    net.router.ip("-6 addr add 2001:db8:1::1/64 dev p-eth0 nodad");
    net.device.ip("-6 route add default via 2001:db8:1::1 dev eth0");
    net.router.ip("-6 route add blackhole 2001:db8:99::/64");
    let dead = ["2001:db8:99::1", "2001:db8:99::2", "2001:db8:99::3", "2001:db8:99::4"];
    let addresses = [dead.as_slice(), &["10.99.0.1"]].concat();
    let rig = start(Plan { keys: &[("heartbeat.timeout", "\"10s\"")], ..plan }, net, &addresses);
    let first = rig.server.request();
    assert_eq!(first.reason(), "startup");
    assert!(rig.came_over(&first, "eth0"));
    assert_eq!(rig.daemon.log_lines("failed"), Vec::<String>::new());
}

#[test]
fn an_address_that_accepts_and_is_silent_is_dialled_last_from_then_on() {
    let plan = Plan { keys: &[("heartbeat.timeout", "\"1s\"")], ..Plan::new("observe") };
    let Some(net) = plan.net() else { return };
    // The kernel accepts on the same port, and the server never answers.
    let good = net.listen(0);
    let port = good.local_addr().expect("bound").port();
    drop(good);
    let hung = Server::on(net.listen_at(SocketAddr::from(([10, 99, 0, 2], port))), None, |_| Reply::Hang);
    let rig = start_on(plan, net, port);
    let first = rig.server.request();
    assert!(hung.connections() >= 1, "the silent address was tried first");
    assert!(rig.came_over(&first, "eth0"), "another address comes before another uplink");
    let tried = hung.connections();
    for _ in 0..3 {
        // Each answer ends its connection: the next heartbeat dials.
        rig.daemon.signal(Signal::USR1);
        assert_eq!(rig.server.request().number, 0);
    }
    assert_eq!(hung.connections(), tried, "dialled again although another address answers");
    assert_eq!(health(&rig.look(), "eth0"), "valid");
    rig.has_never_switched();
}

/// The silent address first, the good one second; the good one closes each connection after its answer.
fn start_on(plan: Plan, net: Net, port: u16) -> Rig {
    let plan = Plan { port, ..plan };
    let rig = start(plan, net, &["10.99.0.2", "10.99.0.1"]);
    rig.server.become_one_that(|_| Reply::Answer(200, vec![("Connection", "close".to_owned())], Vec::new()));
    rig
}
