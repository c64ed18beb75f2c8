//! Measures the local API of the release binary from outside: how long an answer takes while 64 connections request at
//! once, and what the API costs a daemon that nobody asks.
//!
//! Figures are not tests: a missed limit is said, and the exit code stays 0.

#[path = "../support/figures.rs"]
mod figures;
#[path = "../../tests/support/mod.rs"]
mod support;

use figures::{Figure, Table};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};
use support::daemon::{Daemon, Setup};
use support::server::{Reply, Server};

/// The interval of the footprint, which [`figures::machine`] names.
const INTERVAL: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 64;
const LATENCY_P99_MS: f64 = 5.0;
/// Of the API without a client: a thread, its poll, its listeners.
const PSS_KIB: f64 = 150.0;
const PATHS: [&str; 4] = ["/healthz", "/api/meeting/status", "/api/status", "/metrics"];

fn main() {
    // `cargo bench` says --bench; `cargo test --all-targets` starts this program too, and does not.
    if !std::env::args().any(|argument| argument == "--bench") {
        return println!("measures for about 30 s: cargo bench --bench api");
    }
    println!("{}", figures::machine());
    for path in PATHS {
        println!("{}", latency(path, 500));
    }
    println!("{}", footprint());
}

fn daemon(server: &Server, enabled: bool) -> Daemon {
    let setup = Setup::new().to(&server.url("/")).interval("5s").toml("api.enabled", &enabled.to_string());
    let daemon = setup.start();
    server.request();
    daemon
}

/// The best of three runs: what other programs of the machine do in between is not the API's.
fn latency(path: &'static str, rounds: usize) -> Table {
    let server = Server::always(Reply::ok());
    let daemon = daemon(&server, true);
    let address = daemon.api_address();
    let runs = (0..3).map(|_| run(address, path, rounds));
    let (times, took) = runs.min_by_key(|(times, _)| times[times.len() * 99 / 100]).expect("three");
    let mut table = Table::new(format!(
        "GET {path}, {CONNECTIONS} keep-alive connections, {} answers, the best of three runs",
        times.len()
    ));
    let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e3;
    table.add(Figure::new("p50", at(0.5), "ms"));
    table.add(Figure::new("p99", at(0.99), "ms").at_most(LATENCY_P99_MS));
    table.add(Figure::new("max", at(1.0), "ms"));
    table.add(Figure::new("answers a second", times.len() as f64 / took.as_secs_f64(), ""));
    table
}

/// Each connection asks again as soon as it has its answer, so 64 questions are open at any time. The time of each, in
/// order, and of all together.
fn run(address: SocketAddr, path: &'static str, rounds: usize) -> (Vec<Duration>, Duration) {
    let begin = Instant::now();
    let clients: Vec<_> =
        (0..CONNECTIONS).map(|_| thread::spawn(move || client(address, path, rounds))).collect();
    let mut times: Vec<Duration> =
        clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect();
    let took = begin.elapsed();
    times.sort_unstable();
    (times, took)
}

/// The time of each answer, after one that warms up.
fn client(address: SocketAddr, path: &str, rounds: usize) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("a TCP socket");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut buffer = vec![0; 64 * 1024];
    let mut request = || {
        let before = Instant::now();
        stream.write_all(request.as_bytes()).expect("sent");
        read_answer(&mut stream, &mut buffer);
        before.elapsed()
    };
    request();
    (0..rounds).map(|_| request()).collect()
}

fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut length = 0;
    loop {
        length += stream.read(&mut buffer[length..]).ok().filter(|read| *read > 0).expect("an answer");
        let text = std::str::from_utf8(&buffer[..length]).expect("ASCII");
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let named = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        if body.len() >= named.and_then(|length| length.parse().ok()).expect("a length") {
            return assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        }
    }
}

/// The same daemon with and without the API, at rest, and after a burst.
fn footprint() -> Table {
    let server = Server::always(Reply::ok());
    let (without, with) = (daemon(&server, false), daemon(&server, true));
    let address = with.api_address();
    server.requests(4);
    let mut table = Table::new("What the API costs a daemon that nobody asks");
    let pss = |daemon: &Daemon| daemon.proc_number("smaps_rollup", "Pss") as f64;
    let more = pss(&with) - pss(&without);
    table.add(Figure::new("PSS with it", pss(&with), "KiB"));
    table.add(Figure::new("PSS more than without", more, "KiB").at_most(PSS_KIB));
    let threads = with.vitals().threads as f64 - without.vitals().threads as f64;
    table.add(Figure::new("threads more", threads, "").at_most(1.0));
    let clients: Vec<_> =
        (0..CONNECTIONS).map(|_| thread::spawn(move || client(address, "/api/status", 20))).collect();
    clients.into_iter().for_each(|client| drop(client.join().expect("no panic")));
    server.requests(2);
    table.add(Figure::new("PSS after 64 connections came and went", pss(&with), "KiB"));
    table
}
