//! What a token is good for, and until when: rotated, revoked, disabled, removed.

use crate::rig::becomes;
use crate::support::eventually;
use crate::support::monitor::{Monitor, Plan, bearer};
use crate::support::wall_clock::WallClock;
use heartbeat_daemon::wire;

fn beat(monitor: &Monitor, token: &str) -> u16 {
    monitor.post("/api/v1/heartbeat", &[bearer(token)], wire::SAMPLE.as_bytes()).status
}

/// The server notices within a second or two.
fn answers(monitor: &Monitor, token: &str, status: u16) {
    eventually(&format!("a heartbeat is answered {status}"), || beat(monitor, token) == status);
}

#[test]
fn a_rotated_token_is_taken_for_as_long_as_was_said_and_then_refused() {
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
fn a_disabled_machine_is_refused_and_never_late_and_an_enabled_one_is_taken_again() {
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
