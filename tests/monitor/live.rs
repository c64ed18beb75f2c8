//! Requests of open pages that wait for a change: answered in time, at a change, at the stop, and never too many.

use crate::support::SOON;
use crate::support::browser::Browser;
use crate::support::monitor::{Monitor, Plan};
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::monitor::accounts::sessions::NewSession;
use heartbeat_daemon::monitor::accounts::visitor::UserId;
use heartbeat_daemon::monitor::store::Store;
use rustix::process::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Proxies that are installed end a request after 10 s.
const PROMISE: Duration = Duration::from_secs(8);
const MOST_PER_SESSION: usize = 8;
const MOST: usize = 256;
/// Requests at a time: fewer than wait for the thread of the pages.
const BATCH: usize = 32;

/// A request that was sent, and whose answer is to come.
struct Poll(BufReader<TcpStream>);

impl Poll {
    fn send(monitor: &Monitor, session: &str, since: u64) -> Poll {
        let mut stream = TcpStream::connect(monitor.address()).expect("connected");
        stream.set_read_timeout(Some(SOON)).expect("a limit");
        let head = format!(
            "GET /live?since={since} HTTP/1.1\r\nHost: monitor\r\nCookie: heartbeat_session={session}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("sent");
        Poll(BufReader::new(stream))
    }

    /// Status and JSON.
    fn answer(mut self) -> (u16, Value) {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer");
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).expect("text");
        let body = rest.split_once("\r\n\r\n").expect("a body").1;
        (status, serde_json::from_str(body).expect("JSON"))
    }

    /// Whether nothing has come yet.
    fn is_parked(&self) -> bool {
        let stream = self.0.get_ref();
        stream.set_nonblocking(true).expect("a socket");
        let found = stream.peek(&mut [0]);
        stream.set_nonblocking(false).expect("a socket");
        found.is_err()
    }
}

/// An owner's session, and the version of the page.
fn page(monitor: &Monitor) -> (String, u64) {
    let mut owner = Browser::signed_up(monitor, "ada", "owner", &[]);
    let page = owner.get("/").body;
    let version = page.split("data-version=\"").nth(1).and_then(|rest| rest.split('"').next());
    let session = owner.cookie("heartbeat_session").expect("a session").to_owned();
    (session, version.and_then(|number| number.parse().ok()).expect("a version"))
}

#[test]
fn a_request_without_a_change_is_answered_within_8_seconds_and_a_change_at_once() {
    let monitor = Plan::new().start();
    let (session, version) = page(&monitor);
    let begin = Instant::now();
    let (status, answer) = Poll::send(&monitor, &session, version).answer();
    let took = begin.elapsed();
    assert_eq!((status, answer), (200, serde_json::json!({"version": version})));
    assert!(took > Duration::from_secs(5) && took < PROMISE, "{took:?}");

    let poll = Poll::send(&monitor, &session, version);
    monitor.machine("barn-cam");
    assert_eq!(poll.answer().1["reload"], true);
}

#[test]
fn the_ninth_request_of_a_session_is_parked_and_the_first_one_answered() {
    let monitor = Plan::new().start();
    let (session, version) = page(&monitor);
    let mut polls: Vec<_> = (0..MOST_PER_SESSION).map(|_| Poll::send(&monitor, &session, version)).collect();
    let begin = Instant::now();
    let ninth = Poll::send(&monitor, &session, version);
    // Connections are served in no certain order, so it may be another one of the first.
    let answered = loop {
        if let Some(index) = polls.iter().position(|poll| !poll.is_parked()) {
            break polls.remove(index);
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "none is answered");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(answered.answer(), (200, serde_json::json!({"version": version})));
    assert!(ninth.is_parked() && polls.iter().all(Poll::is_parked));

    // And all of them when the monitor stops.
    monitor.signal(Signal::TERM);
    for poll in polls.into_iter().chain([ninth]) {
        assert_eq!(poll.answer().0, 200);
    }
}

#[test]
fn of_257_requests_one_is_told_to_try_again_and_heartbeats_go_on() {
    let monitor = Plan::new().start();
    let (_, version) = page(&monitor);
    let token = monitor.machine("barn-cam");
    let store = Store::open_beside(&monitor.plan().database().into(), Moment::now()).expect("the database");
    let new = NewSession { user: UserId(1), address: None, agent: None };
    let sessions: Vec<String> = (0..=MOST / MOST_PER_SESSION)
        .map(|_| store.add_session(&new, Moment::now()).expect("a session").as_str().to_owned())
        .collect();
    // The machine that was added is a change; the version of now is that of the page of now.
    let version = latest(&monitor, &sessions[0], version);
    let begin = Instant::now();
    let mut polls = Vec::new();
    for number in 0..=MOST {
        polls.push(Poll::send(&monitor, &sessions[number / MOST_PER_SESSION], version));
        if number % BATCH == 0 {
            // Pages are answered in their order, so the queue of the pages is short again.
            assert_eq!(monitor.get("/").status, 303);
        }
    }
    let beat = monitor.post("/api/v1/heartbeat", &[crate::support::monitor::bearer(&token)], b"{\"cpu\":1}");
    assert_eq!(beat.status, 200);
    let statuses: Vec<u16> = polls.into_iter().map(|poll| poll.answer().0).collect();
    let refused = statuses.iter().filter(|status| **status == 503).count();
    assert_eq!((refused, statuses.iter().filter(|status| **status == 200).count()), (1, MOST));
    assert!(begin.elapsed() < PROMISE + Duration::from_secs(4), "{:?}", begin.elapsed());
}

/// The version that the monitor answers with.
fn latest(monitor: &Monitor, session: &str, since: u64) -> u64 {
    let (_, answer) = Poll::send(monitor, session, since).answer();
    answer["version"].as_u64().expect("a version")
}
