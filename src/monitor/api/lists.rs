//! Machines, events and deliveries as pages of JSON.

use super::query::{Query, QueryFault};
use crate::clock::Moment;
use crate::monitor::events::RecordedEvent;
use crate::monitor::machine::{Machine, MachineId, MachineStatus};
use crate::monitor::notify::deliveries::DeliveryRecord;
use crate::monitor::notify::delivery_state::DeliveryState;
use crate::monitor::registry::machines::MachineFilter;
use crate::monitor::store::page::Page;
use serde::Serialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// One machine, as `GET /api/v1/machines` shows it. Times are RFC 3339, in UTC.
#[derive(Debug, Serialize)]
pub struct MachineView {
    pub id: i64,
    pub name: String,
    pub hostname: Option<String>,
    pub description: Option<String>,
    pub group: Option<String>,
    pub tags: Vec<String>,
    pub hardware_id: Option<String>,
    pub status: &'static str,
    /// When this status began.
    pub since: Option<String>,
    /// `false`: disabled, not monitored.
    pub enabled: bool,
    /// End of the maintenance, during which notifications are off.
    pub paused_until: Option<String>,
    /// Name of the machine in front of it.
    pub behind: Option<String>,
    pub last_seen: Option<String>,
    /// Seconds of silence after which it is offline.
    pub threshold_s: f64,
    pub created_at: Option<String>,
    /// Two devices used its token alternately within the last hour.
    pub shared_token: bool,
}

#[derive(Debug, Serialize)]
pub struct EventView {
    pub id: i64,
    pub at: Option<String>,
    pub kind: String,
    pub machine_id: Option<i64>,
    pub machine: Option<String>,
    pub detail: Option<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
pub struct DeliveryView {
    /// The `X-Webhook-Id` of a webhook.
    pub id: i64,
    pub created_at: Option<String>,
    /// `null` of a report, like `machine` and `outage_id`.
    pub machine_id: Option<i64>,
    pub machine: Option<String>,
    pub outage_id: Option<i64>,
    pub event: String,
    /// Number of a reminder, from 1.
    pub reminder: Option<u32>,
    /// Of an escalation to `recipient`: who had not acknowledged the incident.
    pub unacknowledged_by: Option<String>,
    pub recipient: String,
    pub channel_id: i64,
    pub channel: String,
    pub state: &'static str,
    pub attempts: i64,
    /// Earliest next attempt, while it waits.
    pub due_at: Option<String>,
    pub expires_at: Option<String>,
    pub delivered_at: Option<String>,
    pub last_error: Option<String>,
}

/// A page. `next` is the value of `after` (or `before`, for lists that begin with the newest) for the following page.
#[derive(Debug, Serialize)]
pub struct ListPage<T> {
    pub items: Vec<T>,
    pub next: Option<i64>,
}

pub const STATUSES: [(&str, MachineStatus); 5] = [
    ("new", MachineStatus::New),
    ("online", MachineStatus::Online),
    ("offline", MachineStatus::Offline),
    ("stopped", MachineStatus::Stopped),
    ("standby", MachineStatus::Standby),
];

/// Reads `after`, `limit`, `status`, `group` and `tag`.
pub fn machine_filter(mut query: Query) -> Result<MachineFilter, QueryFault> {
    let filter = MachineFilter {
        after: query.id("after")?.unwrap_or(0),
        limit: query.limit()?,
        status: query.word("status", &STATUSES)?,
        group: query.text("group"),
        tag: query.text("tag"),
    };
    query.end()?;
    Ok(filter)
}

/// The lists that are read by [`slice`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlicedList {
    Incidents,
    Events,
    Deliveries,
}

/// The parameters of these lists.
#[derive(Debug)]
pub struct Slice {
    pub page: Page,
    pub limit: u32,
    pub machine: Option<MachineId>,
    /// Only for deliveries.
    pub state: Option<DeliveryState>,
    /// Only for incidents.
    pub is_open: Option<bool>,
}

/// Reads `before`, `after`, `limit`, `machine` and, for deliveries, `state`, for incidents, `open`.
pub fn slice(mut query: Query, of: SlicedList) -> Result<Slice, QueryFault> {
    let slice = Slice {
        page: Page { before: query.id("before")?, after: query.id("after")? },
        limit: query.limit()?,
        machine: query.id("machine")?.map(MachineId),
        state: match of {
            SlicedList::Deliveries => query.word("state", &DeliveryState::NAMES)?,
            _ => None,
        },
        is_open: match of {
            SlicedList::Incidents => query.word("open", &[("1", true), ("0", false)])?,
            _ => None,
        },
    };
    query.end()?;
    Ok(slice)
}

/// A page; only a full one has a continuation.
pub fn list<R, T>(rows: Vec<R>, limit: u32, id: impl Fn(&R) -> i64, view: impl FnMut(R) -> T) -> ListPage<T> {
    let is_full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = rows.last().filter(|_| is_full).map(id);
    ListPage { items: rows.into_iter().map(view).collect(), next }
}

pub fn machine(machine: Machine, threshold: Duration, shared_token: bool) -> MachineView {
    MachineView {
        id: machine.id.0,
        name: machine.name,
        hostname: machine.hostname,
        description: machine.description,
        group: machine.group,
        tags: machine.tags,
        hardware_id: machine.hardware_id,
        status: machine.status.as_str(),
        since: machine.since.rfc_3339(),
        enabled: machine.watched,
        paused_until: machine.paused_until.and_then(Moment::rfc_3339),
        behind: machine.behind.clone(),
        last_seen: machine.last_seen.and_then(Moment::rfc_3339),
        threshold_s: machine.threshold.unwrap_or(threshold).as_secs_f64(),
        created_at: machine.created_at.rfc_3339(),
        shared_token,
    }
}

pub fn event(event: RecordedEvent) -> EventView {
    let (machine_id, machine) = event.machine.map(|(id, name)| (id.0, name)).unzip();
    EventView {
        id: event.id,
        at: event.at.rfc_3339(),
        kind: event.kind,
        machine_id,
        machine,
        detail: event.detail.and_then(raw),
    }
}

pub fn delivery(sending: DeliveryRecord) -> DeliveryView {
    let (machine_id, machine) = sending.machine.map(|(id, name)| (id.0, name)).unzip();
    let waits = [DeliveryState::Waiting as i64, DeliveryState::Leased as i64].contains(&sending.state);
    DeliveryView {
        id: sending.id,
        created_at: sending.created.rfc_3339(),
        machine_id,
        machine,
        outage_id: sending.incident,
        event: sending.event,
        reminder: sending.reminder,
        unacknowledged_by: sending.unacknowledged_by,
        recipient: sending.recipient,
        channel_id: sending.channel,
        channel: sending.kind,
        state: DeliveryState::word(sending.state),
        attempts: sending.attempts,
        due_at: sending.due.rfc_3339().filter(|_| waits),
        expires_at: sending.expires.rfc_3339(),
        delivered_at: sending.delivered.and_then(Moment::rfc_3339),
        last_error: sending.last_error,
    }
}

/// Stored JSON; `None` if it is not JSON.
pub fn raw(json: String) -> Option<Box<RawValue>> {
    RawValue::from_string(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_page_says_where_the_next_one_begins() {
        let page = |rows: Vec<i64>| list(rows, 2, |row| *row, |row| row).next;
        assert_eq!(page(vec![4, 9]), Some(9));
        assert_eq!(page(vec![4]), None);
        assert_eq!(page(vec![]), None);
    }

    #[test]
    fn a_list_is_cut_from_one_end() {
        let slice = |text: &str| slice(Query::parse(Some(text)).expect(text), SlicedList::Events);
        let page = |before, after| Page { before, after };
        assert_eq!(slice("").expect("the newest").page, page(None, None));
        assert_eq!(slice("before=7").expect("older ones").page, page(Some(7), None));
        assert_eq!(slice("after=0").expect("all").page, page(None, Some(0)));
        assert_eq!(slice("before=7&after=3").expect("in between").page, page(Some(7), Some(3)));
        slice("state=dead").expect_err("events have no state");
        slice("open=1").expect_err("events are not open");
    }
}
