//! The open incidents of a machine, as they are listed.

use crate::clock::Moment;
use crate::monitor::machine::MachineId;
use crate::monitor::store::page::rows;
use crate::monitor::store::{Store, StoreError};
use rusqlite::Row;

/// An incident that has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenIncident {
    pub id: i64,
    /// `offline`, or the name of a condition.
    pub kind: String,
    /// The part of the machine; empty for the machine itself.
    pub subject: String,
    /// The subject as people call it.
    pub label: Option<String>,
    /// The device announced that it is being stopped.
    pub planned: bool,
    pub began: Moment,
    /// `None`: not announced.
    pub notified: Option<Moment>,
    /// At its begin.
    pub value: Option<f32>,
    pub threshold: Option<f32>,
}

impl Store {
    /// The open incidents of a machine, oldest first.
    pub fn open_incidents(&self, machine: MachineId) -> Result<Vec<OpenIncident>, StoreError> {
        let sql =
            "SELECT id, kind, subject, label, planned, began_at, notified_at, value, threshold FROM incident
                   WHERE machine_id = ?1 AND ended_at IS NULL ORDER BY id";
        self.read(|connection| rows(connection, sql, vec![machine.0.into()], incident))
    }
}

fn incident(row: &Row<'_>) -> rusqlite::Result<OpenIncident> {
    Ok(OpenIncident {
        id: row.get(0)?,
        kind: row.get(1)?,
        subject: row.get(2)?,
        label: row.get(3)?,
        planned: row.get(4)?,
        began: Moment(row.get(5)?),
        notified: row.get::<_, Option<i64>>(6)?.map(Moment),
        value: row.get(7)?,
        threshold: row.get(8)?,
    })
}
