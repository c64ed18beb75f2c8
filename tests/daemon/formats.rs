//! What travels: the three formats, the legacy GET, and the same key names for ever.

use crate::support::daemon::Setup;
use crate::support::request::Request;
use crate::support::server::{Reply, Server};
use heartbeat_daemon::wire;
use serde_json::Value;
use std::collections::BTreeSet;

fn first_request(configure: impl FnOnce(Setup) -> Setup) -> Request {
    let server = Server::always(Reply::ok());
    let _daemon = configure(Setup::new().to(&server.url("/heartbeat.php"))).start();
    server.request()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap_or_else(|| panic!("an object: {value}")).keys().map(String::as_str).collect()
}

#[test]
fn a_native_heartbeat_has_exactly_the_keys_of_the_documented_sample() {
    let request = first_request(|setup| {
        let camera = "[{ mac = \"b8:27:eb:12:34:56\" }]";
        let setup = setup.token("a-token").toml("cameras.enabled", "false").toml("cameras.camera", camera);
        let expected = setup.toml("activity.recording", "{ process = \"no-recorder\" }");
        expected.toml("activity.expected", "[\"recording\"]")
    });
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/heartbeat.php"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("authorization"), Some("Bearer a-token"));
    let sent = request.json();
    let sample: Value = serde_json::from_str(wire::SAMPLE).expect("JSON");
    assert_eq!(keys(&sent), keys(&sample));
    let mut connection = keys(&sample["connection"]);
    // Left out where no uplinks are configured.
    connection.retain(|key| *key != "uplinks" || sent["connection"].get("uplinks").is_some());
    assert_eq!(keys(&sent["connection"]), connection);
    let heartbeat: wire::Heartbeat = serde_json::from_value(sent).expect("a heartbeat");
    assert_eq!((heartbeat.seq, heartbeat.reason, heartbeat.interval_s), (1, wire::Reason::Startup, 1.0));
    assert!(
        heartbeat.values.cpu.is_some(),
        "CPU usage is measured before the first heartbeat: {:?}",
        heartbeat.values
    );
    assert!(
        heartbeat.values.mem.is_some_and(|percent| (0.0..=100.0).contains(&percent)),
        "{:?}",
        heartbeat.values.mem
    );
    assert!(heartbeat.uptime_s.is_some() && heartbeat.values.load.is_some() && heartbeat.disk.is_some());
    assert!(!heartbeat.id.is_empty());
    assert_eq!(heartbeat.expected_activity, [wire::ActivityName::Recording]);
    assert_eq!(heartbeat.file_systems[0].path, "/");
}

#[test]
fn heartbeats_differ_in_id_and_share_the_boot() {
    let server = Server::always(Reply::ok());
    let _daemon = Setup::new().to(&server.url("/")).start();
    let sent: Vec<wire::Heartbeat> = server
        .requests(4)
        .iter()
        .map(|request| serde_json::from_value(request.json()).expect("a heartbeat"))
        .collect();
    let ids: BTreeSet<&str> = sent.iter().map(|heartbeat| heartbeat.id.as_str()).collect();
    assert_eq!(ids.len(), 4);
    assert!(sent.iter().all(|heartbeat| heartbeat.boot_id == sent[0].boot_id));
    assert!(sent.windows(2).all(|pair| pair[0].timestamp < pair[1].timestamp));
    assert!(sent[3].values.cpu.is_some(), "from the second sample on");
}

#[test]
fn a_token_without_a_file_is_not_sent() {
    assert_eq!(first_request(|setup| setup).header("authorization"), None);
}

#[test]
fn a_token_may_be_a_credential_of_systemd() {
    let request = first_request(|setup| {
        setup.scratch().file("heartbeat-token", "from-systemd\n");
        let directory = setup.scratch().path().to_str().expect("UTF-8").to_owned();
        setup.env("CREDENTIALS_DIRECTORY", &directory)
    });
    assert_eq!(request.header("authorization"), Some("Bearer from-systemd"));
}

/// The fields that RPI Streamer's server reads.
const STREAMER: [&str; 14] = [
    "hardwareid",
    "cpu",
    "mem",
    "temp",
    "power",
    "fan_rpm",
    "disk",
    "connection",
    "timestamp",
    "app_version",
    "streaming_active",
    "tracking_active",
    "recording_active",
    "recording_file_size_mb",
];

#[test]
fn the_streamer_format_has_the_keys_and_kinds_of_the_original() {
    let request = first_request(|setup| setup.key("heartbeat.format", "streamer"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    let sent = request.json();
    for key in STREAMER {
        assert!(sent.get(key).is_some(), "{key} is there: {sent}");
    }
    assert!(sent["timestamp"].is_number() && sent["mem"].is_number(), "{sent}");
    assert_eq!(sent["recording_file_size_mb"].as_f64(), Some(0.0), "0 when not recording, as ever");
    assert_eq!(sent.get("recording_file_path"), Some(&Value::Null));
    for (key, unit, absent) in [("temp", "°C", "--"), ("power", " W", "--"), ("fan_rpm", " RPM", "No fan?")]
    {
        let value = sent[key].as_str().unwrap_or_default();
        assert!(value == absent || value.ends_with(unit), "{key}: {value}");
    }
    for key in ["file_systems", "expected_activity", "cameras"] {
        assert!(sent.get(key).is_none(), "{key}: {sent}");
    }
    for key in ["percent", "used_gb", "total_gb", "free_gb", "formatted"] {
        assert!(sent["disk"].get(key).is_some(), "disk.{key}: {sent}");
    }
    for key in ["ethernet", "wifi", "4g", "gps", "ip_addresses", "active_connections"] {
        assert!(sent["connection"].get(key).is_some(), "connection.{key}: {sent}");
    }
}

#[test]
fn a_recording_is_shown_with_its_path_and_size() {
    let server = Server::always(Reply::ok());
    let setup = Setup::new().to(&server.url("/"));
    let recording = setup.scratch().path().join("rec");
    std::fs::create_dir(&recording).expect("a directory");
    let file = recording.join("1763750000.mp4");
    std::fs::write(&file, vec![0; 2_500_000]).expect("a recording");
    let pidfile = setup.scratch().file("recording.pid", &format!("{}\n", std::process::id()));
    let _daemon = setup
        .toml("activity.recording", &format!("{{ pidfile = {pidfile:?} }}"))
        .key("activity.recording_dir", recording.to_str().expect("UTF-8"))
        .start();
    let sent = server.request().json();
    assert_eq!(sent["recording_active"], true);
    assert_eq!(sent["recording_file_path"].as_str(), file.to_str());
    assert_eq!(sent["recording_file_size_mb"].as_f64(), Some(2.5));
    assert_eq!(sent["streaming_active"], Value::Null, "unknown is not false");
}

#[test]
fn the_meeting_format_speaks_the_meeting_api() {
    let server = Server::always(Reply::ok());
    let _daemon = Setup::new()
        .to(&server.url("/base"))
        .key("heartbeat.format", "meeting")
        .key("heartbeat.device_key", "KEY-1")
        .key("heartbeat.note", "in the barn")
        .token("code-1")
        .start();
    let request = server.request();
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", "/base/api/devices/KEY-1/online")
    );
    assert_eq!(request.header("x-token-code"), Some("code-1"));
    assert_eq!(request.header("authorization"), None, "one token, one header");
    let sent = request.json();
    let expected = [
        "cpu_load",
        "disk_percent",
        "ip_address",
        "ip_addresses",
        "ip_lan",
        "mac",
        "memory_percent",
        "note",
        "temperature",
        "timestamp",
        "uptime",
    ];
    assert_eq!(keys(&sent), BTreeSet::from(expected));
    assert_eq!(sent["note"], "in the barn");
    assert!(sent["cpu_load"].is_number() && sent["memory_percent"].is_number(), "{sent}");
    assert_eq!(shape(&sent["timestamp"])[..19], *"0000-00-00T00:00:00", "ISO 8601: {sent}");
    let uptime = sent["uptime"].as_str().expect("text");
    let (hours, minutes) = uptime.split_once("h ").expect("\"2h 3m\"");
    assert!(hours.parse::<u64>().is_ok() && minutes.ends_with('m'), "{uptime}");
    assert!(sent["ip_addresses"].is_object(), "{sent}");
}

#[test]
fn the_originals_api_url_may_end_in_api() {
    for (base, target) in [("/api", "/api/devices/K/online"), ("/base/api/", "/base/api/devices/K/online")] {
        let server = Server::always(Reply::ok());
        let _daemon = Setup::new()
            .to(&server.url(base))
            .key("heartbeat.format", "meeting")
            .key("heartbeat.device_key", "K")
            .start();
        assert_eq!(server.request().target, target);
    }
}

/// The text with each digit as 0.
fn shape(text: &Value) -> String {
    let text = text.as_str().unwrap_or_else(|| panic!("text: {text}"));
    text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}

#[test]
fn the_legacy_form_carries_the_heartbeat_in_the_query() {
    let request = first_request(|setup| setup.key("heartbeat.method", "GET").token("a-token"));
    assert_eq!((request.method.as_str(), request.body.len()), ("GET", 0));
    assert_eq!(request.header("authorization"), Some("Bearer a-token"));
    let encoded = request.target.strip_prefix("/heartbeat.php?params=").expect("one parameter");
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.~%+!*'()".contains(c);
    assert!(encoded.chars().all(allowed), "url-encoded: {encoded}");
    let sent: Value = serde_json::from_slice(&decoded(encoded)).expect("JSON");
    let heartbeat: wire::Heartbeat = serde_json::from_value(sent).expect("a heartbeat");
    assert_eq!(heartbeat.reason, wire::Reason::Startup);
}

#[test]
fn the_legacy_form_keeps_the_query_of_the_url() {
    let server = Server::always(Reply::ok());
    let _daemon = Setup::new()
        .to(&server.url("/heartbeat.php?token=abc"))
        .key("heartbeat.method", "GET")
        .key("heartbeat.format", "streamer")
        .start();
    let target = server.request().target;
    assert!(target.starts_with("/heartbeat.php?token=abc&params=%7B"), "{target}");
}

fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next(), bytes.next()].map(|digit| digit.expect("two digits") as char);
                u8::from_str_radix(&String::from_iter(digits), 16).expect("hexadecimal")
            }
            b'+' => b' ',
            other => other,
        });
    }
    decoded
}

#[test]
fn the_environment_names_of_the_originals_win_over_the_file() {
    let (file, environment) = (Server::always(Reply::ok()), Server::always(Reply::ok()));
    let setup = Setup::new().to(&file.url("/")).interval("60s");
    let pidfile = setup.scratch().path().join("other.pid").to_str().expect("UTF-8").to_owned();
    let daemon = setup
        .env("HEARTBEAT_URL", &environment.url("/original"))
        .env("HEARTBEAT_INTERVAL", "1")
        .env("REQUEST_TIMEOUT", "0.5")
        .env("PIDFILE", &pidfile)
        .start();
    let requests = environment.requests(3);
    assert_eq!(requests[0].target, "/original");
    assert_eq!(requests[0].json()["interval_s"], 1.0);
    assert_eq!(file.connections(), 0);
    let text = std::fs::read_to_string(pidfile).expect("a pid file");
    assert_eq!(text.trim(), daemon.pid().to_string());
}
