//! First failure, silence, recovery, and what was collected meanwhile.

use crate::support::daemon::{Daemon, Setup};
use crate::support::eventually;
use crate::support::server::{Reply, Server};
use std::time::Duration;

/// Everything that the daemon says above the level of information, and about the recovery.
fn troubles(daemon: &Daemon) -> Vec<String> {
    let log = daemon.log();
    log.into_iter().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect()
}

#[test]
fn an_outage_is_one_line_at_its_begin_and_one_at_its_end() {
    let server = Server::always(Reply::ok());
    let daemon = Setup::new().to(&server.url("/")).start();
    server.requests(2);
    let before = troubles(&daemon).len();
    server.reset_connections(true);
    daemon.wait_for_line("about the failure", |line| line.contains("WARN") && line.contains("reset"));
    server.requests_during(Duration::from_secs(5));
    assert_eq!(troubles(&daemon).len(), before + 1, "silence after the first line: {:?}", troubles(&daemon));
    server.reset_connections(false);
    let back = server.request_within(Duration::from_secs(3)).expect("back within the interval");
    assert!(back.is_live());
    let line = daemon.wait_for_line("about the recovery", |line| line.contains("again"));
    let numbers: Vec<u64> = line
        .split(|c: char| !c.is_ascii_digit())
        .skip_while(|word| word.is_empty())
        .filter_map(|word| word.parse().ok())
        .collect();
    assert!(numbers.iter().any(|n| (4..=30).contains(n)), "how many were lost: {line}");
    server.requests(3);
    assert_eq!(daemon.log_lines("again").len(), 1, "said once");
    assert_eq!(troubles(&daemon).len(), before + 1);
}

#[test]
fn a_second_outage_is_logged_too() {
    let server = Server::always(Reply::ok());
    let daemon = Setup::new().to(&server.url("/")).start();
    server.request();
    for round in 1..=2 {
        server.reset_connections(true);
        eventually("the outage is said", || troubles(&daemon).len() == round);
        server.reset_connections(false);
        eventually("the recovery is said", || daemon.log_lines("again").len() == round);
    }
}

#[test]
fn an_error_of_the_server_is_retried_faster_than_the_beat() {
    let server = Server::start(|request| match request.connection + request.number {
        0 => Reply::status(500),
        _ => Reply::ok(),
    });
    let _daemon = Setup::new().to(&server.url("/")).interval("20s").start();
    let (failed, retried) = (server.request(), server.request());
    let pause = retried.at - failed.at;
    assert!(pause >= Duration::from_millis(100), "no retry without a pause: {pause:?}");
    assert!(pause < Duration::from_secs(5), "250 ms and jitter, not the interval: {pause:?}");
    // A retry says how the device is now, and the reason that was not heard.
    assert_ne!(failed.id(), retried.id());
    assert_eq!((failed.reason(), retried.reason()), ("startup".to_owned(), "startup".to_owned()));
}

#[test]
fn retries_slow_down_to_the_interval() {
    let server = Server::always(Reply::status(500));
    let _daemon = Setup::new().to(&server.url("/")).interval("2s").start();
    server.requests_during(Duration::from_secs(4));
    let later = server.requests_during(Duration::from_secs(6)).len();
    // A beat every 2 s, and between two of them at most one retry at the cap; double that is still no flood.
    assert!((2..=12).contains(&later), "{later} requests in 6 s");
}

#[test]
fn after_an_outage_a_monitor_gets_replays_marked_with_their_age() {
    let server = Server::always(Reply::monitor());
    let daemon = Setup::new().to(&server.url("/")).start();
    server.requests(2);
    server.reset_connections(true);
    daemon.wait_for_line("about the failure", |line| line.contains("WARN") && line.contains("reset"));
    server.requests_during(Duration::from_secs(3));
    server.reset_connections(false);
    let live = server.request();
    assert!(live.is_live(), "being alive comes first");
    let replay = server.request_that(|request| !request.is_live());
    let replays = replay.json();
    let replays = replays.as_array().expect("an array");
    assert!(!replays.is_empty());
    for replayed in replays {
        let age = replayed["replay_age_s"].as_u64().unwrap_or_else(|| panic!("an age: {replayed}"));
        assert!(age <= 60, "it was collected in this test: {age} s");
        assert_ne!(replayed["id"], live.json()["id"]);
    }
    assert!(server.request_that(|request| request.is_live()).json().get("replay_age_s").is_none());
}

#[test]
fn a_server_that_is_no_monitor_gets_no_replays() {
    let server = Server::always(Reply::ok());
    let daemon = Setup::new().to(&server.url("/")).start();
    server.request();
    server.reset_connections(true);
    daemon.wait_for_line("about the failure", |line| line.contains("WARN") && line.contains("reset"));
    server.requests_during(Duration::from_secs(3));
    server.reset_connections(false);
    assert!(server.requests(4).iter().all(|request| request.is_live()));
}
