//! Topics and payloads of a machine with everything, of one with nothing, and of hostile names.

use super::*;
use crate::monitor::config::MqttSecurity;
use std::collections::BTreeSet;

fn config(topic: &str, discovery: Option<&str>) -> MqttConfig {
    MqttConfig {
        host: "broker".into(),
        port: 1883,
        security: MqttSecurity::None,
        login: None,
        ca_file: None,
        topic: topic.into(),
        discovery: discovery.map(str::to_owned),
    }
}

fn names() -> TopicNames {
    TopicNames::new(&config("barn/heart", Some("homeassistant")), Some("https://heart.example/".into()))
}

fn machine(name: &str) -> MachineReport {
    let camera = |mac: &str, name: &str, is_connected| CameraReport {
        mac: Mac::parse(mac).expect("a MAC address"),
        name: name.into(),
        is_connected,
    };
    MachineReport {
        id: MachineId(7),
        name: name.into(),
        status: MachineStatus::Online,
        is_watched: true,
        temp: Some(48.75),
        uplink: Some("wlan0".into()),
        under_voltage: Some(false),
        cameras: vec![
            camera("AA:BB:CC:DD:EE:01", "gate", Some(true)),
            camera("aa:bb:cc:dd:ee:02", "yard", None),
        ],
    }
}

fn nothing() -> MachineReport {
    MachineReport {
        status: MachineStatus::New,
        temp: None,
        uplink: None,
        under_voltage: None,
        cameras: Vec::new(),
        ..machine("new")
    }
}

fn messages(machine: &MachineReport, names: &TopicNames, status: &str) -> Vec<MachineMessage> {
    let mut all = configurations(machine, names, status);
    all.extend([state_message(machine, names), numbers_message(machine, names)]);
    all
}

fn is_configuration(one: &MachineMessage) -> bool {
    one.message.topic.ends_with("/config")
}

fn payload(all: &[MachineMessage], topic: &str) -> Value {
    let found =
        all.iter().find(|one| one.message.topic == topic).unwrap_or_else(|| panic!("{topic}: {all:?}"));
    serde_json::from_str(&found.message.payload).expect("JSON")
}

#[test]
fn a_machine_is_a_device_with_its_state_and_an_entity_for_each_known_value() {
    let all = messages(&machine("barn-cam"), &names(), "barn/heart/status");
    let state = payload(&all, "barn/heart/7/state");
    let expected = json!({
        "name": "barn-cam", "status": "online", "uplink": "wlan0", "under_voltage": "OFF",
        "cameras": { "aabbccddee01": "ON", "aabbccddee02": null }
    });
    assert_eq!(state, expected);
    assert_eq!(payload(&all, "barn/heart/7/numbers"), json!({ "temperature": 48.8 }));
    let place = "homeassistant/binary_sensor/barn_heart_7";
    let camera = payload(&all, &format!("{place}/camera_aabbccddee01/config"));
    assert_eq!(camera["name"], "Camera gate");
    assert_eq!(camera["value_template"], "{{ value_json.get('cameras', {}).get('aabbccddee01') }}");
    assert_eq!(camera["availability"].as_array().map(Vec::len), Some(2));
    let temp = payload(&all, "homeassistant/sensor/barn_heart_7/temperature/config");
    assert_eq!(temp["state_topic"], "barn/heart/7/numbers");
    assert_eq!((&temp["unit_of_measurement"], &temp["device_class"]), (&json!("°C"), &json!("temperature")));
    let device = json!({
        "identifiers": ["barn_heart_7"], "name": "barn-cam",
        "configuration_url": "https://heart.example/machines/7"
    });
    let online = payload(&all, &format!("{place}/online/config"));
    assert_eq!((&temp["device"], &online["device"]), (&device, &device), "one device");
    assert_eq!(online["availability"], json!([{ "topic": "barn/heart/status" }]), "also while it is offline");
    let ids: BTreeSet<String> = all
        .iter()
        .filter(|one| is_configuration(one))
        .map(|one| payload(&all, &one.message.topic)["unique_id"].to_string())
        .collect();
    assert_eq!(ids.len(), 6, "{ids:?}");
    assert!(all.iter().all(|one| one.message.is_acknowledged != one.message.topic.ends_with("/numbers")));
}

#[test]
fn what_is_unknown_has_no_entity_and_is_null_and_never_zero() {
    let all = messages(&nothing(), &names(), "s");
    assert_eq!(all.iter().filter(|one| is_configuration(one)).count(), 1, "{all:?}");
    assert_eq!(payload(&all, "barn/heart/7/numbers"), json!({ "temperature": null }));
    assert_eq!(payload(&all, "barn/heart/7/state")["under_voltage"], Value::Null);
    let disabled = MachineReport { is_watched: false, ..nothing() };
    assert_eq!(payload(&messages(&disabled, &names(), "s"), "barn/heart/7/state")["status"], "disabled");
}

#[test]
fn a_hostile_name_is_in_no_topic_and_in_no_template() {
    let name = "#/+/\"}} {{ states }} \u{1f4a9}";
    let mut hostile = machine(name);
    hostile.cameras[0].name = name.into();
    let all = messages(&hostile, &names(), "s");
    for one in &all {
        assert!(one.message.topic.is_ascii() && !one.message.topic.contains(['#', '+', ' ']), "{one:?}");
        let config: Value = serde_json::from_str(&one.message.payload).expect("JSON");
        assert!(!config["value_template"].to_string().contains("states"), "{config}");
    }
}

#[test]
fn topics_of_other_settings_are_recognised() {
    let names = names();
    for one in messages(&machine("m"), &names, "s") {
        assert!(names.has(&one.message.topic), "{one:?}");
    }
    for other in ["heart/7/state", "barn/heartless/7/state", "ha/sensor/barn_heart_7/uplink/config", ""] {
        assert!(!names.has(other), "{other}");
    }
    let without = TopicNames::new(&config("barn/heart", None), None);
    assert!(!without.has("homeassistant/sensor/barn_heart_7/uplink/config"));
    assert!(messages(&machine("m"), &without, "s").iter().all(|one| !is_configuration(one)));
}
