//! `/metrics` as Prometheus wants it, by promtool where there is one and by its rules in any case; the alert rules.

use super::client::{get, post};
use crate::support::daemon::Setup;
use crate::support::eventually;
use crate::support::server::{Reply, Server};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// With as many families as this machine has.
fn metrics() -> String {
    let server = Server::always(Reply::ok());
    let daemon = Setup::new().to(&server.url("/")).start();
    server.requests(2);
    let camera = json!({"mac_address": "aa:bb:cc:dd:ee:01", "ip_address": "127.0.0.1", "hostname": "gate"});
    post("/api/dhcp/cameras").json(&camera).to(&daemon);
    eventually("the camera is there", || get("/metrics").to(&daemon).body.contains("hostname=\"gate\""));
    let answer = get("/metrics").to(&daemon);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    answer.body
}

#[test]
fn each_family_has_its_help_its_type_and_a_name_by_the_rules() {
    let text = metrics();
    let mut types = BTreeMap::new();
    let mut current = "";
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            assert!(!types.contains_key(name), "{name} stands there twice");
            assert!(help.ends_with('.'), "{line}");
            current = name;
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            assert_eq!(name, current, "TYPE follows HELP");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            types.insert(name, kind);
        } else {
            let name = line.split(['{', ' ']).next().expect("a name");
            assert_eq!(name, current, "a sample stands with its family: {line}");
            let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
            assert!(value.is_some_and(f64::is_finite), "{line}");
        }
    }
    for name in [
        "heartbeat_sent_total",
        "heartbeat_last_success_age_seconds",
        "heartbeat_memory_usage_ratio",
        "heartbeat_camera_connected",
        "heartbeat_http_requests_total",
    ] {
        assert!(types.contains_key(name), "{name}: {text}");
    }
    assert!(text.contains("heartbeat_sent_total{reason=\"startup\",outcome=\"accepted\"} 1\n"), "{text}");
}

#[test]
fn promtool_has_no_complaints() {
    let tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut tool) = tool else {
        return crate::support::skip_without("promtool; the rules above hold");
    };
    tool.stdin.take().expect("piped").write_all(metrics().as_bytes()).expect("it reads");
    let ended = tool.wait_with_output().expect("it ends");
    assert!(ended.status.success() && ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn the_alert_rules_are_right_and_fire_when_they_should() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/prometheus");
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]] {
        let tool = Command::new("promtool").args(arguments).current_dir(&folder).output();
        let Ok(ended) = tool else {
            return crate::support::skip_without("promtool");
        };
        assert!(
            ended.status.success(),
            "{}",
            String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat())
        );
    }
}

#[test]
fn the_size_of_the_disk_is_exact() {
    let root = rustix::fs::statvfs("/").expect("it is mounted");
    let line = format!("heartbeat_disk_size_bytes {}\n", root.f_blocks * root.f_frsize);
    let text = metrics();
    assert!(text.contains(&line), "{line}{text}");
}
