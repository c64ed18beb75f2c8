//! SIGTERM: nothing that was acknowledged is lost, and it does not take long.

use crate::rig::daemon;
use crate::support::monitor::{Monitor, Plan, bearer};
use crate::support::notify::NotifySocket;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const PROMISE: Duration = Duration::from_secs(5);

fn stop(monitor: &mut Monitor) -> Duration {
    monitor.signal(Signal::TERM);
    let (status, took) = monitor.wait_for_end(Duration::from_secs(20));
    assert_eq!(status.code(), Some(0), "{:?}", monitor.log());
    println!("stopped in {took:?}, promised within {PROMISE:?}");
    assert!(took <= PROMISE + Duration::from_secs(1), "{took:?}");
    took
}

#[test]
fn an_idle_monitor_stops_at_once() {
    let mut monitor = Plan::new().start();
    assert!(stop(&mut monitor) < Duration::from_secs(2));
}

#[test]
fn clients_that_hang_do_not_hold_a_stop_up() {
    let mut monitor = Plan::new().start();
    let idle = TcpStream::connect(monitor.address()).expect("connected");
    let mut half = TcpStream::connect(monitor.address()).expect("connected");
    half.write_all(b"POST /api/v1/heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        .expect("sent");
    stop(&mut monitor);
    drop((idle, half));
}

#[test]
fn systemd_hears_of_the_start_the_state_and_the_stop() {
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

#[test]
fn a_stop_under_load_loses_nothing_that_was_acknowledged() {
    let monitor = Plan::new().start();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    let (address, stopped) = (monitor.address(), Arc::new(AtomicBool::new(false)));
    // The last live heartbeat, and how many replays, that were answered with 200.
    let (newest, replays) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let (token, stopped) = (token.clone(), stopped.clone());
            let (newest, replays) = (newest.clone(), replays.clone());
            thread::spawn(move || {
                let Ok(mut stream) = TcpStream::connect(address) else { return };
                stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
                for number in 1.. {
                    // One minute each, so that each is a point of the history.
                    let body = match sender {
                        0 => heartbeat(number, None),
                        _ if number > 600 => break,
                        _ => json!([heartbeat(number, Some(60 * (600 * (sender - 1) + number)))]),
                    };
                    if stopped.load(Ordering::SeqCst) || !exchange(&mut stream, &token, &body.to_string()) {
                        break;
                    }
                    match sender {
                        0 => newest.store(number, Ordering::SeqCst),
                        _ => drop(replays.fetch_add(1, Ordering::SeqCst)),
                    }
                }
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(1500));
    let mut monitor = monitor;
    stop(&mut monitor);
    stopped.store(true, Ordering::SeqCst);
    senders.into_iter().for_each(|sender| sender.join().expect("no panic"));

    let monitor = monitor.restart();
    let machine = monitor.get_as(&reader, "/api/v1/machines/1").json();
    let kept = machine["latest"]["seq"].as_u64().expect("a payload");
    let (newest, replays) = (newest.load(Ordering::SeqCst), replays.load(Ordering::SeqCst));
    println!("{newest} heartbeats and {replays} replays acknowledged; {kept} is kept");
    assert!(newest > 10 && replays > 10, "that was no load: {newest} {replays}");
    // One more may have been taken whose answer did not arrive.
    assert!(kept == newest || kept == newest + 1, "{kept}, acknowledged was {newest}");
    let history = monitor.get_as(&reader, "/api/v1/machines/1/history?step=60").json();
    let history = history["points"].as_array().map_or(0, Vec::len) as u64;
    let longer =
        monitor.get_as(&reader, &format!("/api/v1/machines/1/history?step=60&from={}", now() - 33 * 3600));
    let points = longer.json()["points"].as_array().map_or(0, Vec::len) as u64;
    assert!(points >= history.max(replays), "{points} points of {replays} replays");
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
fn a_daemon_at_work_does_not_hold_a_stop_up() {
    let mut monitor = Plan::new().start();
    let token = monitor.machine("barn");
    let daemon = daemon(&monitor, &token);
    daemon.wait_for_line("of the start", |line| line.contains("sends a heartbeat to"));
    stop(&mut monitor);
}
