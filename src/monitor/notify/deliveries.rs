//! The list of notifications with their state of delivery, for people.

use super::delivery_state::DeliveryState;
use crate::clock::Moment;
use crate::monitor::incidents::table::IncidentId;
use crate::monitor::machine::MachineId;
use crate::monitor::store::page::{Page, paged, rows};
use crate::monitor::store::{Store, StoreError};
use rusqlite::{Row, params};

/// A pending or recent notification, without the channel's secret.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryRecord {
    pub id: i64,
    pub created: Moment,
    pub machine: (MachineId, String),
    pub outage: i64,
    pub event: String,
    pub recipient: String,
    pub channel: i64,
    /// webhook, telegram, email, ntfy.
    pub kind: String,
    pub state: i64,
    pub attempts: i64,
    pub due: Moment,
    pub expires: Moment,
    pub delivered: Option<Moment>,
    pub last_error: Option<String>,
}

/// What [`record`] reads.
const SELECT: &str = "
    SELECT o.id, o.created_at, o.machine_id, m.name, o.incident_id, o.event, r.name, o.channel_id, c.kind,
           o.state, o.attempts, o.due_at, o.expires_at, o.delivered_at, o.last_error
    FROM outbox o JOIN machine m ON m.id = o.machine_id JOIN channel c ON c.id = o.channel_id
    JOIN recipient r ON r.id = c.recipient_id";

/// Notifications about one incident that are listed: a few events for each channel.
const MOST_OF_INCIDENT: u32 = 200;

impl Store {
    pub fn deliveries(
        &self,
        page: Page,
        machine: Option<MachineId>,
        state: Option<DeliveryState>,
        limit: u32,
    ) -> Result<Vec<DeliveryRecord>, StoreError> {
        let (mut condition, order) = paged("o.id", page);
        if let Some(machine) = machine {
            condition += &format!(" AND o.machine_id = {}", machine.0);
        }
        if let Some(state) = state {
            // For people, what a courier has in its hands waits.
            let leased = if state == DeliveryState::Waiting { DeliveryState::Leased } else { state };
            condition += &format!(" AND o.state IN ({}, {})", state as i64, leased as i64);
        }
        let sql = format!("{SELECT} WHERE {condition} {order} LIMIT {limit}");
        self.read(|connection| rows(connection, &sql, Vec::new(), record))
    }

    /// Oldest first.
    pub fn deliveries_of_incident(&self, id: IncidentId) -> Result<Vec<DeliveryRecord>, StoreError> {
        let sql = format!("{SELECT} WHERE o.incident_id = ?1 ORDER BY o.id LIMIT {MOST_OF_INCIDENT}");
        self.read(|connection| rows(connection, &sql, vec![id.0.into()], record))
    }
}

/// A notification about an incident that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenNotification {
    pub incident: i64,
    pub recipient: String,
    /// webhook, telegram, email, ntfy.
    pub channel: String,
    /// `None`: it is still to be delivered, or was abandoned.
    pub delivered: Option<Moment>,
}

/// Notifications about open incidents that are read at once; a page shows a few of them.
const MOST_OPEN: u32 = 2000;

impl Store {
    /// Notifications about open incidents that were or will be delivered, oldest first.
    pub fn open_notifications(&self) -> Result<Vec<OpenNotification>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT o.incident_id, r.name, c.kind, o.delivered_at
                 FROM incident i JOIN outbox o ON o.incident_id = i.id JOIN channel c ON c.id = o.channel_id
                 JOIN recipient r ON r.id = c.recipient_id
                 WHERE i.ended_at IS NULL AND o.state <> ?1 ORDER BY o.id LIMIT ?2",
            )?;
            let rows = statement.query_map(params![DeliveryState::Skipped as i64, MOST_OPEN], |row| {
                Ok(OpenNotification {
                    incident: row.get(0)?,
                    recipient: row.get(1)?,
                    channel: row.get(2)?,
                    delivered: row.get::<_, Option<i64>>(3)?.map(Moment),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<DeliveryRecord> {
    Ok(DeliveryRecord {
        id: row.get(0)?,
        created: Moment(row.get(1)?),
        machine: (MachineId(row.get(2)?), row.get(3)?),
        outage: row.get(4)?,
        event: row.get(5)?,
        recipient: row.get(6)?,
        channel: row.get(7)?,
        kind: row.get(8)?,
        state: row.get(9)?,
        attempts: row.get(10)?,
        due: Moment(row.get(11)?),
        expires: Moment(row.get(12)?),
        delivered: row.get::<_, Option<i64>>(13)?.map(Moment),
        last_error: row.get(14)?,
    })
}
