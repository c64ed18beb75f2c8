//! SIGHUP: a good configuration takes effect in the running process, a bad one changes nothing.

use crate::support::daemon::{Daemon, Setup};
use crate::support::server::{Reply, Server};
use rustix::process::Signal;
use std::time::Duration;

fn change(daemon: &mut Daemon, key: &str, value: &str) {
    daemon.reconfigure(key, value);
    daemon.signal(Signal::HUP);
}

#[test]
fn a_new_interval_takes_effect_without_a_restart() {
    let server = Server::always(Reply::ok());
    let mut daemon = Setup::new().to(&server.url("/")).interval("60s").start();
    let before = server.request().json();
    assert_eq!(before["interval_s"], 60.0);
    change(&mut daemon, "heartbeat.interval", "\"1s\"");
    let requests = server.requests(4);
    let after = requests[3].json();
    assert_eq!(after["interval_s"], 1.0);
    assert!(after["seq"].as_u64() > before["seq"].as_u64(), "the same process goes on counting");
    let gap = requests[3].at - requests[2].at;
    assert!(gap < Duration::from_secs(5), "{gap:?}");
    assert!(daemon.is_running());
}

#[test]
fn reloads_in_quick_succession_do_not_stop_the_beat() {
    let server = Server::always(Reply::ok());
    let daemon = Setup::new().to(&server.url("/")).start();
    let first = server.request().at;
    while first.elapsed() < Duration::from_secs(5) {
        daemon.signal(Signal::HUP);
        std::thread::sleep(Duration::from_millis(50));
    }
    let beats = server.requests_during(Duration::ZERO);
    // One a second; a busy machine may skip some.
    assert!(beats.len() >= 3, "{} heartbeats in 5 s", beats.len());
    assert!(beats.iter().all(|beat| beat.reason() == "scheduled"), "none for a reload");
}

#[test]
fn a_new_server_takes_effect_without_a_restart() {
    let (old, new) = (Server::always(Reply::ok()), Server::always(Reply::ok()));
    let mut daemon = Setup::new().to(&old.url("/")).start();
    old.requests(2);
    change(&mut daemon, "heartbeat.url", &format!("{:?}", new.url("/new")));
    assert_eq!(new.request().target, "/new");
    old.requests_during(Duration::from_millis(500));
    new.requests(2);
    assert!(old.request_within(Duration::ZERO).is_none(), "nothing goes to the old one any more");
}

#[test]
fn a_new_token_takes_effect_without_a_restart() {
    let server = Server::always(Reply::ok());
    let daemon = Setup::new().to(&server.url("/")).token("first").start();
    assert_eq!(server.request().header("authorization"), Some("Bearer first"));
    daemon.setup().scratch().file("token", "second\n");
    daemon.signal(Signal::HUP);
    server.request_that(|request| request.header("authorization") == Some("Bearer second"));
}

#[test]
fn a_server_can_be_configured_while_running() {
    let server = Server::always(Reply::ok());
    let mut daemon = Setup::new().start();
    daemon.snapshot();
    change(&mut daemon, "heartbeat.url", &format!("{:?}", server.url("/")));
    server.requests(2);
}

#[test]
fn a_bad_configuration_is_refused_and_the_old_one_stays() {
    let server = Server::always(Reply::ok());
    let mut daemon = Setup::new().to(&server.url("/")).start();
    let before = server.request().json()["seq"].as_u64().expect("a number");
    change(&mut daemon, "heartbeat.interval", "\"soon\"");
    let path = daemon.setup().config_path();
    let place = format!("{}:", path.display());
    let line = daemon.wait_for_line("about the bad config", |line| line.contains(&place));
    assert!(line.contains("ERROR") && line.contains("interval") && line.contains("soon"), "{line}");
    let number = line.split(&place).nth(1).and_then(|rest| rest.split(':').next()?.parse::<usize>().ok());
    let text = std::fs::read_to_string(&path).expect("readable");
    let bad = number.and_then(|number| text.lines().nth(number - 1)).unwrap_or_default();
    assert!(bad.contains("soon"), "the line number is right: {line}");
    let after = server.requests(3).pop().expect("three").json();
    assert_eq!(after["interval_s"], 1.0);
    assert!(after["seq"].as_u64() > Some(before));
    assert_eq!(daemon.log_lines(&place).len(), 1, "said once");
}

#[test]
fn a_configuration_that_vanished_is_refused_and_the_old_one_stays() {
    let server = Server::always(Reply::ok());
    let daemon = Setup::new().to(&server.url("/")).start();
    server.request();
    let path = daemon.setup().config_path();
    std::fs::remove_file(&path).expect("it was there");
    daemon.signal(Signal::HUP);
    let path = path.to_str().expect("UTF-8").to_owned();
    daemon.wait_for_line("about the missing config", |line| line.contains(&path) && line.contains("ERROR"));
    server.requests(2);
}

#[test]
fn reloads_do_not_leave_anything_behind() {
    let server = Server::always(Reply::ok());
    let mut daemon = Setup::new().to(&server.url("/")).start();
    server.requests(2);
    // Its thread is the last to start.
    daemon.api_address();
    let reload = |daemon: &mut Daemon, note: usize| {
        change(daemon, "heartbeat.note", &format!("\"{note}\""));
        server.requests(1);
    };
    reload(&mut daemon, 0);
    let before = daemon.vitals();
    (1..=5).for_each(|note| reload(&mut daemon, note));
    let after = server.request_that(|_| daemon.vitals().descriptors <= before.descriptors + 1);
    assert!(after.is_live());
    assert!(daemon.vitals().threads <= before.threads, "{before:?} {:?}", daemon.vitals());
}

#[test]
fn an_activity_becomes_expected_without_a_restart() {
    let server = Server::always(Reply::ok());
    let setup = Setup::new().toml("activity.streaming", "{ process = \"no-streamer\" }");
    let mut daemon = setup.to(&server.url("/")).start();
    let expected =
        |request: &crate::support::request::Request| request.json().get("expected_activity").cloned();
    assert_eq!(expected(&server.request()), None, "left out if nothing is expected");
    change(&mut daemon, "activity.expected", "[\"streaming\"]");
    let heartbeat = server.request_that(|request| expected(request).is_some());
    assert_eq!(expected(&heartbeat), Some(serde_json::json!(["streaming"])));
    assert_eq!(heartbeat.reason(), "scheduled");
}
