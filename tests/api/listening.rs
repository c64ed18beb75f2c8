//! Where the API listens, and what a reload and a stop make of it.

use super::client::get;
use crate::support::daemon::{Daemon, Setup};
use crate::support::server::{Reply, Server};
use crate::support::{SOON, eventually, lasting_address};
use rustix::process::Signal;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;

fn answers(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

fn reload(daemon: &mut Daemon, key: &str, value: &str) {
    daemon.reconfigure(key, value);
    daemon.signal(Signal::HUP);
}

#[test]
fn the_socket_has_its_mode_and_goes_at_a_stop() {
    let mut daemon = Setup::new().key("api.socket_mode", "0600").start();
    daemon.api_address();
    let socket = daemon.api_socket();
    let mode = std::fs::metadata(&socket).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    daemon.signal(Signal::TERM);
    let (status, _) = daemon.wait_for_end(SOON);
    assert!(status.success() && !socket.exists());
}

#[test]
fn the_socket_can_be_given_to_a_group() {
    if !rustix::process::geteuid().is_root() {
        return crate::support::skip("giving a file to another group takes root");
    }
    let groups = std::fs::read_to_string("/etc/group").expect("readable");
    let other =
        groups.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[2] != "0");
    let other = other.expect("a group besides root's");
    let daemon = Setup::new().key("api.socket_group", other[0]).start();
    daemon.api_address();
    let metadata = std::fs::metadata(daemon.api_socket()).expect("there");
    assert_eq!((metadata.gid().to_string().as_str(), metadata.mode() & 0o777), (other[2], 0o660));
}

#[test]
fn a_killed_daemons_socket_is_taken_over() {
    let daemon = Setup::new().start();
    daemon.api_address();
    let socket = daemon.api_socket();
    daemon.signal(Signal::KILL);
    eventually("it is dead", || !daemon.is_running());
    assert!(socket.exists());
    let ended = daemon.setup().run(&["status"]);
    assert_eq!(ended.status.code(), Some(69), "{ended:?}");
    let mut again = daemon.setup().command(&["run"]);
    let mut child = again.stderr(std::process::Stdio::null()).spawn().expect("it starts");
    eventually("the new one answers", || UnixStream::connect(&socket).is_ok());
    child.kill().expect("it runs");
    child.wait().expect("a child");
}

#[test]
fn a_port_that_is_taken_is_a_warning_and_heartbeats_go_on() {
    let server = Server::always(Reply::ok());
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound");
    let mut daemon = Setup::new().to(&server.url("/")).key("api.listen", &address.to_string()).start();
    let line = daemon.wait_for_line("about the port", |line| line.contains(&address.to_string()));
    assert!(line.contains("WARN") && line.contains("in use"), "{line}");
    server.requests(3);
    assert_eq!(get("/healthz").through_the_socket_of(&daemon).status, 200, "through the socket it answers");
    drop(taken);
    // A reload that changes something about the API tries again at once.
    reload(&mut daemon, "api.socket_mode", "\"0640\"");
    eventually("it has the port", || {
        daemon.log_lines("API listens on").last().is_some_and(|line| line.contains(&address.to_string()))
    });
    assert_eq!(get("/healthz").at(address).status, 200);
}

#[test]
fn a_port_that_becomes_free_is_taken_without_a_word() {
    let address = lasting_address();
    let taken = TcpListener::bind(address).expect("a port");
    // Nothing at all to listen on, for now.
    let daemon = Setup::new().key("api.listen", &address.to_string()).key("api.socket", "").start();
    daemon.wait_for_line("about the port", |line| line.contains("in use"));
    eventually("somebody waits", || daemon.has_thread("api-port"));
    drop(taken);
    eventually("it has the port", || daemon.log_lines("API listens on").len() == 2);
    assert_eq!(get("/healthz").at(address).status, 200);
    eventually("nobody waits any more", || !daemon.has_thread("api-port"));
}

#[test]
fn a_reload_moves_the_api_and_switches_it_off_and_on() {
    let mut daemon = Setup::new().start();
    let first = daemon.api_address();
    let second = lasting_address();
    reload(&mut daemon, "api.listen", &format!("\"{second}\""));
    eventually("it has moved", || answers(second));
    assert!(!answers(first));
    reload(&mut daemon, "api.enabled", "false");
    eventually("it is off", || !answers(second) && !daemon.api_socket().exists());
    reload(&mut daemon, "api.enabled", "true");
    eventually("it is on", || answers(second) && daemon.api_socket().exists());
    assert_eq!(get("/healthz").at(second).status, 200);
    assert!(daemon.is_running());
}

#[test]
fn a_reload_of_something_else_leaves_connections_alone() {
    let mut daemon = Setup::new().start();
    daemon.api_address();
    reload(&mut daemon, "heartbeat.note", "\"new\"");
    eventually("it is reloaded", || daemon.log_lines("no server is configured").len() == 2);
    assert_eq!(daemon.log_lines("API listens on").len(), 1);
    reload(&mut daemon, "heartbeat.interval", "\"7s\"");
    eventually("the new interval is told", || {
        get("/api/meeting/status").to(&daemon).json()["heartbeat_interval"] == 7
    });
}

#[test]
fn switched_off_it_costs_no_thread() {
    let with = Setup::new().start();
    with.api_address();
    with.snapshot();
    let without = Setup::new().toml("api.enabled", "false").start();
    without.snapshot();
    eventually("one thread less", || without.vitals().threads + 1 == with.vitals().threads);
    assert!(!without.api_socket().exists());
}

#[test]
fn without_a_place_for_its_socket_the_rest_works() {
    let daemon = Setup::new().key("api.socket", "/proc/nowhere/api.sock").start();
    daemon.wait_for_line("about the socket", |line| line.contains("WARN") && line.contains("/proc/nowhere"));
    assert_eq!(get("/healthz").to(&daemon).status, 200);
}
