//! How a server ends.

use crate::site::{LONG, Site, body, eventually, get, post, status};
use std::time::{Duration, Instant};

#[test]
fn pending_requests_are_answered_and_idle_connections_closed() {
    let mut site = Site::new();
    let mut idle = site.client();
    idle.send(get("/hello"));
    assert_eq!(status(&idle.answer()), 200);
    let mut partial = site.client();
    partial.send("GET /hel");
    let mut late = site.client();
    late.send(get("/later?500"));
    eventually("both have come", || site.counters.requests.get() == 2);
    let mut unread = site.client();
    unread.send(post("/echo", "sent before the stop"));
    let begin = Instant::now();
    site.stopper.stop(LONG);
    assert_eq!(idle.rest(), "");
    assert_eq!(status(&partial.answer()), 503);
    drop(partial);
    let answer = unread.answer();
    assert!(body(&answer) == "sent before the stop", "{answer}");
    let answer = late.answer();
    assert!(body(&answer) == "later" && answer.contains("Connection: close\r\n"), "{answer}");
    site.join();
    assert!(begin.elapsed() < LONG / 2, "it ends when all are answered, not with the grace");
    assert!(std::net::TcpStream::connect(site.address).is_err());
}

#[test]
fn a_stop_ends_within_the_grace_period() {
    let mut site = Site::new();
    let mut client = site.client();
    client.send(get("/later?60000"));
    eventually("it has come", || site.counters.requests.get() == 1);
    let begin = Instant::now();
    site.stopper.stop(Duration::from_millis(200));
    site.join();
    assert!(begin.elapsed() >= Duration::from_millis(200) && begin.elapsed() < LONG / 2);
    assert_eq!(client.rest(), "");
}

#[test]
fn a_stop_before_the_start_ends_it_at_once() {
    let mut site = Site::new();
    site.stopper.stop(Duration::MAX);
    site.stopper.stop(LONG);
    site.join();
}
