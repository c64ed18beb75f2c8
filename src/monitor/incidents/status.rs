//! A machine's status in the database, and its change after a heartbeat: `machine_state.status`.

use crate::clock::Moment;
use crate::monitor::incidents::table::IncidentKey;
use crate::monitor::machine::{MachineId, MachineStatus};
use crate::monitor::store::StoreError;
use crate::monitor::store::sql::{Transaction, params, rows};
use std::collections::{HashMap, HashSet};

/// A machine that is watched and has sent a heartbeat.
pub struct HeardMachine {
    pub machine: MachineId,
    /// Before the heartbeat.
    pub status: MachineStatus,
    pub seen: Moment,
}

impl HeardMachine {
    pub fn outage(&self) -> IncidentKey<'static> {
        IncidentKey::outage(self.machine)
    }
}

/// Those of the machines that exist and are not disabled, each once.
pub fn watched(tx: &Transaction<'_>, beats: &[(MachineId, Moment)]) -> Result<Vec<HeardMachine>, StoreError> {
    let seen: HashMap<MachineId, Moment> = beats.iter().copied().collect();
    let machines = rows(seen.keys().map(|machine| machine.0))?;
    let sql = "SELECT machine_id, status FROM machine_state
               WHERE machine_id IN (SELECT CAST(value AS BIGINT) FROM json_each(?1)) AND watched ORDER BY machine_id";
    let mut watched = Vec::new();
    tx.query_each(sql, params![machines], |row| {
        let (machine, status) = (MachineId(row.get(0)?), MachineStatus::of(row.get(1)?));
        watched.extend(seen.get(&machine).map(|&seen| HeardMachine { machine, status, seen }));
        Ok(())
    })?;
    Ok(watched)
}

/// Gives machines another status, or takes a sign of life in the same. Returns those that changed; another monitor of the
/// database may just have changed the others.
pub fn set_status(
    tx: &Transaction<'_>,
    mut machines: Vec<HeardMachine>,
    status: MachineStatus,
    process: Option<i64>,
    now: Moment,
) -> Result<Vec<HeardMachine>, StoreError> {
    if machines.is_empty() {
        return Ok(machines);
    }
    let heard = rows(machines.iter().map(|known| (known.machine.0, known.status as i64, known.seen.0)))?;
    let changed = tx.query_all(
        "UPDATE machine_state SET status = ?2, since = ?3, seen_by = ?4,
                last_seen = CASE WHEN last_seen > heard.at THEN last_seen ELSE heard.at END
         FROM (SELECT CAST(value ->> 0 AS BIGINT) AS machine, CAST(value ->> 1 AS BIGINT) AS before,
                      CAST(value ->> 2 AS BIGINT) AS at FROM json_each(?1)) AS heard
         WHERE machine_id = heard.machine AND status = heard.before
         RETURNING machine_id",
        params![heard, status as i64, now, process],
        |row| Ok(MachineId(row.get(0)?)),
    )?;
    let changed: HashSet<MachineId> = changed.into_iter().collect();
    machines.retain(|known| changed.contains(&known.machine));
    Ok(machines)
}
