//! The table of incidents.

use crate::clock::Moment;
use crate::monitor::machine::MachineId;
use crate::monitor::store::page::rows;
use crate::monitor::store::{Store, StoreError};
use rusqlite::Row;
use rusqlite::types::Value;

/// An outage, from the last heartbeat before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    pub last_seen: Moment,
    pub started: Moment,
    /// `None`: it lasts.
    pub ended: Option<Moment>,
    /// The device said that it was being stopped.
    pub planned: bool,
}

impl Store {
    /// The outage of a machine that began or ended at this moment.
    pub fn outage_at(&self, machine: MachineId, at: Moment) -> Result<Option<Outage>, StoreError> {
        self.outage("(started_at = ?2 OR ended_at = ?2)", vec![machine.0.into(), at.0.into()])
    }

    /// The outage of a machine that lasts.
    pub fn open_outage(&self, machine: MachineId) -> Result<Option<Outage>, StoreError> {
        self.outage("ended_at IS NULL", vec![machine.0.into()])
    }

    fn outage(&self, condition: &str, values: Vec<Value>) -> Result<Option<Outage>, StoreError> {
        let sql = format!(
            "SELECT last_seen, started_at, ended_at, planned FROM outage WHERE machine_id = ?1 AND {condition}
             ORDER BY id DESC LIMIT 1"
        );
        let outage = |row: &Row<'_>| {
            Ok(Outage {
                last_seen: Moment(row.get(0)?),
                started: Moment(row.get(1)?),
                ended: row.get::<_, Option<i64>>(2)?.map(Moment),
                planned: row.get(3)?,
            })
        };
        Ok(self.read(|connection| rows(connection, &sql, values, outage))?.pop())
    }
}
