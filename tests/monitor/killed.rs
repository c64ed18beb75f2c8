//! kill -9 of the program at random moments, while a fleet beats, some of it falls silent, and cameras and processors have
//! faults: nothing lost, nothing sent twice under two ids, everything in order.

use crate::rig::{WebhookReceiver, text};
use crate::support::monitor::{Monitor, Plan, bearer};
use crate::support::outages::check_each_sent_once_in_order;
use crate::support::request::Request;
use crate::support::server::{Arrival, Reply, Server};
use crate::support::{eventually, lasting_address};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const MACHINES: usize = 40;
/// Within it a machine falls silent at most twice: three times an hour would be flapping, which has a notification of its own.
const SILENCES: usize = 2;
/// The threshold is 2 s, looked at each second. Faults of cameras last as long, also while their machine is silent.
const SILENCE: std::ops::Range<u64> = 4_000..8_000;
/// Cameras of every second machine.
const CAMERAS: usize = 2;
/// How long a monitor lives: often long enough to notice somebody's silence, and to be killed in the middle of telling.
const LIFE: std::ops::Range<u64> = 200..7_000;

#[test]
fn nothing_is_lost_doubled_or_out_of_order_when_the_program_is_killed_10_times() {
    kill(10, false);
}

/// `cargo test --features monitor --test monitor -- --ignored 200`
#[test]
#[ignore = "takes a quarter of an hour"]
fn nothing_is_lost_doubled_or_out_of_order_when_the_program_is_killed_200_times() {
    kill(200, true);
}

/// `with_heat`: processors are too hot now and then, which is over only after a minute.
fn kill(times: u64, with_heat: bool) {
    // One in ten is heard and not answered, or answered late, or with an error.
    let receiver = Server::start(|_| match fastrand::u8(..40) {
        0 => Reply::Reset,
        1 => Reply::Late(Duration::from_millis(30), Box::new(Reply::ok())),
        2 => Reply::status(500),
        3 => Reply::Close,
        _ => Reply::ok(),
    });
    // The same port after each start.
    let address = lasting_address();
    let plan = Plan::new().key("http.listen", &address.to_string()).key("detection.offline_threshold", "2s");
    let webhook = WebhookReceiver::by(&plan, receiver);
    plan.says(&["recipient", "set", "me", "--events", "offline,online,stopped,camera,heat"]);
    for condition in ["camera", "temp"] {
        plan.says(&["condition", "set", condition, "--for", "1s"]);
    }
    let reader = plan.token(&["token", "add", "test"]);
    let length = Duration::from_millis(times * (LIFE.end / 2));
    let fleet: Vec<Device> = (1..=MACHINES)
        .map(|number| {
            let token = plan.token(&["machine", "add", &format!("m{number}")]);
            Device::new(token, number % 2 == 0, with_heat, length)
        })
        .collect();
    let over = AtomicBool::new(false);
    let plan = thread::scope(|scope| {
        scope.spawn(|| beat(address, &fleet, &over));
        // Also where this fails: the scope waits for the fleet.
        let _fleet = EndsWith(&over);
        let mut monitor = plan.start();
        for _ in 0..times {
            thread::sleep(Duration::from_millis(fastrand::u64(LIFE)));
            monitor = monitor.restart();
        }
        webhook.receiver.become_one_that(|_| Reply::ok());
        settled(&monitor, &reader);
        monitor.kill()
    });
    let arrivals: Vec<Request> = webhook.receiver.arrivals().try_iter().filter_map(request).collect();
    let summary = check_each_sent_once_in_order(&plan.database(), &arrivals);
    println!("{times} kills, {summary:?}");
    assert!(summary.outages > 5 && summary.conditions > 5, "that was no load: {summary:?}");
}

/// Sets it on drop.
struct EndsWith<'a>(&'a AtomicBool);

impl Drop for EndsWith<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn request(arrival: Arrival) -> Option<Request> {
    match arrival {
        Arrival::Request(request) => Some(request),
        Arrival::Connection(_) => None,
    }
}

/// A device, and when it is silent, and its cameras do not respond, and it is hot: from and to, in milliseconds.
struct Device {
    token: String,
    silences: Times,
    cameras: Vec<Times>,
    heat: Times,
}

type Times = Vec<(u64, u64)>;

impl Device {
    fn new(token: String, has_cameras: bool, has_heat: bool, length: Duration) -> Device {
        let latest = u64::try_from(length.as_millis()).expect("no age").saturating_sub(SILENCE.end).max(1);
        let times = || {
            let from = || fastrand::u64(..latest);
            (0..SILENCES).map(|_| from()).map(|from| (from, from + fastrand::u64(SILENCE))).collect()
        };
        let cameras = (0..if has_cameras { CAMERAS } else { 0 }).map(|_| times()).collect();
        let heat = if has_heat { times() } else { Times::new() };
        Device { token, silences: times(), cameras, heat }
    }

    /// Its heartbeat, if it is not silent.
    fn heartbeat(&self, now: u64) -> Option<String> {
        let is_within = |times: &Times| times.iter().any(|(from, to)| (*from..*to).contains(&now));
        if is_within(&self.silences) {
            return None;
        }
        let camera = |(number, faults): (usize, &Times)| {
            let (status, failed) = if is_within(faults) { ("disconnected", 9) } else { ("connected", 0) };
            json!({ "mac": format!("02:00:00:00:00:{number:02x}"), "status": status, "failed_checks": failed })
        };
        let cameras: Vec<Value> = self.cameras.iter().enumerate().map(camera).collect();
        let temperature = if is_within(&self.heat) { 91 } else { 50 };
        Some(json!({ "clock_synced": true, "temp": temperature, "cameras": cameras }).to_string())
    }
}

/// Every machine beats twice a second over a connection of its own, unless it is silent.
fn beat(to: SocketAddr, fleet: &[Device], over: &AtomicBool) {
    let begin = Instant::now();
    while !over.load(Ordering::SeqCst) {
        let now = u64::try_from(begin.elapsed().as_millis()).expect("no age");
        for device in fleet {
            if let Some(heartbeat) = device.heartbeat(now) {
                // Refused while the monitor is dead.
                let _ = send(to, &device.token, &heartbeat);
            }
        }
        thread::sleep(Duration::from_millis(400));
    }
}

fn send(to: SocketAddr, token: &str, heartbeat: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let (name, value) = bearer(token);
    let head = "POST /api/v1/heartbeat HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    let length = heartbeat.len();
    let request = format!("{head}Content-Length: {length}\r\n{name}: {value}\r\n\r\n{heartbeat}");
    stream.write_all(request.as_bytes())?;
    stream.read_to_end(&mut Vec::new()).map(drop)
}

/// The whole fleet is online, no incident is open, and nothing waits to be delivered.
fn settled(monitor: &Monitor, reader: &str) {
    eventually("all are online", || {
        let machines = monitor.get_as(reader, "/api/v1/machines?limit=1000").json();
        let items = machines["items"].as_array().map_or(&[][..], Vec::as_slice);
        items.len() == MACHINES && items.iter().all(|machine| text(&machine["status"]) == "online")
    });
    // After an attempt that failed, the next one is 5 s to minutes away.
    let deadline = Instant::now() + Duration::from_secs(180);
    let direct = Connection::open(monitor.plan().database()).expect("a connection");
    let open = || -> i64 {
        let sql = "SELECT count(*) FROM incident WHERE ended_at IS NULL";
        direct.query_row(sql, [], |row| row.get(0)).expect("a count")
    };
    while open() > 0 {
        assert!(Instant::now() < deadline, "an incident never ends");
        thread::sleep(Duration::from_millis(200));
    }
    let waits = || {
        let page = monitor.get_as(reader, "/api/v1/deliveries?state=waiting&limit=1").json();
        page["items"].as_array().is_some_and(|items| !items.is_empty())
    };
    while waits() {
        assert!(Instant::now() < deadline, "something is never delivered");
        thread::sleep(Duration::from_millis(200));
    }
}
