//! 50 devices that download a package at 100 kbit/s each, beside a fleet that beats.
//!
//! 32 files are sent at the same time. The others get 503 and come again after the time in `Retry-After`.

use crate::INTERVAL;
use crate::figures::{Figure, Table};
use crate::parts::{Outcome, Plan};
use crate::subject::{Monitor, PACKAGE, PACKAGE_SIZE};
use heartbeat_daemon::monitor::simulation::{self, Content, Report, SendRate};
use socket2::{Domain, Socket, Type};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const MACHINES: usize = 1000;
const DEVICES: usize = 50;
/// 100 kbit/s.
const BYTES_PER_SECOND: usize = 12_500;
/// Of a client's reads.
const STEP: Duration = Duration::from_millis(100);
const WARM_UP: Duration = Duration::from_secs(8);

/// Counted by all devices together.
#[derive(Default)]
struct Downloads {
    bytes: AtomicUsize,
    running: AtomicUsize,
    refused: AtomicUsize,
}

pub fn downloads(plan: &Plan) -> Outcome<Vec<Table>> {
    let monitor = Monitor::start_with(MACHINES, |_| Ok(()))?;
    let quiet = window(&monitor, plan.window, 0)?;
    let loaded = window(&monitor, plan.window, DEVICES)?;
    let mut table = Table::new("downloads: 50 devices at 100 kbit/s, 1,000 machines");
    for (when, window) in [(" before", &quiet), ("", &loaded)] {
        let ms = |part: f64| window.heartbeats.accepted.quantile(part).as_secs_f64() * 1000.0;
        table.add(Figure::new(format!("heartbeats' median{when}"), ms(0.5), "ms"));
        table.add(Figure::new(format!("heartbeats' p99{when}"), ms(0.99), "ms"));
        let lost = window.heartbeats.refused.values().sum::<u64>() + window.heartbeats.broken;
        table.add(Figure::new(format!("heartbeats refused or lost{when}"), lost as f64, "").at_most(0.0));
    }
    table.add(
        Figure::new("resident memory, more than before", loaded.resident - quiet.resident, "MiB")
            .at_most(8.0),
    );
    table.add(Figure::new(
        "memory of all TCP sockets, more than before",
        loaded.sockets - quiet.sockets,
        "MiB",
    ));
    table.add(Figure::new("files sent at the same time, most", loaded.running as f64, "").at_most(32.0));
    table.add(Figure::new("requests answered 503", loaded.refused as f64, ""));
    let rate = loaded.bytes as f64 * 8.0 / plan.window.as_secs_f64() / 1e6;
    table.add(Figure::new("downloaded", rate, "Mbit/s"));
    Ok(vec![table])
}

/// What was seen in a window.
struct Window {
    heartbeats: Report,
    /// The largest during the window, in MiB.
    resident: f64,
    sockets: f64,
    running: usize,
    refused: usize,
    bytes: usize,
}

fn window(monitor: &Monitor, length: Duration, devices: usize) -> Outcome<Window> {
    let mut plan = monitor.plan(Content::Cameras(2));
    (plan.rate, plan.length) = (SendRate::Every(INTERVAL), length);
    let plan = Arc::new(plan);
    let fleet = thread::spawn(move || simulation::run(&plan, 1, WARM_UP));
    thread::sleep(WARM_UP);
    let (end, counted) = (Instant::now() + length, Arc::new(Downloads::default()));
    let clients: Vec<_> = (0..devices)
        .map(|_| {
            let (address, counted) = (monitor.address, counted.clone());
            thread::spawn(move || device(address, &counted, end))
        })
        .collect();
    let (mut resident, mut sockets, mut running) = (0.0_f64, 0.0_f64, 0);
    while Instant::now() < end {
        resident = resident.max(status(monitor.pid(), "VmRSS:")?);
        sockets = sockets.max(socket_memory()?);
        running = running.max(counted.running.load(Ordering::Relaxed));
        thread::sleep(STEP);
    }
    for client in clients {
        client.join().map_err(|_| "a device panicked")??;
    }
    let heartbeats = fleet.join().map_err(|_| "the fleet panicked")?.map_err(|error| error.to_string())?;
    let (refused, bytes) = (counted.refused.load(Ordering::Relaxed), counted.bytes.load(Ordering::Relaxed));
    Ok(Window { heartbeats, resident, sockets, running, refused, bytes })
}

/// Downloads the package again and again until `end`.
fn device(address: SocketAddr, counted: &Downloads, end: Instant) -> Outcome<()> {
    while Instant::now() < end {
        let failed = |error: std::io::Error| format!("a download: {error}");
        let mut stream = connect(address).map_err(failed)?;
        write!(stream, "GET /apt/{PACKAGE} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .map_err(failed)?;
        let mut first = [0; 12];
        stream.read_exact(&mut first).map_err(failed)?;
        if &first == b"HTTP/1.1 503" {
            counted.refused.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_secs(3));
            continue;
        }
        if &first != b"HTTP/1.1 200" {
            return Err(format!("a download: {}", String::from_utf8_lossy(&first)));
        }
        counted.running.fetch_add(1, Ordering::Relaxed);
        let received = receive(&mut stream, counted, end).map_err(failed)?;
        counted.running.fetch_sub(1, Ordering::Relaxed);
        if received < PACKAGE_SIZE && Instant::now() < end {
            return Err(format!("a download was cut off after {received} bytes"));
        }
    }
    Ok(())
}

/// With the buffer of a small device: otherwise the kernel would take megabytes at once.
fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(16 * 1024)?;
    socket.connect(&address.into())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

fn receive(stream: &mut TcpStream, counted: &Downloads, end: Instant) -> std::io::Result<usize> {
    let mut buffer = vec![0; BYTES_PER_SECOND / 10];
    let mut received = 0;
    while Instant::now() < end {
        let step = Instant::now() + STEP;
        match stream.read(&mut buffer)? {
            0 => break,
            bytes => received += bytes,
        }
        counted.bytes.fetch_add(buffer.len(), Ordering::Relaxed);
        thread::sleep(step.saturating_duration_since(Instant::now()));
    }
    Ok(received)
}

/// A field of the process's status, in MiB.
fn status(pid: u32, field: &str) -> Outcome<f64> {
    let text =
        fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| format!("status: {error}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)).ok_or(format!("no {field}"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().map_err(|_| format!("{field}{line}"))?;
    Ok(kib / 1024.0)
}

/// Of this machine, both ends of a connection together, in MiB.
fn socket_memory() -> Outcome<f64> {
    let text = fs::read_to_string("/proc/net/sockstat").map_err(|error| format!("sockstat: {error}"))?;
    let words: Vec<_> =
        text.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default().split(' ').collect();
    let pages = words.windows(2).find(|pair| pair[0] == "mem").and_then(|pair| pair[1].parse::<f64>().ok());
    Ok(pages.ok_or("no TCP memory in sockstat")? * 4096.0 / 1024.0 / 1024.0)
}
