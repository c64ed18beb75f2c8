//! SIGTERM: nothing that was acknowledged is lost, and it does not take long.

use crate::rig::daemon;
use crate::support::eventually;
use crate::support::lateness::{self, in_time};
use crate::support::monitor::{Monitor, Plan, bearer};
use crate::support::notify::NotifySocket;
use heartbeat_daemon::clock::Moment;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const PROMISE: Duration = Duration::from_secs(5);

fn stop(monitor: &mut Monitor, promise: Duration) {
    lateness::watch();
    let begin = Instant::now();
    monitor.signal(Signal::TERM);
    let (status, _) = monitor.wait_for_end(Duration::from_secs(20));
    assert_eq!(status.code(), Some(0), "{:?}", monitor.log());
    in_time(begin, Instant::now(), promise, "the end");
}

#[test]
fn an_idle_monitor_stops_at_once_and_logs_it() {
    let mut monitor = Plan::new().start();
    // Its threads have nothing to wait for.
    stop(&mut monitor, Duration::from_millis(1500));
    let log = monitor.log();
    assert!(log.last().is_some_and(|line| line.ends_with("Heartbeat monitor stopped")), "{log:?}");
}

#[test]
fn clients_that_hang_do_not_hold_a_stop_up() {
    let mut monitor = Plan::new().start();
    let idle = TcpStream::connect(monitor.address()).expect("connected");
    let mut half = TcpStream::connect(monitor.address()).expect("connected");
    half.write_all(b"POST /api/v1/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        .expect("sent");
    stop(&mut monitor, PROMISE);
    drop((idle, half));
}

#[test]
fn systemd_is_notified_of_start_state_and_stop() {
    let plan = Plan::new();
    let notify = NotifySocket::new(plan.scratch());
    let plan = plan.env("NOTIFY_SOCKET", notify.path()).env("WATCHDOG_USEC", "3000000");
    let mut monitor = plan.start();
    notify.wait_for("READY=1");
    for _ in 0..2 {
        notify.wait_for("WATCHDOG=1");
        notify.wait_for("STATUS=");
    }
    monitor.signal(Signal::TERM);
    notify.wait_for("STOPPING=1");
    monitor.wait_for_end(Duration::from_secs(20));
}

/// A heartbeat of this number, as our daemon sends it.
fn heartbeat(number: u64, replay_age_s: Option<u64>) -> Value {
    let mut heartbeat: Value = serde_json::from_str(heartbeat_daemon::wire::SAMPLE).expect("the sample");
    heartbeat["seq"] = json!(number);
    heartbeat["id"] = json!(format!("{number:016x}"));
    heartbeat["cpu"] = json!(number % 100);
    if let Some(age) = replay_age_s {
        heartbeat["replay_age_s"] = json!(age);
    }
    heartbeat
}

/// The seconds of a minute that a replay tells of.
const MINUTE: u64 = 60;

/// More than are sent until the stop, and not without end if there is none.
const MOST: u64 = 100_000;

/// Sends live heartbeats until it is refused, and says the number of the last that was answered with 200.
fn send_live(address: SocketAddr, token: &str, accepted: &AtomicUsize) -> u64 {
    let Some(mut stream) = connect(address) else { return 0 };
    let sent = |number: &u64| exchange(&mut stream, token, &heartbeat(*number, None).to_string());
    let count = |_: &u64| _ = accepted.fetch_add(1, Ordering::Relaxed);
    (1..MOST).take_while(sent).inspect(count).last().unwrap_or(0)
}

/// Sends a replay of each of these minutes until it is refused, and says which were answered with 200. An age is
/// counted from the middle of its minute, so that another minute's begin between two of them moves neither.
fn send_replays(address: SocketAddr, token: &str, minutes: Range<u64>, accepted: &AtomicUsize) -> Vec<u64> {
    let Some(mut stream) = connect(address) else { return Vec::new() };
    let sent = |minute: &u64| {
        let age = now() - (minute * MINUTE + MINUTE / 2);
        exchange(&mut stream, token, &json!([heartbeat(*minute, Some(age))]).to_string())
    };
    let count = |_: &u64| _ = accepted.fetch_add(1, Ordering::Relaxed);
    minutes.rev().take_while(sent).inspect(count).collect()
}

fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    Some(stream)
}

#[test]
fn a_stop_under_load_loses_nothing_that_was_acknowledged() {
    const EACH: u64 = 600;
    let mut monitor = Plan::new().start();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    let (address, begin) = (monitor.address(), now() / MINUTE);
    let (lived, replayed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (newest, replays) = thread::scope(|scope| {
        let (token, replayed) = (&token, &replayed);
        let live = scope.spawn(|| send_live(address, token, &lived));
        let replays = [1, 2, 3].map(|sender| {
            let last = begin - EACH * (sender - 1);
            scope.spawn(move || send_replays(address, token, last - EACH..last, replayed))
        });
        eventually("they are at it", || [&lived, replayed].iter().all(|it| it.load(Ordering::Relaxed) > 100));
        stop(&mut monitor, PROMISE);
        let replays = replays.into_iter().flat_map(|sender| sender.join().expect("no panic"));
        (live.join().expect("no panic"), replays.collect::<Vec<_>>())
    });

    let monitor = monitor.restart();
    let machine = monitor.get_as(&reader, "/api/v1/machines/1").json();
    let kept = machine["latest"]["seq"].as_u64().expect("a payload");
    println!("{newest} heartbeats and {} replays acknowledged; {kept} is kept", replays.len());
    // One more may have been taken whose answer did not arrive.
    assert!(kept == newest || kept == newest + 1, "{kept}, acknowledged was {newest}");
    let since = (begin - 3 * EACH) * MINUTE;
    let path = format!("/api/v1/machines/1/history?step={MINUTE}&from={since}");
    let history = monitor.get_as(&reader, &path).json();
    let points = history["points"].as_array().expect("points").iter();
    let kept: BTreeSet<&str> = points.filter_map(|point| point["at"].as_str()).collect();
    let lost: Vec<_> = replays.iter().filter(|minute| !kept.contains(written(minute).as_str())).collect();
    assert!(lost.is_empty(), "{lost:?} of {} replays", replays.len());
}

/// A minute's begin, as the API writes it.
fn written(minute: &u64) -> String {
    let begin = i64::try_from(minute * MINUTE * 1000).expect("a moment");
    Moment(begin).rfc_3339().expect("in this millennium")
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}

/// True if it was answered with 200.
fn exchange(stream: &mut TcpStream, token: &str, body: &str) -> bool {
    let (name, value) = bearer(token);
    let request = format!(
        "POST /api/v1/heartbeat HTTP/1.1\r\nHost: x\r\n{name}: {value}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    if stream.write_all(request.as_bytes()).is_err() {
        return false;
    }
    let mut answer = Vec::new();
    let mut byte = [0];
    // Head and a short body; one request is on its way at a time.
    while !answer.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => answer.push(byte[0]),
            _ => return false,
        }
    }
    let head = String::from_utf8_lossy(&answer).into_owned();
    let length =
        head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).unwrap_or(0);
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).is_ok() && head.starts_with("HTTP/1.1 200")
}

#[test]
fn a_sending_daemon_does_not_delay_a_stop() {
    let mut monitor = Plan::new().start();
    let token = monitor.machine("barn");
    let daemon = daemon(&monitor, &token);
    daemon.wait_for_line("of the start", |line| line.contains("sends a heartbeat to"));
    stop(&mut monitor, PROMISE);
}
