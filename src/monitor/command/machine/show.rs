//! `heartbeat-monitor machine show`.

use super::view::{as_json, state};
use crate::clock::Moment;
use crate::config::Period;
use crate::duration::{ago, rough};
use crate::monitor::cameras::table::CameraHistory;
use crate::monitor::command::condition::view::setting_json;
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::conditions::settings::{SourcedSetting, sourced};
use crate::monitor::conditions::table::json_number;
use crate::monitor::conditions::words::changed;
use crate::monitor::incidents::list::IncidentRecord;
use crate::monitor::incidents::table::Outage;
use crate::monitor::machine::Machine;
use crate::monitor::notify::deliveries::DeliveryRecord;
use crate::monitor::notify::delivery_state::DeliveryState;
use crate::monitor::store::page::Page;
use crate::monitor::store::{Refused, Store};
use serde_json::{Value, json};

/// Width of the column of field names.
const WIDTH: usize = 15;

/// Number of deliveries that are shown.
const DELIVERIES: u32 = 5;

/// A machine with everything that is shown of it.
struct Shown {
    machine: Machine,
    /// With their last 30 days.
    cameras: Vec<CameraHistory>,
    incidents: Vec<IncidentRecord>,
    /// Settings that are not the defaults.
    settings: Vec<SourcedSetting>,
    /// Newest first.
    deliveries: Vec<DeliveryRecord>,
    latest: Option<(Moment, String)>,
}

pub fn run(store: &Store, which: &str, as_object: bool, now: Moment) -> Result<String, Refused> {
    let machine = store.machine_called(which, now)?;
    let id = machine.id;
    let mut settings = sourced(&store.condition_changes()?, Some(&machine));
    settings.retain(SourcedSetting::is_changed);
    let shown = Shown {
        machine,
        incidents: store.open_incidents(id)?,
        cameras: store.recent_camera_history(id, now)?,
        settings,
        deliveries: store.deliveries(Page::default(), Some(id), None, DELIVERIES)?,
        latest: store.latest(id)?,
    };
    if as_object { Ok(object(shown, store.open_outage(id)?).to_string()) } else { Ok(shown.text(now)) }
}

fn object(shown: Shown, outage: Option<Outage>) -> Value {
    let Shown { machine, incidents, cameras, settings, deliveries, latest } = shown;
    let mut object = as_json(&machine);
    object["outage"] = outage.map_or(Value::Null, outage_json);
    object["incidents"] = incidents.iter().map(incident_json).collect();
    object["cameras"] = cameras.iter().map(camera_json).collect();
    object["settings"] = settings.iter().map(setting_json).collect();
    object["deliveries"] = deliveries.iter().map(delivery_json).collect();
    object["latest_at"] = latest.as_ref().and_then(|(at, _)| at.rfc_3339()).into();
    object["latest"] = latest.map_or(Value::Null, |(_, payload)| parsed(&payload));
    object
}

impl Shown {
    fn text(&self, now: Moment) -> String {
        let mut lines = Vec::new();
        for (name, value) in fields(&self.machine, now) {
            lines.extend(value.map(|value| line(name, &value)));
        }
        lines.extend(block(
            "open incidents",
            self.incidents.iter().map(|incident| incident_text(incident, now)),
        ));
        lines.extend(self.cameras.iter().filter_map(camera_text));
        lines.extend(block(
            "settings",
            self.settings.iter().map(|listed| format!("{}: {}", listed.entry.name, changed(listed))),
        ));
        lines
            .extend(block("deliveries", self.deliveries.iter().map(|delivery| delivery_text(delivery, now))));
        if let Some((at, payload)) = &self.latest {
            lines.push(line("latest", &ago(Some(*at), now)));
            let text = serde_json::to_string_pretty(&parsed(payload)).unwrap_or_else(|_| payload.clone());
            lines.extend(text.lines().map(|line| format!("  {line}")));
        }
        lines.join("\n")
    }
}

fn line(name: &str, value: &str) -> String {
    format!("{name:<WIDTH$}{value}")
}

/// One line for each value; the first has the name.
fn block(name: &'static str, values: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    values.enumerate().map(move |(index, value)| line(if index == 0 { name } else { "" }, &value))
}

/// Field names and values; a field without a value is not shown.
fn fields(machine: &Machine, now: Moment) -> Vec<(&'static str, Option<String>)> {
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
        ("behind", machine.behind.clone()),
        ("threshold", machine.threshold.map(|threshold| Period(threshold).to_string())),
        ("created", machine.created_at.rfc_3339()),
        ("state", Some(format!("{}, for {}", state(machine), rough(now.since(machine.since))))),
        ("paused until", machine.paused_until.and_then(Moment::rfc_3339)),
        ("last seen", machine.last_seen.map(|seen| with_age(seen, now))),
    ]
}

fn with_age(at: Moment, now: Moment) -> String {
    format!("{} ({})", at.rfc_3339().unwrap_or_default(), ago(Some(at), now))
}

/// `temp since 2025-11-22T01:18:29Z (5m ago), 83.5 °C (threshold 80 °C)`
fn incident_text(incident: &IncidentRecord, now: Moment) -> String {
    let kind = if incident.planned { "stopped on purpose" } else { incident.kind.as_str() };
    let subject = incident.label.as_ref().unwrap_or(&incident.subject);
    let mut text = [kind, subject].join(" ").trim_end().to_owned();
    text += &format!(" since {}", with_age(incident.began, now));
    let limit = Condition::from_name(&incident.kind).and_then(|condition| condition.entry().limit);
    if let Some((limit, (value, threshold))) = limit.zip(incident.value.zip(incident.threshold)) {
        text += &format!(", {} (threshold {})", limit.with_unit(value), limit.with_unit(threshold));
    }
    if incident.notified.is_none() {
        text += ", not announced";
    }
    if let Some((at, by)) = &incident.acknowledged {
        text += &format!("; {by} has been on it since {}", with_age(*at, now));
    }
    text
}

/// `2025-11-22T01:18:29Z (5m ago): offline to anna over channel 3 (ntfy), delivered`
fn delivery_text(delivery: &DeliveryRecord, now: Moment) -> String {
    let DeliveryRecord { event, recipient, channel, kind, .. } = delivery;
    let state = DeliveryState::word(delivery.state);
    let error = delivery.last_error.as_ref().filter(|_| delivery.delivered.is_none());
    let error = error.map_or_else(String::new, |error| format!(": {error}"));
    let at = with_age(delivery.created, now);
    let number = delivery.reminder.map(|number| format!(" {number}")).unwrap_or_default();
    format!("{at}: {event}{number} to {recipient} over channel {channel} ({kind}), {state}{error}")
}

/// `camera gate    97.1 % of 30 days`; `None`: its state was never known.
fn camera_text(camera: &CameraHistory) -> Option<String> {
    let percent = camera.percent()?;
    let name = format!("camera {}", camera.label());
    let days = if camera.days.len() == 1 { "day" } else { "days" };
    // Also behind a name that is wider than the column.
    Some(format!("{name:<width$} {percent:.1} % of {} {days}", camera.days.len(), width = WIDTH - 1))
}

fn camera_json(camera: &CameraHistory) -> Value {
    let (up, down) = camera.minutes();
    json!({
        "mac": camera.mac,
        "name": camera.name,
        "reported_at": camera.reported.rfc_3339(),
        "up_percent": camera.percent(),
        "up_minutes": up,
        "down_minutes": down,
        "days": camera.days.len(),
    })
}

fn incident_json(incident: &IncidentRecord) -> Value {
    json!({
        "id": incident.id,
        "kind": incident.kind,
        "subject": incident.subject,
        "label": incident.label,
        "planned": incident.planned,
        "began_at": incident.began.rfc_3339(),
        "notified_at": incident.notified.and_then(Moment::rfc_3339),
        "acknowledged_at": incident.acknowledged.as_ref().and_then(|(at, _)| at.rfc_3339()),
        "acknowledged_by": incident.acknowledged.as_ref().map(|(_, by)| by),
        "value": incident.value.map(json_number),
        "threshold": incident.threshold.map(json_number),
    })
}

fn delivery_json(delivery: &DeliveryRecord) -> Value {
    json!({
        "id": delivery.id,
        "created_at": delivery.created.rfc_3339(),
        "event": delivery.event,
        "reminder": delivery.reminder,
        "unacknowledged_by": delivery.unacknowledged_by,
        "recipient": delivery.recipient,
        "channel_id": delivery.channel,
        "channel": delivery.kind,
        "state": DeliveryState::word(delivery.state),
        "attempts": delivery.attempts,
        "delivered_at": delivery.delivered.and_then(Moment::rfc_3339),
        "last_error": delivery.last_error,
    })
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
