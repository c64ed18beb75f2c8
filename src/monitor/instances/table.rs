//! The table of monitors. Each one writes that it is alive; the others notice that it has stopped doing so.

use super::limits::MONITOR_LAPSES;
use crate::clock::Moment;
use crate::monitor::notify::outbox::UNKNOWN_HOLD;
use crate::monitor::notify::outbox::leases::end_leases;
use crate::monitor::store::sql::{Row, Transaction, params};
use crate::monitor::store::{Store, StoreError};
use std::time::Duration;

/// A dead monitor is listed for this long.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// A monitor of this database.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    pub process: i64,
    pub host: String,
    pub version: String,
    pub started: Moment,
    pub alive: Moment,
    /// When it ended, or when another one noticed that it was silent. Its machines count as heard until then.
    pub dead: Option<Moment>,
    /// Its own clock minus the database's, in milliseconds.
    pub clock_difference: i64,
    /// A second.
    pub heartbeats: f64,
}

impl Instance {
    fn of_row(row: &Row<'_>) -> Result<Instance, StoreError> {
        Ok(Instance {
            process: row.get(0)?,
            host: row.get(1)?,
            version: row.get(2)?,
            started: row.get(3)?,
            alive: row.get(4)?,
            dead: row.get(5)?,
            clock_difference: row.get(6)?,
            heartbeats: row.get(7)?,
        })
    }

    /// Whether it shows itself at `now`.
    pub fn is_alive(&self, now: Moment) -> bool {
        self.dead.is_none() && now.since(self.alive) < MONITOR_LAPSES
    }
}

impl Store {
    /// Every monitor of this database, those that started first before the others.
    pub fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        self.read(|connection| {
            let sql =
                "SELECT process, host, version, started_at, alive_at, dead_at, clock_difference, heartbeats
                       FROM monitor_instance ORDER BY started_at, process";
            connection.query_all(sql, &[], Instance::of_row)
        })
    }

    /// Writes that a monitor is alive; also one that the others had given up.
    pub fn show_alive(&self, instance: &Instance) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO monitor_instance
                     (process, host, version, started_at, alive_at, clock_difference, heartbeats)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (process) DO UPDATE
                 SET alive_at = excluded.alive_at, dead_at = NULL, clock_difference = excluded.clock_difference,
                     heartbeats = excluded.heartbeats",
                params![
                    instance.process,
                    instance.host,
                    instance.version,
                    instance.started,
                    instance.alive,
                    instance.clock_difference,
                    instance.heartbeats
                ],
            )?;
            Ok(())
        })
    }

    /// Notes which monitors are silent, and frees what they were sending. Returns those that nobody had noticed before.
    pub fn bury_silent_instances(&self, now: Moment) -> Result<Vec<Instance>, StoreError> {
        self.write(|transaction| {
            let buried = transaction.query_all(
                "UPDATE monitor_instance SET dead_at = ?1 WHERE dead_at IS NULL AND alive_at <= ?2
                 RETURNING process, host, version, started_at, alive_at, dead_at, clock_difference, heartbeats",
                params![now, now.minus(MONITOR_LAPSES)],
                Instance::of_row,
            )?;
            for instance in &buried {
                resign(transaction, instance.process)?;
                end_leases(transaction, instance.process, now, UNKNOWN_HOLD)?;
            }
            Ok(buried)
        })
    }

    /// This monitor ends: its machines count as heard until now, and others take over what it did.
    pub fn leave(&self, process: i64, now: Moment) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE monitor_instance SET dead_at = ?2, heartbeats = 0 WHERE process = ?1",
                params![process, now],
            )?;
            resign(transaction, process)
        })
    }

    /// Removes the monitors that have been dead for long and have heard no machine last.
    pub fn forget_dead_instances(&self, now: Moment) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.execute(
                "DELETE FROM monitor_instance WHERE dead_at < ?1
                 AND NOT EXISTS (SELECT 1 FROM machine_state WHERE seen_by = process)",
                params![now.minus(KEPT_FOR)],
            )?;
            Ok(())
        })
    }
}

/// Its duties are free.
fn resign(transaction: &Transaction<'_>, process: i64) -> Result<(), StoreError> {
    transaction.execute("DELETE FROM duty WHERE process = ?1", params![process])?;
    Ok(())
}
