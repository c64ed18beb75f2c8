//! Incidents of the last hours, as far as a bar shows them.

use crate::clock::Moment;
use crate::monitor::incidents::table::OFFLINE;
use crate::monitor::machine::MachineId;
use crate::monitor::store::sql::params;
use crate::monitor::store::{Store, StoreError};

/// The time of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecentIncident {
    pub machine: MachineId,
    /// The machine was offline; otherwise one of its conditions held.
    pub is_outage: bool,
    pub since: Moment,
    /// `None`: it is open.
    pub ended: Option<Moment>,
}

/// Begin and end of an outage.
pub type EndedOutage = (Moment, Moment);

/// More are not shown: a year of a fleet that flaps must not fill the memory.
const MOST: u32 = 200_000;

impl Store {
    /// Unplanned incidents that are open or ended at `from` or later.
    pub fn recent_incidents(&self, from: Moment) -> Result<Vec<RecentIncident>, StoreError> {
        self.read(|connection| {
            connection.query_all(
                // Not one condition with OR: each half has an index of its own.
                "SELECT machine_id, kind = ?2, last_seen, ended_at FROM incident
                 WHERE ended_at IS NULL AND NOT planned
                 UNION ALL
                 SELECT machine_id, kind = ?2, last_seen, ended_at FROM incident
                 WHERE ended_at >= ?1 AND NOT planned LIMIT ?3",
                params![from.0, OFFLINE, MOST],
                |row| {
                    Ok(RecentIncident {
                        machine: MachineId(row.get(0)?),
                        is_outage: row.get(1)?,
                        since: Moment(row.get(2)?),
                        ended: row.get(3)?,
                    })
                },
            )
        })
    }

    /// Unplanned outages that ended at `from` or later and before `until`.
    pub fn ended_outages(
        &self,
        from: Moment,
        until: Moment,
    ) -> Result<Vec<(MachineId, EndedOutage)>, StoreError> {
        self.read(|connection| {
            connection.query_all(
                "SELECT machine_id, last_seen, ended_at FROM incident
                 WHERE ended_at >= ?1 AND ended_at < ?2 AND NOT planned AND kind = ?3 LIMIT ?4",
                params![from.0, until.0, OFFLINE, MOST],
                |row| Ok((MachineId(row.get(0)?), (Moment(row.get(1)?), Moment(row.get(2)?)))),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::machine::Description;

    #[test]
    fn open_and_lately_ended_incidents_are_found() {
        let store = Store::scratch();
        let machine = Description { name: "barn".into(), ..Description::default() };
        store.add_machine(&machine, Moment(0)).expect("added");
        let rows =
            "INSERT INTO incident (machine_id, kind, subject, planned, last_seen, began_at, ended_at) VALUES
            (1, 'offline', '', FALSE, 1, 2, 50), (1, 'offline', '', FALSE, 90, 100, 120),
            (1, 'offline', '', TRUE, 130, 130, 140), (1, 'temp', '', FALSE, 95, 99, NULL)";
        store.write(|tx| tx.execute_batch(rows)).expect("rows");
        let found = store.recent_incidents(Moment(100)).expect("read");
        let ended = store.ended_outages(Moment(50), Moment(120)).expect("read");
        assert_eq!(ended, [(MachineId(1), (Moment(1), Moment(50)))]);
        let mut found: Vec<_> =
            found.iter().map(|i| (i.is_outage, i.since.0, i.ended.map(|end| end.0))).collect();
        found.sort_unstable();
        assert_eq!(found, [(false, 95, None), (true, 90, Some(120))]);
    }

    #[test]
    fn recent_incidents_are_found_by_indexes() {
        let store = Store::scratch_file();
        let plan = "EXPLAIN QUERY PLAN SELECT 1 FROM incident WHERE ended_at IS NULL AND NOT planned
                    UNION ALL SELECT 1 FROM incident WHERE ended_at >= 7 AND NOT planned";
        let plan: Vec<String> =
            store.read(|c| c.query_all(plan, &[], |row| row.get::<String>(3))).expect("a plan");
        assert!(!plan.iter().any(|step| step == "SCAN incident"), "{plan:?}");
        assert!(plan.iter().any(|step| step.contains("incident_ended")), "{plan:?}");
    }
}
