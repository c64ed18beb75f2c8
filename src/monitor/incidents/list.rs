//! Incidents as they are listed, and how many are open.

use crate::clock::Moment;
use crate::monitor::incidents::table::IncidentId;
use crate::monitor::machine::MachineId;
use crate::monitor::store::page::{Page, paged};
use crate::monitor::store::sql::{Connection, Parameter, Row, params};
use crate::monitor::store::{Store, StoreError};

/// An incident with everything that is shown of it.
#[derive(Debug, Clone, PartialEq)]
pub struct IncidentRecord {
    pub id: i64,
    pub machine: (MachineId, String),
    /// `offline`, or the name of a condition.
    pub kind: String,
    /// The part of the machine; empty for the machine itself.
    pub subject: String,
    /// The subject as people call it.
    pub label: Option<String>,
    /// The device announced that it is being stopped.
    pub planned: bool,
    /// The last heartbeat before an outage; when a condition began to hold.
    pub since: Moment,
    pub began: Moment,
    /// `None`: it is open.
    pub ended: Option<Moment>,
    /// `None`: not announced.
    pub notified: Option<Moment>,
    /// When it was acknowledged, and by whom; `None`: not acknowledged.
    pub acknowledged: Option<(Moment, String)>,
    /// It held when its condition was first judged.
    pub existing: bool,
    /// At its begin.
    pub value: Option<f32>,
    pub threshold: Option<f32>,
}

/// Which incidents, and which page of them.
#[derive(Debug, Clone, Copy)]
pub struct IncidentFilter {
    pub page: Page,
    pub limit: u32,
    pub machine: Option<MachineId>,
    /// `offline`, or the name of a condition.
    pub kind: Option<&'static str>,
    /// `None`: open and ended ones.
    pub is_open: Option<bool>,
}

impl Store {
    pub fn incidents(&self, filter: &IncidentFilter) -> Result<Vec<IncidentRecord>, StoreError> {
        let kind: Option<&dyn Parameter> = filter.kind.as_ref().map(|kind| kind as &dyn Parameter);
        self.read(|connection| connection.query_all(&list_sql(filter, connection), kind.as_slice(), record))
    }

    pub fn incident(&self, id: IncidentId) -> Result<Option<IncidentRecord>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM incident i JOIN machine m ON m.id = i.machine_id WHERE i.id = ?1");
        self.read(|connection| connection.query_optional(&sql, params![id.0], record))
    }

    /// The open incidents of a machine, oldest first.
    pub fn open_incidents(&self, machine: MachineId) -> Result<Vec<IncidentRecord>, StoreError> {
        let page = Page { before: None, after: Some(0) };
        self.incidents(&IncidentFilter {
            page,
            limit: u32::MAX,
            machine: Some(machine),
            kind: None,
            is_open: Some(true),
        })
    }
}

fn list_sql(filter: &IncidentFilter, connection: &Connection<'_>) -> String {
    // Few incidents are open: they are found by their index and sorted, not by reading all ids.
    let is_open = filter.is_open == Some(true);
    let id = if is_open { "i.id + 0" } else { "i.id" };
    let index = if is_open && connection.is_sqlite() { "INDEXED BY incident_open" } else { "" };
    let (mut condition, order) = paged(id, filter.page);
    if let Some(machine) = filter.machine {
        condition += &format!(" AND i.machine_id = {}", machine.0);
    }
    if filter.kind.is_some() {
        condition += " AND i.kind = ?1";
    }
    if let Some(is_open) = filter.is_open {
        condition += if is_open { " AND i.ended_at IS NULL" } else { " AND i.ended_at IS NOT NULL" };
    }
    format!(
        "SELECT {COLUMNS} FROM incident i {index} CROSS JOIN machine m
         WHERE m.id = i.machine_id AND {condition} {order} LIMIT {}",
        filter.limit
    )
}

/// What [`record`] reads, of the incident i and its machine m.
const COLUMNS: &str =
    "i.id, i.machine_id, m.name, i.kind, i.subject, i.label, i.planned, i.last_seen, i.began_at,
    i.ended_at, i.notified_at, i.existing, i.value, i.threshold, i.acknowledged_at, i.acknowledged_by";

fn record(row: &Row<'_>) -> Result<IncidentRecord, StoreError> {
    Ok(IncidentRecord {
        id: row.get(0)?,
        machine: (MachineId(row.get(1)?), row.get(2)?),
        kind: row.get(3)?,
        subject: row.get(4)?,
        label: row.get(5)?,
        planned: row.get(6)?,
        since: Moment(row.get(7)?),
        began: Moment(row.get(8)?),
        ended: row.get(9)?,
        notified: row.get(10)?,
        existing: row.get(11)?,
        value: row.get(12)?,
        threshold: row.get(13)?,
        acknowledged: acknowledged(row.get(14)?, row.get(15)?),
    })
}

fn acknowledged(at: Option<i64>, by: Option<String>) -> Option<(Moment, String)> {
    Some((Moment(at?), by.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(filter: &IncidentFilter) -> String {
        let detail = |row: &Row<'_>| row.get::<String>(3);
        let steps = Store::scratch_file().read(|connection| {
            let sql = format!("EXPLAIN QUERY PLAN {}", list_sql(filter, connection));
            connection.query_all(&sql, &[], detail)
        });
        steps.expect("a plan").join("; ")
    }

    #[test]
    fn open_incidents_are_found_by_an_index_of_open_ones() {
        let filter = |machine, is_open| IncidentFilter {
            page: Page::default(),
            limit: 100,
            machine,
            kind: None,
            is_open,
        };
        let all = plan(&filter(None, Some(true)));
        assert!(all.contains("USING INDEX incident_open"), "{all}");
        let one = plan(&filter(Some(MachineId(1)), Some(true)));
        assert!(one.contains("SEARCH i USING INDEX incident_open"), "{one}");
        let newest = plan(&filter(None, None));
        assert!(newest.contains("USING INTEGER PRIMARY KEY"), "{newest}");
        assert!(!newest.contains("TEMP B-TREE"), "{newest}");
    }
}
