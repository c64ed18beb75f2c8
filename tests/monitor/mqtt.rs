//! States of machines over MQTT: with a real mosquitto, and with brokers that talk nonsense, hang or reset.

use crate::broker::{Broker, PASSWORD, USER};
use crate::https::renew;
use crate::rig::{WebhookReceiver, becomes};
use crate::support::eventually;
use crate::support::https::Authority;
use crate::support::monitor::{Monitor, Plan, bearer};
use crate::support::server::{Reply, Server};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const HEARTBEAT: &str = r#"{"temp": 48.8, "connection": {"active": "wlan0"},
    "throttled": {"now": ["under_voltage"], "since_boot": []},
    "cameras": [{"mac": "aa:bb:cc:dd:ee:01", "hostname": "gate", "status": "connected"}]}"#;

fn publishing(plan: Plan, port: u16) -> Plan {
    plan.key("mqtt.host", "127.0.0.1").toml("mqtt.port", &port.to_string()).key("mqtt.security", "none")
}

fn beat(monitor: &Monitor, token: &str, body: &str) {
    assert_eq!(monitor.post("/api/v1/heartbeat", &[bearer(token)], body.as_bytes()).status, 200);
}

fn json(retained: &BTreeMap<String, String>, topic: &str) -> Value {
    retained.get(topic).map_or(Value::Null, |payload| serde_json::from_str(payload).expect("JSON"))
}

fn discovered(retained: &BTreeMap<String, String>) -> Vec<&str> {
    retained.keys().filter(|topic| topic.starts_with("homeassistant/")).map(String::as_str).collect()
}

/// The value of a metric of the connection; `None`: it is absent.
fn metric(monitor: &Monitor, name: &str) -> Option<f64> {
    let body = monitor.get("/metrics").body;
    let value =
        body.lines().find_map(|line| line.strip_prefix(&format!("heartbeat_monitor_mqtt_{name} ")))?;
    value.parse().ok()
}

fn health(monitor: &Monitor) -> Value {
    monitor.get("/healthz").json()["mqtt"].clone()
}

#[test]
fn without_a_broker_there_are_no_metrics_of_one() {
    let monitor = Plan::new().start();
    assert!(!monitor.get("/metrics").body.contains("mqtt"));
    assert_eq!(monitor.get("/healthz").json(), serde_json::json!({ "status": "ok" }));
}

#[test]
fn machines_are_devices_with_states_and_removed_ones_are_cleared() {
    let Some(broker) = Broker::start() else { return };
    let monitor =
        publishing(Plan::new().toml("detection.offline_threshold", "\"5s\""), broker.port()).start();
    let (barn, gate) = (monitor.machine("barn-cam"), monitor.machine("gate"));
    beat(&monitor, &gate, "{}");
    broker.eventually("the machine with all of its entities", |retained| {
        beat(&monitor, &barn, HEARTBEAT);
        let state = json(retained, "heartbeat/1/state");
        state["status"] == "online" && discovered(retained).len() == 6 && retained.len() == 11
    });
    let retained = broker.retained();
    let state = json(&retained, "heartbeat/1/state");
    assert_eq!((&state["uplink"], &state["under_voltage"]), (&"wlan0".into(), &"ON".into()));
    assert_eq!(state["cameras"]["aabbccddee01"], "ON");
    assert_eq!(retained["heartbeat/status"], "online");
    let device = json(&retained, "homeassistant/sensor/heartbeat_1/temperature/config")["device"].clone();
    assert_eq!(device["name"], "barn-cam");

    broker.eventually("silence is published", |retained| {
        json(retained, "heartbeat/1/state")["status"] == "offline"
    });
    let entities = discovered(&broker.retained()).len();
    assert_eq!(entities, 6, "an offline machine keeps its entities");
    // Removed while the monitor is down: cleared at the next start.
    let plan = monitor.kill();
    broker.eventually("the last will", |retained| retained["heartbeat/status"] == "offline");
    plan.says(&["machine", "remove", "barn-cam"]);
    let monitor = plan.start();
    broker.eventually("the topics of the removed machine are cleared", |retained| {
        retained.len() == 4 && retained.keys().all(|topic| !topic.contains("/1/") && !topic.contains("_1/"))
    });
    drop(monitor);
}

#[test]
fn a_broker_that_forgets_everything_gets_everything_again_and_a_stop_says_offline() {
    let Some(mut broker) = Broker::start() else { return };
    let mut monitor = publishing(Plan::new(), broker.port()).start();
    let token = monitor.machine("barn");
    beat(&monitor, &token, HEARTBEAT);
    broker.eventually("it is published", |retained| retained.contains_key("heartbeat/1/state"));
    assert_eq!((metric(&monitor, "connected"), health(&monitor)), (Some(1.0), "connected".into()));
    // Counted when the broker has acknowledged them.
    eventually("it is counted", || metric(&monitor, "published_total") >= Some(7.0));
    let published = metric(&monitor, "published_total");
    broker.stop();
    monitor.wait_for_line("of the failure", |line| line.contains("mqtt: 127.0.0.1: "));
    assert_eq!((metric(&monitor, "connected"), health(&monitor)), (Some(0.0), "disconnected".into()));
    assert_eq!(metric(&monitor, "connections_total{outcome=\"lost\"}"), Some(1.0));
    beat(&monitor, &token, HEARTBEAT);
    broker.restart();
    broker.eventually("it is published again", |retained| {
        retained.contains_key("heartbeat/1/state")
            && retained.get("heartbeat/status").is_some_and(|s| s == "online")
    });
    monitor.wait_for_line("of the end", |line| line.ends_with("mqtt: 127.0.0.1 works again"));
    assert_eq!(metric(&monitor, "connections_total{outcome=\"opened\"}"), Some(2.0));
    eventually("that is counted", || metric(&monitor, "published_total") > published);
    // Another topic by a reload: the old ones are cleared.
    monitor.reconfigure("mqtt.topic", "\"farm/heart\"");
    monitor.signal(rustix::process::Signal::HUP);
    broker.eventually("the topics have moved", |retained| {
        let old = |topic: &String| topic.starts_with("heartbeat/1") || topic.contains("/heartbeat_1/");
        retained.contains_key("farm/heart/1/state") && !retained.keys().any(old)
    });
    monitor.signal(rustix::process::Signal::TERM);
    let (_, took) = monitor.wait_for_end(Duration::from_secs(10));
    assert!(took < Duration::from_secs(5), "{took:?}");
    broker.eventually("it is offline", |retained| retained["farm/heart/status"] == "offline");
}

#[test]
fn tls_and_a_password_are_used_and_a_wrong_password_is_named_once() {
    let authority = Authority::new();
    let broker = Broker::with(|scratch| {
        let (certificate, key) = renew(&authority, scratch.path());
        let passwords = scratch.path().join("passwords");
        let made = Command::new("mosquitto_passwd")
            .arg("-c")
            .arg("-b")
            .arg(&passwords)
            .args([USER, PASSWORD])
            .status();
        assert!(made.expect("mosquitto_passwd").success());
        format!("certfile {certificate}\nkeyfile {key}\npassword_file {}\n", passwords.display())
    });
    let Some(broker) = broker else { return };
    let plan = Plan::new();
    let ca = plan.scratch().file("ca.pem", &authority.pem);
    let password = plan.scratch().file("mqtt-password", "wrong-hunter3\n");
    let plan = publishing(plan, broker.port()).key("mqtt.security", "tls").key("mqtt.ca_file", &ca);
    let monitor = plan.key("mqtt.user", USER).key("mqtt.password_file", &password).start();
    let line = monitor.wait_for_line("of the refusal", |line| line.contains("mqtt: 127.0.0.1: the broker "));
    assert!(line.contains("check user, password") && !line.contains("hunter3"), "{line}");
    fs::write(&password, PASSWORD).expect("written");
    monitor.wait_for_line("of the success", |line| line.contains("mqtt: publishing to 127.0.0.1"));
    assert_eq!(monitor.log_lines("mqtt: 127.0.0.1: ").len(), 1);
}

/// Accepts connections and lets `serve` handle each; counts them.
fn hostile(serve: impl Fn(std::net::TcpStream) + Send + 'static) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let count = Arc::<AtomicUsize>::default();
    let counted = count.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::SeqCst);
            serve(stream);
        }
    });
    (port, count)
}

/// Heartbeats are answered and notifications delivered, whatever the broker does; and it is tried again.
fn assert_works_beside((port, connections): (u16, Arc<AtomicUsize>), problem: &str) {
    let plan = Plan::new();
    let webhook = WebhookReceiver::of(&plan);
    let mut monitor = publishing(plan, port).start();
    let (token, reader) = (monitor.machine("barn"), monitor.reader());
    let begin = Instant::now();
    beat(&monitor, &token, HEARTBEAT);
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    becomes(&monitor, &reader, 1, "online");
    webhook.says("machine.offline", "barn");
    let line = monitor.wait_for_line("of the broker", |line| line.contains("mqtt: 127.0.0.1: "));
    assert!(line.contains(problem), "{line}");
    eventually("it is tried again", || connections.load(Ordering::SeqCst) >= 2);
    assert_eq!(monitor.get("/healthz").status, 200);
    assert_eq!(monitor.log_lines("mqtt: ").len(), 1, "{:?}", monitor.log_lines("mqtt: "));
    monitor.signal(rustix::process::Signal::TERM);
    let (_, took) = monitor.wait_for_end(Duration::from_secs(10));
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_broker_that_talks_nonsense_delays_nothing() {
    let broker = hostile(|mut stream| {
        let _ = stream.write_all(&[0x30, 0xff, 0xff, 0xff, 0x7f].repeat(100_000));
    });
    assert_works_beside(broker, "the response is not MQTT 3.1.1");
}

#[test]
fn a_web_server_instead_of_a_broker_is_named() {
    let server = Server::always(Reply::ok());
    let monitor = publishing(Plan::new(), server.address().port()).start();
    let line = monitor.wait_for_line("of the broker", |line| line.contains("mqtt: 127.0.0.1: "));
    assert!(!line.contains("panic"), "{line}");
    assert_eq!(monitor.get("/healthz").status, 200);
}

#[test]
fn a_broker_that_resets_delays_nothing() {
    let broker = hostile(|mut stream| {
        let _ = stream.read(&mut [0]);
        let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    });
    assert_works_beside(broker, "onnection");
}

#[test]
fn a_broker_that_hangs_after_its_welcome_delays_nothing() {
    let held = std::sync::Mutex::new(Vec::new());
    let broker = hostile(move |mut stream| {
        let _ = stream.write_all(&[0x20, 2, 0, 0]);
        held.lock().expect("no panic").push(stream);
    });
    assert_works_beside(broker, "no response in time");
}

#[test]
fn a_broker_that_acknowledges_what_was_not_sent_is_left() {
    let broker = hostile(|mut stream| {
        let _ = stream.write_all(&[0x20, 2, 0, 0, 0x40, 2, 0x77, 0x77]);
        let _ = stream.read(&mut [0; 4096]);
    });
    assert_works_beside(broker, "acknowledged something that was not sent");
}
