//! Bytes per heartbeat with IP, TCP and TLS, both ways, by the counters of a loopback interface
//! that nobody else uses: this program starts itself again in a network namespace.

use crate::INTERVAL;
use crate::figures::{Figure, Table, limits};
use crate::parts::{Outcome, Plan};
use crate::steady::heartbeats;
use crate::subject::{Daemon, Scheme};
use serde::{Deserialize, Serialize};
use std::process::{Command, ExitCode, Stdio};

/// The first argument of the second start.
pub const INSIDE: &str = "inside-the-namespace";

const HEARTBEATS: u32 = 6;

/// IPv4 20, TCP 20, timestamps 12 (Linux sends these with every packet of an open connection).
const PACKET_HEADER: f64 = 52.0;

/// A link of 1,500 bytes without segmentation offload, so that packets are as on Ethernet; and an
/// interface with an address, so that the heartbeat has something to tell.
const NAMESPACE: &str = "ip link set lo up mtu 1500 gso_max_segs 1 || exit 1
    ip link add eth0 type veth peer name eth0-peer && ip addr add 192.168.1.202/24 dev eth0 &&
    ip link set eth0 up && ip link set eth0-peer up && ip route add default via 192.168.1.1
    exec \"$0\" \"$@\"";

/// What is counted over one scheme; sizes are means over the heartbeats.
#[derive(Serialize, Deserialize)]
struct Traffic {
    bytes: f64,
    packets: f64,
    head: f64,
    body: f64,
    answer: f64,
    /// Of the first heartbeat: with TCP's and TLS's handshakes.
    first_bytes: f64,
    /// More than 1: it was not kept alive.
    connections: usize,
}

pub fn measure(_: &Plan) -> Outcome<Vec<Table>> {
    let program = std::env::current_exe().map_err(|error| format!("own program: {error}"))?;
    let mut command = Command::new("unshare");
    command.arg("--net");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["sh", "-c", NAMESPACE]).arg(program).arg(INSIDE).stderr(Stdio::inherit());
    let output = command.output().map_err(|error| format!("unshare: {error}"))?;
    if !output.status.success() {
        return Err("the network namespace: see above".into());
    }
    let traffic: [Traffic; 2] = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("what the namespace says: {error}"))?;
    let [http, https] = traffic;
    Ok(vec![table(Scheme::Http, &http), table(Scheme::Https, &https)])
}

/// The second start: counts, and prints JSON.
pub fn inside() -> ExitCode {
    match count(Scheme::Http).and_then(|http| Ok([http, count(Scheme::Https)?])) {
        Ok(traffic) => {
            println!("{}", serde_json::json!(traffic));
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn count(scheme: Scheme) -> Outcome<Traffic> {
    let start = loopback()?;
    let daemon = Daemon::start(scheme)?;
    std::thread::sleep(INTERVAL / 2);
    let opened = loopback()?;
    // One more, so that the heartbeats that count are all alike.
    heartbeats(&daemon, 1, &mut || Ok(()))?;
    let begin = loopback()?;
    let mut arrivals = Vec::new();
    for _ in 0..HEARTBEATS {
        arrivals.push(daemon.heartbeat()?);
    }
    std::thread::sleep(INTERVAL / 2);
    let end = loopback()?;
    let mean = |total: usize| total as f64 / f64::from(HEARTBEATS);
    Ok(Traffic {
        bytes: (end.0 - begin.0) as f64 / f64::from(HEARTBEATS),
        packets: (end.1 - begin.1) as f64 / f64::from(HEARTBEATS),
        head: mean(arrivals.iter().map(|arrival| arrival.head).sum()),
        body: mean(arrivals.iter().map(|arrival| arrival.body.len()).sum()),
        answer: mean(arrivals.iter().map(|arrival| arrival.answer).sum()),
        first_bytes: (opened.0 - start.0) as f64,
        connections: arrivals.last().map_or(0, |arrival| arrival.connection + 1),
    })
}

/// Bytes and packets. Linux counts a packet on loopback when it is received, without the 14 bytes
/// of Ethernet, from the IP header on; what is sent is the same packet.
fn loopback() -> Outcome<(u64, u64)> {
    let devices = procfs::net::dev_status().map_err(|error| format!("/proc/net/dev: {error}"))?;
    let lo = devices.get("lo").ok_or("no loopback interface")?;
    Ok((lo.recv_bytes, lo.recv_packets))
}

fn table(scheme: Scheme, traffic: &Traffic) -> Table {
    let headers = traffic.packets * PACKET_HEADER;
    let overhead = traffic.bytes - traffic.head - traffic.body - traffic.answer;
    let sample = sample_size();
    let with_sample = traffic.bytes - traffic.body + sample;
    let per_day = traffic.bytes * 86_400.0 / INTERVAL.as_secs_f64() / 1e6;
    let limited = |figure: Figure, limit| match scheme {
        Scheme::Http => figure,
        Scheme::Https => figure.at_most(limit),
    };
    let mut table = Table::new(format!(
        "On the wire over {}, kept alive, both ways, from the IP header on, {HEARTBEATS} heartbeats",
        scheme.name()
    ));
    table.add(limited(Figure::new("bytes per heartbeat", traffic.bytes, "bytes"), limits::HTTPS_WIRE_BYTES));
    table.add(Figure::new("  request head (with a bearer token)", traffic.head, "bytes"));
    table.add(Figure::new("  request body", traffic.body, "bytes"));
    table.add(Figure::new("  answer, head and body", traffic.answer, "bytes"));
    table.add(Figure::new("  IP and TCP headers", headers, "bytes"));
    table.add(Figure::new("  TLS records", overhead - headers, "bytes"));
    table.add(Figure::new("packets per heartbeat", traffic.packets, ""));
    let of_sample =
        Figure::new(format!("with the body of wire::SAMPLE ({sample} bytes)"), with_sample, "bytes");
    table.add(limited(of_sample, limits::HTTPS_SAMPLE_WIRE_BYTES));
    table.add(Figure::new("opening a connection", traffic.first_bytes - traffic.bytes, "bytes"));
    table.add(Figure::new("a day of heartbeats", per_day, "MB"));
    table.add(Figure::new("connections used", traffic.connections as f64, "").at_most(1.0));
    table
}

/// Of a Raspberry Pi 5's heartbeat, which has more to tell than a namespace.
fn sample_size() -> f64 {
    let heartbeat = serde_json::from_str::<heartbeat_daemon::wire::Heartbeat>(heartbeat_daemon::wire::SAMPLE);
    heartbeat.and_then(|heartbeat| serde_json::to_vec(&heartbeat)).map_or(f64::NAN, |body| body.len() as f64)
}
