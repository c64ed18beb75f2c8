//! A machine as the commands show it: its state in one word, and its JSON object.

use crate::clock::Moment;
use crate::monitor::machine::Machine;
use crate::monitor::machine::MachineStatus;
use serde_json::{Value, json};

const DISABLED: &str = "disabled";
const PAUSED: &str = "paused";

/// The state that matters most to a person: "disabled" and "paused" hide the status.
pub fn state(machine: &Machine) -> &'static str {
    match machine {
        Machine { watched: false, .. } => DISABLED,
        Machine { paused_until: Some(_), .. } => PAUSED,
        Machine { status, .. } => status.as_str(),
    }
}

/// Parses a word that [`state`] returns.
pub fn state_named(name: &str) -> Result<&'static str, String> {
    let statuses = [
        MachineStatus::New,
        MachineStatus::Online,
        MachineStatus::Offline,
        MachineStatus::Stopped,
        MachineStatus::Standby,
    ]
    .map(MachineStatus::as_str);
    let found = statuses.into_iter().chain([PAUSED, DISABLED]).find(|state| *state == name);
    found.ok_or_else(|| "must be new, online, offline, stopped, standby, paused or disabled".into())
}

pub fn as_json(machine: &Machine) -> Value {
    let moment = |moment: Moment| moment.rfc_3339();
    json!({
        "id": machine.id.0,
        "name": machine.name,
        "hostname": machine.hostname,
        "description": machine.description,
        "group": machine.group,
        "tags": machine.tags,
        "hardware_id": machine.hardware_id,
        "device_key": machine.device_key,
        "threshold_s": machine.threshold.map(|threshold| threshold.as_secs_f64()),
        "status": machine.status.as_str(),
        "watched": machine.watched,
        "last_seen": machine.last_seen.and_then(moment),
        "since": moment(machine.since),
        "created_at": moment(machine.created_at),
        "behind": machine.behind,
        "paused_until": machine.paused_until.and_then(moment),
    })
}
