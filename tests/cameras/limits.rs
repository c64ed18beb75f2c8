//! Too few descriptors for all cameras at the same time.

use crate::lan::{Listener, mac};
use crate::support::daemon::{PROGRAM, Setup};
use crate::support::server::{Reply, Server};
use std::process::Command;
use std::time::Duration;

/// More than the few that are always tried.
const CAMERAS: u16 = 200;

#[test]
fn cameras_are_checked_in_several_batches_without_delaying_heartbeats() {
    // The first is enough for some, and the second is met in the middle of them.
    for limit in ["350", "60"] {
        let server = Server::always(Reply::ok());
        let silent = Listener::dropping();
        let entry = |n: u16| {
            let (ip, port) = (silent.address.ip(), silent.address.port());
            format!("{{ mac = \"{}\", address = \"{ip}\", tcp_port = {port} }}", mac(n))
        };
        let entries: Vec<String> = (1..=CAMERAS).map(entry).collect();
        let setup =
            Setup::new().to(&server.url("/")).toml("cameras.camera", &format!("[{}]", entries.join(", ")));
        let mut command = Command::new("prlimit");
        command.args([&format!("--nofile={limit}:{limit}"), "--", PROGRAM]);
        let _daemon = setup.key("cameras.tcp_timeout", "200ms").start_as(command);
        let report = server.request_that(|request| {
            let json = request.json();
            let cameras = json["cameras"].as_array().expect("the list");
            cameras.iter().all(|camera| camera["status"] == "disconnected")
        });
        assert_eq!(report.json()["cameras"].as_array().map(Vec::len), Some(usize::from(CAMERAS)));
        let beats = server.requests_during(Duration::from_secs(3));
        assert!(beats.len() >= 2, "{limit}: {}", beats.len());
    }
}
