//! Answers that say no: each is obeyed, and said once.

use crate::support::daemon::Setup;
use crate::support::request::Request;
use crate::support::server::{Reply, Server};
use std::time::Duration;

/// Said once, as an error or a warning, and the pace is that of the beat.
fn is_said_once_and_keeps_the_pace(status: u16) -> Vec<String> {
    let server = Server::always(Reply::status(status));
    let daemon = Setup::new().to(&server.url("/")).token("unwanted").start();
    // Not the number alone, which may be a port or a millisecond.
    let text = format!("status {status}");
    daemon.wait_for_line("about the refusal", |line| line.contains(&text));
    let requests = server.requests_during(Duration::from_secs(5));
    assert!((3..=8).contains(&requests.len()), "{} heartbeats in 5 s at 1 s", requests.len());
    let mut ids: Vec<String> = requests.iter().map(Request::id).collect();
    ids.dedup();
    assert_eq!(ids.len(), requests.len(), "what was refused is not sent again");
    let lines = daemon.log_lines(&text);
    assert_eq!(lines.len(), 1, "said once: {lines:?}");
    lines
}

#[test]
fn an_unknown_token_is_logged_once_and_the_interval_is_kept() {
    let lines = is_said_once_and_keeps_the_pace(401);
    assert!(lines[0].contains("ERROR") && lines[0].contains("token"), "{}", lines[0]);
}

#[test]
fn a_revoked_token_is_logged_once_and_the_interval_is_kept() {
    let lines = is_said_once_and_keeps_the_pace(403);
    assert!(lines[0].contains("ERROR") && lines[0].contains("token"), "{}", lines[0]);
}

#[test]
fn a_missing_token_is_not_called_a_wrong_one() {
    for path in ["/heartbeat", "/heartbeat?token=hunter2"] {
        let server = Server::always(Reply::status(401));
        let daemon = Setup::new().to(&server.url(path)).start();
        let line = daemon.wait_for_line("about the refusal", |line| line.contains("status 401"));
        assert_eq!(line.contains("refuses heartbeats without a token"), !path.contains("token="), "{line}");
        assert_eq!(line.contains("refuses our token"), path.contains("token="), "{line}");
    }
}

#[test]
fn a_404_for_a_url_without_a_path_names_the_monitors() {
    let server = Server::always(Reply::status(404));
    let daemon = Setup::new().to(&server.url("/")).start();
    let line = daemon.wait_for_line("about the refusal", |line| line.contains("status 404"));
    assert!(line.ends_with(&server.url("/api/v1/heartbeat")), "{line}");
}

#[test]
fn a_rejected_heartbeat_is_logged_once_and_not_repeated() {
    is_said_once_and_keeps_the_pace(400);
}

#[test]
fn a_wrong_path_is_logged_once_and_the_interval_is_kept() {
    is_said_once_and_keeps_the_pace(404);
}

fn is_left_alone(status: u16) {
    let server = Server::start(move |request| match (request.connection, request.number) {
        (0, 0) => Reply::Answer(status, vec![("Retry-After", "3".to_owned())], Vec::new()),
        _ => Reply::ok(),
    });
    let _daemon = Setup::new().to(&server.url("/")).start();
    let (refused, next) = (server.request(), server.request());
    let pause = next.at - refused.at;
    assert!(pause >= Duration::from_millis(2_990), "asked for 3 s, got {pause:?}");
    assert!(pause < Duration::from_secs(10), "and no longer: {pause:?}");
    server.requests(2);
}

#[test]
fn an_overloaded_servers_retry_after_is_obeyed() {
    is_left_alone(503);
}

#[test]
fn a_rate_limiting_servers_retry_after_is_obeyed() {
    is_left_alone(429);
}
