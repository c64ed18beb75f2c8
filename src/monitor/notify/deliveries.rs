//! The list of notifications with their state of delivery, for people.

use super::delivery_state::DeliveryState;
use crate::clock::Moment;
use crate::monitor::machine::MachineId;
use crate::monitor::store::page::{Page, paged, rows};
use crate::monitor::store::{Store, StoreError};
use rusqlite::Row;

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
        let sql = format!(
            "SELECT o.id, o.created_at, o.machine_id, m.name, o.incident_id, o.event, r.name, o.channel_id, c.kind,
                    o.state, o.attempts, o.due_at, o.expires_at, o.delivered_at, o.last_error
             FROM outbox o JOIN machine m ON m.id = o.machine_id JOIN channel c ON c.id = o.channel_id
             JOIN recipient r ON r.id = c.recipient_id WHERE {condition} {order} LIMIT {limit}"
        );
        self.read(|connection| rows(connection, &sql, Vec::new(), record))
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
