//! Where the API listens, and what a reload and a stop make of it.

use super::client::get;
use crate::support::daemon::{Daemon, Setup};
use crate::support::namespace::Namespace;
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
fn a_killed_daemons_socket_is_replaced() {
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
fn a_port_in_use_is_a_warning_and_heartbeats_continue() {
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
fn a_port_that_becomes_free_is_bound_silently() {
    let address = lasting_address();
    let taken = TcpListener::bind(address).expect("a port");
    // Nothing at all to listen on, for now.
    let daemon = Setup::new()
        .key("api.listen", &address.to_string())
        .key("api.socket", "/proc/nowhere/api.sock")
        .start();
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
    eventually("only the socket file is left", || {
        !answers(second) && get("/healthz").through_the_socket_of(&daemon).status == 200
    });
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
    eventually("the new interval is shown", || {
        get("/api/meeting/status").to(&daemon).json()["heartbeat_interval"] == 7
    });
}

#[test]
fn switched_off_it_serves_the_command_line_on_the_socket_file_alone() {
    let address = lasting_address();
    // Earlier versions had no socket file with an empty key.
    let setup = Setup::new().key("api.listen", &address.to_string()).key("api.socket", "");
    let daemon = setup.toml("api.enabled", "false").start();
    let line = daemon.wait_for_line("about the API", |line| line.contains("API listens on "));
    assert!(!line.contains(&address.to_string()) && !answers(address), "{line}");
    let status = daemon.setup().run(&["status"]);
    assert_eq!(status.status.code(), Some(0), "{status:?}");
}

#[test]
fn without_a_place_for_its_socket_the_rest_works() {
    let daemon = Setup::new().key("api.socket", "/proc/nowhere/api.sock").start();
    daemon.wait_for_line("about the socket", |line| line.contains("WARN") && line.contains("/proc/nowhere"));
    assert_eq!(get("/healthz").to(&daemon).status, 200);
}

/// A network of the test's own, where port 5000 is free; `None` without root.
fn own_network() -> Option<Namespace> {
    let namespace = Namespace::new();
    if namespace.is_err() {
        crate::support::skip("a network namespace takes root");
    }
    namespace.ok()
}

const PORT: &str = "127.0.0.1:5000";

fn says(daemon: &Daemon, part: &str) -> String {
    daemon.wait_for_line(part, |line| line.contains(part))
}

#[test]
fn by_default_and_by_the_old_default_it_listens_on_port_5000() {
    let Some(namespace) = own_network() else { return };
    for listen in ["auto", PORT] {
        namespace.enter(|| {
            let daemon = Setup::new().key("api.listen", listen).start();
            says(&daemon, "API listens on 127.0.0.1:5000 and ");
            let answer = get("/healthz").at(PORT.parse().expect("an address"));
            assert!(
                answer.header("server").is_some_and(|name| name.starts_with("heartbeat-daemon/")),
                "{answer:?}"
            );
        });
    }
}

#[test]
fn a_port_that_was_left_is_not_taken_and_a_command_takes_it_back() {
    let Some(namespace) = own_network() else { return };
    namespace.enter(|| {
        let setup = Setup::new().key("api.listen", "auto");
        let left = setup.run(&["port", "leave"]);
        assert!(left.status.success(), "{left:?}");
        let mut daemon = setup.start();
        says(&daemon, "; port 5000 is left to another program");
        assert!(!answers(PORT.parse().expect("an address")));
        assert_eq!(get("/healthz").through_the_socket_of(&daemon).status, 200);
        let taken = daemon.setup().run(&["port", "use"]);
        assert!(taken.status.success(), "{taken:?}");
        // Not before the next start.
        reload(&mut daemon, "api.socket_mode", "\"0600\"");
        eventually("it has reloaded", || daemon.log_lines("API listens on").len() == 2);
        assert!(!answers(PORT.parse().expect("an address")));
        daemon.signal(Signal::TERM);
        daemon.wait_for_end(SOON);
        let again = crate::support::process::Process::start(daemon.setup().command(&["run"]));
        again.wait_for_line("about the API", |line| line.contains("API listens on 127.0.0.1:5000"));
    });
}

#[test]
fn a_port_that_another_program_has_at_the_start_stays_its_own() {
    let Some(namespace) = own_network() else { return };
    namespace.enter(|| {
        let taken = TcpListener::bind("0.0.0.0:5000").expect("a free port");
        let mut daemon = Setup::new().key("api.listen", "auto").start();
        let line = says(&daemon, "cannot listen on 127.0.0.1:5000");
        assert!(line.contains("WARN") && line.contains("not tried again before the next start"), "{line}");
        drop(taken);
        // A process that another test is just starting has a copy of the socket until its exec.
        eventually("the port is free", || !answers(PORT.parse().expect("an address")));
        reload(&mut daemon, "api.socket_mode", "\"0600\"");
        eventually("it has reloaded", || daemon.log_lines("API listens on").len() == 2);
        assert!(!daemon.has_thread("api-port") && !answers(PORT.parse().expect("an address")));
    });
}

#[test]
fn a_foreign_listener_is_found_and_our_own_daemon_is_not() {
    let Some(namespace) = own_network() else { return };
    namespace.enter(|| {
        let daemon = Setup::new().key("api.listen", "auto").start();
        says(&daemon, "API listens on 127.0.0.1:5000");
        let nothing = daemon.setup().run(&["port", "check"]);
        assert_eq!((nothing.status.code(), nothing.stdout.as_slice()), (Some(0), &b""[..]), "{nothing:?}");
        drop(daemon);
        let _taken = TcpListener::bind("127.0.0.1:5000").expect("a free port");
        let setup = Setup::new();
        let found = setup.run(&["port", "check"]);
        let said = String::from_utf8_lossy(&found.stdout).into_owned();
        let pid = format!("(pid {} listened there)", std::process::id());
        assert!(said.starts_with("port 5000 is left to api-") && said.contains(&pid), "{said}");
        let status = setup.run(&["port", "status"]);
        assert_eq!(status.stdout, found.stdout);
    });
}
