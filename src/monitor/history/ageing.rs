//! Hands the history down to coarser resolutions, and removes what is older than all of them.
//!
//! On SQLite a row is handed down and deleted. On PostgreSQL the rows of a resolution are in partitions as long as a row of
//! the next coarser one. When the whole period is too old, its rows are handed down, a share of the machines at a time, and
//! stay; then their partition is dropped. Until then the history has both, and the finer one counts.

use super::ranges;
use super::resolution::{RESOLUTIONS, coarser};
use super::rows::{Precedence, merge};
use crate::clock::Moment;
use crate::monitor::history::packed;
use crate::monitor::machine::MachineId;
use crate::monitor::store::partitions::{Partition, Periods, rest};
use crate::monitor::store::sql::{Transaction, params};
use crate::monitor::store::{Store, StoreError};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// The partitions of each of [`RESOLUTIONS`] on PostgreSQL. Hours, which are handed down no further, are dropped by the month.
const PERIODS: [Periods; 3] = [
    periods(&["history"], 60, DAY),
    periods(&["history", "history_range"], 900, DAY.saturating_mul(7)),
    periods(&["history", "history_range"], 3600, DAY.saturating_mul(28)),
];

const fn periods(tables: &'static [&'static str], resolution: i64, length: Duration) -> Periods {
    Periods { tables, part: Some(("resolution", resolution)), column: "starts_at", length }
}

/// Partitions are made this many periods ahead, those of minutes for two days: for so long no monitor has to run.
const AHEAD: u32 = 2;

/// Tables whose rows are handed down.
struct StoredHistory<'t> {
    history: &'t str,
    ranges: &'t str,
}

impl Store {
    /// Makes the partitions for all history that is kept and will soon be written; returns how many.
    ///
    /// # Errors
    /// The database; rows without a partition are written nevertheless.
    pub fn make_history_partitions(&self, now: Moment) -> Result<usize, StoreError> {
        let mut made = 0;
        for (periods, resolution) in PERIODS.iter().zip(RESOLUTIONS) {
            let (from, to) = (resolution.kept_from(now), now.plus(periods.length * AHEAD));
            made += self.make_partitions(periods, from, to)?;
        }
        Ok(made)
    }

    /// Hands rows that are too old for their resolution down to the next one, and forgets what is too old for all, for
    /// the machines whose number is `turn` modulo `turns`; but not rows in partitions. Returns how many rows were handed
    /// down or forgotten.
    ///
    /// # Errors
    /// The database; nothing is changed then.
    pub fn age_history(&self, turn: i64, turns: i64, now: Moment) -> Result<usize, StoreError> {
        self.write(|tx| {
            let (history, ranges) = (rest(tx, "history"), rest(tx, "history_range"));
            let sql = format!(
                "SELECT id FROM machine WHERE id % ?1 = ?2
                 AND (EXISTS (SELECT 1 FROM {history} WHERE machine_id = id)
                      OR EXISTS (SELECT 1 FROM {ranges} WHERE machine_id = id))"
            );
            let machines: Vec<MachineId> =
                tx.query_all(&sql, params![turns, turn], |row| Ok(MachineId(row.get(0)?)))?;
            let source = StoredHistory { history: &history, ranges: &ranges };
            let mut aged = 0;
            for machine in machines {
                for (index, resolution) in RESOLUTIONS.iter().enumerate() {
                    let before = resolution.kept_from(now);
                    hand_down(tx, &source, machine, index, before)?;
                    aged += forget(tx, &source, machine, resolution.seconds, before)?;
                }
            }
            Ok(aged)
        })
    }

    /// Hands the rows of `share` machines down from the oldest partition of each resolution that is too old as a whole, or
    /// drops it if all its machines had their turn. Returns how many machines and partitions that were. On SQLite there is
    /// none.
    ///
    /// # Errors
    /// The database. What was handed down before is, and handing it down again changes nothing.
    pub fn age_history_partitions(&self, share: usize, now: Moment) -> Result<usize, StoreError> {
        let mut aged = 0;
        for (index, resolution) in RESOLUTIONS.iter().enumerate() {
            aged += self.age_partition(index, share, resolution.kept_from(now))?;
        }
        Ok(aged)
    }

    fn age_partition(&self, index: usize, share: usize, before: Moment) -> Result<usize, StoreError> {
        let oldest = |partitions: Vec<Partition>| partitions.into_iter().find(|one| one.end <= before);
        let periods = &PERIODS[index];
        if self.read(|connection| periods.partitions(connection).map(oldest))?.is_none() {
            return Ok(0);
        }
        let aged = self.write(|tx| {
            // Another monitor that does the same waits here, and then finds what is left.
            let (begin, last) = lock_progress(tx, RESOLUTIONS[index].seconds)?;
            let Some(partition) = oldest(periods.partitions(tx)?) else { return Ok(0) };
            let last = if begin == partition.begin { last } else { MachineId(0) };
            match hand_down_share(tx, index, partition, last, share)? {
                0 => periods.remove(tx, partition).map(|()| 1),
                machines => Ok(machines),
            }
        });
        match aged {
            // A backup program reads the table for hours. The next turn is in a minute.
            Err(StoreError::Busy) => {
                log::debug!("a transaction of another program delays the removal of old history");
                Ok(0)
            }
            aged => aged,
        }
    }
}

/// The partition of a resolution that is being handed down, by its begin, and the last machine that had its turn.
fn lock_progress(tx: &Transaction<'_>, resolution: i64) -> Result<(Moment, MachineId), StoreError> {
    let sql = "INSERT INTO history_ageing AS known (resolution, starts_at, machine_id) VALUES (?1, 0, 0)
               ON CONFLICT (resolution) DO UPDATE SET machine_id = known.machine_id
               RETURNING starts_at, machine_id";
    tx.query_row(sql, params![resolution], |row| Ok((row.get(0)?, MachineId(row.get(1)?))))
}

/// Hands the rows of the next machines after `last` down; returns how many machines that were. Of the coarsest resolution none
/// are.
fn hand_down_share(
    tx: &Transaction<'_>,
    index: usize,
    partition: Partition,
    last: MachineId,
    share: usize,
) -> Result<usize, StoreError> {
    let periods = &PERIODS[index];
    let (Some(history), Some(ranges), Some(_)) = (
        periods.name("history", partition),
        periods.name("history_range", partition),
        RESOLUTIONS.get(index + 1),
    ) else {
        return Ok(0);
    };
    let sql = format!(
        "SELECT DISTINCT machine_id FROM {history} WHERE machine_id > ?1 ORDER BY machine_id LIMIT {share}"
    );
    let machines: Vec<MachineId> = tx.query_all(&sql, params![last.0], |row| Ok(MachineId(row.get(0)?)))?;
    let source = StoredHistory { history: &history, ranges: &ranges };
    for machine in &machines {
        hand_down(tx, &source, *machine, index, partition.end)?;
    }
    if let Some(last) = machines.last() {
        tx.execute(
            "UPDATE history_ageing SET starts_at = ?2, machine_id = ?3 WHERE resolution = ?1",
            params![RESOLUTIONS[index].seconds, partition.begin, last.0],
        )?;
    }
    Ok(machines.len())
}

/// Merges the rows of one machine and resolution that begin before `before` into the next coarser one.
fn hand_down(
    tx: &Transaction<'_>,
    source: &StoredHistory<'_>,
    machine: MachineId,
    index: usize,
    before: Moment,
) -> Result<(), StoreError> {
    let resolution = RESOLUTIONS[index];
    let Some(coarse) = RESOLUTIONS.get(index + 1) else { return Ok(()) };
    let sql = format!(
        "SELECT starts_at, samples FROM {}
         WHERE machine_id = ?1 AND resolution = ?2 AND starts_at < ?3 ORDER BY starts_at",
        source.history
    );
    let mut fine = Vec::new();
    tx.query_each(&sql, params![machine.0, resolution.seconds, before], |row| {
        let first = resolution.bucket(row.get(0)?);
        let buckets = packed::unpack(row.get(1)?, resolution.buckets).unwrap_or_default();
        fine.extend((first..).zip(buckets).filter(|(_, packed)| !packed.is_empty()));
        Ok(())
    })?;
    // What was replayed straight into the coarser one is a single beat's; a mean is better.
    merge(tx, index + 1, &[(machine, coarser(&fine, resolution, *coarse))], Precedence::New)?;
    ranges::hand_down(tx, source.ranges, machine, index, &fine, before)
}

/// Deletes the rows of one machine and resolution that begin before `before`; returns how many of the history.
fn forget(
    tx: &Transaction<'_>,
    source: &StoredHistory<'_>,
    machine: MachineId,
    resolution: i64,
    before: Moment,
) -> Result<usize, StoreError> {
    let mut deleted = 0;
    for table in [source.ranges, source.history] {
        let sql = format!("DELETE FROM {table} WHERE machine_id = ?1 AND resolution = ?2 AND starts_at < ?3");
        deleted = tx.execute(&sql, params![machine.0, resolution, before])?;
    }
    Ok(deleted)
}

#[cfg(all(test, feature = "postgres"))]
mod tests;
