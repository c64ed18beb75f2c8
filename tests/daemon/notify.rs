//! The states that systemd receives.

use crate::support::SOON;
use crate::support::daemon::Setup;
use crate::support::notify::NotifySocket;
use crate::support::server::{Reply, Server};
use rustix::process::Signal;
use std::time::{Duration, Instant};

#[test]
fn systemd_is_notified_of_start_state_and_stop() {
    let server = Server::always(Reply::ok());
    let setup = Setup::new().to(&server.url("/"));
    let notify = NotifySocket::new(setup.scratch());
    let mut daemon = setup.env("NOTIFY_SOCKET", notify.path()).start();
    notify.wait_for("READY=1");
    let (_, status) = notify.wait_for("STATUS=");
    assert!(status.len() > "STATUS=".len(), "{status}");
    daemon.signal(Signal::TERM);
    notify.wait_for("STOPPING=1");
    assert!(daemon.wait_for_end(SOON).0.success());
}

#[test]
fn the_status_shows_that_no_server_is_configured() {
    let setup = Setup::new();
    let notify = NotifySocket::new(setup.scratch());
    let daemon = setup.env("NOTIFY_SOCKET", notify.path()).start();
    notify.wait_for("READY=1");
    daemon.wait_for_line("about the missing server", |line| line.contains("no server"));
    let statuses = notify.during(Duration::from_secs(3));
    assert!(statuses.iter().all(|(_, text)| !text.starts_with("STATUS=") || text.contains("no server")));
    assert_eq!(daemon.log_lines("no server").len(), 1, "said once");
}

#[test]
fn the_status_shows_why_heartbeats_fail() {
    let server = Server::always(Reply::status(403));
    let setup = Setup::new().to(&server.url("/"));
    let notify = NotifySocket::new(setup.scratch());
    let _daemon = setup.env("NOTIFY_SOCKET", notify.path()).start();
    let deadline = Instant::now() + SOON;
    while !notify.wait_for("STATUS=").1.contains("(403)") {
        assert!(Instant::now() < deadline, "no status names the refusal");
    }
}

/// Half of systemd's 3 s is promised; a send may take a third of them (10 s of the unit's 30 s).
fn the_watchdog_is_fed(reply: Reply, interval: &str) {
    let server = Server::always(reply);
    let setup = Setup::new().to(&server.url("/")).interval(interval).timeout("1s");
    let notify = NotifySocket::new(setup.scratch());
    let _daemon = setup.env("NOTIFY_SOCKET", notify.path()).env("WATCHDOG_USEC", "3000000").start();
    server.request();
    let begin = Instant::now();
    let fed: Vec<Instant> = notify
        .during(Duration::from_secs(8))
        .into_iter()
        .filter(|(_, text)| text == "WATCHDOG=1")
        .map(|(at, _)| at)
        .collect();
    let moments = [vec![begin], fed.clone(), vec![Instant::now()]].concat();
    let mut gaps: Vec<Duration> =
        moments.windows(2).map(|pair| pair[1].saturating_duration_since(pair[0])).collect();
    gaps.sort();
    let (median, longest) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    assert!(median <= Duration::from_millis(1_600), "half of the watchdog's 3 s, with its timer: {median:?}");
    assert!(longest < Duration::from_secs(3), "systemd would have killed it: {longest:?}");
    assert!(fed.len() <= 80, "often enough is enough: {} in 8 s", fed.len());
}

#[test]
fn the_watchdog_is_fed_between_two_beats() {
    the_watchdog_is_fed(Reply::ok(), "30s");
}

#[test]
fn the_watchdog_is_fed_while_the_server_hangs() {
    the_watchdog_is_fed(Reply::Hang, "1s");
}

#[test]
fn without_systemd_nothing_is_missed() {
    let server = Server::always(Reply::ok());
    let daemon = Setup::new().to(&server.url("/")).start();
    server.requests(2);
    assert_eq!(daemon.log_lines("NOTIFY").len(), 0);
}
