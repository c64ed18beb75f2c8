//! What five cameras cost while nothing happens: bytes on the network, wake-ups, CPU.

use crate::figures::{Figure, Table};
use crate::full_check::namespace;
use crate::lan::mac;
use crate::limits;
use crate::support::daemon::Setup;
use crate::support::namespace::Namespace;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

const CAMERAS: u16 = 5;

pub fn measure(plan: &crate::parts::Plan) -> Vec<Table> {
    ["tcp", "icmp", "both"].map(|method| cost(method, plan.window)).into()
}

/// Two ends of a cable.
struct Cable {
    device: Namespace,
    _lan: Namespace,
}

impl Cable {
    fn new() -> Cable {
        let (device, lan) = (namespace(), namespace());
        // Indexes of their own, no offloads that a cable has not, no IPv6 that asks for a router.
        device.ip(&format!("link add eth0 index 10 type veth peer name lan0 index 20 netns {}", lan.path()));
        for (namespace, link, address) in [(&device, "eth0", "10.7.0.1/24"), (&lan, "lan0", "10.7.0.2/24")] {
            let sysctl = format!("ipv6/conf/{link}/disable_ipv6");
            namespace.sysctl(&sysctl, 1);
            namespace.ip(&format!("addr add {address} dev {link}"));
            namespace.ip(&format!("link set {link} up"));
        }
        for number in 1..=CAMERAS {
            lan.ip(&format!("addr add 10.7.0.{}/24 dev lan0", 100 + number));
        }
        Cable { device, _lan: lan }
    }

    /// Both ways.
    fn traffic(&self) -> Traffic {
        let read = |name: &str| {
            let path = format!("/proc/thread-self/net/{name}");
            self.device.enter(|| fs::read_to_string(path)).expect("counters")
        };
        let (table, counters) = (read("dev"), read("netstat"));
        let line = table.lines().find_map(|line| line.trim().strip_prefix("eth0:")).expect("eth0");
        let numbers: Vec<f64> = line.split_whitespace().map(|n| n.parse().expect("a number")).collect();
        // A line with the names, and one with the values.
        let mut ip = counters.lines().filter_map(|line| line.strip_prefix("IpExt:"));
        let (names, values) = (ip.next().expect("names"), ip.next().expect("values"));
        let named = names.split_whitespace().zip(values.split_whitespace());
        let octets = named.filter(|(name, _)| matches!(*name, "InOctets" | "OutOctets"));
        let ip_bytes = octets.map(|(_, value)| value.parse::<f64>().expect("a number")).sum();
        Traffic { ip_bytes, all_bytes: numbers[0] + numbers[8], packets: numbers[1] + numbers[9] }
    }
}

#[derive(Clone, Copy)]
struct Traffic {
    /// From the IP header on.
    ip_bytes: f64,
    /// With Ethernet headers, and with ARP.
    all_bytes: f64,
    packets: f64,
}

fn cost(method: &str, window: Duration) -> Table {
    let cable = Cable::new();
    let listen = |n: u16| TcpListener::bind((format!("10.7.0.{}", 100 + n), 80)).expect("bound");
    let _cameras: Vec<TcpListener> = cable._lan.enter(|| (1..=CAMERAS).map(listen).collect());
    let entry = |n: u16| format!("{{ mac = \"{}\", address = \"10.7.0.{}\" }}", mac(n), 100 + n);
    let entries: Vec<String> = (1..=CAMERAS).map(entry).collect();
    let setup = Setup::new().toml("cameras.camera", &format!("[{}]", entries.join(", ")));
    let daemon = cable.device.enter(|| setup.key("cameras.method", method).start());
    daemon.snapshot();
    // The window begins between two checks, and takes in as many as there are minutes in it.
    std::thread::sleep(Duration::from_secs(20));
    let thread = Thread::of(daemon.pid());
    let (before, counts) = (cable.traffic(), thread.counts());
    std::thread::sleep(window);
    let (after, then) = (cable.traffic(), thread.counts());
    let minutes = window.as_secs_f64() / 60.0;
    let title = format!("{CAMERAS} cameras that are there, every 60 s by {method}, {} s", window.as_secs());
    let mut table = Table::new(title);
    let (ip_bytes, all_bytes) = (after.ip_bytes - before.ip_bytes, after.all_bytes - before.all_bytes);
    let packets = (after.packets - before.packets) / minutes;
    let checks = Figure::new("bytes of the checks a minute", ip_bytes / minutes, "");
    table.add(checks.at_most(limits::BYTES_A_MINUTE));
    table.add(Figure::new("with the kernel's ARP and Ethernet headers", all_bytes / minutes, ""));
    table.add(Figure::new("packets a minute", packets, ""));
    table.add(Figure::new("wake-ups of the thread a minute", (then.0 - counts.0) / minutes, ""));
    table.add(Figure::new("CPU of the thread a minute", (then.1 - counts.1) / 1e6 / minutes, "ms"));
    let statuses = daemon.snapshot()["cameras"].to_string();
    assert_eq!(statuses.matches("\"connected\"").count(), usize::from(CAMERAS), "{statuses}");
    table
}

/// The camera thread, in /proc.
struct Thread(PathBuf);

impl Thread {
    fn of(pid: u32) -> Thread {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the daemon runs");
        let named =
            |path: &PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "cameras");
        Thread(tasks.flatten().map(|entry| entry.path()).find(named).expect("it has a thread of that name"))
    }

    /// Wake-ups, and nanoseconds on the processor.
    fn counts(&self) -> (f64, f64) {
        let read = |name: &str| fs::read_to_string(self.0.join(name)).expect("the thread lives");
        let status = read("status");
        let wake_ups = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let wake_ups = wake_ups.and_then(|n| n.trim().parse().ok()).expect("a count of switches");
        let cpu = read("schedstat").split(' ').next().and_then(|n| n.parse().ok()).expect("schedstat");
        (wake_ups, cpu)
    }
}
