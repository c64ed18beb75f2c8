//! kill -9 of the program at random moments, while a fleet beats and some of it falls silent: nothing untold, nothing
//! told twice under two ids, everything in order.

use crate::rig::{WebhookReceiver, text};
use crate::support::monitor::{Monitor, Plan, bearer};
use crate::support::outages::check_each_sent_once_in_order;
use crate::support::request::Request;
use crate::support::server::{Arrival, Reply, Server};
use crate::support::{eventually, lasting_address};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const MACHINES: usize = 40;
/// Within it a machine falls silent at most twice: three times an hour would be flapping, which is told otherwise.
const SILENCES: usize = 2;
/// The threshold is 2 s, looked at each second.
const SILENCE: std::ops::Range<u64> = 4_000..8_000;
/// How long a monitor lives: often long enough to notice somebody's silence, and to be killed in the middle of telling.
const LIFE: std::ops::Range<u64> = 200..7_000;

#[test]
fn nothing_is_lost_doubled_or_out_of_order_when_the_program_is_killed_10_times() {
    kill(10);
}

/// `cargo test --features monitor --test monitor -- --ignored 200`
#[test]
#[ignore = "takes a quarter of an hour"]
fn nothing_is_lost_doubled_or_out_of_order_when_the_program_is_killed_200_times() {
    kill(200);
}

fn kill(times: u64) {
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
    let told = WebhookReceiver::by(&plan, receiver);
    let reader = plan.token(&["token", "add", "test"]);
    let tokens: Vec<String> =
        (1..=MACHINES).map(|number| plan.token(&["machine", "add", &format!("m{number}")])).collect();
    let length = Duration::from_millis(times * (LIFE.end / 2));
    let over = AtomicBool::new(false);
    let plan = thread::scope(|scope| {
        scope.spawn(|| beat(address, &tokens, length, &over));
        // Also where this fails: the scope waits for the fleet.
        let _fleet = EndsWith(&over);
        let mut monitor = plan.start();
        for _ in 0..times {
            thread::sleep(Duration::from_millis(fastrand::u64(LIFE)));
            monitor = monitor.restart();
        }
        told.receiver.become_one_that(|_| Reply::ok());
        settled(&monitor, &reader);
        monitor.kill()
    });
    let arrivals: Vec<Request> = told.receiver.arrivals().try_iter().filter_map(request).collect();
    let summary = check_each_sent_once_in_order(&plan.database(), &arrivals);
    println!("{times} kills, {summary:?}");
    assert!(summary.outages > 5, "that was no load: {summary:?}");
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

/// Every machine beats twice a second over a connection of its own, and is silent now and then until `length` is over.
fn beat(to: SocketAddr, tokens: &[String], length: Duration, over: &AtomicBool) {
    let begin = Instant::now();
    let latest = u64::try_from(length.as_millis()).expect("no age").saturating_sub(SILENCE.end).max(1);
    let silences: Vec<[(u64, u64); SILENCES]> = (0..tokens.len())
        .map(|_| {
            std::array::from_fn(|_| {
                let from = fastrand::u64(..latest);
                (from, from + fastrand::u64(SILENCE))
            })
        })
        .collect();
    while !over.load(Ordering::SeqCst) {
        let now = begin.elapsed().as_millis();
        for (token, silences) in tokens.iter().zip(&silences) {
            if !silences.iter().any(|(from, to)| (u128::from(*from)..u128::from(*to)).contains(&now)) {
                // Nobody is there while the monitor is dead.
                let _ = send(to, token);
            }
        }
        thread::sleep(Duration::from_millis(400));
    }
}

fn send(to: SocketAddr, token: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let (name, value) = bearer(token);
    let head = "POST /api/v1/heartbeat HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n";
    stream.write_all(format!("{head}{name}: {value}\r\n\r\n{{}}").as_bytes())?;
    stream.read_to_end(&mut Vec::new()).map(drop)
}

/// The whole fleet is online, and nothing waits to be told.
fn settled(monitor: &Monitor, reader: &str) {
    eventually("all are online", || {
        let machines = monitor.get_as(reader, "/api/v1/machines?limit=1000").json();
        let items = machines["items"].as_array().map_or(&[][..], Vec::as_slice);
        items.len() == MACHINES && items.iter().all(|machine| text(&machine["status"]) == "online")
    });
    // After an attempt that failed, the next one is 5 s to minutes away.
    let deadline = Instant::now() + Duration::from_secs(180);
    let waits = || {
        let page = monitor.get_as(reader, "/api/v1/deliveries?state=waiting&limit=1").json();
        page["items"].as_array().is_some_and(|items| !items.is_empty())
    };
    while waits() {
        assert!(Instant::now() < deadline, "something is never delivered");
        thread::sleep(Duration::from_millis(200));
    }
}
