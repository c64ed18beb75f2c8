//! Incidents and conditions in the API and in the metrics.

use crate::support::eventually;
use crate::support::monitor::{Monitor, Plan, bearer};
use heartbeat_daemon::monitor::conditions::catalogue::CATALOGUE;
use heartbeat_daemon::wire;
use serde_json::{Value, json};

const GATE: &str = "b8:27:eb:12:34:56";

/// A heartbeat with this fill of the disk and one camera.
fn beat(monitor: &Monitor, token: &str, disk: u32, camera: &str) {
    let mut heartbeat: Value = serde_json::from_str(wire::SAMPLE).expect("JSON");
    heartbeat["disk"]["percent"] = disk.into();
    // The same camera twice: a program that is not ours may do that.
    let camera = json!({"mac": GATE, "hostname": "gate", "status": camera, "failed_checks": 0});
    heartbeat["cameras"] = json!([camera, camera]);
    let status = monitor.post("/api/v1/heartbeat", &[bearer(token)], heartbeat.to_string().as_bytes()).status;
    assert_eq!(status, 200);
}

fn items(monitor: &Monitor, reader: &str, path: &str) -> Vec<Value> {
    let page = monitor.get_as(reader, path).json();
    page["items"].as_array().unwrap_or_else(|| panic!("{path}: {page}")).clone()
}

/// The open incident of a disk.
fn disk_incident(monitor: &Monitor, reader: &str) -> Option<Value> {
    let open = items(monitor, reader, "/api/v1/incidents?open=1");
    open.into_iter().find(|incident| incident["kind"] == "disk")
}

/// The value of a sample, as text.
fn sample(monitor: &Monitor, path: &str, sample: &str) -> Option<String> {
    let answer = monitor.get(path);
    assert_eq!(answer.status, 200, "{answer:?}");
    let values: Vec<_> =
        answer.body.lines().filter_map(|line| line.strip_prefix(&format!("{sample} "))).collect();
    assert!(values.len() <= 1, "{sample}: {values:?}");
    values.first().map(|value| (*value).to_owned())
}

/// A monitor with the machines barn and gate, of which barn has an open incident of its disk.
fn monitor_with_incident(threshold: &str) -> (Monitor, String, String) {
    let plan = Plan::new().key("detection.offline_threshold", threshold);
    let barn = plan.token(&["machine", "add", "barn"]);
    plan.token(&["machine", "add", "gate"]);
    let monitor = plan.start();
    let reader = monitor.reader();
    eventually("the disk is fine", || {
        beat(&monitor, &barn, 50, "connected");
        sample(&monitor, "/metrics/machines", "heartbeat_machine_online{machine=\"barn\"}").as_deref()
            == Some("1")
    });
    eventually("the disk is an incident", || {
        beat(&monitor, &barn, 95, "connected");
        disk_incident(&monitor, &reader).is_some()
    });
    (monitor, barn, reader)
}

#[test]
fn an_open_incident_is_listed_counted_and_an_event() {
    let (monitor, barn, reader) = monitor_with_incident("60s");
    let incident = disk_incident(&monitor, &reader).expect("it is open");
    let fields =
        ["machine_id", "machine", "kind", "topic", "subject", "label", "value", "threshold", "ended_at"];
    assert_eq!(
        fields.map(|field| incident[field].clone()),
        [
            1.into(),
            "barn".into(),
            "disk".into(),
            "disk".into(),
            "".into(),
            Value::Null,
            95.0.into(),
            90.0.into(),
            Value::Null
        ],
        "{incident}"
    );
    let flags = ["planned", "announced", "existing"].map(|field| incident[field].as_bool());
    assert_eq!(flags, [Some(false), Some(true), Some(false)]);
    assert!(incident["since"].is_string() && incident["began_at"].is_string());
    assert!(items(&monitor, &reader, "/api/v1/incidents?machine=2").is_empty());
    assert!(items(&monitor, &reader, "/api/v1/incidents?open=0").is_empty());
    let id = incident["id"].as_i64().expect("an id");
    assert!(items(&monitor, &reader, &format!("/api/v1/incidents?open=1&after={id}")).is_empty());
    // The sample is on a standby uplink, which held at the first heartbeat.
    let older = items(&monitor, &reader, &format!("/api/v1/incidents?open=1&before={id}"));
    let flags = |incident: &Value| (incident["announced"] == true, incident["existing"] == true);
    assert!(!older.is_empty() && older.iter().all(|older| flags(older) == (false, true)), "{older:?}");
    assert!(older.iter().all(|older| older["id"].as_i64() < Some(id)), "{older:?}");
    let open =
        |kind: &str| sample(&monitor, "/metrics", &format!("heartbeat_incident_open{{kind=\"{kind}\"}}"));
    assert_eq!(open("disk").as_deref(), Some("1"));
    for kind in ["offline", "camera", "wifi"] {
        assert_eq!(open(kind).as_deref(), Some("0"), "{kind}");
    }
    let events = items(&monitor, &reader, "/api/v1/events?machine=1");
    let event = events.iter().find(|event| event["kind"] == "condition").expect("an event");
    let detail = json!({"condition": "disk", "subject": "", "label": null, "value": 95, "threshold": 90});
    assert_eq!(event["detail"], detail);
    monitor.plan().says(&["condition", "off", "disk"]);
    eventually("it has ended", || {
        beat(&monitor, &barn, 95, "connected");
        disk_incident(&monitor, &reader).is_none()
    });
    let ended = items(&monitor, &reader, "/api/v1/incidents?open=0").remove(0);
    assert_eq!(ended["id"], incident["id"]);
    assert!(ended["ended_at"].is_string(), "{ended}");
}

#[test]
fn the_catalogue_is_what_the_code_has() {
    let monitor = Plan::new().start();
    let listed = items(&monitor, &monitor.reader(), "/api/v1/conditions");
    assert_eq!(listed.len(), CATALOGUE.len());
    for (listed, entry) in listed.iter().zip(&CATALOGUE) {
        assert_eq!(listed["name"], entry.name);
        assert_eq!(listed["topic"], entry.topic.name());
        assert_eq!(listed["hold_s"], entry.hold.as_secs());
        let threshold = entry.limit.map(|limit| f64::from(limit.threshold));
        assert_eq!(listed["limit"]["threshold"].as_f64(), threshold, "{}", entry.name);
    }
}

#[test]
fn each_machine_and_camera_has_metrics_while_the_machine_is_online() {
    let (monitor, barn, _) = monitor_with_incident("5s");
    let of = |name: &str| sample(&monitor, "/metrics/machines", name);
    let camera = format!("heartbeat_camera_up{{machine=\"barn\",camera=\"{GATE}\",hostname=\"gate\"}}");
    beat(&monitor, &barn, 95, "disconnected");
    assert_eq!(of(&camera).as_deref(), Some("0"));
    beat(&monitor, &barn, 95, "connected");
    assert_eq!(of(&camera).as_deref(), Some("1"));
    assert_eq!(of("heartbeat_machine_disk_usage_ratio{machine=\"barn\"}").as_deref(), Some("0.95"));
    assert_eq!(of("heartbeat_machine_temperature_celsius{machine=\"barn\"}").as_deref(), Some("48.8"));
    assert_eq!(of("heartbeat_machine_online{machine=\"gate\"}").as_deref(), Some("0"));
    assert_eq!(of("heartbeat_machine_last_seen_age_seconds{machine=\"gate\"}"), None, "it never sent");
    eventually("barn is offline", || {
        of("heartbeat_machine_online{machine=\"barn\"}").as_deref() == Some("0")
    });
    assert_eq!(of(&camera), None);
    assert_eq!(of("heartbeat_machine_temperature_celsius{machine=\"barn\"}"), None);
    let age =
        of("heartbeat_machine_last_seen_age_seconds{machine=\"barn\"}").and_then(|age| age.parse().ok());
    assert!(age.is_some_and(|age: f64| age > 1.0), "{age:?}");
}

#[test]
fn metrics_of_machines_are_off_in_fleets_that_are_larger_than_configured() {
    let plan = Plan::new().toml("metrics.machines", "1");
    plan.token(&["machine", "add", "barn"]);
    let monitor = plan.start();
    assert_eq!(monitor.get("/metrics/machines").status, 200);
    monitor.machine("gate");
    eventually("there are two machines", || monitor.get("/metrics/machines").status == 404);
    let sentence = monitor.get("/metrics/machines").json();
    assert_eq!(sentence["error"], "there are more machines than [metrics] machines allows");
    assert_eq!(monitor.get("/metrics").status, 200);
}
