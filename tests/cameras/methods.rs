//! What each method takes for a camera that is there, and what not.

use crate::lan::{Listener, Watching, entry};
use heartbeat_daemon::device::cameras::Status;
use std::time::{Duration, Instant};

const NOW: Duration = Duration::ZERO;

/// Whether it is there, and why not.
fn verdict(method: &str, listener: &Listener) -> (Option<bool>, Option<String>) {
    let more = format!("method = \"{method}\"\ntcp_timeout = \"500ms\"");
    let watching = Watching::start(&entry(1, listener.address, &more));
    watching.check();
    let camera = watching.camera(1);
    let expected = if camera.reachable == Some(true) { Status::Connected } else { Status::Disconnected };
    assert_eq!(camera.status, expected);
    assert_eq!(camera.latency.is_some(), camera.reachable == Some(true));
    assert_eq!(camera.last_seen.is_some(), camera.reachable == Some(true));
    (camera.reachable, camera.problem)
}

fn fails(method: &str, listener: &Listener, problem: &str) {
    assert_eq!(verdict(method, listener), (Some(false), Some(problem.to_owned())), "{method}");
}

fn works(method: &str, listener: &Listener) {
    assert_eq!(verdict(method, listener), (Some(true), None), "{method}");
}

#[test]
fn a_connection_is_enough_for_tcp_and_for_nothing_else() {
    let listener = Listener::accepting();
    works("tcp", &listener);
    for method in ["http", "https", "rtsp"] {
        fails(method, &listener, "no answer in time");
    }
}

#[test]
fn refusal_and_silence_are_distinguished_and_neither_is_a_camera() {
    for method in ["tcp", "http", "https", "rtsp"] {
        fails(method, &Listener::refusing(), "it refuses the connection");
        fails(method, &Listener::dropping(), "no answer in time");
    }
}

#[test]
fn any_status_is_an_answer() {
    works("http", &Listener::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", NOW));
    works("http", &Listener::answering(b"HTTP/1.0 401 Unauthorized\r\n\r\n", NOW));
    works("http", &Listener::answering(b"HTTP/1.1 404 Not Found\r\n\r\n", NOW));
    works("rtsp", &Listener::answering(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: OPTIONS\r\n\r\n", NOW));
    works("rtsp", &Listener::answering(b"RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\n\r\n", NOW));
}

#[test]
fn garbage_another_protocol_and_a_closed_connection_are_no_answer() {
    let garbage = "it responds in another protocol";
    fails("http", &Listener::answering(b"SSH-2.0-dropbear\r\n", NOW), garbage);
    fails("rtsp", &Listener::answering(b"HTTP/1.1 400 Bad Request\r\n\r\n", NOW), garbage);
    fails("https", &Listener::answering(b"HTTP/1.1 400 Bad Request\r\n\r\n", NOW), garbage);
    fails("http", &Listener::answering(b"HTTP/1.1 2", NOW), garbage);
    fails("http", &Listener::answering(b"", NOW), "it closes the connection without a response");
}

#[test]
fn an_answer_may_be_late_but_not_later_than_allowed() {
    let answer = b"HTTP/1.1 200 OK\r\n\r\n";
    works("http", &Listener::answering(answer, Duration::from_millis(200)));
    fails("http", &Listener::answering(answer, Duration::from_secs(5)), "no answer in time");
}

#[test]
fn tls_with_a_certificate_of_its_own_and_an_alert_are_answers() {
    use crate::support::https::Authority;
    use crate::support::server::{Reply, Server};
    let server = Server::start_tls(Authority::new().server(&["camera.example"]), |_| Reply::ok());
    works("https", &Listener::elsewhere(server.address()));
    works("https", &Listener::answering(&[21, 3, 1, 0, 2, 2, 70], NOW));
}

#[test]
fn all_are_checked_at_the_same_time() {
    let silent: Vec<Listener> = (0..40).map(|_| Listener::dropping()).collect();
    let good = Listener::accepting();
    let mut text: String =
        (1..).zip(&silent).map(|(n, l)| entry(n, l.address, "tcp_timeout = \"1s\"")).collect();
    text += &entry(1000, good.address, "");
    let watching = Watching::start(&text);
    let begin = Instant::now();
    let list = watching.check();
    let took = begin.elapsed();
    assert!(took < Duration::from_millis(1900), "{took:?} for forty that take a second each");
    let there = list.iter().filter(|camera| camera.reachable == Some(true)).count();
    assert_eq!((list.len(), there), (41, 1));
    assert!(list.is_sorted_by_key(|camera| camera.mac));
}
