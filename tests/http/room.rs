//! Too many connections, too many requests, no descriptor left: each is refused clearly, and ends with its cause.

use crate::site::{Client, LONG, Site, answer, body, eventually, get, raise_descriptor_limit, roomy, status};
use heartbeat_daemon::http::{Limits, Listener, Server, queue};
use socket2::{Domain, Socket, Type};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[test]
fn idle_connections_give_way_then_half_requests_and_never_one_that_is_being_served() {
    let site = Site::limited(Limits { connections: 3, ..roomy() });
    let mut half = site.client();
    half.send("GET /hel");
    let (mut first, mut second) = (site.client(), site.client());
    for client in [&mut first, &mut second] {
        client.send(get("/hello"));
        assert_eq!(status(&client.answer()), 200);
    }
    let mut busy: Vec<Client> = Vec::new();
    for gone in [&mut first, &mut second, &mut half] {
        let mut client = site.client();
        client.send(get("/later?3000"));
        busy.push(client);
        assert_eq!(gone.rest(), "", "the longest idle one first, the half request last");
    }
    eventually("all places are busy", || site.counters.requests.get() == 5);
    let mut refused = site.client();
    refused.send(get("/hello"));
    let answer = refused.answer();
    assert_eq!(status(&answer), 503, "nobody can give way");
    assert!(answer.contains("\r\nRetry-After: ") && answer.contains("Connection: close"), "{answer}");
    assert_eq!(refused.rest(), "");
    for client in &mut busy {
        assert_eq!(body(&client.answer()), "later");
    }
    assert_eq!((site.counters.evicted.get(), site.counters.refused.get()), (3, 1));
}

#[test]
fn one_address_has_its_share_and_the_others_theirs() {
    let site = Site::limited(Limits { connections_per_address: 2, ..roomy() });
    let mut mine: Vec<Client> = (0..2).map(|_| site.client()).collect();
    for client in &mut mine {
        client.send(get("/hello"));
        assert_eq!(status(&client.answer()), 200);
    }
    assert_eq!(status(&site.send(&get("/hello"))), 503);
    let mut other = from("127.0.0.2", site.address);
    other.send(get("/hello"));
    assert_eq!(status(&other.answer()), 200);
    drop(mine.pop());
    eventually("the place is free again", || status(&site.send(&get("/hello"))) == 200);
}

fn from(source: &str, to: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let source: SocketAddr = format!("{source}:0").parse().expect("an address");
    socket.bind(&source.into()).expect("loopback is a /8");
    socket.connect(&to.into()).expect("a connection");
    Client::new(socket.into())
}

#[test]
fn refusals_beyond_the_polite_ones_are_refusals_too() {
    let site = Site::limited(Limits { connections: 1, linger: LONG, ..roomy() });
    let mut busy = site.client();
    busy.send(get("/later?60000"));
    eventually("it is busy", || site.counters.requests.get() == 1);
    let mut refused: Vec<Client> = (0..200).map(|_| site.client()).collect();
    for client in &mut refused {
        client.try_send(get("/hello"));
        assert_eq!(status(&client.answer()), 503);
    }
    assert!(site.counters.open.get() < 100, "they do not stay");
}

#[test]
fn a_full_worker_queue_is_answered_with_retry_after() {
    let (handler, exchanges) = queue(2);
    let site = Site::with(roomy(), handler);
    let mut clients: Vec<Client> = (0..5).map(|_| site.client()).collect();
    for client in &mut clients {
        client.send(get("/hello"));
    }
    eventually("all are in", || site.counters.requests.get() == 5);
    let worker = std::thread::spawn(move || exchanges.iter().for_each(answer));
    let answers: Vec<String> = clients.iter_mut().map(Client::answer).collect();
    let count = |wanted| answers.iter().filter(|answer| status(answer) == wanted).count();
    assert_eq!((count(200), count(503)), (2, 3));
    assert_eq!(site.counters.unavailable.get(), 3);
    for busy in answers.iter().filter(|answer| status(answer) == 503) {
        let after = busy.lines().find_map(|line| line.strip_prefix("Retry-After: ")).expect("a time");
        assert!((1..=5).contains(&after.parse::<u32>().expect("seconds")), "{busy}");
        assert!(!busy.contains("Connection: close"), "the connection is as good as before");
    }
    drop(site);
    worker.join().expect("the workers end with the server");
}

#[test]
fn when_descriptors_run_out_idle_connections_give_way_and_everybody_is_answered() {
    let Some(server) = Few::start("64") else { return };
    let mut kept = Vec::new();
    for n in 0..200 {
        let mut client = server.client();
        client.send(get("/hello"));
        assert_eq!(status(&client.answer()), 200, "connection {n}");
        kept.push(client);
    }
    server.does_not_spin();
}

#[test]
fn when_descriptors_run_out_half_requests_give_way_and_everybody_else_is_answered() {
    let Some(server) = Few::start("64") else { return };
    let mut holding: Vec<Client> = (0..100).map(|_| server.client()).collect();
    for client in &mut holding {
        client.try_send("GET /hel");
    }
    for _ in 0..20 {
        let mut other = server.client();
        other.try_send(get("/hello"));
        assert_eq!(status(&other.answer()), 200);
    }
    server.does_not_spin();
}

/// Set in the process that has few descriptors.
const FEW: &str = "HEARTBEAT_TEST_FEW_DESCRIPTORS";

/// A server in a process of its own: the limit is the process's.
struct Few {
    process: Child,
    address: SocketAddr,
}

impl Few {
    /// `None` inside that process, which runs all tests of one name.
    fn start(descriptors: &str) -> Option<Few> {
        raise_descriptor_limit();
        let mut process = Command::new("sh")
            .args(["-c", "ulimit -n \"$1\" && shift && exec \"$@\"", "sh", descriptors])
            .arg(std::env::current_exe().expect("this test's own path"))
            .args(["room::the_server_with_few_descriptors", "--exact", "--nocapture"])
            .env(FEW, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let address = lines.find_map(|line| served_address(&line.expect("text")));
        // The harness writes on; nobody reads it, and what it writes is less than a pipe holds.
        std::mem::forget(lines);
        Some(Few { process, address: address.expect("it serves") })
    }

    fn client(&self) -> Client {
        Client::new(std::net::TcpStream::connect(self.address).expect("a connection"))
    }

    /// CPU over a second, from /proc; a spinning thread takes all of it.
    fn does_not_spin(&self) {
        let before = self.cpu_ticks();
        std::thread::sleep(Duration::from_secs(1));
        let spent = self.cpu_ticks() - before;
        assert!(spent < 30, "{spent} of 100 ticks in a second without work");
    }

    fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
    }
}

/// The address in the line that the process prints once it serves.
fn served_address(line: &str) -> Option<SocketAddr> {
    line.split_once("serves ")?.1.parse().ok()
}

impl Drop for Few {
    fn drop(&mut self) {
        // It ends with its standard input.
        drop(self.process.stdin.take());
        self.process.wait().expect("waited for");
    }
}

#[test]
fn the_server_with_few_descriptors() {
    if std::env::var_os(FEW).is_none() {
        return;
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    println!("serves {}", listener.local_addr().expect("bound"));
    let server = Server::new(vec![Listener::Tcp(listener)], roomy()).expect("a server");
    let stopper = server.stopper();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stopper.stop(Duration::ZERO);
    });
    server.run(answer).expect("no error");
}
