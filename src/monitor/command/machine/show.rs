//! `heartbeat-monitor machine show`.

use super::view::{as_json, state};
use crate::clock::Moment;
use crate::config::Period;
use crate::duration::{ago, rough};
use crate::monitor::incidents::table::Outage;
use crate::monitor::machine::Machine;
use crate::monitor::store::{Refused, Store};
use serde_json::{Value, json};

/// Width of the column of field names.
const WIDTH: usize = 14;

pub fn run(store: &Store, which: &str, as_object: bool, now: Moment) -> Result<String, Refused> {
    let machine = store.machine_called(which, now)?;
    let outage = store.open_outage(machine.id)?;
    let latest = store.latest(machine.id)?;
    if as_object {
        let mut object = as_json(&machine);
        object["outage"] = outage.map_or(Value::Null, outage_json);
        object["latest_at"] = latest.as_ref().and_then(|(at, _)| at.rfc_3339()).into();
        object["latest"] = latest.map_or(Value::Null, |(_, payload)| parsed(&payload));
        return Ok(object.to_string());
    }
    let mut lines = Vec::new();
    for (name, value) in fields(&machine, outage.as_ref(), now) {
        lines.extend(value.map(|value| format!("{name:<WIDTH$}{value}")));
    }
    if let Some((at, payload)) = latest {
        lines.push(format!("{:<WIDTH$}{}", "latest", ago(Some(at), now)));
        let text = serde_json::to_string_pretty(&parsed(&payload)).unwrap_or(payload);
        lines.extend(text.lines().map(|line| format!("  {line}")));
    }
    Ok(lines.join("\n"))
}

/// Field names and values; a field without a value is not shown.
fn fields(machine: &Machine, outage: Option<&Outage>, now: Moment) -> Vec<(&'static str, Option<String>)> {
    let tags = machine.tags.join(",");
    vec![
        ("id", Some(machine.id.0.to_string())),
        ("name", Some(machine.name.clone())),
        ("hostname", machine.hostname.clone()),
        ("description", machine.description.clone()),
        ("group", machine.group.clone()),
        ("tags", (!tags.is_empty()).then_some(tags)),
        ("hardware id", machine.hardware_id.clone()),
        ("device key", machine.device_key.clone()),
        ("threshold", machine.threshold.map(|threshold| Period(threshold).to_string())),
        ("created", machine.created_at.rfc_3339()),
        ("state", Some(format!("{}, for {}", state(machine), rough(now.since(machine.since))))),
        ("paused until", machine.paused_until.and_then(Moment::rfc_3339)),
        ("last seen", machine.last_seen.map(|seen| with_age(seen, now))),
        ("open outage", outage.map(|outage| outage_text(outage, now))),
    ]
}

fn with_age(at: Moment, now: Moment) -> String {
    format!("{} ({})", at.rfc_3339().unwrap_or_default(), ago(Some(at), now))
}

fn outage_text(outage: &Outage, now: Moment) -> String {
    let kind = if outage.planned { "stopped on purpose" } else { "offline" };
    format!("{kind} since {}", with_age(outage.started, now))
}

fn outage_json(outage: Outage) -> Value {
    json!({
        "started_at": outage.started.rfc_3339(),
        "last_seen": outage.last_seen.rfc_3339(),
        "planned": outage.planned,
    })
}

/// The payload as JSON; a payload that was edited by hand and is not JSON is shown as text.
fn parsed(payload: &str) -> Value {
    serde_json::from_str(payload).unwrap_or_else(|_| Value::String(payload.to_owned()))
}
