//! SIGUSR1: at once, without moving the beat, and never in heaps.

use crate::support::daemon::Setup;
use crate::support::request::Request;
use crate::support::server::{Reply, Server};
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// Where these moments lie within a second that begins with `begin`: the median, in ms.
fn phase(begin: Instant, moments: &[Instant]) -> i64 {
    let mut phases: Vec<i64> = moments
        .iter()
        .map(|at| i64::try_from((*at - begin).as_millis()).expect("small"))
        // Around 0, so that a beat a little early and one a little late are neighbours.
        .map(|ms| (ms + 500).rem_euclid(1000) - 500)
        .collect();
    phases.sort_unstable();
    phases[phases.len() / 2]
}

fn scheduled(requests: &[Request]) -> Vec<Instant> {
    requests.iter().filter(|r| r.reason() == "scheduled").map(|r| r.at).collect()
}

#[test]
fn a_trigger_is_sent_at_once_and_does_not_move_the_beat() {
    let server = Server::always(Reply::ok());
    let daemon = Setup::new().to(&server.url("/")).start();
    let first = server.request();
    assert_eq!(first.reason(), "startup");
    let begin = server.request_that(|r| r.reason() == "scheduled").at;
    let before = server.requests(3);
    let mut during = Vec::new();
    // An odd number: half a second twice would be no move.
    for _ in 0..3 {
        // In the middle between two beats.
        let beat = server.request_that(|r| r.reason() == "scheduled").at;
        during.extend(
            server.requests_during((beat + Duration::from_millis(500)).duration_since(Instant::now())),
        );
        let begin = Instant::now();
        daemon.signal(Signal::USR1);
        let triggered = server.request_that(|r| r.reason() == "trigger");
        let took = triggered.at - begin;
        assert!(took < Duration::from_secs(1), "triggered after {took:?}");
        during.push(triggered);
    }
    let after = server.requests(4);
    assert!(after.iter().all(|request| request.reason() == "scheduled"), "one trigger, one heartbeat");
    let moved = phase(begin, &scheduled(&after)) - phase(begin, &scheduled(&before));
    assert!(moved.abs() < 200, "the beat moved by {moved} ms");
}

#[test]
fn the_first_heartbeat_has_reason_startup_and_the_next_follows_within_the_interval() {
    let server = Server::always(Reply::ok());
    let _daemon = Setup::new().to(&server.url("/")).interval("3s").start();
    let requests = server.requests(4);
    let reasons: Vec<String> = requests.iter().map(Request::reason).collect();
    assert_eq!(reasons, ["startup", "scheduled", "scheduled", "scheduled"]);
    let gap = |from: usize| requests[from + 1].at - requests[from].at;
    assert!(gap(0) < Duration::from_secs(4), "the first beat falls within the interval: {:?}", gap(0));
    for from in [1, 2] {
        let off = gap(from).abs_diff(Duration::from_secs(3));
        assert!(off < Duration::from_millis(1_000), "then every 3 s: {:?}", gap(from));
    }
    let seqs: Vec<u64> = requests.iter().map(|r| r.json()["seq"].as_u64().expect("a number")).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
}

#[test]
fn a_burst_of_triggers_is_at_least_one_heartbeat_and_no_crash() {
    let server = Server::always(Reply::ok());
    let daemon = Setup::new().to(&server.url("/")).interval("30s").start();
    server.request();
    for _ in 0..50 {
        daemon.signal(Signal::USR1);
    }
    let sent = server.requests_during(Duration::from_secs(3));
    let triggered = sent.iter().filter(|request| request.reason() == "trigger").count();
    assert!((1..=50).contains(&triggered), "{triggered} heartbeats");
    daemon.signal(Signal::USR1);
    server.request_that(|request| request.reason() == "trigger");
}

#[test]
fn triggers_do_not_pile_up_behind_a_server_that_hangs() {
    let server = Server::always(Reply::ok());
    let daemon = Setup::new().to(&server.url("/")).interval("1h").timeout("4s").start();
    server.request();
    server.become_one_that(|_| Reply::Hang);
    daemon.signal(Signal::USR1);
    let hanging = server.request();
    let mut sent = Vec::new();
    for _ in 0..20 {
        daemon.signal(Signal::USR1);
        // Apart, or the kernel makes one of them.
        sent.extend(server.request_within(Duration::from_millis(50)));
    }
    server.become_one_that(|_| Reply::ok());
    sent.extend(server.requests_during(Duration::from_secs(6)));
    // The time begins with the name's lookup, a little before the request is there.
    let early = sent.iter().find(|request| request.at - hanging.at < Duration::from_millis(3_500));
    assert!(early.is_none(), "it waits for the one that hangs: {early:?}");
    let mut ids: Vec<String> = sent.iter().filter(|r| r.is_live()).map(Request::id).collect();
    ids.sort();
    ids.dedup();
    // The one that hung is tried again, one waited, and a beat may fall between.
    assert!((1..=3).contains(&ids.len()), "{} heartbeats: {sent:?}", ids.len());
}
