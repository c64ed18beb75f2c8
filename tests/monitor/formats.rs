//! The clients that were there before: RPI Streamer, the Meeting API's, LunaSentri's agent. Each as it sends, with
//! nothing changed but URL and token.

use crate::rig::{WebhookReceiver, becomes, text};
use crate::support::eventually;
use crate::support::monitor::{Monitor, Plan, bearer};
use serde_json::{Value, json};

/// What RPI Streamer sends, with its units and with what it could not read.
const STREAMER: &str = r#"{"hostname": "pi-barn", "cpu": "12%", "mem": "41%", "temp": "48.8°C", "power": "2.45 W",
    "fan": "3038 RPM", "load": [0.4, 0.3, 0.2], "signal": "--", "stream": "running"}"#;

/// What the monitor made of the latest figures of machine 1.
fn newest(monitor: &Monitor, reader: &str) -> Value {
    let history = monitor.get_as(reader, "/api/v1/machines/1/history?step=60").json();
    history["points"].as_array().and_then(|points| points.last()).cloned().unwrap_or_default()
}

fn latest(monitor: &Monitor, reader: &str) -> Value {
    monitor.get_as(reader, "/api/v1/machines/1").json()["latest"].clone()
}

#[test]
fn rpi_streamers_post_is_parsed_with_units_and_unknown_fields_are_kept() {
    let monitor = Plan::new().start();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    let answer = monitor.post("/cams/heartbeat.php", &[bearer(&token)], STREAMER.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["interval_s"], json!(5), "{answer:?}");
    becomes(&monitor, &reader, 1, "online");
    let kept = latest(&monitor, &reader);
    assert_eq!((text(&kept["stream"]), text(&kept["temp"])), ("running", "48.8°C"), "{kept}");
    eventually("the figures are in the history", || newest(&monitor, &reader)["temp"].is_number());
    let point = newest(&monitor, &reader);
    // In steps of 0.5.
    assert_eq!(point["temp"], json!(49.0), "{point}");
    assert_eq!((&point["cpu"], &point["power"], &point["load"]), (&json!(12.0), &json!(2.45), &json!(0.4)));
    assert!(point["signal"].is_null() && point["disk"].is_null(), "absent is never zero: {point}");
}

#[test]
fn rpi_streamers_get_is_parsed_with_the_token_in_its_url() {
    let monitor = Plan::new().start();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    let encoded = "%7B%22cpu%22%3A+%2212%25%22%2C+%22temp%22%3A%2248.8%C2%B0C%22%7D";
    for (query, status) in [
        (format!("params={encoded}"), 401),
        (format!("params={encoded}&token={token}x"), 401),
        (format!("token={token}"), 400),
        (format!("params=%7B&token={token}"), 400),
        (format!("params={encoded}&token={token}"), 200),
        (format!("token={token}&params={encoded}"), 200),
    ] {
        let answer = monitor.get(&format!("/heartbeat.php?{query}"));
        assert_eq!(answer.status, status, "{query}: {answer:?}");
        if status == 200 {
            becomes(&monitor, &reader, 1, "online");
        } else {
            assert!(latest(&monitor, &reader).is_null(), "{query}");
        }
    }
    assert_eq!(latest(&monitor, &reader), json!({"cpu": "12%", "temp": "48.8°C"}));
}

#[test]
fn a_meeting_api_client_finds_its_device_by_its_key() {
    let plan = Plan::new();
    let token = plan.token(&["machine", "add", "barn", "--device-key", "cam-7"]);
    let monitor = plan.start();
    let code = [("X-Token-Code", token)];
    let device = |path: &str| monitor.request("GET", path, &code, b"");
    let before = device("/api/devices/cam-7").json();
    assert_eq!((text(&before["device_key"]), &before["online"]), ("cam-7", &json!(false)), "{before}");
    assert!(before["last_seen"].is_null() && before["ip_address"].is_null(), "{before}");
    let body = br#"{"ip_address": "192.168.1.5", "ip_lan": "192.168.1.5", "mac": "B8:27:EB:00:00:01", "note": "barn",
                    "ip_addresses": {"eth0": "192.168.1.5"}}"#;
    // The original's api_url ends in "/api", and some of its clients add another one.
    assert_eq!(monitor.request("POST", "/api/api/devices/cam-7/online", &code, body).status, 200);
    eventually("it is online", || device("/api/devices/cam-7").json()["online"] == true);
    let after = device("/api/devices/cam-7").json();
    assert_eq!((text(&after["status"]), text(&after["mac"])), ("available", "B8:27:EB:00:00:01"), "{after}");
    assert_eq!(text(&after["last_seen"]).len(), 19, "{after}");
    let refused = monitor.request("GET", "/api/devices/cam-7", &[], b"");
    assert_eq!(refused.status, 401);
    assert!(refused.body.contains("X-Token-Code"), "{refused:?}");
    assert_eq!(device("/api/devices/cam-8").status, 401, "another device's");
}

#[test]
fn a_meeting_api_client_is_available_until_it_falls_silent() {
    let plan = Plan::new();
    let webhook = WebhookReceiver::of(&plan);
    let token = plan.token(&["machine", "add", "barn", "--device-key", "cam-7"]);
    let other = plan.token(&["machine", "add", "gate", "--device-key", "cam-8"]);
    let monitor = plan.start();
    let code = |token: &str| [("X-Token-Code", token.to_owned())];
    let availability = || {
        let answer = monitor.request("GET", "/api/devices/cam-7/availability", &code(&token), b"");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    assert_eq!(availability(), json!({"status": "unavailable", "last_heartbeat": null}));

    let body = br#"{"cpu_load": 0.42, "memory_percent": 40.1, "disk_percent": 31, "temperature": 48.8}"#;
    for (path, headers, status) in [
        ("/api/devices/cam-7/online", vec![], 401),
        ("/api/devices/cam-7/online", code("nonsense").to_vec(), 401),
        ("/api/devices/cam-7/online", code(&other).to_vec(), 401),
        ("/api/devices/cam-9/online", code(&token).to_vec(), 401),
        ("/api/devices/cam-7/availability", code(&token).to_vec(), 405),
        ("/api/devices/cam-7/offline", code(&token).to_vec(), 404),
    ] {
        let answer = monitor.post(path, &headers, body);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
    assert_eq!(monitor.request("GET", "/api/devices/cam-7/availability", &code(&other), b"").status, 401);
    assert_eq!(availability()["status"], "unavailable", "none of that was a sign of life");

    let answer = monitor.post("/api/devices/cam-7/online", &code(&token), body);
    assert_eq!((answer.status, answer.json()), (200, json!({"status": "available"})));
    eventually("it is available", || availability()["status"] == "available");
    let seen = availability();
    let seen = text(&seen["last_heartbeat"]);
    assert!(seen.len() == 19 && seen.as_bytes()[10] == b' ', "as its own server writes it: {seen}");
    webhook.says("machine.offline", "barn");
    let away = availability();
    assert_eq!((text(&away["status"]), text(&away["last_heartbeat"])), ("unavailable", seen));
}

#[test]
fn lunasentris_agent_is_answered_as_by_its_own_server() {
    let monitor = Plan::new().start();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    let body =
        br#"{"timestamp": "2026-01-21T14:30:00Z", "cpu_pct": 12.5, "mem_used_pct": 40.5, "disk_used_pct": 31,
        "net_rx_bytes": 1024, "system_info": {"hostname": "web-1", "platform": "debian"}}"#;
    for key in ["", "nonsense"] {
        let answer = monitor.post("/agent/metrics", &[("X-API-Key", key.to_owned())], body);
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    let answer = monitor.post("/agent/metrics", &[("X-API-Key", token)], body);
    assert_eq!((answer.status, answer.body.as_str()), (202, ""));
    becomes(&monitor, &reader, 1, "online");
    assert_eq!(latest(&monitor, &reader)["net_rx_bytes"], json!(1024));
    eventually("the figures are in the history", || newest(&monitor, &reader)["cpu"] == json!(12.5));
    let point = newest(&monitor, &reader);
    assert_eq!((&point["mem"], &point["disk"]), (&json!(40.5), &json!(31.0)), "{point}");
}
