//! A check of all cameras, from the order to the last answer.

use crate::figures::{Figure, Table};
use crate::lan::{Watching, entry};
use crate::limits;
use crate::support::namespace::Namespace;
use heartbeat_daemon::device::os::descriptors;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const UNREACHABLE: u16 = 1000;
const REACHABLE: u16 = 256;
const TIMEOUT: Duration = Duration::from_secs(2);
const ROUNDS: usize = 20;

/// Of the camera with this number.
pub fn address(number: u16, port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(0x7f20_0000 + u32::from(number)), port))
}

/// A namespace that lets everybody ping, and drops what comes for the cameras that are unreachable.
pub fn namespace() -> Namespace {
    let namespace = Namespace::new().expect("a network namespace: run it as root");
    let range = "/proc/sys/net/ipv4/ping_group_range";
    namespace.enter(|| std::fs::write(range, "0 2147483647")).expect("a sysctl of the namespace");
    namespace
}

fn drop_all(namespace: &Namespace) {
    namespace.nft(
        "table ip t {\nchain c {\ntype filter hook input priority 0\nip daddr 127.32.0.0/16 drop\n}\n}\n",
    );
}

fn cameras(count: u16, method: &str, port: u16) -> String {
    let more = "tcp_timeout = \"2s\"\nicmp_timeout = \"2s\"";
    let entries: String = (1..=count).map(|n| entry(n, address(n, port), more)).collect();
    format!("method = \"{method}\"\n{entries}")
}

/// A check of all, after the one at the start.
fn full_check(watching: &Watching) -> (Duration, usize) {
    let begin = Instant::now();
    let list = watching.check();
    let took = begin.elapsed();
    (took, list.iter().filter(|camera| camera.reachable == Some(true)).count())
}

pub fn unreachable(_: &crate::parts::Plan) -> Vec<Table> {
    let mut table =
        Table::new(format!("A full check of {UNREACHABLE} cameras that drop everything, timeout 2 s"));
    for (method, limit) in [("tcp", limits::UNREACHABLE_S), ("icmp", limits::UNREACHABLE_S), ("both", 4.2)] {
        let namespace = namespace();
        drop_all(&namespace);
        let watching = namespace.enter(|| Watching::start(&cameras(UNREACHABLE, method, 80)));
        // The check of the start ends first, or it would be waited for instead.
        watching.check();
        let (took, there) = full_check(&watching);
        assert_eq!(there, 0);
        table.add(Figure::new(method, took.as_secs_f64(), "s").at_most(limit));
        table.note(format!("threads named cameras: 1; list of {} cameras", watching.cameras.list().len()));
    }
    let sequential = TIMEOUT.as_secs_f64() * f64::from(UNREACHABLE);
    table.add(Figure::new("one after the other, as the original (computed)", sequential, "s"));
    fping(&mut table, UNREACHABLE, true);
    vec![table]
}

pub fn reachable(_: &crate::parts::Plan) -> Vec<Table> {
    let mut table = Table::new(format!("A full check of {REACHABLE} cameras on loopback, {ROUNDS} rounds"));
    descriptors::allow(2 * usize::from(REACHABLE));
    for method in ["tcp", "icmp"] {
        let namespace = namespace();
        let listeners: Vec<TcpListener> = namespace.enter(|| {
            let listen = |number| TcpListener::bind(address(number, 80)).expect("bound");
            (1..=REACHABLE).map(listen).collect()
        });
        let watching = namespace.enter(|| Watching::start(&cameras(REACHABLE, method, 80)));
        watching.check();
        let mut took: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let (took, there) = full_check(&watching);
                assert_eq!(there, usize::from(REACHABLE));
                took.as_secs_f64() * 1e3
            })
            .collect();
        took.sort_by(f64::total_cmp);
        table.add(Figure::new(format!("{method}, p50"), took[ROUNDS / 2], "ms"));
        table.add(
            Figure::new(format!("{method}, longest"), took[ROUNDS - 1], "ms").at_most(limits::REACHABLE_MS),
        );
        drop(listeners);
    }
    fping(&mut table, REACHABLE, false);
    vec![table]
}

/// The same by fping, with its own pause of 10 ms between two hosts, and with 1 ms.
fn fping(table: &mut Table, count: u16, dropped: bool) {
    let namespace = namespace();
    if dropped {
        drop_all(&namespace);
    }
    for pause in ["10", "1"] {
        let mut command = Command::new("fping");
        command.args(["-q", "-c", "1", "-t", "2000", "-i", pause]);
        command.args((1..=count).map(|number| address(number, 0).ip().to_string()));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let begin = Instant::now();
        match namespace.enter(|| command.status()) {
            Ok(_) => {
                let took = begin.elapsed().as_secs_f64();
                table.add(Figure::new(format!("fping -c 1 -t 2000 -i {pause}"), took, "s"));
            }
            Err(error) => table.miss(&format!("fping: {error} (apt install fping)")),
        }
    }
}
