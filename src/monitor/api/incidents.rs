//! Incidents, and the catalogue of conditions, as JSON.

use super::lists::ListPage;
use crate::clock::Moment;
use crate::monitor::conditions::catalogue::{CATALOGUE, CatalogueEntry, Condition, Side};
use crate::monitor::incidents::list::IncidentRecord;
use crate::monitor::incidents::repetitions::Repetitions;
use crate::monitor::notify::topic::Topic;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct IncidentView {
    pub id: i64,
    pub machine_id: i64,
    pub machine: String,
    /// `offline`, or the name of a condition.
    pub kind: String,
    /// The word by which recipients choose it.
    pub topic: Option<Topic>,
    /// The part of the machine; empty for the machine itself.
    pub subject: String,
    /// The subject as people call it.
    pub label: Option<String>,
    /// At its begin.
    pub value: Option<f32>,
    pub threshold: Option<f32>,
    /// The last heartbeat before an outage; when a condition began to hold.
    pub since: Option<String>,
    pub began_at: Option<String>,
    pub ended_at: Option<String>,
    pub planned: bool,
    pub announced: bool,
    /// It held when its condition was first judged.
    pub existing: bool,
    pub acknowledged_at: Option<String>,
    /// A user's name.
    pub acknowledged_by: Option<String>,
    /// Number of the last reminder about it; 0: there was none.
    pub reminders: u32,
    /// Recipients to whom it was escalated.
    pub escalated_to: Vec<String>,
}

/// A condition with its defaults.
#[derive(Debug, Serialize)]
pub struct ConditionView {
    pub name: &'static str,
    pub topic: Topic,
    pub meaning: &'static str,
    pub reason: &'static str,
    pub hold_s: u64,
    pub clear_s: u64,
    /// `None`: it holds or not, without a number.
    pub limit: Option<LimitView>,
}

#[derive(Debug, Serialize)]
pub struct LimitView {
    pub threshold: f32,
    /// The value beyond which an incident can end.
    pub ends_at: f32,
    /// The bad side of the threshold.
    pub side: &'static str,
    pub unit: &'static str,
    pub minimum: f32,
    pub maximum: f32,
}

pub fn incident(incident: IncidentRecord, repetitions: Repetitions) -> IncidentView {
    IncidentView {
        id: incident.id,
        machine_id: incident.machine.0.0,
        machine: incident.machine.1,
        topic: topic(&incident.kind),
        kind: incident.kind,
        subject: incident.subject,
        label: incident.label,
        value: incident.value,
        threshold: incident.threshold,
        since: incident.since.rfc_3339(),
        began_at: incident.began.rfc_3339(),
        ended_at: incident.ended.and_then(Moment::rfc_3339),
        planned: incident.planned,
        announced: incident.notified.is_some(),
        existing: incident.existing,
        acknowledged_at: incident.acknowledged.as_ref().and_then(|(at, _)| at.rfc_3339()),
        acknowledged_by: incident.acknowledged.map(|(_, by)| by),
        reminders: repetitions.reminders,
        escalated_to: repetitions.escalated_to,
    }
}

/// `None`: an incident of a later version.
fn topic(kind: &str) -> Option<Topic> {
    let condition = Condition::from_name(kind).map(|condition| condition.entry().topic);
    condition.or_else(|| Topic::from_name(kind))
}

/// The whole catalogue.
pub fn catalogue() -> ListPage<ConditionView> {
    ListPage { items: CATALOGUE.iter().map(condition).collect(), next: None }
}

fn condition(entry: &CatalogueEntry) -> ConditionView {
    ConditionView {
        name: entry.name,
        topic: entry.topic,
        meaning: entry.meaning,
        reason: entry.reason,
        hold_s: entry.hold.as_secs(),
        clear_s: entry.clear.as_secs(),
        limit: entry.limit.map(|limit| LimitView {
            threshold: limit.threshold,
            ends_at: limit.ends_at(limit.threshold),
            side: match limit.side {
                Side::Above => "above",
                Side::Below => "below",
            },
            unit: limit.unit,
            minimum: limit.range.0,
            maximum: limit.range.1,
        }),
    }
}
