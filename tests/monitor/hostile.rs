//! A hundred thousand requests that nobody should send, to everything that the program listens to.

use crate::support::monitor::{Monitor, Plan, bearer};
use fastrand::Rng;
use heartbeat_daemon::wire;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

const REQUESTS: usize = 100_000;
/// In one connection, before the answers are read.
const PIPELINED: usize = 250;

const PATHS: [&str; 18] = [
    "/healthz",
    "/metrics",
    "/metrics/machines",
    "/api/v1/machines",
    "/api/v1/machines/1",
    "/api/v1/machines/1/history",
    "/api/v1/machines/1/cameras",
    "/api/v1/incidents",
    "/api/v1/conditions",
    "/api/v1/events",
    "/api/v1/deliveries",
    "/api/v1/heartbeat",
    "/api/v1/enroll",
    "/agent/metrics",
    "/heartbeat.php",
    "/api/devices/cam-7/online",
    "/api/devices/cam-7/availability",
    "/nothing",
];

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"];

/// Good tokens among bad ones; with the good ones come bodies that are no heartbeat.
struct Tokens {
    machine: String,
    reader: String,
    key: String,
}

#[test]
fn a_hundred_thousand_random_requests_end_nothing_and_leave_nothing() {
    let monitor = Plan::new().start();
    let (machine, reader) = (monitor.machine("barn"), monitor.reader());
    let key = monitor.plan().token(&["enroll", "add"]);
    let tokens = Tokens { machine, reader, key };
    let before = known(&monitor, &tokens.reader);
    let mut random = Rng::with_seed(7);
    let mut answered = [0_u32; 6];
    for _ in 0..REQUESTS / PIPELINED {
        let requests: Vec<(bool, Vec<u8>)> = (0..PIPELINED).map(|_| request(&mut random, &tokens)).collect();
        for (status, (_, bytes)) in answers(&monitor, &requests).into_iter().zip(&requests) {
            let fits =
                (200..300).contains(&status) || (400..=417).contains(&status) || [429, 431].contains(&status);
            assert!(fits, "{status} to {}", String::from_utf8_lossy(bytes));
            answered[usize::from(status / 100)] += 1;
        }
    }
    println!("{answered:?} answers by the hundred of their status");
    assert!(answered[2] > 1_000, "what only reads is answered");
    assert_eq!(known(&monitor, &tokens.reader), before);
    let sample = wire::SAMPLE.as_bytes();
    assert_eq!(monitor.post("/api/v1/heartbeat", &[bearer(&tokens.machine)], sample).status, 200);
}

/// All that a request could have changed, except that a machine whose token was right is alive.
fn known(monitor: &Monitor, reader: &str) -> [Value; 3] {
    ["/api/v1/machines", "/api/v1/machines/1", "/api/v1/deliveries"].map(|path| {
        let answer = monitor.get_as(reader, path);
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut body = answer.json();
        without_life(&mut body);
        body
    })
}

fn without_life(body: &mut Value) {
    match body {
        Value::Array(values) => values.iter_mut().for_each(without_life),
        Value::Object(fields) => {
            fields.retain(|key, _| !["status", "last_seen", "since"].contains(&key.as_str()));
            fields.values_mut().for_each(without_life);
        }
        _ => {}
    }
}

/// Whether its answer has no body whatever it says, and the request.
fn request(random: &mut Rng, tokens: &Tokens) -> (bool, Vec<u8>) {
    let path = PATHS[random.usize(..PATHS.len())];
    let method = METHODS[random.usize(..METHODS.len())];
    let token = match random.u8(..6) {
        0 => tokens.machine.clone(),
        1 => tokens.reader.clone(),
        2 => tokens.key.clone(),
        3 => String::new(),
        _ => forged(random, &tokens.machine),
    };
    let header = ["Authorization: Bearer", "authorization: bearer", "X-Token-Code:", "X-API-Key:", "Cookie:"];
    let header = header[random.usize(..header.len())];
    let query = query(random);
    let mut body = body(random);
    if method == "POST" && random.bool() {
        body.truncate(random.usize(..=body.len()));
    }
    let length = body.len();
    let mut bytes = format!(
        "{method} {path}{query} HTTP/1.1\r\nHost: x\r\n{header} {token}\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes();
    bytes.append(&mut body);
    (method == "HEAD", bytes)
}

fn forged(random: &mut Rng, token: &str) -> String {
    let at = random.usize(..token.len());
    let mut forged = token.to_owned();
    forged.replace_range(at..=at, if forged.as_bytes()[at] == b'x' { "y" } else { "x" });
    forged
}

/// Parameters that are known and others, with values that fit and others.
fn query(random: &mut Rng) -> String {
    const NAMES: [&str; 12] = [
        "after", "before", "limit", "status", "group", "machine", "from", "to", "step", "state", "params",
        "x",
    ];
    const VALUES: [&str; 11] = [
        "",
        "0",
        "-1",
        "9223372036854775807",
        "online",
        "%",
        "%ff",
        "%7B",
        "1e9",
        "2026-01-21T14:30:00Z",
        "'--",
    ];
    let pairs: Vec<String> = (0..random.usize(..3))
        .map(|_| format!("{}={}", NAMES[random.usize(..NAMES.len())], VALUES[random.usize(..VALUES.len())]))
        .collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// Never JSON.
fn body(random: &mut Rng) -> Vec<u8> {
    match random.u8(..4) {
        0 => Vec::new(),
        1 => wire::SAMPLE.as_bytes()[..random.usize(..wire::SAMPLE.len() - 1)].to_vec(),
        2 => ["[", "{\"a\":", "\"\\ud800", "1e999", "nul"][random.usize(..5)]
            .repeat(random.usize(1..100))
            .into(),
        _ => vec![random.u8(128..); random.usize(1..500)],
    }
}

/// The statuses of all answers. A refusal at a request's head ends the connection, and the rest goes over another one.
fn answers(monitor: &Monitor, requests: &[(bool, Vec<u8>)]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while statuses.len() < requests.len() {
        let rest = &requests[statuses.len()..];
        let answered = answers_of_one_connection(monitor, rest);
        assert!(!answered.is_empty(), "none to {}", String::from_utf8_lossy(&rest[0].1));
        statuses.extend(answered);
    }
    statuses
}

fn answers_of_one_connection(monitor: &Monitor, requests: &[(bool, Vec<u8>)]) -> Vec<u16> {
    let stream = TcpStream::connect(monitor.address()).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    let mut writer = stream.try_clone().expect("a second handle");
    let bytes: Vec<u8> = requests.iter().flat_map(|(_, bytes)| bytes).copied().collect();
    // The server reads on only when its answers are taken, and not at all behind a refusal.
    let writing = thread::spawn(move || drop(writer.write_all(&bytes)));
    let mut reader = BufReader::new(stream);
    let statuses = requests.iter().map_while(|(bodiless, _)| answer(&mut reader, *bodiless)).collect();
    drop(reader);
    writing.join().expect("no panic");
    statuses
}

fn answer(reader: &mut impl BufRead, bodiless: bool) -> Option<u16> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut length = 0;
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(text) = line.strip_prefix("Content-Length: ") {
            length = text.trim_end().parse().ok()?;
        }
    }
    let mut body = vec![0; if bodiless { 0 } else { length }];
    reader.read_exact(&mut body).ok()?;
    Some(status)
}
