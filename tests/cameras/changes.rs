//! A change is in a heartbeat at once.

use crate::lan::{Listener, Watching, address, entry, mac, socket};
use crate::support::SOON;
use crate::support::daemon::Setup;
use crate::support::request::Request;
use crate::support::server::{Reply, Server};
use heartbeat_daemon::device::cameras::Status;
use heartbeat_daemon::wire::Reason;
use rustix::process::Signal;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Cameras of the daemon, numbered from 1.
fn with(setup: Setup, cameras: &[SocketAddr]) -> Setup {
    let entry = |(number, address): (u16, &SocketAddr)| {
        format!(
            "{{ mac = \"{}\", address = \"{}\", tcp_port = {} }}",
            mac(number),
            address.ip(),
            address.port()
        )
    };
    let entries: Vec<String> = (1..).zip(cameras).map(entry).collect();
    setup.key("cameras.interval", "1s").toml("cameras.camera", &format!("[{}]", entries.join(", ")))
}

/// The statuses that a heartbeat tells.
fn statuses(request: &Request) -> Vec<String> {
    let json = request.json();
    let cameras = json["cameras"].as_array().cloned().unwrap_or_default();
    cameras.iter().map(|camera| camera["status"].as_str().expect("a word").to_owned()).collect()
}

#[test]
fn a_camera_change_is_sent_at_once_with_the_list() {
    let server = Server::always(Reply::ok());
    let stays = Listener::accepting();
    let (ip, port) = (address(), 8080);
    let camera = socket(ip, port, 64);
    let place = SocketAddr::from((ip, port));
    let setup = with(Setup::new().to(&server.url("/")).interval("1m"), &[place, stays.address]);
    let daemon = setup.start();
    let both = |request: &Request| statuses(request) == ["connected", "connected"];
    assert!(
        server.requests_during(Duration::from_secs(3)).iter().all(|r| r.reason() != "camera"),
        "no change yet"
    );
    daemon.signal(Signal::USR1);
    server.request_that(both);
    let gone = Instant::now();
    drop(camera);
    let report = server.request_that(|request| request.reason() == "camera");
    assert_eq!(statuses(&report), ["disconnected", "connected"]);
    assert!(report.at - gone < Duration::from_secs(4), "{:?}", report.at - gone);
    let lost = report.json()["cameras"][0].clone();
    assert_eq!(lost["mac"], mac(1).to_string());
    assert!(lost["last_seen"].as_str().is_some_and(|text| text.ends_with('Z')), "{lost}");
    daemon.wait_for_line("about it", |line| {
        line.contains("disconnected: it refuses the connection") && line.contains(&mac(1).to_string())
    });
    let _camera = socket(ip, port, 64);
    // Before it, a heartbeat may tell of the second failed check.
    server.request_that(|request| request.reason() == "camera" && both(request));
}

#[test]
fn cameras_that_go_together_make_one_heartbeat_and_one_for_their_second_failed_checks() {
    let server = Server::always(Reply::ok());
    let addresses: Vec<Ipv4Addr> = (0..10).map(|_| address()).collect();
    let cameras: Vec<_> = addresses.iter().map(|ip| socket(*ip, 8080, 64)).collect();
    let places: Vec<SocketAddr> = addresses.iter().map(|ip| SocketAddr::from((*ip, 8080))).collect();
    let daemon = with(Setup::new().to(&server.url("/")).interval("1m"), &places).start();
    server.request();
    let all = |status: &str| vec![status.to_owned(); 10];
    let deadline = Instant::now() + SOON;
    loop {
        daemon.signal(Signal::USR1);
        if statuses(&server.request_that(|request| request.reason() == "trigger")) == all("connected") {
            break;
        }
        assert!(Instant::now() < deadline, "never connected");
    }
    // Between two checks, or some would be found gone a second later than others.
    drop(cameras);
    let report = server.requests_during(Duration::from_secs(4));
    let report: Vec<_> = report.iter().filter(|request| request.reason() == "camera").collect();
    assert!((2..=3).contains(&report.len()), "{}", report.len());
    assert_eq!(statuses(report[report.len() - 1]), all("disconnected"));
}

#[test]
fn changes_within_250_ms_are_one_trigger_and_later_ones_another() {
    let watching = Watching::start("enabled = false\nhostname_patterns = [\"*\"]");
    let tell = |number: u16, action: &str| {
        let mac = mac(number).to_string();
        let event = heartbeat_daemon::device::cameras::DhcpEvent::new(action, &mac, None, Some("cam"));
        assert!(watching.cameras.dhcp(event.expect("an event")));
    };
    (1..=20).for_each(|number| tell(number, "add"));
    let begin = Instant::now();
    (1..=20).for_each(|number| tell(number, "del"));
    assert_eq!(watching.triggers.recv_timeout(SOON), Ok(Reason::Camera));
    assert!(begin.elapsed() >= Duration::from_millis(250));
    assert!(watching.cameras.list().iter().all(|camera| camera.status == Status::Disconnected));
    assert!(watching.triggers.recv_timeout(Duration::from_millis(600)).is_err(), "one for all twenty");
    tell(3, "add");
    assert_eq!(watching.triggers.recv_timeout(SOON), Ok(Reason::Camera));
}

#[test]
fn the_configured_number_of_failures_disconnects_a_camera() {
    let camera = Listener::refusing();
    let watching = Watching::start(&entry(1, camera.address, "failures = 3"));
    watching.cameras.list();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        watching.check();
        statuses.push(watching.camera(1).status);
    }
    // The first of them may have been the check of the start.
    assert!(statuses[0] == Status::Unknown, "{statuses:?}");
    assert!(statuses[3] == Status::Disconnected, "{statuses:?}");
    assert_eq!(watching.camera(1).reachable, Some(false));
}

#[test]
fn a_camera_that_was_lost_before_the_restart_and_is_there_after_it_is_a_change() {
    let camera = Listener::accepting();
    let scratch = crate::support::scratch::Scratch::new();
    let saved = format!(
        r#"{{"saved_at": 1763756400, "cameras": [{{"mac": "{}", "origin": "config", "status": "disconnected"}}]}}"#,
        mac(1)
    );
    scratch.file("cameras.json", &saved);
    let watching = Watching::start_in(&entry(1, camera.address, ""), scratch, std::path::Path::new("/"));
    assert_eq!(watching.triggers.recv_timeout(SOON), Ok(Reason::Camera));
    assert_eq!(watching.camera(1).status, Status::Connected);
}

#[test]
fn the_uptime_counts_only_observed_time() {
    let camera = Listener::accepting();
    let watching =
        Watching::start(&format!("[cameras]\ninterval = \"1s\"\n{}", entry(1, camera.address, "")));
    crate::support::eventually("a share", || watching.cameras.list()[0].uptime_24h == Some(100.0));
}

/// Failed checks of all cameras, as a heartbeat tells them.
fn failed_checks(request: &Request) -> Vec<Option<u64>> {
    let json = request.json();
    json["cameras"].as_array().into_iter().flatten().map(|camera| camera["failed_checks"].as_u64()).collect()
}

#[test]
fn a_second_failed_check_is_known_within_2_s_whatever_the_interval_and_further_ones_are_not_sent() {
    let server = Server::always(Reply::ok());
    let (bad, good) = (Listener::refusing(), Listener::accepting());
    let places = [bad.address, good.address];
    let setup = with(Setup::new().to(&server.url("/")).interval("1m"), &places);
    let _daemon = setup.key("cameras.interval", "1h").toml("cameras.failures", "9").start();
    let begin = server.request().at;
    let report = server.request_that(|request| request.reason() == "camera");
    assert_eq!(failed_checks(&report), [Some(2), Some(0)]);
    assert_eq!(statuses(&report), ["unknown", "connected"], "failures = 9");
    assert!(report.at - begin < Duration::from_secs(3), "{:?}", report.at - begin);
    // The check after 5 s triggers no heartbeat; one by the schedule may come at any time.
    let id = |request: &Request| request.json()["id"].clone();
    let later = server.requests_during(Duration::from_secs(4));
    let is_trigger = |later: &&Request| later.reason() == "camera" && id(later) != id(&report);
    assert_eq!(later.iter().filter(is_trigger).count(), 0);
}

#[test]
fn after_a_first_failure_a_camera_is_checked_after_2_s_and_after_5_s() {
    let camera = Listener::answering(b"garbage\r\n\r\n", Duration::ZERO);
    let watching = Watching::start(&entry(1, camera.address, "method = \"http\""));
    let begin = Instant::now();
    let failed = |count| {
        move |camera: &heartbeat_daemon::device::cameras::CameraInfo| camera.failed_checks == Some(count)
    };
    let after = |count: u32| {
        crate::support::eventually("a failed check", || watching.cameras.list().iter().any(failed(count)));
        begin.elapsed()
    };
    assert_eq!(watching.camera(1).failed_checks.unwrap_or(1), 1);
    for (count, seconds) in [(1, 0), (2, 2), (3, 5)] {
        let (took, due) = (after(count), Duration::from_secs(seconds));
        assert!(took + Duration::from_millis(50) >= due, "{count}: {took:?}");
        assert!(took < due + Duration::from_secs(1), "{count}: {took:?}");
    }
    assert_eq!(watching.triggers.try_recv(), Ok(Reason::Camera), "for the second");
    assert!(watching.triggers.try_recv().is_err());
}
