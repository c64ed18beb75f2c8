//! What users and scripts of the systems before this one do, word by word: they change nothing.

use super::client::{get, post, request};
use crate::support::daemon::{Setup, output_of};
use crate::support::eventually;
use crate::support::server::{Reply, Server};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn the_meeting_status_has_its_fields() {
    let server = Server::always(Reply::ok());
    let daemon = Setup::new()
        .to(&server.url("/"))
        .token("t0ken")
        .key("heartbeat.format", "meeting")
        .key("heartbeat.device_key", "barn-cam-01-secret")
        .start();
    server.request();
    eventually("the acknowledged heartbeat is shown", || {
        get("/api/meeting/status").to(&daemon).json()["connected"] == true
    });
    let status = get("/api/meeting/status").to(&daemon).json();
    for field in [
        "enabled",
        "connected",
        "last_heartbeat",
        "last_heartbeat_ago",
        "last_error",
        "device_info",
        "provisioned",
        "configured",
        "device_key",
        "api_url",
        "heartbeat_interval",
        "heartbeat_thread_running",
    ] {
        assert!(status.get(field).is_some(), "{field}: {status}");
    }
    for yes in ["enabled", "connected", "provisioned", "configured", "heartbeat_thread_running"] {
        assert_eq!(status[yes], true, "{yes}: {status}");
    }
    assert_eq!(status["success"], true, "as the original says");
    assert_eq!(status["status"]["connected"], true, "{status}");
    assert_eq!(status["status"]["device_key"], "barn****", "{status}");
    assert_eq!(status["last_error"], Value::Null);
    assert_eq!(status["device_key"], "barn****");
    assert_eq!(status["heartbeat_interval"], 1);
    assert_eq!(status["api_url"], server.url("/").trim_end_matches('/'));
    let moment = status["last_heartbeat"].as_str().expect("ISO 8601");
    assert!(moment.len() == 20 && moment.ends_with('Z') && moment.contains('T'), "{moment}");
    let (number, unit) =
        status["last_heartbeat_ago"].as_str().and_then(|text| text.split_once(' ')).expect("two words");
    assert!(number.parse::<u64>().is_ok() && unit.starts_with("second"), "{status}");
    assert!(status["last_heartbeat_ago_seconds"].is_number());
    let text = status.to_string();
    assert!(!text.contains("t0ken") && !text.contains("secret"), "{text}");
}

#[test]
fn a_meeting_status_without_a_server_fakes_nothing() {
    let daemon = Setup::new().start();
    let status = get("/api/meeting/status").to(&daemon).json();
    for no in ["enabled", "connected", "provisioned", "configured"] {
        assert_eq!(status[no], false, "{no}: {status}");
    }
    for nothing in ["last_heartbeat", "last_heartbeat_ago", "device_key", "api_url"] {
        assert_eq!(status[nothing], Value::Null, "{nothing}: {status}");
    }
}

#[test]
fn a_failure_is_the_last_error() {
    let server = Server::always(Reply::status(500));
    let daemon = Setup::new().to(&server.url("/")).start();
    eventually("the failure is shown", || {
        let status = get("/api/meeting/status").to(&daemon).json();
        status["connected"] == false && status["last_error"].as_str().is_some_and(|e| e.contains("500"))
    });
}

#[test]
fn a_heartbeat_can_be_triggered_and_one_that_waits_will_do() {
    let server = Server::always(Reply::ok());
    let daemon = Setup::new().to(&server.url("/")).interval("1h").start();
    server.request();
    let answer = post("/api/meeting/heartbeat").to(&daemon);
    assert_eq!((answer.status, answer.json()), (202, json!({"triggered": true})));
    assert_eq!(server.request().json()["reason"], "trigger");
    // While one is on its way to a slow server, one more may wait.
    server.become_one_that(|_| Reply::Hang);
    let triggered = || post("/api/meeting/heartbeat").to(&daemon).json()["triggered"] == true;
    eventually("a second trigger is refused", || !triggered());
}

#[test]
fn the_latest_stats_are_what_the_file_holds() {
    let server = Server::always(Reply::ok());
    let daemon = Setup::new().to(&server.url("/")).interval("1h").key("heartbeat.format", "streamer").start();
    server.request();
    let file = daemon.snapshot();
    eventually("the heartbeat is shown", || get("/api/heartbeat").to(&daemon).status == 200);
    let stats = get("/api/heartbeat").to(&daemon).json();
    assert_eq!(stats, file);
    assert!(stats["fan_rpm"].is_string(), "in the form of the original: {stats}");
}

/// A camera that accepts, and one whose port is closed.
fn cameras() -> (TcpListener, u16) {
    let camera = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = camera.local_addr().expect("bound").port();
    (camera, port)
}

const GATE: &str = "aa:bb:cc:dd:ee:01";

#[test]
fn a_camera_is_added_listed_checked_and_found() {
    let (_camera, port) = cameras();
    let daemon = Setup::new().toml("cameras.tcp_port", &port.to_string()).start();
    let empty = get("/api/dhcp/cameras").to(&daemon).json();
    assert_eq!(empty, json!({"cameras": [], "count": 0}));

    let new = json!({"hostname": "gate", "ip_address": "127.0.0.1", "mac_address": "AA:BB:CC:DD:EE:01",
        "status": "connected"});
    let added = post("/api/dhcp/cameras").json(&new).to(&daemon);
    assert_eq!(added.status, 201, "{added:?}");
    let added = added.json();
    assert_eq!(added["status"], "success");
    assert_eq!(added["message"], "Camera added successfully");
    assert_eq!(added["camera"]["hostname"], "gate");
    assert_eq!(added["camera"]["mac_address"], GATE);

    let checked = post("/api/dhcp/cameras/heartbeat").to(&daemon);
    assert_eq!(checked.status, 200, "{checked:?}");
    let checked = checked.json();
    assert_eq!(
        (&checked["status"], &checked["message"]),
        (&json!("success"), &json!("Heartbeat check completed"))
    );
    let camera = &checked["cameras"][GATE];
    assert_eq!(camera["hostname"], "gate");
    assert_eq!(camera["ip_address"], "127.0.0.1");
    assert_eq!((&camera["reachable"], &camera["status"]), (&json!(true), &json!("connected")), "{checked}");
    assert!(camera["last_seen"].as_str().is_some_and(|seen| seen.ends_with('Z')), "{checked}");

    let all = get("/api/dhcp/cameras").to(&daemon).json();
    assert_eq!(all["count"], 1);
    assert_eq!(all["cameras"][0]["mac_address"], GATE);
    for path in ["/api/dhcp/cameras/", "/api/cameras/"] {
        for mac in ["AA:BB:CC:DD:EE:01", "aa%3Abb%3acc:dd:ee:01", "aa-bb-cc-dd-ee-01"] {
            let one = get(&format!("{path}{mac}")).to(&daemon);
            assert_eq!((one.status, &one.json()["status"]), (200, &json!("connected")), "{one:?}");
        }
    }
}

#[test]
fn cameras_are_removed_one_or_all() {
    let configured = "[{ mac = \"02:00:00:00:00:01\" }]";
    let daemon = Setup::new().toml("cameras.camera", configured).start();
    let listed = || get("/api/dhcp/cameras").to(&daemon).json()["count"].clone();
    for last in [2, 3, 4] {
        let body = json!({ "mac_address": format!("02:00:00:00:00:0{last}"), "hostname": "unknown" });
        assert_eq!(post("/api/dhcp/cameras").json(&body).to(&daemon).status, 201);
    }
    eventually("they are listed", || listed() == 4);
    let camera = get("/api/dhcp/cameras/02:00:00:00:00:02").to(&daemon).json();
    assert!(camera["hostname"].is_null(), "a placeholder is not a name: {camera}");
    let removed = request("DELETE", "/api/dhcp/cameras/02:00:00:00:00:02").to(&daemon);
    assert_eq!((removed.status, removed.json()["status"].clone()), (200, json!("success")));
    eventually("one is gone", || listed() == 3);
    assert_eq!(request("DELETE", "/api/dhcp/cameras/02:00:00:00:00:02").to(&daemon).status, 404);
    assert_eq!(
        request("DELETE", "/api/dhcp/cameras/02:00:00:00:00:01").to(&daemon).status,
        409,
        "of the configuration"
    );
    let cleared = request("DELETE", "/api/dhcp/cameras").to(&daemon).json();
    assert_eq!(cleared["message"], "Cleared 2 camera record(s)");
    eventually("the others are gone", || listed() == 1);
    let events = get("/api/dhcp/cameras/events").to(&daemon);
    assert!(events.status == 404 && events.json()["error"].as_str().is_some_and(|e| e.contains("poll")));
}

#[test]
fn camera_settings_are_changed_kept_and_shown() {
    let daemon = Setup::new().token_for_api("hunter2").start();
    let changes = json!({ "camera-heartbeat-interval": 30, "camera-heartbeat-method": "both", "volume": 80 });
    let refused = request("PUT", "/api/settings").json(&changes).to(&daemon);
    assert_eq!(refused.status, 401, "a program on this machine without the token: {refused:?}");
    let changed =
        request("PUT", "/api/settings").json(&changes).header("Authorization", "Bearer hunter2").to(&daemon);
    assert_eq!((changed.status, changed.json()["success"].clone()), (200, json!(true)));
    daemon.wait_for_line("of the change", |line| {
        line.contains("interval 60 -> 30") && line.contains("127.0.0.1 with the API token")
    });
    let settings = get("/api/settings").to(&daemon).json();
    assert_eq!(
        (&settings["camera-heartbeat-interval"], &settings["camera-heartbeat-enabled"]),
        (&json!(30), &json!(true))
    );
    assert_eq!(settings["changed"]["camera-heartbeat-interval"], json!({ "value": 30, "file": 60 }));
    let invalid = request("PUT", "/api/settings").json(&json!({ "camera-heartbeat-tcp-port": 0 }));
    let invalid = invalid.through_the_socket_of(&daemon);
    assert!(invalid.status == 400 && invalid.error().contains("must be from 1 to 65535"), "{invalid:?}");

    for command in [&["check-config"][..], &["doctor"]] {
        let output = output_of(daemon.setup().command(command));
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(shown.contains("interval = 30 by the API (the file says 60)"), "{command:?}: {shown}");
    }
    let reset = request("DELETE", "/api/settings").through_the_socket_of(&daemon);
    assert_eq!(reset.status, 200, "{reset:?}");
    daemon.wait_for_line("of the reset", |line| line.contains("30 -> 60, by the socket file"));
}

#[test]
fn no_change_of_a_camera_setting_is_lost_to_a_reload_at_the_same_moment() {
    let daemon = Setup::new().start();
    daemon.api_address();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                daemon.signal(Signal::HUP);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        for interval in 100..300 {
            let changes = json!({ "camera-heartbeat-interval": interval });
            let changed = request("PUT", "/api/settings").json(&changes).through_the_socket_of(&daemon);
            assert_eq!(changed.status, 200, "{changed:?}");
            std::thread::sleep(Duration::from_millis(interval % 7));
            let now = get("/api/settings").through_the_socket_of(&daemon).json();
            if now["camera-heartbeat-interval"] != interval {
                is_done.store(true, Ordering::Relaxed);
                panic!("{interval} was confirmed, and lost: {now}");
            }
        }
        is_done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn an_edited_file_overrides_an_earlier_change() {
    let mut daemon = Setup::new().key("cameras.interval", "60s").start();
    daemon.api_address();
    let changes = json!({ "camera-heartbeat-interval": 30 });
    assert_eq!(request("PUT", "/api/settings").json(&changes).through_the_socket_of(&daemon).status, 200);
    daemon.signal(Signal::HUP);
    daemon.reconfigure("cameras.interval", "\"90s\"");
    daemon.signal(Signal::HUP);
    daemon.wait_for_line("of the dropped change", |line| {
        line.contains("from 60 to 90 and counts; 30 is dropped")
    });
    eventually("the file counts", || {
        get("/api/settings").to(&daemon).json()["camera-heartbeat-interval"] == 90
    });
}

#[test]
fn an_unknown_camera_is_not_found() {
    let daemon = Setup::new().start();
    for path in ["/api/dhcp/cameras/", "/api/cameras/"] {
        let answer = get(&format!("{path}AA:bb:cc:dd:ee:99")).to(&daemon);
        assert_eq!(answer.status, 404);
        assert_eq!(answer.json(), json!({"error": "Camera not found", "mac_address": "aa:bb:cc:dd:ee:99"}));
    }
    let nonsense = get("/api/dhcp/cameras/%3Cscript%3E").to(&daemon);
    assert_eq!((nonsense.status, nonsense.json()["mac_address"].as_str()), (404, Some("<script>")));
}

#[test]
fn dnsmasq_events_connect_and_disconnect_a_camera() {
    let (_camera, port) = cameras();
    let daemon = Setup::new()
        .toml("cameras.hostname_patterns", "[\"gate*\"]")
        .toml("cameras.tcp_port", &port.to_string())
        .start();
    let event = |action: &str, hostname: &str, mac: &str| {
        let event = json!({"action": action, "mac_address": mac, "ip_address": "127.0.0.1",
            "hostname": hostname, "timestamp": "2026-01-21T14:30:00Z"});
        let answer = post("/api/dhcp/event").json(&event).to(&daemon);
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        assert_eq!((&body["status"], &body["message"]), (&json!("success"), &json!("DHCP event processed")));
        assert_eq!(body["data"]["action"], action);
    };
    let status = |mac: &str| get(&format!("/api/dhcp/cameras/{mac}")).to(&daemon).json()["status"].clone();
    event("add", "phone-of-anna", "aa:bb:cc:dd:ee:02");
    event("add", "gate-1", GATE);
    eventually("the camera is connected", || status(GATE) == "connected");
    assert_eq!(get("/api/dhcp/cameras").to(&daemon).json()["count"], 1, "a phone is no camera");
    event("del", "gate-1", GATE);
    eventually("the camera is gone", || status(GATE) == "disconnected");
}

#[test]
fn invalid_camera_data_is_refused() {
    let daemon = Setup::new().start();
    let good = json!({"hostname": "gate", "ip_address": "10.0.0.7", "mac_address": GATE, "action": "add"});
    let with = |key: &str, value: Value| {
        let mut changed = good.clone();
        changed[key] = value;
        changed.to_string()
    };
    let without = |key: &str| {
        let mut changed = good.clone();
        changed.as_object_mut().and_then(|changed| changed.remove(key));
        changed.to_string()
    };
    let both: [(String, &str); 9] = [
        (String::new(), "the body is not the expected JSON"),
        ("{".into(), "the body is not the expected JSON"),
        ("[]".into(), "the body is not the expected JSON"),
        ("[".repeat(10_000), "the body is not the expected JSON"),
        (with("hostname", json!(5)), "the body is not the expected JSON"),
        (without("mac_address"), "Missing required fields: "),
        (with("mac_address", json!("gate")), "expected a MAC address"),
        (with("ip_address", json!("10.0.0")), "expected an IP address"),
        (with("hostname", json!("<b>gate</b>")), "expected a hostname"),
    ];
    let event_only = [
        (without("action"), "Missing required fields: "),
        (with("action", json!("tftp")), "expected action"),
    ];
    let cases = both.iter().flat_map(|case| [("/api/dhcp/cameras", case), ("/api/dhcp/event", case)]);
    for (path, (body, problem)) in cases.chain(event_only.iter().map(|case| ("/api/dhcp/event", case))) {
        let answer =
            post(path).header("Content-Type", "application/json; charset=utf-8").body(body).to(&daemon);
        assert_eq!(answer.status, 400, "{path} {body:.100}: {answer:?}");
        assert!(answer.error().starts_with(problem), "{path} {body:.100}: {answer:?}");
    }
    assert_eq!(get("/api/dhcp/cameras").to(&daemon).json()["count"], 0);
}
