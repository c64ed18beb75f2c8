//! A name server that hangs. Needs root, for port 53 and a mount namespace with a resolv.conf of its own.

use crate::stop::assert_stops;
use crate::support::daemon::{Daemon, PROGRAM, Setup};
use crate::support::dns::{NameServer, name_server};
use crate::support::notify::NotifySocket;
use crate::support::server::{Reply, Server};
use rustix::process::Signal;
use std::net::TcpListener;
use std::time::{Duration, Instant};

fn start(setup: Setup, names: &NameServer) -> Daemon {
    let command = names.used_by(PROGRAM, setup.scratch());
    setup.start_as(command)
}

#[test]
fn a_name_server_that_hangs_stops_neither_the_loop_nor_the_end() {
    let Some(names) = name_server() else { return };
    names.fall_silent();
    let setup = Setup::new().to("http://heartbeat.test:8080/");
    let notify = NotifySocket::new(setup.scratch());
    let setup = setup.env("NOTIFY_SOCKET", notify.path()).env("WATCHDOG_USEC", "2000000");
    let mut daemon = start(setup, &names);
    notify.wait_for("READY=1");
    daemon.wait_for_line("about the name", |line| line.contains("WARN") && line.contains("heartbeat.test"));
    // The API's thread is the last to start.
    daemon.api_address();
    let before = daemon.vitals();
    let mut last = Instant::now();
    let mut most = before;
    for _ in 0..12 {
        let (at, _) = notify.wait_for("WATCHDOG=1");
        let gap = at.saturating_duration_since(last);
        assert!(gap < Duration::from_secs(2), "systemd would have killed it after {gap:?}");
        last = at;
        most = most.max(daemon.vitals());
    }
    assert!(most.threads <= before.threads, "threads pile up: {before:?} {most:?}");
    assert!(most.descriptors <= before.descriptors + 1, "descriptors pile up: {before:?} {most:?}");
    assert!(names.queries() > 0, "it was this server that was asked");
    assert_stops(&mut daemon, Signal::TERM);
}

#[test]
fn a_name_server_that_hangs_later_leaves_the_last_good_address() {
    let Some(names) = name_server() else { return };
    // Closing each connection makes each heartbeat resolve and connect again.
    let server = Server::always(Reply::AnswerAndCloseAfter(Duration::from_millis(100)));
    let host = format!("heartbeat.test:{}", server.address().port());
    let daemon = start(Setup::new().to(&format!("http://{host}/")), &names);
    server.requests(2);
    assert!(names.queries() > 0, "it was this server that was asked");
    names.fall_silent();
    let requests = server.requests(6);
    for pair in requests.windows(2) {
        let gap = pair[1].at - pair[0].at;
        assert!(gap < Duration::from_secs(3), "the beat paused for {gap:?}");
        assert!(pair[1].connection > pair[0].connection, "on a new connection");
    }
    assert!(requests.iter().all(|request| request.header("host") == Some(host.as_str())));
    // Doubts about the address do not make it worse than none.
    server.reset_connections(true);
    daemon.wait_for_line("about the failure", |line| line.contains("WARN") && line.contains("reset"));
    server.reset_connections(false);
    server.requests(2);
}

#[test]
fn a_name_that_cannot_be_resolved_at_the_start_is_resolved_later() {
    let Some(names) = name_server() else { return };
    names.fall_silent();
    let server = Server::always(Reply::ok());
    let url = format!("http://heartbeat.test:{}/", server.address().port());
    let daemon = start(Setup::new().to(&url), &names);
    daemon.wait_for_line("about the name", |line| line.contains("WARN") && line.contains("heartbeat.test"));
    names.speak();
    server.requests(2);
}

#[test]
fn a_server_that_moves_to_another_address_is_found_there() {
    let Some(names) = name_server() else { return };
    let old = Server::always(Reply::AnswerAndCloseAfter(Duration::from_millis(100)));
    let port = old.address().port();
    let listener = TcpListener::bind(("127.0.0.2", port)).expect("the same port there");
    let new = Server::on(listener, None, |_| Reply::ok());
    let _daemon = start(Setup::new().to(&format!("http://heartbeat.test:{port}/")), &names);
    old.requests(2);
    names.move_to(2);
    old.reset_connections(true);
    new.requests(2);
}
