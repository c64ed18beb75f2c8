//! A client cannot hold what it does not use: each wait has an end, and nobody else notices.

use crate::site::{Client, LONG, Site, answer, body, eventually, get, post, roomy, status};
use heartbeat_daemon::http::{Limits, Listener, Server};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(500);

fn short() -> Limits {
    Limits { request: SHORT, idle: SHORT, write: SHORT, answer: SHORT, linger: SHORT, ..roomy() }
}

#[test]
fn a_request_has_one_deadline_however_often_a_byte_of_it_comes() {
    // Two hundred connections are not made at once: the first byte may take its time.
    let site = Site::limited(Limits { idle: LONG, ..short() });
    let begin = Instant::now();
    let mut slow: Vec<_> = (0..200).map(|_| site.client()).collect();
    let request = post("/echo", &"x".repeat(1_000));
    let mut others = Vec::new();
    for byte in request.bytes().take(20) {
        for client in &mut slow {
            client.try_send([byte]);
        }
        let begin = Instant::now();
        assert_eq!(status(&site.send(&get("/hello"))), 200);
        others.push(begin.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    for mut client in slow {
        let answer = client.answer();
        assert_eq!(status(&answer), 408);
        assert!(client.ends_within(LONG));
    }
    assert!(begin.elapsed() < LONG);
    assert_eq!(site.counters.late_requests.get(), 200);
    let worst = others.into_iter().max().expect("some");
    // They take a millisecond; the rest is for a machine that is very busy.
    assert!(worst < SHORT * 6, "others waited {worst:?}");
}

#[test]
fn a_slow_body_is_cut_like_a_slow_head() {
    let site = Site::limited(short());
    let mut client = site.client();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    assert_eq!(status(&client.answer()), 408);
    assert!(client.ends_within(LONG));
}

#[test]
fn a_silent_connection_is_closed_without_a_response() {
    let site = Site::limited(short());
    assert_eq!(site.client().rest(), "");
    let mut client = site.client();
    client.send("\r\n");
    assert_eq!(client.rest(), "", "an empty line is no word either");
}

#[test]
fn an_idle_connection_is_closed_and_an_empty_line_does_not_keep_it() {
    let site = Site::limited(Limits { request: LONG, ..short() });
    let mut client = site.client();
    client.send(get("/hello"));
    assert_eq!(status(&client.answer()), 200);
    client.send("\r\n");
    let begin = Instant::now();
    assert_eq!(client.rest(), "");
    assert!(begin.elapsed() < LONG / 2);
}

#[test]
fn a_client_that_reads_no_response_is_cut_and_a_slow_one_is_not() {
    let site = Site::limited(Limits { write: Duration::from_secs(6), idle: LONG, ..short() });
    let mut deaf = site.client();
    let mut slow = site.client();
    deaf.send(get("/large?50000000"));
    slow.send(get("/large?20000000"));
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(body(&slow.answer()).len(), 20_000_000, "within its six seconds");
    eventually("the other one is cut", || site.counters.open.get() == 1);
    assert_eq!(site.counters.slow_readers.get(), 1);
    drop(deaf);
}

#[test]
fn what_came_before_the_server_ran_has_all_its_time() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let mut client = Client::new(TcpStream::connect(listener.local_addr().expect("bound")).expect("queued"));
    let server = Server::new(vec![Listener::Tcp(listener)], Limits { idle: Duration::MAX, ..short() });
    let server = server.expect("a server");
    let stopper = server.stopper();
    std::thread::sleep(SHORT * 2);
    let thread = std::thread::spawn(move || server.run(answer));
    client.send(get("/hello"));
    assert_eq!(status(&client.answer()), 200);
    stopper.stop(LONG);
    thread.join().expect("no panic").expect("no error");
}

#[test]
fn a_slow_handler_is_answered_with_503_and_its_late_response_is_dropped() {
    // Idle for longer than anything here is late, however busy the machine is.
    let site = Site::limited(Limits { idle: Duration::from_secs(6), ..short() });
    let mut client = site.client();
    client.send(get("/later?1500") + &get("/hello"));
    let answer = client.answer();
    assert_eq!(status(&answer), 503);
    assert!(answer.contains("\r\nRetry-After: "), "{answer}");
    assert!(client.ends_within(LONG));
    // The next connection may have the index of the one that is gone; the late answer is not for it.
    let mut next = site.client();
    std::thread::sleep(Duration::from_millis(300));
    next.send(get("/hello"));
    assert!(next.answer().ends_with("hello"));
    // Until it is closed for being idle, which is long after the late answer.
    assert_eq!(next.rest(), "");
}

#[test]
fn a_lingering_connection_is_cut_however_much_it_sends() {
    let site = Site::limited(Limits { request: LONG, ..short() });
    let mut client = site.client();
    client.send("rubbish\r\n\r\n");
    assert_eq!(status(&client.answer()), 400);
    let begin = Instant::now();
    while client.try_send("x") {
        assert!(begin.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(20));
    }
}
