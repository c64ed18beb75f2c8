//! SIGTERM and SIGINT: a last heartbeat, and an end in time whatever the server does.

use crate::support::daemon::{Daemon, Setup};
use crate::support::eventually;
use crate::support::server::{Reply, Server};
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;
use std::time::Duration;

/// 2.5 s are promised; the rest is for a busy machine.
const PROMISE: Duration = Duration::from_secs(3);

/// Ends with 0 in time, and leaves no pid file behind.
pub fn assert_stops(daemon: &mut Daemon, signal: Signal) {
    daemon.signal(signal);
    let (status, _) = daemon.wait_for_end(PROMISE);
    assert_eq!(status.code(), Some(0));
}

fn says_goodbye(signal: Signal) {
    let server = Server::always(Reply::ok());
    let mut daemon = Setup::new().to(&server.url("/")).interval("5s").timeout("2s").start();
    server.request();
    assert_stops(&mut daemon, signal);
    server.request_that(|request| request.reason() == "shutdown");
    assert!(server.request_within(Duration::ZERO).is_none(), "it was the last");
}

#[test]
fn a_stopped_daemon_sends_a_shutdown_heartbeat() {
    says_goodbye(Signal::TERM);
}

#[test]
fn an_interrupted_daemon_sends_a_shutdown_heartbeat() {
    says_goodbye(Signal::INT);
}

#[test]
fn a_hanging_server_does_not_delay_the_stop() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::always(Reply::Hang);
        let mut daemon = Setup::new().to(&server.url("/")).interval("60s").timeout("10s").start();
        server.request();
        assert_stops(&mut daemon, signal);
        // What hangs is given up for it.
        server.request_that(|request| request.reason() == "shutdown");
    }
}

#[test]
fn a_server_that_hangs_at_the_last_heartbeat_does_not_delay_the_stop() {
    let server = Server::start(|request| match request.number {
        0 => Reply::ok(),
        _ => Reply::Hang,
    });
    let mut daemon = Setup::new().to(&server.url("/")).interval("60s").timeout("10s").start();
    server.request();
    assert_stops(&mut daemon, Signal::TERM);
}

#[test]
fn a_server_that_accepts_nothing_does_not_delay_the_stop() {
    // A full backlog: the kernel drops further SYNs, as a packet filter would.
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    listener.listen(0).expect("listening");
    let address = listener.local_addr().expect("bound");
    let fill = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        (socket.connect_timeout(&address, Duration::from_millis(500)), socket)
    };
    let waiting: Vec<Socket> = std::iter::from_fn(|| Some(fill()))
        .take_while(|(result, _)| result.is_ok())
        .map(|(_, s)| s)
        .collect();
    assert!(waiting.len() < 100, "the backlog is full");
    let address = address.as_socket().expect("IPv4");
    let mut daemon = Setup::new().to(&format!("http://{address}/")).interval("5s").timeout("2s").start();
    daemon.wait_for_line("about the failure", |line| line.contains("WARN") && line.contains("heartbeat"));
    assert_stops(&mut daemon, Signal::TERM);
}

#[test]
fn a_daemon_without_a_server_stops_too() {
    let mut daemon = Setup::new().start();
    daemon.snapshot();
    let pidfile = daemon.setup().pidfile();
    assert!(pidfile.exists());
    assert_stops(&mut daemon, Signal::TERM);
}

#[test]
fn a_signal_in_the_first_moments_is_not_lost() {
    for _ in 0..5 {
        let mut daemon = Setup::new().start();
        let pidfile = daemon.setup().pidfile();
        // Before that, a signal ends the process in the way of every program.
        eventually("the pid file is there", || pidfile.exists());
        assert_stops(&mut daemon, Signal::TERM);
    }
}
