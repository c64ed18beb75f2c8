//! Several servers: the next one takes the heartbeats while the first does not, and the first one again afterwards.

use crate::support::daemon::{Daemon, Setup};
use crate::support::eventually;
use crate::support::request::Request;
use crate::support::server::{Reply, Server};
use rustix::process::Signal;
use serde_json::Value;
use std::time::Duration;

/// The interval, and the timeout: a server that hangs costs this much more.
const SECOND: Duration = Duration::from_secs(1);

/// Two monitors that know nothing of each other, each with a token of its own.
fn two(first: &Server, backup: &Server) -> Setup {
    let setup = Setup::new();
    let entry = |name: &str, server: &Server| {
        let file = setup.scratch().file(name, &format!("token-{name}\n"));
        format!("{{ url = {:?}, token_file = {file:?} }}", server.url("/api/v1/heartbeat"))
    };
    let list = format!("[{}, {}]", entry("first", first), entry("backup", backup));
    setup.toml("heartbeat.server", &list)
}

fn role(request: &Request) -> Option<String> {
    request.json()["server"].as_str().map(str::to_owned)
}

fn has_role(wanted: &'static str) -> impl FnMut(&Request) -> bool {
    move |request| role(request).as_deref() == Some(wanted)
}

/// The daemon with both servers at work: the first one has its heartbeats, the backup has been introduced.
fn at_work(first: &Server, backup: &Server) -> Daemon {
    let daemon = two(first, backup).start();
    for request in first.requests(2) {
        assert_eq!(role(&request).as_deref(), Some("first"));
        assert_eq!(request.header("authorization"), Some("Bearer token-first"));
    }
    let introduction = backup.request();
    assert_eq!(role(&introduction).as_deref(), Some("standby"));
    assert_eq!(introduction.header("authorization"), Some("Bearer token-backup"));
    daemon
}

#[test]
fn a_backup_hears_once_that_it_is_one_and_one_server_hears_nothing_of_it() {
    let (first, backup) = (Server::always(Reply::monitor()), Server::always(Reply::monitor()));
    let daemon = at_work(&first, &backup);
    first.requests(3);
    assert!(backup.requests_during(SECOND).is_empty(), "an hour until the next check");
    let status = String::from_utf8(daemon.setup().run(&["status"]).stdout).expect("UTF-8");
    let line = |server: &Server, words: &str| format!("{}: {words}", server.address());
    for (server, words) in [(&first, "in use, takes heartbeats"), (&backup, "not in use, takes heartbeats")] {
        assert!(status.contains(&line(server, words)), "{status}");
    }
    let only = Server::always(Reply::monitor());
    let _daemon = Setup::new().to(&only.url("/")).start();
    assert!(only.request().json().get("server").is_none());
}

#[test]
fn several_addresses_of_one_monitor_are_used_in_turn_without_a_role() {
    let (first, second) = (Server::always(Reply::monitor()), Server::always(Reply::monitor()));
    let urls = format!("[{:?}, {:?}]", first.url("/"), second.url("/"));
    let _daemon = Setup::new().toml("heartbeat.url", &urls).token("shared").start();
    first.requests(2);
    first.reset_connections(true);
    for request in second.requests(3) {
        assert_eq!((role(&request), request.header("authorization")), (None, Some("Bearer shared")));
    }
}

/// The backup takes over within an interval and the timeout, whatever is wrong with the first server.
fn taken_over(what: &str, break_it: impl FnOnce(&Server)) {
    let (first, backup) = (Server::always(Reply::monitor()), Server::always(Reply::monitor()));
    let daemon = at_work(&first, &backup);
    let last = first.request();
    break_it(&first);
    let taken = backup.request();
    assert_eq!(role(&taken).as_deref(), Some("backup"), "{what}");
    // The interval, the timeout of a server that hangs, and as much again for a busy machine.
    assert!(taken.at - last.at < SECOND * 4, "{what}: {:?}", taken.at - last.at);
    for pair in backup.requests(4).windows(2) {
        assert!(pair[1].at - pair[0].at < SECOND * 3, "{what}: the backup hears each beat in time");
    }
    let lines = daemon.log_lines("until");
    assert_eq!(lines.len(), 1, "{what}: {lines:?}");
    assert!(lines[0].contains(&backup.address().to_string()), "{what}: {lines:?}");
}

#[test]
fn a_first_server_that_hangs_is_replaced() {
    taken_over("hang", |first| first.become_one_that(|_| Reply::Hang));
}

#[test]
fn a_first_server_that_resets_is_replaced() {
    taken_over("reset", |first| first.reset_connections(true));
}

#[test]
fn a_first_server_that_answers_503_is_replaced() {
    taken_over("503", |first| first.become_one_that(|_| Reply::status(503)));
    let busy = || Reply::Answer(503, vec![("Retry-After", "120".to_owned())], Vec::new());
    taken_over("503 with Retry-After", move |first| first.become_one_that(move |_| busy()));
}

#[test]
fn a_first_server_that_refuses_the_token_is_replaced_and_the_log_says_so_once() {
    let (first, backup) = (Server::always(Reply::monitor()), Server::always(Reply::monitor()));
    let daemon = at_work(&first, &backup);
    first.become_one_that(|_| Reply::status(401));
    backup.requests(5);
    let lines = daemon.log_lines("refuses our token");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(&first.address().to_string()), "{lines:?}");
}

#[test]
fn a_backup_that_refuses_the_token_is_in_the_log_before_it_is_needed() {
    let (first, backup) = (Server::always(Reply::monitor()), Server::always(Reply::status(403)));
    let daemon = two(&first, &backup).start();
    let line = daemon.wait_for_line("about the backup", |line| line.contains("refuses our token"));
    assert!(line.contains(&backup.address().to_string()), "{line}");
    assert!(first.requests(3).iter().all(Request::is_live), "the first one is used all the same");
}

#[test]
fn a_first_server_that_works_again_is_heard_at_once_and_used_after_its_hold_down() {
    let (first, backup) = (Server::always(Reply::monitor()), Server::always(Reply::monitor()));
    let daemon = at_work(&first, &backup);
    first.reset_connections(true);
    backup.request_that(has_role("backup"));
    first.reset_connections(false);
    // The first checks are seconds apart; while they go on, both servers hear the device.
    let check = first.request();
    assert_eq!(role(&check).as_deref(), Some("first"));
    assert!(backup.request().is_live());
    let line = format!("heartbeats go to {} again", first.address());
    daemon.wait_for_line("the return", |said| said.contains(&line));
    let last = backup.requests_during(SECOND).pop().expect("the backup has heard the device until then");
    assert!(last.at - check.at >= SECOND * 13, "hysteresis: {:?}", last.at - check.at);
    first.requests(3);
    assert!(backup.requests_during(SECOND * 2).is_empty(), "the first one has them all");
}

#[test]
fn a_replay_whose_acknowledgement_was_lost_may_reach_another_server_under_the_same_id() {
    let (first, backup) = (Server::always(Reply::monitor()), Server::always(Reply::monitor()));
    let daemon = at_work(&first, &backup);
    for server in [&first, &backup] {
        server.reset_connections(true);
    }
    daemon.wait_for_line("the outage", |line| line.contains("WARN") && line.contains("reset"));
    // It stores the replay, and its answer is lost.
    first.become_one_that(|request| if request.is_live() { Reply::monitor() } else { Reply::Close });
    first.reset_connections(false);
    let ids = |request: &Request| -> Vec<Value> {
        request.json().as_array().expect("an array").iter().map(|one| one["id"].clone()).collect()
    };
    let stored = ids(&first.request_that(|request| !request.is_live()));
    first.reset_connections(true);
    backup.reset_connections(false);
    let repeated = backup.request_that(|request| !request.is_live());
    assert!(ids(&repeated).starts_with(&stored[..1]), "{:?} and {stored:?}", ids(&repeated));
    let roles: Vec<_> =
        repeated.json().as_array().expect("an array").iter().map(|one| one["server"].clone()).collect();
    assert!(roles.iter().all(Value::is_null), "a sample is no beat: {roles:?}");
}

#[test]
fn the_shutdown_heartbeat_goes_to_the_server_in_use() {
    let (first, backup) = (Server::always(Reply::monitor()), Server::always(Reply::monitor()));
    let daemon = at_work(&first, &backup);
    first.reset_connections(true);
    backup.request_that(has_role("backup"));
    daemon.signal(Signal::TERM);
    let last = backup.request_that(|request| request.reason() == "shutdown");
    assert_eq!(role(&last).as_deref(), Some("backup"));
}

#[test]
fn a_reload_applies_other_servers_in_another_order() {
    let (first, backup) = (Server::always(Reply::monitor()), Server::always(Reply::monitor()));
    let mut daemon = at_work(&first, &backup);
    let list = format!("[{{ url = {:?} }}, {{ url = {:?} }}]", backup.url("/x"), first.url("/y"));
    daemon.reconfigure("heartbeat.server", &list);
    daemon.signal(Signal::HUP);
    backup.request_that(has_role("first"));
    first.request_that(has_role("standby"));
}

#[test]
fn every_server_is_tried_by_send_and_doctor() {
    let (first, backup) = (Server::always(Reply::monitor()), Server::always(Reply::status(401)));
    let setup = two(&first, &backup);
    let sent = setup.run(&["send"]);
    let (out, err) = (String::from_utf8_lossy(&sent.stdout), String::from_utf8_lossy(&sent.stderr));
    assert!(!sent.status.success() && out.contains(&format!("{} answered 200", first.address())), "{out}");
    assert!(err.contains(&format!("{} refuses our token (401)", backup.address())), "{err}");
    assert_eq!(role(&backup.request()).as_deref(), Some("standby"));
    let doctor = String::from_utf8(setup.run(&["doctor"]).stdout).expect("UTF-8");
    for server in [&first, &backup] {
        assert!(doctor.contains(&server.address().to_string()), "{doctor}");
    }
    let checked = String::from_utf8(setup.run(&["check-config"]).stdout).expect("UTF-8");
    let names = format!("heartbeats go to {}, then {}", first.address(), backup.address());
    assert!(checked.contains(&names), "{checked}");
    eventually("both were asked", || first.connections() > 0 && backup.connections() > 0);
}
