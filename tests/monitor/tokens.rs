//! What a token is good for, and until when: rotated, revoked, disabled, removed.

use crate::rig::becomes;
use crate::support::monitor::{Monitor, Plan, bearer};
use crate::support::wall_clock::WallClock;
use crate::support::{SOON, eventually};
use heartbeat_daemon::wire;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

fn beat(monitor: &Monitor, token: &str) -> u16 {
    monitor.post("/api/v1/heartbeat", &[bearer(token)], wire::SAMPLE.as_bytes()).status
}

/// The server notices within a second or two.
fn answers(monitor: &Monitor, token: &str, status: u16) {
    eventually(&format!("a heartbeat is answered {status}"), || beat(monitor, token) == status);
}

#[test]
fn a_rotated_token_is_valid_for_its_grace_period() {
    let monitor = Plan::new().start();
    let first = monitor.machine("barn");
    let rotate = ["machine", "rotate", "barn", "--keep-old", "1h"];
    let second = monitor.plan().token(&rotate);
    answers(&monitor, &second, 200);
    assert_eq!(beat(&monitor, &first), 200, "the old one too");

    // An hour that was over an hour ago: for one command the clock is behind.
    let Some(clock) = WallClock::new() else { return };
    let third = clock.token(monitor.plan(), "-2h", &rotate);
    answers(&monitor, &third, 200);
    answers(&monitor, &second, 401);
    let answer = monitor.post("/api/v1/heartbeat", &[bearer(&second)], wire::SAMPLE.as_bytes());
    assert!(answer.body.contains("replaced by another one"), "it is said why: {answer:?}");
}

#[test]
fn a_disabled_machine_is_refused_and_never_late_until_it_is_enabled() {
    let monitor = Plan::new().start();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    answers(&monitor, &token, 200);
    monitor.plan().says(&["machine", "disable", "barn"]);
    answers(&monitor, &token, 403);
    let machine = monitor.get_as(&reader, "/api/v1/machines/1").json();
    assert_eq!(machine["enabled"], false, "{machine}");
    // Longer than its threshold.
    std::thread::sleep(std::time::Duration::from_secs(5));
    let offline = monitor.get_as(&reader, "/api/v1/machines?status=offline").json();
    assert_eq!(offline["items"].as_array().map(Vec::len), Some(0), "{offline}");
    monitor.plan().says(&["machine", "enable", "barn"]);
    answers(&monitor, &token, 200);
    becomes(&monitor, &reader, 1, "online");
}

#[test]
fn a_removed_machine_is_forgotten_and_its_name_is_free_again() {
    let monitor = Plan::new().start();
    let (old, reader) = (monitor.machine("barn"), monitor.reader());
    answers(&monitor, &old, 200);
    becomes(&monitor, &reader, 1, "online");
    monitor.plan().says(&["machine", "remove", "barn"]);
    answers(&monitor, &old, 401);
    for path in ["/api/v1/machines/1", "/api/v1/machines/1/history"] {
        assert_eq!(monitor.get_as(&reader, path).status, 404, "{path}");
    }
    let new = monitor.machine("barn");
    assert_eq!((beat(&monitor, &new), beat(&monitor, &old)), (200, 401));
    becomes(&monitor, &reader, 2, "online");
    assert_eq!(monitor.get_as(&reader, "/api/v1/machines/1").status, 404, "a number is never given twice");
}

/// A device's connection, which it keeps.
struct Kept(BufReader<TcpStream>);

impl Kept {
    fn to(monitor: &Monitor) -> Kept {
        let stream = TcpStream::connect(monitor.address()).expect("connected");
        stream.set_read_timeout(Some(SOON)).expect("a limit");
        Kept(BufReader::new(stream))
    }

    /// The status of a heartbeat with this token; the connection must stay open.
    fn beat(&mut self, token: &str) -> u16 {
        let (name, value) = bearer(token);
        let head =
            format!("POST /api/v1/heartbeat HTTP/1.1\r\nHost: x\r\n{name}: {value}\r\nContent-Length: 2");
        write!(self.0.get_mut(), "{head}\r\n\r\n{{}}").expect("it is open");
        let lines: Vec<String> = self
            .0
            .by_ref()
            .lines()
            .map(|line| line.expect("an answer"))
            .take_while(|line| !line.is_empty())
            .collect();
        let length = lines.iter().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.map_or(0, |length| length.parse().expect("a number"));
        self.0.read_exact(&mut vec![0; length]).expect("a body");
        lines[0].split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }
}

#[test]
fn an_open_connection_does_not_extend_a_tokens_validity() {
    let monitor = Plan::new().start();
    let token = monitor.machine("barn");
    let mut device = Kept::to(&monitor);
    assert_eq!(device.beat(&token), 200);
    let mut becomes = |what: &str, status: u16| {
        let end = Instant::now() + SOON;
        while device.beat(&token) != status {
            assert!(Instant::now() < end, "{what}: never {status}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    };
    monitor.plan().says(&["machine", "disable", "barn"]);
    becomes("disabled", 403);
    monitor.plan().says(&["machine", "enable", "barn"]);
    becomes("enabled", 200);
    monitor.plan().says(&["machine", "revoke", "barn"]);
    becomes("revoked", 401);
}
