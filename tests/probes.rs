//! Probes of uplinks over real links: two uplinks, each with a router of its own in another network namespace,
//! and the same server behind both.
//!
//! Each test runs itself again under `unshare -n`, which takes root. Its namespaces end with it.
#![cfg(feature = "device")]

#[path = "support/skip.rs"]
mod skip;
#[path = "support/unshared.rs"]
mod unshared;

use heartbeat_daemon::device::failover::gateway_probe::{self, Gateways, NoAnswer};
use heartbeat_daemon::device::failover::portal::Page;
use heartbeat_daemon::device::failover::upstream_probe::{
    Probe, ProbeError, ProbeResult, ProbeTarget, Probes,
};
use heartbeat_daemon::device::os::neighbours::{self, Neighbour};
use heartbeat_daemon::device::os::netlink::Socket;
use heartbeat_daemon::device::os::{privilege, routes};
use netlink_packet_core::NetlinkBuffer;
use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use unshared::{in_namespace, ip};

/// For a machine that is very busy.
const PATIENCE: Duration = Duration::from_secs(30);
const SERVER: &str = "10.99.0.1";
const SERVER_V6: &str = "2001:db8:99::1";

fn run(command: &mut Command) {
    let status = command.status().expect("it is installed");
    assert!(status.success(), "{command:?}");
}

/// The other end of a cable: a router with the server behind it.
struct Far(File);

impl Far {
    /// Cable number `n`: `name` here has 10.77.`n`.2, the router .1, both also in 2001:db8:`n`::/64.
    fn behind(name: &str, n: u32) -> Far {
        let namespace = thread::spawn(|| {
            // SAFETY: only this thread changes its namespace, and it ends.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
            File::open("/proc/thread-self/ns/net").expect("a namespace")
        });
        let far = Far(namespace.join().expect("root may"));
        // Ends with equal numbers would make the kernel tell of a lost carrier late.
        ip(&format!("link add {name} index {} type veth peer name lan index {}", 20 + n, 40 + n));
        ip(&format!("link set lan netns {}", far.path()));
        far.run("ip link set lo up");
        far.run(&format!("ip address add {SERVER}/32 dev lo"));
        far.run(&format!("ip address add {SERVER_V6}/128 dev lo"));
        far.run("ip link set lan up");
        far.run(&format!("ip address add 10.77.{n}.1/24 dev lan"));
        far.run(&format!("ip address add 2001:db8:{n}::1/64 dev lan nodad"));
        ip(&format!("link set {name} up"));
        ip(&format!("address add 10.77.{n}.2/24 dev {name}"));
        ip(&format!("address add 2001:db8:{n}::2/64 dev {name} nodad"));
        let metric = 100 + 500 * n;
        ip(&format!("route add default via 10.77.{n}.1 dev {name} metric {metric}"));
        ip(&format!("-6 route add default via 2001:db8:{n}::1 dev {name} metric {metric}"));
        far
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    fn run(&self, command: &str) {
        run(Command::new("nsenter").arg(format!("--net={}", self.path())).args(command.split(' ')));
    }

    fn listen(&self, address: &str) -> TcpListener {
        let (namespace, address) = (self.0.try_clone().expect("a descriptor"), address.to_owned());
        let listener = thread::spawn(move || {
            // SAFETY: the descriptor is a namespace's; only this thread changes its own, and it ends.
            assert_eq!(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }, 0);
            TcpListener::bind(address).expect("bound")
        });
        listener.join().expect("root may")
    }

    /// Drops all that comes in for `what`, without a word.
    fn swallow(&self, what: &str) {
        self.run("nft add table inet fault");
        self.run("nft add chain inet fault in { type filter hook input priority 0 ; }");
        self.run(&format!("nft add rule inet fault in {what} drop"));
    }

    /// Carrier stays, and nothing that comes in is looked at: no ARP either.
    fn fall_silent(&self) {
        self.run("nft add table netdev fault");
        self.run(
            "nft add chain netdev fault in { type filter hook ingress device lan priority 0 ; policy drop ; }",
        );
    }

    fn speak_again(&self) {
        self.run("nft delete table netdev fault");
    }
}

/// eth0 with the better metric, and wlan0.
fn two_uplinks() -> [Far; 2] {
    ip("link set lo up");
    // The kernel asks a neighbour from its link-local address, which is of no use for 1 to 2 s while it is checked.
    std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0")
        .expect("root may, in its own namespace");
    [Far::behind("eth0", 0), Far::behind("wlan0", 1)]
}

const ETH0: u32 = 20;
const WLAN0: u32 = 21;

fn probe(name: &str, target: ProbeTarget, timeout: Duration) -> Probe {
    let index = if name == "eth0" { ETH0 } else { WLAN0 };
    Probe { index, name: name.to_owned(), target, timeout }
}

fn tcp(address: &str) -> ProbeTarget {
    ProbeTarget::Tcp(address.parse().expect("an address"))
}

/// Polls as the daemon's loop does, until `count` answers have come.
fn answers(probes: &mut Probes, count: usize) -> Vec<ProbeResult> {
    let begin = Instant::now();
    let mut answers = Vec::new();
    while answers.len() < count {
        assert!(begin.elapsed() < PATIENCE, "only {answers:?}");
        let now = Instant::now();
        let due = probes.due().expect("a probe under way");
        let mut fds = Vec::new();
        probes.fds(&mut fds);
        wait(&mut fds, due.saturating_duration_since(now));
        answers.extend(probes.finished(Instant::now()));
    }
    answers
}

fn wait(fds: &mut [PollFd], time: Duration) {
    let time = time + Duration::from_micros(100);
    let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
    poll(fds, Some(&time)).expect("poll");
}

fn one(probe: Probe) -> ProbeResult {
    let mut probes = Probes::default();
    assert!(probes.start(Instant::now(), probe));
    answers(&mut probes, 1).remove(0)
}

#[test]
fn a_standby_is_probed_over_its_own_path_while_the_default_route_leads_elsewhere() {
    in_namespace("a_standby_is_probed_over_its_own_path_while_the_default_route_leads_elsewhere", || {
        let far = two_uplinks();
        for (server, address) in [(SERVER, "10.99.0.1:80"), (SERVER_V6, "[2001:db8:99::1]:80")] {
            let listeners = [far[0].listen(address), far[1].listen(address)];
            for (n, name) in ["eth0", "wlan0"].into_iter().enumerate() {
                let answer = one(probe(name, tcp(address), PATIENCE));
                assert!(!answer.result.expect("reached").refused);
                let (_, from) = listeners[n].accept().expect("it came to this router's server");
                let own: [IpAddr; 2] =
                    [[10, 77, n as u8, 2].into(), format!("2001:db8:{n}::2").parse().expect("an address")];
                assert!(own.contains(&from.ip()), "{from} over {name} to {server}");
            }
            for listener in listeners {
                listener.set_nonblocking(true).expect("set");
                let more = listener.accept().expect_err("one connection each");
                assert_eq!(more.kind(), ErrorKind::WouldBlock);
            }
        }
    });
}

#[test]
fn an_upstream_that_swallows_everything_times_out_and_the_other_one_is_reached() {
    in_namespace("an_upstream_that_swallows_everything_times_out_and_the_other_one_is_reached", || {
        let far = two_uplinks();
        let _listeners = [far[0].listen("10.99.0.1:80"), far[1].listen("10.99.0.1:80")];
        far[0].swallow("tcp dport 80");
        let mut probes = Probes::default();
        let timeout = Duration::from_millis(300);
        let begin = Instant::now();
        assert!(probes.start(begin, probe("eth0", tcp("10.99.0.1:80"), timeout)));
        assert!(probes.start(begin, probe("wlan0", tcp("10.99.0.1:80"), PATIENCE)));
        assert!(!probes.start(begin, probe("wlan0", tcp("10.99.0.1:80"), PATIENCE)), "it is under way");
        for answer in answers(&mut probes, 2) {
            if answer.index == WLAN0 {
                answer.result.expect("reached");
            } else {
                let error = answer.result.expect_err("dead");
                assert!(matches!(error, ProbeError::TimedOut) && error.is_the_uplinks(), "{error:?}");
                assert!(begin.elapsed() >= timeout);
            }
        }
        assert_eq!(probes.due(), None);
    });
}

#[test]
fn a_refusal_is_an_answer_and_each_way_to_fail_has_its_name() {
    in_namespace("a_refusal_is_an_answer_and_each_way_to_fail_has_its_name", || {
        let far = two_uplinks();
        let refused = one(probe("eth0", tcp("10.99.0.1:81"), PATIENCE)).result.expect("its host answered");
        assert!(refused.refused);

        far[0].run("ip route add unreachable 10.98.0.0/16");
        far[0].run("sysctl -q -w net.ipv4.ip_forward=1");
        let error = |target| one(probe("eth0", tcp(target), PATIENCE)).result.expect_err("not reached");
        assert!(matches!(error("10.98.0.1:80"), ProbeError::Unreachable));
        // Nobody has this address on the cable: the kernel gives up after 3 s.
        assert!(matches!(error("10.77.0.99:80"), ProbeError::Unreachable));

        ip("-6 route del default dev eth0");
        let error = one(probe("eth0", tcp("[2001:db8:99::1]:80"), PATIENCE)).result.expect_err("no route");
        assert!(matches!(error, ProbeError::NoRoute) && error.is_the_uplinks(), "{error:?}");
        let error = one(probe("wwan0", tcp("10.99.0.1:80"), PATIENCE)).result.expect_err("no such interface");
        assert!(matches!(error, ProbeError::NoInterface) && !error.is_the_uplinks(), "{error:?}");
    });
}

#[test]
fn probes_are_bounded_and_leave_no_descriptor_behind() {
    in_namespace("probes_are_bounded_and_leave_no_descriptor_behind", || {
        let far = two_uplinks();
        far[0].swallow("tcp dport 80-200");
        let descriptors = || std::fs::read_dir("/proc/self/fd").expect("readable").count();
        let before = descriptors();
        let mut probes = Probes::default();
        let now = Instant::now();
        let begun = (80..200)
            .filter(|port| probes.start(now, probe("eth0", tcp(&format!("10.99.0.1:{port}")), PATIENCE)));
        assert_eq!(begun.count(), 2);
        probes.abandon(ETH0);
        assert_eq!((probes.due(), descriptors()), (None, before));
        for port in 80..180 {
            let timeout = Duration::from_millis(1);
            probes.start(Instant::now(), probe("eth0", tcp(&format!("10.99.0.1:{port}")), timeout));
            probes.start(Instant::now(), probe("wlan0", tcp(&format!("10.99.0.1:{port}")), PATIENCE));
            answers(&mut probes, 2);
        }
        assert_eq!((probes.due(), descriptors()), (None, before));
    });
}

/// Answers each connection with `answer`.
fn web(listener: TcpListener, answer: &'static [u8]) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = [0; 2048];
            let length = stream.read(&mut request).expect("a request");
            let request = String::from_utf8_lossy(&request[..length]);
            assert!(
                request.starts_with("GET /generate_204 HTTP/1.1\r\nHost: check.example\r\n"),
                "{request}"
            );
            // Whoever has heard enough may be gone.
            let _ = stream.write_all(answer);
        }
    });
}

#[test]
fn a_portal_is_distinguished_from_a_free_network_and_from_a_silent_one() {
    in_namespace("a_portal_is_distinguished_from_a_free_network_and_from_a_silent_one", || {
        let far = two_uplinks();
        let endless: &'static [u8] = vec![b'x'; 1 << 20].leak();
        web(far[0].listen("10.99.0.1:80"), b"HTTP/1.1 204 No Content\r\n\r\n");
        web(far[1].listen("10.99.0.1:80"), b"HTTP/1.1 302 Found\r\nLocation: http://10.77.1.1/login\r\n\r\n");
        web(far[1].listen("10.99.0.1:81"), endless);
        web(far[1].listen("10.99.0.1:82"), b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhey");
        let silent = far[1].listen("10.99.0.1:83");
        let page = |name: &str, port| {
            let address = SocketAddr::new(SERVER.parse().expect("an address"), port);
            let (host, path) = ("check.example".to_owned(), "/generate_204".to_owned());
            let timeout = if port == 83 { Duration::from_millis(300) } else { PATIENCE };
            one(probe(name, ProbeTarget::Portal(Page { address, host, path }), timeout)).result
        };
        page("eth0", 80).expect("free");
        assert!(matches!(page("wlan0", 80), Err(ProbeError::Portal)));
        assert!(matches!(page("wlan0", 81), Err(ProbeError::Unclear)));
        assert!(matches!(page("wlan0", 82), Err(ProbeError::Portal)));
        assert!(matches!(page("wlan0", 83), Err(ProbeError::TimedOut)));
        drop(silent);
    });
}

/// A socket that hears of neighbours.
fn neighbour_events() -> netlink_sys::Socket {
    const RTNLGRP_NEIGH: u32 = 3;
    let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE).expect("a socket");
    socket.bind_auto().expect("bound");
    socket.add_membership(RTNLGRP_NEIGH).expect("a member");
    socket.set_non_blocking(true).expect("set");
    socket
}

/// Hands over all events that wait.
fn read_events(gateways: &mut Gateways, events: &netlink_sys::Socket) {
    while let Ok((datagram, _)) = events.recv_from_full() {
        let message = NetlinkBuffer::new_checked(&datagram[..]).expect("a message");
        if let Some(neighbour) = Neighbour::parse(message.message_type(), message.payload()) {
            gateways.event(Instant::now(), &neighbour);
        }
    }
}

/// Asks one gateway as the daemon's loop does; the answer, and how long it took.
fn probe_gateway(
    gateways: &mut Gateways,
    events: &netlink_sys::Socket,
    ip: IpAddr,
) -> (Result<(), NoAnswer>, Duration) {
    let begin = Instant::now();
    assert!(gateways.start(begin, ETH0, ip));
    loop {
        let due = gateways.due().expect("a question under way");
        wait(&mut [PollFd::new(events, PollFlags::IN)], due.saturating_duration_since(Instant::now()));
        read_events(gateways, events);
        if let Some(answer) = gateways.finished(Instant::now()).pop() {
            assert_eq!((answer.index, answer.gateway), (ETH0, ip));
            return (answer.result, begin.elapsed());
        }
    }
}

#[test]
fn a_gateway_is_alive_until_silent_and_again_after_an_answer() {
    in_namespace("a_gateway_is_alive_until_silent_and_again_after_an_answer", || {
        let far = two_uplinks();
        let events = neighbour_events();
        let mut gateways = Gateways::new().expect("root may");
        for ip in ["10.77.0.1", "2001:db8:0::1"].map(|ip| ip.parse().expect("an address")) {
            // First without a known hardware address, then with it.
            for _ in 0..3 {
                assert_eq!(probe_gateway(&mut gateways, &events, ip).0, Ok(()), "{ip}");
            }
            far[0].fall_silent();
            for _ in 0..3 {
                let (result, time) = probe_gateway(&mut gateways, &events, ip);
                assert_eq!(result, Err(NoAnswer::Silent), "{ip}");
                assert!(time >= Duration::from_millis(280), "three questions, 100 ms apart: {time:?}");
                println!("{ip} silent after {time:?}");
            }
            far[0].speak_again();
            let (result, time) = probe_gateway(&mut gateways, &events, ip);
            assert_eq!(result, Ok(()), "{ip}");
            println!("{ip} alive after {time:?}");
        }
    });
}

#[test]
fn an_answer_comes_without_any_event_too() {
    in_namespace("an_answer_comes_without_any_event_too", || {
        let far = two_uplinks();
        let mut gateways = Gateways::new().expect("root may");
        let deaf = netlink_sys::Socket::new(NETLINK_ROUTE).expect("a socket");
        deaf.set_non_blocking(true).expect("set");
        let ip = "10.77.0.1".parse().expect("an address");
        assert_eq!(probe_gateway(&mut gateways, &deaf, ip).0, Ok(()));
        far[0].fall_silent();
        assert_eq!(probe_gateway(&mut gateways, &deaf, ip).0, Err(NoAnswer::Silent));
    });
}

#[test]
fn an_entry_that_a_person_fixed_is_left_alone() {
    in_namespace("an_entry_that_a_person_fixed_is_left_alone", || {
        let _far = two_uplinks();
        let ip_address = "10.77.0.1".parse().expect("an address");
        let (events, mut gateways) = (neighbour_events(), Gateways::new().expect("root may"));
        // Known and alive, until a person has the last word.
        assert_eq!(probe_gateway(&mut gateways, &events, ip_address).0, Ok(()));
        ip("neigh replace 10.77.0.1 lladdr 02:00:00:00:00:09 dev eth0 nud permanent");
        read_events(&mut gateways, &events);
        assert_eq!(probe_gateway(&mut gateways, &events, ip_address).0, Err(NoAnswer::NotProbed));
        let mut socket = Socket::open(NETLINK_ROUTE).expect("a socket");
        let state = neighbours::read(&mut socket, ETH0, ip_address).expect("an entry");
        assert_eq!(state, neighbours::NeighbourState::Fixed);
    });
}

/// Of eth0, IPv4's, in milliseconds.
fn retrans_time() -> u128 {
    let mut socket = Socket::open(NETLINK_ROUTE).expect("a socket");
    let all = neighbours::retrans_times(&mut socket).expect("a dump");
    let eth0 = all.iter().find(|retrans| retrans.index == ETH0 && !retrans.ipv6);
    eth0.expect("every interface has one").time.as_millis()
}

#[test]
fn the_time_between_questions_is_put_back_at_the_end_and_after_a_kill() {
    in_namespace("the_time_between_questions_is_put_back_at_the_end_and_after_a_kill", || {
        let _far = two_uplinks();
        let events = neighbour_events();
        let ip_address = "10.77.0.1".parse().expect("an address");
        let start_probe = || {
            let mut gateways = Gateways::new().expect("root may");
            assert_eq!(probe_gateway(&mut gateways, &events, ip_address).0, Ok(()));
            assert_eq!(retrans_time(), 100);
            gateways
        };
        ip("ntable change name arp_cache dev eth0 retrans 700");
        drop(start_probe());
        assert_eq!(retrans_time(), 700);
        // As after kill -9, and the next one's end.
        std::mem::forget(start_probe());
        drop(start_probe());
        assert_eq!(retrans_time(), 1000);
        std::mem::forget(start_probe());
        assert_eq!(gateway_probe::cleanup().expect("root may"), 1);
        assert_eq!((retrans_time(), gateway_probe::cleanup().expect("nothing to do")), (1000, 0));
        // What somebody else has set meanwhile stays.
        let gateways = start_probe();
        ip("ntable change name arp_cache dev eth0 retrans 300");
        drop(gateways);
        assert_eq!(retrans_time(), 300);
    });
}

#[test]
fn default_routes_have_their_gateway_metric_and_carrier() {
    in_namespace("default_routes_have_their_gateway_metric_and_carrier", || {
        let mut socket = Socket::open(NETLINK_ROUTE).expect("a socket");
        assert_eq!(routes::default_routes(&mut socket).expect("an empty machine"), []);
        let far = two_uplinks();
        ip("route add 10.5.0.0/16 via 10.77.0.9");
        ip("route add default via 10.77.0.9 metric 5 table 100");
        let mut all = routes::default_routes(&mut socket).expect("a dump");
        let events: Vec<_> =
            all.iter().map(|r| (r.index, r.metric, r.gateway.expect("one").to_string())).collect();
        let expected = [
            (ETH0, 100, "10.77.0.1".to_owned()),
            (ETH0, 100, "2001:db8::1".to_owned()),
            (WLAN0, 600, "10.77.1.1".to_owned()),
            (WLAN0, 600, "2001:db8:1::1".to_owned()),
        ];
        assert_eq!(events, expected);
        assert!(all.iter().all(|route| !route.linkdown && route.protocol == 3), "{all:?}");
        assert_eq!(routes::gateway(&all, WLAN0), Some([10, 77, 1, 1].into()));
        far[0].run("ip link set lan down");
        let begin = Instant::now();
        while !all.iter().any(|route| route.linkdown) {
            assert!(begin.elapsed() < PATIENCE, "{all:?}");
            all = routes::default_routes(&mut socket).expect("a dump");
        }
        assert!(all.iter().filter(|route| route.linkdown).all(|route| route.index == ETH0));
    });
}

#[test]
fn without_the_privilege_gateway_probes_fail_and_tcp_probes_continue() {
    in_namespace("without_the_privilege_gateway_probes_fail_and_tcp_probes_continue", || {
        const UNPRIVILEGED: &str = "HEARTBEAT_TEST_UNPRIVILEGED";
        if std::env::var_os(UNPRIVILEGED).is_some() {
            let error = Gateways::new().expect_err("no CAP_NET_ADMIN");
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            one(probe("wlan0", tcp("10.99.0.1:80"), PATIENCE)).result.expect("reached");
            return;
        }
        let far = two_uplinks();
        let _listener = far[1].listen("10.99.0.1:80");
        let this = std::env::current_exe().expect("this test's own path");
        let name = "without_the_privilege_gateway_probes_fail_and_tcp_probes_continue";
        let mut again = Command::new("setpriv");
        again.args(["--bounding-set=-net_admin,-net_raw", "--inh-caps=-net_admin,-net_raw", "--"]).arg(this);
        run(again.args([name, "--exact", "--nocapture"]).env(UNPRIVILEGED, "1"));
    });
}

#[test]
fn the_capability_stays_with_the_daemon_and_no_program_that_it_starts_has_it() {
    in_namespace("the_capability_stays_with_the_daemon_and_no_program_that_it_starts_has_it", || {
        const GRANTED: &str = "HEARTBEAT_TEST_GRANTED";
        if std::env::var_os(GRANTED).is_some() {
            let childs = || {
                let status = Command::new("grep").args(["CapEff", "/proc/self/status"]).output();
                String::from_utf8(status.expect("grep runs").stdout).expect("text")
            };
            // CAP_NET_ADMIN is bit 12.
            assert_eq!(childs(), "CapEff:\t0000000000001000\n");
            privilege::keep_from_children();
            assert_eq!(childs(), "CapEff:\t0000000000000000\n");
            Gateways::new().expect("the daemon itself still may");
            return;
        }
        let this = std::env::current_exe().expect("this test's own path");
        let name = "the_capability_stays_with_the_daemon_and_no_program_that_it_starts_has_it";
        // As systemd grants it, to a user whose programs get nothing by themselves.
        let mut again = Command::new("setpriv");
        again.args(["--securebits=+noroot", "--inh-caps=-all,+net_admin", "--ambient-caps=+net_admin", "--"]);
        run(again.arg(this).args([name, "--exact", "--nocapture"]).env(GRANTED, "1"));
    });
}
