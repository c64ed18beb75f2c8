//! The table `event`: what happened to machines and to the monitor, for people and programs that read it later.

use crate::clock::Moment;
use crate::monitor::machine::MachineId;
use crate::monitor::store::page::{Page, paged};
use crate::monitor::store::partitions::Periods;
use crate::monitor::store::sql::{Transaction, params, rows};
use crate::monitor::store::{Store, StoreError};
use std::time::Duration;

/// The partitions on PostgreSQL: 54 for the year that events are kept by default. A list of events looks into each.
const PERIODS: Periods =
    Periods { tables: &["event"], part: None, column: "at", length: Duration::from_secs(7 * 86_400) };
/// Periods for which partitions are made ahead.
const AHEAD: u32 = 2;

#[derive(Debug, Clone, PartialEq)]
pub struct RecordedEvent {
    pub id: i64,
    pub at: Moment,
    /// With its name; `None`: the monitor's own.
    pub machine: Option<(MachineId, String)>,
    pub kind: String,
    /// JSON.
    pub detail: Option<String>,
}

impl Store {
    /// Makes the partitions for events from `from` on, and for those to come; returns how many.
    ///
    /// # Errors
    /// The database; events without a partition are written nevertheless.
    pub fn make_event_partitions(&self, from: Moment, now: Moment) -> Result<usize, StoreError> {
        self.make_partitions(&PERIODS, from, now.plus(PERIODS.length * AHEAD))
    }

    /// Removes the partitions of which all events are older than `before`; returns how many.
    ///
    /// # Errors
    /// The database.
    pub fn remove_event_partitions(&self, before: Moment) -> Result<usize, StoreError> {
        self.remove_partitions(&PERIODS, before)
    }

    pub fn events(
        &self,
        page: Page,
        machine: Option<MachineId>,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let (mut condition, order) = paged("e.id", page);
        if let Some(machine) = machine {
            condition += &format!(" AND e.machine_id = {}", machine.0);
        }
        let sql = format!(
            "SELECT e.id, e.at, e.machine_id, m.name, e.kind, e.detail
             FROM event e LEFT JOIN machine m ON m.id = e.machine_id WHERE {condition} {order} LIMIT {limit}"
        );
        self.read(|connection| {
            connection.query_all(&sql, &[], |row| {
                let machine: Option<i64> = row.get(2)?;
                let name: Option<String> = row.get(3)?;
                Ok(RecordedEvent {
                    id: row.get(0)?,
                    at: Moment(row.get(1)?),
                    machine: machine.map(MachineId).zip(name),
                    kind: row.get(4)?,
                    detail: row.get(5)?,
                })
            })
        })
    }
}

/// A line in the list of what happened: the machine (`None`: the monitor itself), its kind, and JSON.
pub type EventLine<'k> = (Option<MachineId>, &'k str, Option<serde_json::Value>);

/// Adds lines, in their order.
pub fn note_each<'k>(
    tx: &Transaction<'_>,
    lines: impl IntoIterator<Item = EventLine<'k>>,
    now: Moment,
) -> Result<(), StoreError> {
    let lines = lines.into_iter().map(|(machine, kind, detail)| {
        (machine.map(|machine| machine.0), kind, detail.map(|detail| detail.to_string()))
    });
    tx.execute(
        "INSERT INTO event (at, machine_id, kind, detail)
         SELECT ?2, CAST(value ->> 0 AS BIGINT), value ->> 1, value ->> 2 FROM json_each(?1)",
        params![rows(lines)?, now],
    )?;
    Ok(())
}

/// Adds a line.
pub fn note(
    tx: &Transaction<'_>,
    machine: Option<MachineId>,
    kind: &str,
    detail: Option<serde_json::Value>,
    now: Moment,
) -> Result<(), StoreError> {
    note_each(tx, [(machine, kind, detail)], now)
}
