//! What is published about a machine: its state, its numbers, and the configurations from which Home Assistant makes a
//! device with entities. Pure.
//!
//! Home Assistant deletes an entity, with everything that a person has set about it, when its configuration is cleared.
//! So a configuration is published once its value is known, and stays while the machine (or camera) exists.

use super::packet::RetainedMessage;
use crate::mac::Mac;
use crate::monitor::config::MqttConfig;
use crate::monitor::machine::{MachineId, MachineStatus};
use serde_json::{Map, Value, json};

/// The latest facts about a machine; `None` is unknown.
#[derive(Debug, Clone, PartialEq)]
pub struct MachineReport {
    pub id: MachineId,
    pub name: String,
    pub status: MachineStatus,
    pub is_watched: bool,
    pub temp: Option<f32>,
    pub uplink: Option<String>,
    pub under_voltage: Option<bool>,
    pub cameras: Vec<CameraReport>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraReport {
    pub mac: Mac,
    pub name: String,
    pub is_connected: Option<bool>,
}

/// A message and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineMessage {
    pub message: RetainedMessage,
    pub machine: MachineId,
    pub camera: Option<Mac>,
}

impl MachineMessage {
    fn new(machine: &MachineReport, topic: String, payload: &Value, is_acknowledged: bool) -> MachineMessage {
        let message = RetainedMessage { topic, payload: payload.to_string(), is_acknowledged };
        MachineMessage { message, machine: machine.id, camera: None }
    }
}

/// Names of topics and entities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicNames {
    topic: String,
    /// `None`: no discovery.
    discovery: Option<String>,
    /// `topic` as a part of a name.
    slug: String,
    /// Address of the pages, with a slash at its end.
    site: Option<String>,
}

impl TopicNames {
    pub fn new(config: &MqttConfig, site: Option<String>) -> TopicNames {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        TopicNames {
            topic: config.topic.clone(),
            discovery: config.discovery.clone(),
            slug: config.topic.chars().map(plain).collect(),
            site,
        }
    }

    /// Whether a topic belongs to these settings: those of earlier ones are cleared.
    pub fn has(&self, topic: &str) -> bool {
        let is_below = |place: &str| topic.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'));
        let node = format!("/{}_", self.slug);
        is_below(&self.topic)
            || self.discovery.as_ref().is_some_and(|discovery| is_below(discovery) && topic.contains(&node))
    }

    fn state(&self, machine: MachineId) -> String {
        format!("{}/{}/state", self.topic, machine.0)
    }

    fn numbers(&self, machine: MachineId) -> String {
        format!("{}/{}/numbers", self.topic, machine.0)
    }

    /// Name of the device, and begin of its entities' names.
    fn node(&self, machine: MachineId) -> String {
        format!("{}_{}", self.slug, machine.0)
    }
}

/// An entity as Home Assistant knows it.
struct Entity {
    /// `sensor` or `binary_sensor`.
    component: &'static str,
    object: String,
    name: String,
    /// Jinja, from the JSON of its topic.
    template: String,
    device_class: Option<&'static str>,
    is_number: bool,
    /// False: also known while the machine is offline.
    needs_machine: bool,
    camera: Option<Mac>,
}

impl Entity {
    fn state(component: &'static str, object: &str, name: &str, class: Option<&'static str>) -> Entity {
        Entity {
            component,
            object: object.into(),
            name: name.into(),
            // An absent value is "None", which Home Assistant shows as unknown.
            template: format!("{{{{ value_json.get('{object}') }}}}"),
            device_class: class,
            is_number: false,
            needs_machine: true,
            camera: None,
        }
    }

    fn camera(camera: &CameraReport) -> Entity {
        let mac = camera.mac.digits();
        Entity {
            template: format!("{{{{ value_json.get('cameras', {{}}).get('{mac}') }}}}"),
            camera: Some(camera.mac),
            ..Entity::state(
                "binary_sensor",
                &format!("camera_{mac}"),
                &format!("Camera {}", camera.name),
                Some("connectivity"),
            )
        }
    }
}

/// The entities whose values are known.
fn entities(machine: &MachineReport) -> Vec<Entity> {
    let online = Entity {
        template: "{{ {'online': 'ON', 'offline': 'OFF', 'stopped': 'OFF'}.get(value_json.status) }}".into(),
        needs_machine: false,
        ..Entity::state("binary_sensor", "online", "Online", Some("connectivity"))
    };
    let mut all = vec![online];
    if machine.temp.is_some() {
        let temp = Entity::state("sensor", "temperature", "Temperature", Some("temperature"));
        all.push(Entity { is_number: true, ..temp });
    }
    if machine.uplink.is_some() {
        all.push(Entity::state("sensor", "uplink", "Uplink", None));
    }
    if machine.under_voltage.is_some() {
        all.push(Entity::state("binary_sensor", "under_voltage", "Under-voltage", Some("problem")));
    }
    all.extend(machine.cameras.iter().map(Entity::camera));
    all
}

/// The state of a machine: published when it changes, with QoS 1.
pub fn state_message(machine: &MachineReport, names: &TopicNames) -> MachineMessage {
    MachineMessage::new(machine, names.state(machine.id), &state(machine), true)
}

/// Its numbers: published each minute, because they change all the time.
pub fn numbers_message(machine: &MachineReport, names: &TopicNames) -> MachineMessage {
    let numbers = json!({ "temperature": machine.temp.map(tenths) });
    MachineMessage::new(machine, names.numbers(machine.id), &numbers, false)
}

/// The configurations of its entities.
pub fn configurations(
    machine: &MachineReport,
    names: &TopicNames,
    status_topic: &str,
) -> Vec<MachineMessage> {
    let Some(discovery) = &names.discovery else { return Vec::new() };
    let message = |entity: Entity| {
        let Entity { component, object, camera, .. } = &entity;
        let topic = format!("{discovery}/{component}/{}/{object}/config", names.node(machine.id));
        let config = configuration(machine, &entity, names, status_topic);
        MachineMessage { camera: *camera, ..MachineMessage::new(machine, topic, &config, true) }
    };
    entities(machine).into_iter().map(message).collect()
}

fn state(machine: &MachineReport) -> Value {
    let on_off = |is_on: bool| if is_on { "ON" } else { "OFF" };
    let status = if machine.is_watched { machine.status.as_str() } else { "disabled" };
    let cameras: Map<String, Value> = machine
        .cameras
        .iter()
        .map(|camera| (camera.mac.digits(), json!(camera.is_connected.map(on_off))))
        .collect();
    json!({
        "name": machine.name,
        "status": status,
        "uplink": machine.uplink,
        "under_voltage": machine.under_voltage.map(on_off),
        "cameras": cameras,
    })
}

fn tenths(value: f32) -> f64 {
    (f64::from(value) * 10.0).round() / 10.0
}

fn configuration(machine: &MachineReport, entity: &Entity, names: &TopicNames, status_topic: &str) -> Value {
    let (node, state) = (names.node(machine.id), names.state(machine.id));
    let mut availability = vec![json!({ "topic": status_topic })];
    if entity.needs_machine {
        availability.push(json!({ "topic": state, "value_template": "{{ value_json.status }}" }));
    }
    let link = names.site.as_ref().map(|site| format!("{site}machines/{}", machine.id.0));
    let topic = if entity.is_number { names.numbers(machine.id) } else { state };
    let mut config = json!({
        "name": entity.name,
        "unique_id": format!("{node}_{}", entity.object),
        "state_topic": topic,
        "value_template": entity.template,
        "availability": availability,
        "availability_mode": "all",
        "qos": 1,
        "device": { "identifiers": [node], "name": machine.name },
        "origin": { "name": "heartbeat-monitor", "sw_version": env!("CARGO_PKG_VERSION") },
    });
    if let Some(class) = entity.device_class {
        config["device_class"] = class.into();
    }
    if entity.is_number {
        config["unit_of_measurement"] = "°C".into();
        config["state_class"] = "measurement".into();
    }
    if let Some(link) = link {
        config["device"]["configuration_url"] = link.into();
    }
    config
}

#[cfg(test)]
mod tests;
