//! Requests as they come over a socket, and what becomes of them.

use super::*;
use crate::http::{Limits, Listener, Server, Stopper};
use crate::monitor::history::resolution::RESOLUTIONS;
use crate::monitor::incidents::sweep::{SweepSettings, Sweeper};
use crate::monitor::machine::{Description, MachineStatus};
use crate::monitor::notify::Poke;
use crate::monitor::pulse::Pulse;
use crate::monitor::recorder::{Recorder, RecorderInbox};
use crate::monitor::registry::enrolment::NewKey;
use crate::monitor::store::{Scratch, Store};
use crate::systemd::Watchdog;
use crate::ticker::Ticker;
use crate::wire;
use crossbeam_channel::{Sender, bounded};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Instant;

const MACHINE: MachineId = MachineId(1);

/// A monitor of three machines, the second with a device key, the third disabled, behind a socket; its recorder is
/// given one tick after the other by the test.
struct Site {
    store: Scratch,
    shared: RecorderContext,
    ingest: Ingest,
    tokens: Vec<String>,
    address: SocketAddr,
    flush: Sender<Instant>,
    stopper: Stopper,
    threads: Vec<JoinHandle<()>>,
}

impl Site {
    fn new() -> Site {
        Site::at(Instant::now())
    }

    /// With a file, which a test can take away.
    fn on_file() -> Site {
        Site::with(Store::scratch_file(), Instant::now())
    }

    /// `begin` in the past makes the last flush as old.
    fn at(begin: Instant) -> Site {
        Site::with(Store::scratch(), begin)
    }

    fn with(store: Scratch, begin: Instant) -> Site {
        let now = Moment::now();
        let tokens = [None, Some("cam-7"), None].iter().zip(1..).map(|(device_key, number)| {
            let device_key = device_key.map(str::to_owned);
            let description =
                Description { name: format!("m{number}"), device_key, ..Description::default() };
            let (_, token) = store.add_machine(&description, now).expect("a machine");
            token.as_str().to_owned()
        });
        let tokens = tokens.collect();
        store.disable_machine("m3", now).expect("disabled");
        let shared = RecorderContext {
            store: store.clone(),
            registry: Arc::default(),
            fleet: Arc::default(),
            pulse: Arc::new(Pulse::new(begin)),
        };
        let (orders, inbox) = bounded(64);
        let (flush, flushes) = bounded(0);
        let ingest = Ingest::new(shared.clone(), orders);
        let recorder = thread::spawn(recorder(&shared, inbox, flushes));
        let (address, stopper, front) = front(&ingest);
        Site { store, shared, ingest, tokens, address, flush, stopper, threads: vec![front, recorder] }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        Client { stream, held: Vec::new() }
    }

    fn request(&self, request: &str) -> SocketResponse {
        let mut client = self.connect();
        client.send(request.as_bytes());
        client.answer()
    }

    fn post(&self, path: &str, header: &str, body: &str) -> SocketResponse {
        self.request(&post(path, header, body.as_bytes()))
    }

    /// With the first machine's token.
    fn beat(&self, body: &str) -> SocketResponse {
        self.post("/api/v1/heartbeat", &bearer(&self.tokens[0]), body)
    }

    /// All beats are written, and one tick more: the recorder takes it when it is through with the others.
    fn writes(&self) {
        for _ in 0..=5 {
            self.flush.send(Instant::now()).expect("the recorder runs");
        }
    }

    /// Nothing of any machine is stored but when it was seen.
    fn has_no_values(&self) -> bool {
        let empty = |id| {
            let latest = self.store.latest(MachineId(id)).expect("read");
            let machine = self.store.machine(MachineId(id), Moment::now()).expect("read").expect("there");
            let newest = self.shared.fleet.newest(MachineId(id));
            let held = newest.and_then(|newest| newest.payload);
            latest.is_none() && held.is_none() && machine.hostname.is_none()
        };
        (1..=3).all(empty) && self.history() == 0
    }

    fn is_untouched(&self) -> bool {
        let fresh = |id| {
            let machine = self.store.machine(MachineId(id), Moment::now()).expect("read").expect("there");
            machine.last_seen.is_none() && machine.status == MachineStatus::New
        };
        let heard = (1..=3).any(|id| self.shared.fleet.seen(MachineId(id)).is_some());
        (1..=3).all(fresh) && !heard && self.history() == 0
    }

    /// How many minutes are stored of all machines.
    fn history(&self) -> usize {
        let mut found = 0;
        for id in 1..=3 {
            let to = Moment::now().plus(Duration::from_secs(60));
            let take = |_, _| found += 1;
            self.store.history(MachineId(id), RESOLUTIONS[0], Moment(0), to, take).expect("read");
        }
        found
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stopper.stop(Duration::ZERO);
        // The last two who may give orders.
        let (orders, _) = bounded(0);
        self.ingest.orders = orders;
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            if !thread::panicking() {
                ended.expect("no panic");
            }
        }
    }
}

fn recorder(
    shared: &RecorderContext,
    orders: crossbeam_channel::Receiver<RecorderEvent>,
    flushes: crossbeam_channel::Receiver<Instant>,
) -> impl FnOnce() + use<> {
    let now = Now::read();
    let settings =
        SweepSettings { check_interval: Duration::from_secs(30), threshold: Duration::from_secs(120) };
    let sweeper = Sweeper::new(settings, now, Poke::unconnected());
    let recorder = Recorder::new(shared.clone(), sweeper, Watchdog::from_environment(now.monotonic));
    recorder.load(now.wall).expect("states");
    let never = crossbeam_channel::never();
    let inbox = RecorderInbox { orders, flush: Ticker::by_hand(flushes), sweep: Ticker::by_hand(never) };
    move || recorder.run(inbox)
}

fn front(ingest: &Ingest) -> (SocketAddr, Stopper, JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = listener.local_addr().expect("bound");
    let limits = Limits { connections_per_address: 1024, ..Limits::default() };
    let server = Server::new(vec![Listener::Tcp(listener)], limits).expect("a server");
    let (stopper, ingest) = (server.stopper(), ingest.clone());
    let handle = move |exchange: Exchange| {
        let Some(Exchange { request, reply }) = ingest.handle(exchange, Now::read()) else { return };
        if request.path() == enroll::PATH {
            enroll::handle(&ingest.shared.store, &ingest.orders, Exchange { request, reply }, Moment::now());
        } else {
            reply.send(Response::error(404, "no such path"));
        }
    };
    (address, stopper, thread::spawn(move || server.run(handle).expect("served")))
}

struct Client {
    stream: TcpStream,
    held: Vec<u8>,
}

#[derive(Debug)]
struct SocketResponse {
    status: u16,
    head: String,
    body: String,
}

impl Client {
    fn send(&mut self, bytes: &[u8]) {
        // The other side may have answered and closed already.
        let _ = self.stream.write_all(bytes);
    }

    fn answer(&mut self) -> SocketResponse {
        self.try_answer().expect("an answer")
    }

    /// `None` where the connection ends without one.
    fn try_answer(&mut self) -> Option<SocketResponse> {
        loop {
            let end = self.held.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(answer) = end.and_then(|end| self.whole(end)) {
                return Some(answer);
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.held.extend_from_slice(&chunk[..length]),
            }
        }
    }

    fn whole(&mut self, end: usize) -> Option<SocketResponse> {
        let head = String::from_utf8_lossy(&self.held[..end]).into_owned();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.map_or(0, |length| length.parse().expect("a number"));
        let body = self.held.get(end + 4..end + 4 + length)?;
        let body = String::from_utf8_lossy(body).into_owned();
        self.held.drain(..end + 4 + length);
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Some(SocketResponse { status, head, body })
    }
}

fn post(path: &str, header: &str, body: &[u8]) -> String {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\n{header}Content-Length: {length}\r\n\r\n");
    head + std::str::from_utf8(body).expect("text")
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[test]
fn a_heartbeat_is_answered_as_our_daemon_expects_it_and_in_few_bytes() {
    let site = Site::new();
    let before = Moment::now();
    let answer = site.beat(wire::SAMPLE);
    assert_eq!(answer.status, 200);
    let read: wire::HeartbeatResponse = serde_json::from_str(&answer.body).expect("our own answer");
    assert_eq!(read.interval_s, 5.0);
    assert!((read.server_time - before.0 as f64 / 1000.0).abs() < 60.0);
    assert!(answer.head.len() + 4 + answer.body.len() <= 155, "{answer:?}");
    let newest = site.shared.fleet.newest(MACHINE).expect("heard");
    assert_eq!(newest.payload.as_deref(), Some(wire::SAMPLE));
    assert!(newest.seen >= before);
}

#[test]
fn every_format_has_its_path_its_token_and_its_answer() {
    let site = Site::new();
    let (first, second) = (&site.tokens[0], &site.tokens[1]);
    let code = format!("X-Token-Code: {second}\r\n");
    let answers = [
        (site.post("/heartbeat.php", &bearer(first), r#"{"temp": "48.8°C"}"#), 200),
        (site.post(&format!("/a/heartbeat.php?token={first}"), "", r#"{"temp": "48.8°C"}"#), 200),
        (
            site.request(&format!(
                "GET /heartbeat.php?params=%7B%7D&token={first} HTTP/1.1\r\nHost: x\r\n\r\n"
            )),
            200,
        ),
        (site.post("/api/devices/cam-7/online", &code, r#"{"cpu_load": 0.4}"#), 200),
        (site.post("/agent/metrics", &format!("X-API-Key: {first}\r\n"), r#"{"cpu_pct": 12.5}"#), 202),
        (site.post("/agent/metrics", &bearer(first), r#"{"cpu_pct": 12.5}"#), 202),
    ];
    for (answer, expected) in answers {
        assert_eq!(answer.status, expected, "{answer:?}");
    }
    let counters = site.ingest.counters();
    assert_eq!(IngestFormat::ALL.map(|format| counters.heartbeats(format)), [0, 3, 1, 2]);
}

#[test]
fn the_meeting_api_reports_availability_and_last_seen() {
    let site = Site::new();
    let code = format!("X-Token-Code: {}\r\n", site.tokens[1]);
    let availability = || {
        let request = format!("GET /api/devices/cam-7/availability HTTP/1.1\r\nHost: x\r\n{code}\r\n");
        let answer = site.request(&request);
        assert_eq!(answer.status, 200);
        serde_json::from_str::<serde_json::Value>(&answer.body).expect("JSON")
    };
    assert_eq!(availability(), serde_json::json!({"status": "unavailable", "last_heartbeat": null}));
    site.post("/api/devices/cam-7/online", &code, "{}");
    site.writes();
    let said = availability();
    assert_eq!(said["status"], "available");
    let time = said["last_heartbeat"].as_str().expect("a time");
    assert!(time.len() == 19 && time.as_bytes()[10] == b' ', "{time}");
}

#[test]
fn a_token_is_good_for_its_own_device_only() {
    let site = Site::new();
    for (path, token, expected) in [
        ("/api/devices/cam-8/online", 1, 401),
        ("/api/devices/cam-7/online", 1, 200),
        // It was given no such name.
        ("/api/devices/cam-7/online", 0, 200),
        ("/api/v1/heartbeat", 2, 403),
    ] {
        let answer = site.post(path, &format!("X-Token-Code: {}\r\n", site.tokens[token]), "{}");
        assert_eq!(answer.status, expected, "{path} {answer:?}");
    }
    assert!(site.shared.fleet.seen(MachineId(3)).is_none());
}

#[test]
fn a_missing_or_wrong_token_is_answered_with_advice() {
    let site = Site::new();
    for header in
        ["", "Authorization: Bearer nonsense\r\n", "Authorization: Basic eDp5\r\n", "X-API-Key:\r\n"]
    {
        let answer = site.post("/api/v1/heartbeat", header, wire::SAMPLE);
        assert_eq!(answer.status, 401, "{header}");
        assert!(answer.head.contains("WWW-Authenticate: Bearer"), "{answer:?}");
        assert!(answer.body.starts_with("{\"error\":"), "{answer:?}");
    }
    assert!(site.is_untouched());
    assert_eq!(site.ingest.counters().denials(), 4);
}

#[test]
fn each_fault_of_a_request_is_named() {
    let site = Site::new();
    let bearer = bearer(&site.tokens[0]);
    let head = |method: &str, path: &str| format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{bearer}");
    let large = "x".repeat(wire::MAX_BODY + 1);
    for (request, expected) in [
        (post("/api/v1/heartbeat", &bearer, b"{"), 400),
        (post("/api/v1/heartbeat", &bearer, b"[1]"), 400),
        (post("/api/v1/heartbeat", &bearer, large.as_bytes()), 413),
        (head("POST", "/api/v1/heartbeat") + "\r\n", 411),
        (head("GET", "/api/v1/heartbeat") + "\r\n", 405),
        (head("PUT", "/heartbeat.php") + "Content-Length: 0\r\n\r\n", 405),
        (head("POST", "/api/devices/x/availability") + "Content-Length: 0\r\n\r\n", 405),
        (head("GET", "/heartbeat.php?x=y") + "\r\n", 400),
        (head("GET", "/heartbeat.php?params=%7B") + "\r\n", 400),
        (head("POST", "/api/v1/heartbeats") + "Content-Length: 0\r\n\r\n", 404),
    ] {
        let answer = site.request(&request);
        assert_eq!(answer.status, expected, "{} {answer:?}", &request[..request.len().min(80)]);
        assert!(answer.body.starts_with("{\"error\":"), "{answer:?}");
    }
    site.writes();
    assert!(site.has_no_values());
}

#[test]
fn a_replay_is_durable_when_it_is_answered_and_never_a_sign_of_life() {
    let site = Site::new();
    let answer = site.beat(r#"[{"replay_age_s": 120, "cpu": 5}, {"replay_age_s": 60, "cpu": 6}]"#);
    assert_eq!(answer.status, 200);
    assert!(serde_json::from_str::<wire::HeartbeatResponse>(&answer.body).is_ok(), "{answer:?}");
    assert_eq!(site.history(), 2);
    assert_eq!(site.beat(r#"{"replay_age_s": 600, "cpu": 7}"#).status, 200);
    assert_eq!(site.history(), 3);
    site.writes();
    assert!(site.shared.fleet.seen(MACHINE).is_none());
    let machine = site.store.machine(MACHINE, Moment::now()).expect("read").expect("there");
    assert_eq!((machine.status, machine.last_seen), (MachineStatus::New, None));
}

#[test]
fn a_devices_clock_changes_nothing() {
    let site = Site::new();
    for timestamp in ["0", "-1e300", "4102444800", "\"2099-01-01\"", "null"] {
        let before = Moment::now();
        let body = format!("{{\"timestamp\": {timestamp}, \"clock_synced\": true, \"cpu\": 1}}");
        assert_eq!(site.beat(&body).status, 200);
        let seen = site.shared.fleet.seen(MACHINE).expect("heard");
        assert!((before..=Moment::now()).contains(&seen), "{timestamp}");
    }
}

#[test]
fn without_a_writable_database_heartbeats_are_refused_but_count_as_a_sign_of_life() {
    let Some(long_ago) = Instant::now().checked_sub(Duration::from_secs(16)) else { return };
    let site = Site::at(long_ago);
    let answer = site.beat(wire::SAMPLE);
    assert_eq!(answer.status, 503);
    let seconds = answer.head.lines().find_map(|line| line.strip_prefix("Retry-After: "));
    assert!(seconds.is_some_and(|seconds| seconds.parse::<u64>().is_ok()), "{answer:?}");
    assert!(site.shared.fleet.seen(MACHINE).is_some(), "a failure of the monitor makes no machine late");
    site.writes();
    assert_eq!(site.beat(wire::SAMPLE).status, 200);
}

#[test]
fn replays_that_cannot_be_stored_are_not_acknowledged() {
    let site = Site::on_file();
    let (file, away) = (site.store.dir.path().join("monitor.db"), site.store.dir.path().join("away"));
    std::fs::rename(&file, &away).expect("renamed");
    let replay = r#"[{"replay_age_s": 60, "cpu": 6}]"#;
    assert_eq!(site.beat(replay).status, 503);
    std::fs::rename(&away, &file).expect("renamed back");
    assert_eq!(site.beat(replay).status, 200);
    assert_eq!(site.history(), 1);
}

#[test]
fn a_device_registers_and_its_token_is_valid_at_once() {
    let site = Site::new();
    let key = site
        .store
        .add_key(&NewKey::one(Duration::from_secs(60), None), Moment::now(), &|_| Ok(()))
        .expect("a key");
    let device = r#"{"hardwareid": "10000000a5bd2dd2", "hostname": "barn-cam"}"#;
    let answer = site.post(enroll::PATH, &bearer(key.as_str()), device);
    assert_eq!(answer.status, 201, "{answer:?}");
    let said: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    let token = said["token"].as_str().expect("a token");
    assert_eq!(site.post("/api/v1/heartbeat", &bearer(token), wire::SAMPLE).status, 200);
    for (header, body, expected) in [
        (bearer("nonsense"), device, 403),
        (String::new(), device, 401),
        (bearer(key.as_str()), "{}", 400),
        (bearer(key.as_str()), "[]", 400),
    ] {
        let answer = site.post(enroll::PATH, &header, body);
        assert_eq!(answer.status, expected, "{body} {answer:?}");
    }
}

#[test]
fn each_request_with_a_replaced_token_counts_once_and_one_with_an_unknown_token_for_no_machine() {
    let site = Site::new();
    site.store.rotate("m1", Duration::ZERO, Moment::now(), &|_| Ok(())).expect("rotated");
    site.shared.registry.put(Registry::load(&site.store).expect("loaded"));
    let repeated = || site.shared.fleet.refused_repeatedly(Moment::now()).into_keys().collect::<Vec<_>>();
    for _ in 0..4 {
        assert_eq!(site.post("/api/v1/heartbeat", &bearer(&site.tokens[0]), wire::SAMPLE).status, 401);
        assert_eq!(site.post("/api/v1/heartbeat", &bearer("unknown"), wire::SAMPLE).status, 401);
        assert_eq!(repeated(), []);
    }
    let replay = r#"[{"replay_age_s": 60, "cpu": 6}]"#;
    assert_eq!(site.post("/api/v1/heartbeat", &bearer(&site.tokens[0]), replay).status, 401);
    assert_eq!(repeated(), [MACHINE]);
}

mod hostile;
mod undecodable;
