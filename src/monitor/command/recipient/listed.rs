//! A recipient as it is listed: parts of the table, and as JSON for `recipient list --json`.

use crate::monitor::machine::MachineId;
use crate::monitor::notify::choices::Chosen;
use crate::monitor::notify::quiet_hours::QuietHours;
use crate::monitor::notify::recipients::{Preferences, StoredRecipient};
use crate::monitor::notify::topic::Topic;
use crate::monitor::reports::schedule::ReportInterval;
use crate::monitor::zone::Clock;
use serde_json::{Value, json};

/// `report`: how often the recipient gets one.
pub fn recipient(known: &StoredRecipient, report: Option<ReportInterval>) -> Value {
    let wants = &known.preferences;
    json!({
        "name": known.name,
        "enabled": known.enabled,
        "channels": known.channels,
        "machines": chosen_json(&known.chosen),
        "warning": known.chosen.warning(),
        "events": names(&wants.events),
        "events_off": names(&off(wants)),
        "time_zone": wants.clock.as_ref().map(Clock::to_string),
        "quiet": wants.quiet.as_ref().map(written),
        "min_outage_s": wants.min_outage.as_secs_f64(),
        "escalate": wants.escalation.as_ref().map(|escalation| {
            json!({ "to": escalation.to, "after_s": escalation.after.as_secs_f64() })
        }),
        "report": report.map(ReportInterval::name),
        "remind_s": wants.remind_every.map(|every| every.as_secs_f64()),
    })
}

fn chosen_json(chosen: &Chosen) -> Value {
    let machine = |(id, name): &(MachineId, String)| json!({ "id": id.0, "name": name });
    json!({
        "all": chosen.all,
        "machines": chosen.machines.iter().map(machine).collect::<Vec<_>>(),
        "groups": chosen.groups,
        "tags": chosen.tags,
        "missing": chosen.missing,
    })
}

pub fn names(topics: &[Topic]) -> Vec<&'static str> {
    topics.iter().map(|topic| topic.name()).collect()
}

/// The topics that are not chosen.
pub fn off(wants: &Preferences) -> Vec<Topic> {
    Topic::ALL.into_iter().filter(|topic| !wants.events.contains(topic)).collect()
}

/// `22:00-07:00 +02:00`
pub fn written(quiet: &QuietHours) -> String {
    format!("{} {}", quiet.times(), quiet.clock)
}
