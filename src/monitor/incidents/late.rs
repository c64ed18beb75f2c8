//! Declares machines late: silent for longer than their threshold while the monitor listened.

use crate::clock::{Moment, milliseconds};
use crate::monitor::incidents::policy::{MASS_OUTAGE, is_doubtful, late_before};
use crate::monitor::machine::{DeviceServer, MachineId, MachineStatus};
use crate::monitor::store::StoreError;
use crate::monitor::store::sql::{Connection, Transaction, params};
use std::time::Duration;

/// By what one sweep judges. A machine's silence begins at the later of its last heartbeat and `listening_since`.
#[derive(Debug, Clone, Copy)]
pub struct LateCriteria {
    pub now: Moment,
    pub listening_since: Moment,
    /// For machines that have none of their own.
    pub threshold: Duration,
    /// Whether the loss of half of the online fleet at once needs a second check.
    pub is_doubting: bool,
    /// Most machines that one sweep takes.
    pub batch: usize,
    /// Keep the outages of machines back that have other monitors, too.
    pub is_isolated: bool,
    /// The number of this monitor; `None`: the database has one monitor.
    pub process: Option<i64>,
}

/// A machine that is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Late {
    pub machine: MachineId,
    pub last_seen: Moment,
    /// What this monitor is to it.
    pub server: DeviceServer,
}

/// A `SELECT` of all late machines. `?1` is now, `?2` since when the monitor has been listening, `?3` the moment before
/// which a machine without its own threshold is late, `?4` [`MachineStatus::Online`] and `?5` the number of this monitor. The
/// machines with a threshold of their own are few and have an index; for all others one comparison decides. A million
/// machines take 41 ms of a core this way, and 122 ms with both in one condition.
///
/// Each monitor judges the machines that it heard last, because only it knows their latest heartbeats. Those of a monitor that
/// is dead are judged by all, and their silence counts from when it was found dead.
const LATE: &str = "SELECT machine_id FROM machine_state s
     WHERE last_seen < ?3 AND threshold IS NULL AND status = ?4 AND watched AND server_role < 2
       AND (seen_by = ?5 OR NOT EXISTS (SELECT 1 FROM monitor_instance other WHERE other.process = s.seen_by
                                        AND (other.dead_at IS NULL OR other.dead_at >= ?3)))
     UNION ALL
     SELECT machine_id FROM machine_state s
     WHERE threshold IS NOT NULL AND last_seen < ?1 - threshold AND ?2 < ?1 - threshold
       AND status = ?4 AND watched AND server_role < 2
       AND (seen_by = ?5 OR NOT EXISTS (SELECT 1 FROM monitor_instance other WHERE other.process = s.seen_by
                                        AND (other.dead_at IS NULL OR other.dead_at >= ?1 - s.threshold)))";

impl LateCriteria {
    /// For machines without their own threshold; before all time if none of them is late.
    fn default_limit(&self) -> i64 {
        late_before(self.now, self.listening_since, self.threshold).map_or(i64::MIN, |limit| limit.0)
    }
}

/// Sets the status of late machines, `criteria.batch` at most, to offline; returns each with its last heartbeat and what this
/// monitor is to it. One statement that scans the table: an index on last_seen would have to be written at every heartbeat.
pub fn declare_late(transaction: &Transaction<'_>, criteria: &LateCriteria) -> Result<Vec<Late>, StoreError> {
    // The last condition holds for all of them, unless another monitor has just written a heartbeat.
    let sql = format!(
        "UPDATE machine_state SET status = ?6, since = ?1
         WHERE machine_id IN ({LATE} LIMIT ?7)
           AND status = ?4 AND last_seen < CASE WHEN threshold IS NULL THEN ?3 ELSE ?1 - threshold END
         RETURNING machine_id, last_seen, server_role"
    );
    let mut late = transaction.query_all(
        &sql,
        params![
            criteria.now.0,
            criteria.listening_since.0,
            criteria.default_limit(),
            MachineStatus::Online as i64,
            criteria.process,
            MachineStatus::Offline as i64,
            i64::try_from(criteria.batch).unwrap_or(i64::MAX)
        ],
        |row| {
            Ok(Late {
                machine: MachineId(row.get(0)?),
                last_seen: Moment(row.get(1)?),
                server: DeviceServer::of(row.get(2)?),
            })
        },
    )?;
    // RETURNING promises no order.
    late.sort_unstable_by_key(|late: &Late| late.machine);
    Ok(late)
}

/// Sets the status of silent machines of which this monitor is a backup to standby; returns them. Their heartbeats go to
/// another monitor.
pub fn declare_standby(
    transaction: &Transaction<'_>,
    criteria: &LateCriteria,
) -> Result<Vec<MachineId>, StoreError> {
    // The partial index has these machines only.
    let values = params![
        criteria.now.0,
        milliseconds(criteria.threshold),
        MachineStatus::Online as i64,
        MachineStatus::Standby as i64
    ];
    transaction.query_all(
        "UPDATE machine_state SET status = ?4, since = ?1
         WHERE server_role >= 2 AND status = ?3 AND watched AND last_seen < ?1 - coalesce(threshold, ?2)
         RETURNING machine_id",
        values,
        |row| Ok(MachineId(row.get(0)?)),
    )
}

/// The number of late machines if there are too many to be believed at once: `declared`, and those that the next batch
/// would take.
pub fn doubtful(
    connection: &Connection<'_>,
    criteria: &LateCriteria,
    declared: usize,
) -> Result<Option<usize>, StoreError> {
    if !criteria.is_doubting || declared < MASS_OUTAGE {
        return Ok(None);
    }
    let size = |count: i64| usize::try_from(count).unwrap_or(0);
    let more = match declared < criteria.batch {
        true => 0,
        false => size(connection.query_row(
            &format!("SELECT count(*) FROM ({LATE}) late"),
            params![
                criteria.now.0,
                criteria.listening_since.0,
                criteria.default_limit(),
                MachineStatus::Online as i64,
                criteria.process
            ],
            |row| row.get(0),
        )?),
    };
    let late = declared.saturating_add(more);
    // Counts no further than needed for the decision; the late ones that are not declared yet are online, too.
    let enough = i64::try_from(late.saturating_add(more).saturating_add(1)).unwrap_or(i64::MAX);
    let online = size(connection.query_row(
        "SELECT count(*) FROM (SELECT 1 FROM machine_state WHERE status = ?1 AND watched LIMIT ?2) counted",
        params![MachineStatus::Online as i64, enough],
        |row| row.get(0),
    )?);
    Ok(is_doubtful(late, online.saturating_sub(more)).then_some(late))
}
