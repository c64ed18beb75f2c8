//! `heartbeat-monitor events`: the newest events, oldest first as in a log.

use crate::clock::Moment;
use crate::config::Period;
use crate::duration::rough;
use crate::monitor::events::RecordedEvent;
use crate::monitor::machine::MachineId;
use crate::monitor::store::page::Page;
use crate::monitor::store::{DatabaseLocation, Refused, Store};
use crate::table::{or_dash, table};
use clap::Args;
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub struct EventsCommand {
    /// Only this machine (name or id)
    #[arg(long, value_name = "NAME")]
    machine: Option<String>,
    /// Only events of the last hours, such as "24h"
    #[arg(long, value_name = "TIME")]
    since: Option<Period>,
    /// Maximum number of events
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// As a JSON array
    #[arg(long)]
    json: bool,
}

/// Returns the output.
pub fn run(command: &EventsCommand, database: &DatabaseLocation, now: Moment) -> Result<String, Refused> {
    let store = Store::open_beside(database, now)?;
    let machine = match &command.machine {
        Some(which) => Some(store.machine_called(which, now)?.id),
        None => None,
    };
    let mut events = store.events(Page::default(), machine, command.limit)?;
    if let Some(Period(length)) = command.since {
        let begin = now.minus(length);
        events.retain(|event| event.at >= begin);
    }
    events.reverse();
    match command.json {
        true => Ok(Value::Array(events.iter().map(as_json).collect()).to_string()),
        false => list(&store, &events),
    }
}

fn list(store: &Store, events: &[RecordedEvent]) -> Result<String, Refused> {
    if events.is_empty() {
        return Ok("no events".into());
    }
    let mut rows = Vec::new();
    for event in events {
        let detail = parsed(event);
        rows.push([
            or_dash(event.at.rfc_3339().as_deref()),
            machine(event, &detail),
            event.kind.clone(),
            or_dash(about(store, event, &detail)?.as_deref()),
        ]);
    }
    Ok(table(["TIME", "MACHINE", "EVENT", "DETAIL"], &rows))
}

fn parsed(event: &RecordedEvent) -> Value {
    let detail = event.detail.as_deref().and_then(|detail| serde_json::from_str(detail).ok());
    detail.unwrap_or(Value::Null)
}

/// The name of the machine; for a removed one it is in the event.
fn machine(event: &RecordedEvent, detail: &Value) -> String {
    let present = event.machine.as_ref().map(|(_, name)| name.as_str());
    or_dash(present.or_else(|| detail["name"].as_str()))
}

/// For the two ends of an outage: last seen or duration; otherwise the event's detail.
fn about(store: &Store, event: &RecordedEvent, detail: &Value) -> Result<Option<String>, Refused> {
    let outage = match (&event.machine, event.kind.as_str()) {
        (Some((machine, _)), "offline" | "online") => store.outage_at(*machine, event.at)?,
        _ => None,
    };
    Ok(match (event.kind.as_str(), outage) {
        ("offline", Some(outage)) => outage.last_seen.rfc_3339().map(|seen| format!("last seen {seen}")),
        ("online", Some(outage)) => Some(format!("after {}", rough(event.at.since(outage.last_seen)))),
        _ => shown(detail),
    })
}

/// `until 2025-11-22T03:23:29Z, reason: new roof`
fn shown(detail: &Value) -> Option<String> {
    let fields = detail.as_object()?.iter().filter_map(|(name, value)| match (name.as_str(), value) {
        (_, Value::Null) => None,
        ("until", value) => {
            value.as_i64().and_then(|at| Moment(at).rfc_3339()).map(|at| format!("until {at}"))
        }
        // Shown in the MACHINE column.
        ("name", _) => None,
        (name, Value::String(text)) => Some(format!("{name}: {text}")),
        (name, value) => Some(format!("{name}: {value}")),
    });
    let fields: Vec<String> = fields.collect();
    (!fields.is_empty()).then(|| fields.join(", "))
}

pub(super) fn as_json(event: &RecordedEvent) -> Value {
    json!({
        "id": event.id,
        "at": event.at.rfc_3339(),
        "kind": event.kind,
        "machine_id": event.machine.as_ref().map(|(MachineId(id), _)| id),
        "machine": event.machine.as_ref().map(|(_, name)| name),
        "detail": parsed(event),
    })
}

#[cfg(test)]
mod tests;
