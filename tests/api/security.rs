//! Who may do what: from the socket, from loopback, from another machine, from a page of another site.

use super::UNPRIVILEGED;
use super::client::{ApiRequest, get, post};
use crate::support::daemon::{Daemon, PROGRAM, Setup};
use crate::support::namespace::Namespace;
use crate::support::server::{Reply, Server};
use crate::support::{eventually, skip};
use serde_json::json;
use std::net::SocketAddr;
use std::process::Command;

const TRIGGER: &str = "/api/meeting/heartbeat";
const TOKEN: &str = "0123456789abcdef";

fn trigger() -> ApiRequest {
    post(TRIGGER)
}

#[test]
fn a_page_of_another_site_cannot_change_anything_through_a_browser() {
    let daemon = Setup::new().to(UNPRIVILEGED).start();
    let own = format!("http://{}", daemon.api_address());
    for (name, value) in [
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
        ("Origin", "http://127.0.0.1"),
        ("Origin", "http://127.0.0.1:1"),
        ("Origin", "file://"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Site", "anything new"),
    ] {
        let answer = trigger().header(name, value).to(&daemon);
        assert_eq!(answer.status, 403, "{name}: {value}");
        assert!(answer.error().contains("another site"), "{answer:?}");
    }
    for (name, value) in
        [("Origin", own.as_str()), ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "none")]
    {
        assert_eq!(trigger().header(name, value).to(&daemon).status, 202, "{name}: {value}");
    }
    // A link from elsewhere may lead to the page.
    assert_eq!(get("/").header("Sec-Fetch-Site", "cross-site").to(&daemon).status, 200);
}

#[test]
fn a_name_that_was_made_to_point_here_is_refused() {
    let daemon = Setup::new().start();
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let port = daemon.api_address().port();
    for host in [
        "evil.example",
        "evil.example:5000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "[::1",
        "::1]",
        "",
    ] {
        for request in [get("/api/status"), trigger(), get("/nix")] {
            let answer = request.header("Host", host).to(&daemon);
            assert!(matches!(answer.status, 400 | 403), "{host}: {answer:?}");
        }
    }
    let own = [
        "localhost".to_owned(),
        format!("LocalHost:{port}"),
        "127.0.0.1".into(),
        "[::1]:5000".into(),
        "192.168.1.7:5000".into(),
        hostname.clone(),
        format!("{hostname}:{port}"),
        format!("{hostname}.local"),
    ];
    for host in &own {
        assert_eq!(get("/api/status").header("Host", host).to(&daemon).status, 200, "{host}");
    }
}

#[test]
fn what_a_proxy_passes_on_is_another_machines() {
    let daemon = Setup::new().start();
    for name in ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"] {
        // A client may write anything there first, and a proxy keeps it.
        for said in ["192.0.2.7", "\u{e4}, 192.0.2.7", ""] {
            let answer = trigger().header(name, said).to(&daemon);
            assert_eq!(answer.status, 403, "{name}: {said}");
            let status = get("/api/status").header(name, said).to(&daemon);
            assert_eq!((status.status, &status.json()["trusted"]), (200, &false.into()), "{name}: {said}");
        }
    }
}

#[test]
fn through_the_socket_everything_is_allowed() {
    let daemon = Setup::new().to(UNPRIVILEGED).start();
    daemon.api_address();
    let answer = trigger().header("Host", "whatever").through_the_socket_of(&daemon);
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(get("/api/status").through_the_socket_of(&daemon).json()["trusted"], true);
}

/// A daemon in a namespace of its own, open to its network, and a token where one is wanted.
struct Lan {
    namespace: Namespace,
    daemon: Daemon,
    address: SocketAddr,
}

fn lan(token: Option<&str>) -> Option<Lan> {
    let Ok(namespace) = Namespace::new() else {
        skip("making a network namespace takes root");
        return None;
    };
    // An address of its own is not loopback, although nothing leaves the machine.
    namespace.ip("addr add 10.7.0.1/24 dev lo");
    let setup = Setup::new().to(UNPRIVILEGED).key("api.listen", "10.7.0.1:5000");
    let setup = match token {
        Some(token) => {
            let file = setup.scratch().file("api-token", token);
            setup.key("api.token_file", &file)
        }
        None => setup,
    };
    let daemon = namespace.enter(|| setup.start_as(Command::new(PROGRAM)));
    let address = daemon.api_address();
    Some(Lan { namespace, daemon, address })
}

impl Lan {
    fn request(&self, request: ApiRequest) -> super::client::Answer {
        self.namespace.enter(|| request.at(self.address))
    }
}

#[test]
fn another_machine_may_read_and_without_a_token_nothing_else() {
    let Some(lan) = lan(None) else { return };
    for path in ["/", "/api/status", "/metrics", "/healthz", "/api/cameras", "/api/meeting/status"] {
        assert_eq!(lan.request(get(path)).status, 200, "{path}");
    }
    assert_eq!(lan.request(get("/api/status")).json()["trusted"], false);
    for path in [TRIGGER, "/api/heartbeat", "/api/dhcp/cameras", "/api/dhcp/event", "/api/cameras/heartbeat"]
    {
        for request in [
            post(path),
            post(path).header("Authorization", "Bearer "),
            post(path).header("Authorization", "Bearer x"),
        ] {
            let answer = lan.request(request);
            assert_eq!(answer.status, 403, "{path}");
            assert!(answer.error().contains("token_file"), "{answer:?}");
        }
    }
    assert!(lan.daemon.is_running());
}

#[test]
fn another_machine_may_change_something_with_the_token_alone() {
    let Some(lan) = lan(Some(TOKEN)) else { return };
    for wrong in [
        "Bearer",
        "Bearer ",
        "Bearer 0123456789abcdee",
        "Bearer 0123456789abcdef0",
        "Basic 0123456789abcdef",
        TOKEN,
    ] {
        let answer = lan.request(trigger().header("Authorization", wrong));
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{wrong}");
        assert!(!answer.body.contains(TOKEN));
    }
    assert_eq!(lan.request(trigger()).status, 401);
    let with = |request: ApiRequest| request.header("Authorization", &format!("Bearer {TOKEN}"));
    assert_eq!(lan.request(with(trigger())).status, 202);
    assert_eq!(lan.request(with(get("/api/status"))).json()["trusted"], true);
    // A browser would send it along only for a page of this machine's own.
    assert_eq!(lan.request(with(get("/metrics").header("Host", "barn.example"))).status, 200);
}

#[test]
fn another_machine_gets_no_recording_path() {
    let Some(lan) = lan(None) else { return };
    let recordings = lan.daemon.setup().scratch().path().join("recordings");
    std::fs::create_dir(&recordings).expect("a directory");
    std::fs::write(recordings.join("secret-name.mp4"), "x").expect("written");
    let mut lan = lan;
    lan.daemon.reconfigure("activity.recording_dir", &format!("{recordings:?}"));
    let own = std::process::id();
    let pidfile = lan.daemon.setup().scratch().file("recorder.pid", &own.to_string());
    lan.daemon.reconfigure("activity.recording", &format!("{{ pidfile = {pidfile:?} }}"));
    lan.daemon.signal(rustix::process::Signal::HUP);
    eventually("whoever is trusted sees the file", || {
        get("/api/status").through_the_socket_of(&lan.daemon).body.contains("secret-name")
    });
    for path in ["/api/status", "/api/heartbeat", "/metrics", "/api/meeting/status"] {
        assert!(!lan.request(get(path)).body.contains("secret-name"), "{path}");
    }
}

#[test]
fn a_token_that_cannot_be_read_is_a_fault_of_the_configuration() {
    let server = Server::always(Reply::ok());
    let setup = Setup::new().to(&server.url("/")).key("api.token_file", "/nonexistent/token");
    for command in ["check-config", "run"] {
        let ended = setup.run(&[command]);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(78), "{command}: {said}");
        assert!(said.contains("[api] token_file"), "{command}: {said}");
    }
}

#[test]
fn uplinks_are_switched_over_the_socket_file_alone() {
    let setup = Setup::new();
    let token = setup.scratch().file("api-token", TOKEN);
    let daemon = setup.key("api.token_file", &token).start();
    for path in ["/api/failover/manual", "/api/failover/auto"] {
        for header in [("X-None", ""), ("Authorization", &format!("Bearer {TOKEN}"))] {
            let switch = || post(path).json(&json!({ "interface": "eth0" })).header(header.0, header.1);
            let refused = switch().to(&daemon);
            assert_eq!(refused.status, 403, "{path}: {refused:?}");
            assert!(refused.error().contains("over the socket file only"), "{refused:?}");
            // The tests' daemon has failover switched off.
            let accepted = switch().through_the_socket_of(&daemon);
            assert_eq!(accepted.status, 409, "{path}: {accepted:?}");
            assert!(accepted.error().starts_with("failover is not running"), "{accepted:?}");
        }
    }
    assert_eq!(get("/api/failover").to(&daemon).status, 409);
    let hostile = post("/api/failover/manual").json(&json!({ "interface": "eth0", "duration_s": -1e300 }));
    assert_eq!(hostile.through_the_socket_of(&daemon).status, 400);
}
