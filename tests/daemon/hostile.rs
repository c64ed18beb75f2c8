//! Servers that do the worst: the beat goes on, and the daemon stays as small as it was.

use crate::support::daemon::{Daemon, Setup};
use crate::support::process::Vitals;
use crate::support::request::Request;
use crate::support::server::{Reply, Server};
use crate::support::{SOON, eventually};
use socket2::{Domain, Socket, Type};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

const WARM_UP: Duration = Duration::from_secs(3);
const WATCH: Duration = Duration::from_secs(6);
/// Interval and timeout together are 1.5 s; the rest is for a busy machine.
const LONGEST_GAP: Duration = Duration::from_secs(3);

/// The attempts of this time, and the most that the process held meanwhile.
fn watch(daemon: &Daemon, server: &Server, time: Duration) -> (Vec<Instant>, Vitals) {
    let deadline = Instant::now() + time;
    let mut attempts = Vec::new();
    let mut most = daemon.vitals();
    while Instant::now() < deadline {
        let next = Instant::now() + Duration::from_millis(50);
        while let Ok(arrival) = server.arrivals().recv_deadline(next) {
            // A connection on which nothing is ever read is an attempt as well.
            attempts.push(arrival.at());
        }
        most = most.max(daemon.vitals());
    }
    (attempts, most)
}

/// Attempts go on at the interval, in no burst, and nothing grows.
fn assert_the_beat_goes_on(daemon: &Daemon, server: &Server) {
    let (_, before) = watch(daemon, server, WARM_UP);
    let begin = Instant::now();
    let (attempts, after) = watch(daemon, server, WATCH);
    let moments: Vec<Instant> = [vec![begin], attempts.clone(), vec![Instant::now()]].concat();
    let longest = moments.windows(2).map(|pair| pair[1] - pair[0]).max().expect("two moments");
    assert!(longest < LONGEST_GAP, "nothing came for {longest:?}");
    // Each second at most a beat and two retries, each perhaps on a new connection.
    assert!(attempts.len() <= 50, "{} connections and requests in {WATCH:?}", attempts.len());
    assert!(after.rss_kib < before.rss_kib + 1024, "memory grew: {before:?} {after:?}");
    assert!(after.threads <= before.threads, "threads grew: {before:?} {after:?}");
    assert!(after.descriptors <= before.descriptors + 1, "descriptors grew: {before:?} {after:?}");
}

fn survives(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
    let server = Server::start(script);
    let mut daemon = Setup::new().to(&server.url("/heartbeat")).timeout("500ms").start();
    assert_the_beat_goes_on(&daemon, &server);
    daemon.signal(rustix::process::Signal::TERM);
    let (status, _) = daemon.wait_for_end(SOON);
    assert!(status.success(), "{status}");
}

#[test]
fn a_server_that_accepts_and_never_answers_does_not_stop_the_beat() {
    survives(|_| Reply::Hang);
}

#[test]
fn a_server_that_resets_each_connection_does_not_stop_the_beat() {
    let server = Server::always(Reply::ok());
    server.reset_connections(true);
    let daemon = Setup::new().to(&server.url("/")).timeout("500ms").start();
    assert_the_beat_goes_on(&daemon, &server);
}

#[test]
fn a_server_that_resets_in_the_middle_of_its_answer_does_not_stop_the_beat() {
    survives(|_| Reply::BytesAndReset(b"HTTP/1.1 200 OK\r\nContent-Le"));
}

#[test]
fn a_server_that_resets_in_the_middle_of_the_body_does_not_stop_the_beat() {
    survives(|_| Reply::BytesAndReset(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"interval"));
}

#[test]
fn garbage_instead_of_http_does_not_stop_the_beat() {
    survives(|_| Reply::Bytes(b"\x00\xff\x16\x03garbage\n\n\r\n\x80\x81 220 ftp ready\r\n\r\n"));
}

#[test]
fn headers_without_end_do_not_stop_the_beat() {
    survives(|_| Reply::Endless(b"HTTP/1.1 200 OK\r\n", b"X-Filler: and so on and so on\r\n".repeat(100)));
}

#[test]
fn a_header_without_end_does_not_stop_the_beat() {
    survives(|_| Reply::Endless(b"HTTP/1.1 200 OK\r\nX-Filler: ", vec![b'a'; 4096]));
}

#[test]
fn a_body_of_a_gigabyte_does_not_stop_the_beat() {
    survives(|_| {
        Reply::Endless(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", vec![b' '; 1 << 16])
    });
}

#[test]
fn a_chunked_body_without_end_does_not_stop_the_beat() {
    let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 1 << 16], b"\r\n"].concat();
    survives(move |_| {
        Reply::Endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk.clone())
    });
}

#[test]
fn a_body_without_length_and_without_end_does_not_stop_the_beat() {
    survives(|_| Reply::Endless(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", vec![b' '; 1 << 16]));
}

#[test]
fn a_server_that_answers_after_ten_seconds_does_not_stop_the_beat() {
    survives(|_| Reply::Late(Duration::from_secs(10), Box::new(Reply::ok())));
}

#[test]
fn an_answer_byte_by_byte_does_not_stretch_the_time_limit() {
    // Each byte comes well within the 500 ms for everything; all of them do not.
    survives(|_| Reply::Drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", Duration::from_millis(100)));
}

#[test]
fn a_body_byte_by_byte_does_not_stretch_the_time_limit() {
    survives(|_| Reply::Drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", Duration::from_millis(100)));
}

#[test]
fn an_unrequested_answer_is_not_used_for_the_next_heartbeat() {
    let two = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n";
    let server = Server::always(Reply::Bytes(two));
    let daemon = Setup::new().to(&server.url("/")).start();
    server.requests(4);
    assert_eq!(daemon.log_lines("status 401"), Vec::<String>::new());
}

#[test]
fn each_answer_that_means_yes_is_a_success() {
    let answers: [&[u8]; 6] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n<html>ok</html>",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        // The commands that later versions of the original took are not ours to follow.
        b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{\"command\": \"system-reboot\"}  ",
    ];
    for answer in answers {
        let server = Server::always(Reply::Bytes(answer));
        let daemon = Setup::new().to(&server.url("/")).start();
        server.requests(3);
        assert_eq!(failures(&daemon), Vec::<String>::new(), "{}", String::from_utf8_lossy(answer));
    }
}

#[test]
fn a_server_that_closes_idle_connections_is_no_failure() {
    // The keep-alive of Apache is 5 s, that of others is shorter than the interval.
    let server = Server::always(Reply::AnswerAndCloseAfter(Duration::from_millis(200)));
    let daemon = Setup::new().to(&server.url("/")).start();
    let requests = server.requests(6);
    assert_eq!(failures(&daemon), Vec::<String>::new());
    let mut ids: Vec<String> = requests.iter().map(Request::id).collect();
    ids.dedup();
    assert_eq!(ids.len(), requests.len(), "each heartbeat came once");
}

#[test]
fn a_connection_closed_just_when_a_heartbeat_leaves_is_repeated_on_a_new_one_with_the_same_id() {
    let server = Server::start(|request| match request.number {
        0 => Reply::ok(),
        _ => Reply::Close,
    });
    let daemon = Setup::new().to(&server.url("/")).start();
    let first = server.request();
    for _ in 0..3 {
        let (lost, repeated) = (server.request(), server.request());
        assert_eq!((lost.number, repeated.number), (1, 0), "lost on an old connection, sent on a new one");
        assert_eq!(lost.id(), repeated.id());
        assert_ne!(lost.id(), first.id());
        let pause = repeated.at - lost.at;
        assert!(pause < Duration::from_millis(800), "repeated only after {pause:?}");
    }
    assert_eq!(failures(&daemon), Vec::<String>::new());
}

#[test]
fn a_redirection_is_logged_and_not_followed() {
    let elsewhere = Server::always(Reply::ok());
    let location = elsewhere.url("/elsewhere");
    let server = Server::start(move |_| Reply::Answer(301, vec![("Location", location.clone())], Vec::new()));
    let daemon = Setup::new().to(&server.url("/")).token("redirected-token").start();
    let line = daemon.wait_for_line("about the redirection", |line| line.contains("status 301"));
    assert!(line.contains(&elsewhere.url("/elsewhere")), "it names the other place: {line}");
    server.requests(3);
    assert_eq!(elsewhere.connections(), 0, "the token stays with the server it was meant for");
    assert_eq!(daemon.log_lines("status 301").len(), 1, "said once");
}

const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n<html>log in</html>";

/// What was not delivered is kept, and replayed to the monitor afterwards.
fn comes_back_with_replays(server: &Server, daemon: &Daemon) {
    server.become_one_that(|_| Reply::monitor());
    daemon.wait_for_line("about the recovery", |line| line.contains("works again"));
    server.request_that(|request| !request.is_live());
}

#[test]
fn a_page_at_the_path_of_heartbeat_monitor_is_no_delivery() {
    let server = Server::always(Reply::Bytes(PAGE));
    let daemon = Setup::new().to(&server.url("/api/v1/heartbeat")).start();
    let line = daemon.wait_for_line("about the page", |line| line.contains("was not delivered"));
    assert!(line.contains("status 200") && line.contains("login page"), "{line}");
    let requests = server.requests(3);
    let pause = requests[1].at - requests[0].at;
    assert!(pause < Duration::from_millis(900), "a retry before the next beat: {pause:?}");
    comes_back_with_replays(&server, &daemon);
}

#[test]
fn a_page_from_a_server_that_was_heartbeat_monitor_is_no_delivery() {
    let server = Server::always(Reply::monitor());
    let daemon = Setup::new().to(&server.url("/elsewhere")).start();
    server.requests(2);
    server.become_one_that(|_| Reply::Bytes(PAGE));
    daemon.wait_for_line("about the page", |line| line.contains("was not delivered"));
    comes_back_with_replays(&server, &daemon);
}

#[test]
fn a_redirected_heartbeat_is_no_delivery_and_is_replayed() {
    let server = Server::always(Reply::status(302));
    let daemon = Setup::new().to(&server.url("/")).start();
    daemon.wait_for_line("about the redirect", |line| line.contains("was not delivered"));
    comes_back_with_replays(&server, &daemon);
}

#[test]
fn a_closed_port_does_not_stop_the_beat() {
    // Bound and not listening: refused, and nobody else gets the port.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    let address = socket.local_addr().expect("bound").as_socket().expect("IPv4");
    let daemon = Setup::new().to(&format!("http://{address}/")).start();
    daemon.wait_for_line("about the refused connection", |line| line.contains("refused"));
    let seq = || daemon.snapshot()["seq"].as_u64().expect("a number");
    // The API's thread is the last to start.
    daemon.api_address();
    let first = seq();
    eventually("one snapshot later", || seq() > first);
    let before = daemon.vitals();
    eventually("five snapshots later", || seq() >= first + 6);
    let after = daemon.vitals();
    assert!(after.rss_kib < before.rss_kib + 1024, "{before:?} {after:?}");
    assert!(after.threads <= before.threads && after.descriptors <= before.descriptors + 1);
    assert_eq!(failures(&daemon).len(), 1, "said once: {:?}", failures(&daemon));
    socket.listen(16).expect("listening");
    let server = Server::on(TcpListener::from(socket), None, |_| Reply::ok());
    assert!(server.request_within(LONGEST_GAP).is_some(), "found again");
}

/// Lines of level warning and above that speak of sending.
fn failures(daemon: &Daemon) -> Vec<String> {
    let warns = |line: &String| line.contains("WARN") || line.contains("ERROR");
    daemon.log_lines("heartbeat").into_iter().filter(warns).collect()
}

#[test]
fn five_heartbeats_use_one_connection() {
    let server = Server::always(Reply::ok());
    let _daemon = Setup::new().to(&server.url("/")).start();
    let used: Vec<usize> = server.requests(5).iter().map(|request| request.connection).collect();
    assert_eq!(used, [0; 5]);
}
