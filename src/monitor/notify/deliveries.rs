//! The list of notifications with their state of delivery, for people.

use super::delivery_state::DeliveryState;
use super::notice::Notice;
use crate::clock::Moment;
use crate::monitor::incidents::table::IncidentId;
use crate::monitor::machine::MachineId;
use crate::monitor::store::page::{Page, paged};
use crate::monitor::store::sql::{Row, params};
use crate::monitor::store::{Store, StoreError};

/// A pending or recent notification, without the channel's secret.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryRecord {
    pub id: i64,
    pub created: Moment,
    /// `None` of a report.
    pub machine: Option<(MachineId, String)>,
    /// `None` of a report.
    pub incident: Option<i64>,
    pub event: String,
    /// Number of a reminder, from 1.
    pub reminder: Option<u32>,
    /// Of an escalation: the recipient who had not acknowledged the incident.
    pub unacknowledged_by: Option<String>,
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
           o.state, o.attempts, o.due_at, o.expires_at, o.delivered_at, o.last_error, o.reminder,
           CASE WHEN o.event = 'escalation' THEN o.content END
    FROM outbox o JOIN channel c ON c.id = o.channel_id JOIN recipient r ON r.id = c.recipient_id
    LEFT JOIN machine m ON m.id = o.machine_id";

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
        self.read(|connection| connection.query_all(&sql, &[], record))
    }

    /// Oldest first.
    pub fn deliveries_of_incident(&self, id: IncidentId) -> Result<Vec<DeliveryRecord>, StoreError> {
        let sql = format!("{SELECT} WHERE o.incident_id = ?1 ORDER BY o.id LIMIT {MOST_OF_INCIDENT}");
        self.read(|connection| connection.query_all(&sql, params![id.0], record))
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
            connection.query_all(
                "SELECT o.incident_id, r.name, c.kind, o.delivered_at
                 FROM incident i JOIN outbox o ON o.incident_id = i.id JOIN channel c ON c.id = o.channel_id
                 JOIN recipient r ON r.id = c.recipient_id
                 WHERE i.ended_at IS NULL AND o.state <> ?1 ORDER BY o.id LIMIT ?2",
                params![DeliveryState::Skipped as i64, MOST_OPEN],
                |row| {
                    Ok(OpenNotification {
                        incident: row.get(0)?,
                        recipient: row.get(1)?,
                        channel: row.get(2)?,
                        delivered: row.get(3)?,
                    })
                },
            )
        })
    }
}

/// Of the content of an escalation.
fn unacknowledged_by(content: &str) -> Option<String> {
    serde_json::from_str::<Notice>(content).ok()?.unacknowledged_by
}

fn record(row: &Row<'_>) -> Result<DeliveryRecord, StoreError> {
    Ok(DeliveryRecord {
        id: row.get(0)?,
        created: Moment(row.get(1)?),
        machine: row.get::<Option<i64>>(2)?.map(MachineId).zip(row.get(3)?),
        incident: row.get(4)?,
        event: row.get(5)?,
        reminder: Some(row.get(15)?).filter(|number| *number > 0),
        unacknowledged_by: row.get::<Option<String>>(16)?.as_deref().and_then(unacknowledged_by),
        recipient: row.get(6)?,
        channel: row.get(7)?,
        kind: row.get(8)?,
        state: row.get(9)?,
        attempts: row.get(10)?,
        due: Moment(row.get(11)?),
        expires: Moment(row.get(12)?),
        delivered: row.get(13)?,
        last_error: row.get(14)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escalation_says_of_whom_and_a_report_is_about_no_machine() {
        let store = Store::scratch();
        let by = |name: Option<&str>| {
            let notice = Notice { unacknowledged_by: name.map(str::to_owned), ..Notice::test(Moment(0)) };
            serde_json::to_string(&notice).expect("JSON")
        };
        store
            .write(|transaction| {
                transaction.execute_batch(
                    "INSERT INTO machine (id, name, created_at) VALUES (1, 'barn', 0);
                     INSERT INTO recipient (id, name, events) VALUES (1, 'owner', '[]');
                     INSERT INTO channel (id, recipient_id, kind, target, created_at) VALUES (1, 1, 'ntfy', 'x', 0);
                     INSERT INTO incident (id, machine_id, planned, last_seen, began_at) VALUES (1, 1, FALSE, 0, 0);",
                )?;
                let mut insert = transaction.prepare(
                    "INSERT INTO outbox (channel_id, machine_id, incident_id, event, reminder, content, created_at, due_at,
                                         expires_at, state) VALUES (1, ?1, ?1, ?2, ?3, ?4, 0, 0, 0, 2)",
                )?;
                insert.execute(params![Some(1), "escalation", 0, by(Some("farm"))])?;
                insert.execute(params![Some(1), "reminder", 3, by(None)])?;
                insert.execute(params![None::<i64>, "report", 0, by(None)])?;
                Ok(())
            })
            .expect("rows");
        let page = Page { before: None, after: Some(0) };
        let listed = store.deliveries(page, None, None, 10).expect("read");
        let [escalation, reminder, report] = listed.as_slice() else { panic!("{listed:?}") };
        assert_eq!((escalation.unacknowledged_by.as_deref(), escalation.reminder), (Some("farm"), None));
        assert_eq!(
            (&reminder.unacknowledged_by, reminder.reminder, reminder.incident),
            (&None, Some(3), Some(1))
        );
        assert_eq!((&report.machine, report.incident, report.event.as_str()), (&None, None, "report"));
        let of_machine = store.deliveries(page, Some(MachineId(1)), None, 10).expect("read");
        assert_eq!(of_machine.len(), 2);
    }
}
