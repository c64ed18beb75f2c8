//! The table `history_range`: least and greatest minute means of each quarter of an hour and each hour.
//!
//! Written when rows of `history` are handed down to a coarser resolution. Rows that an earlier version handed down, and
//! replays that are too old for minutes, have none.

use super::packed::{self, Packed};
use super::resolution::{Means, RESOLUTIONS, Resolution};
use crate::clock::Moment;
use crate::monitor::beat::Sample;
use crate::monitor::machine::MachineId;
use crate::monitor::store::StoreError;
use crate::monitor::store::sql::{Connection, Transaction, params};
use std::collections::BTreeMap;

/// The least and the greatest of each bucket.
pub type Ranges = BTreeMap<i64, [Packed; 2]>;

/// The ranges of the rows that begin from `begin` (included) to `to` (excluded). A row that is damaged is left out.
pub fn read(
    connection: &Connection<'_>,
    machine: MachineId,
    resolution: Resolution,
    begin: Moment,
    to: Moment,
) -> Result<Ranges, StoreError> {
    read_from(connection, "history_range", machine, resolution, begin, to)
}

fn read_from(
    connection: &Connection<'_>,
    table: &str,
    machine: MachineId,
    resolution: Resolution,
    begin: Moment,
    to: Moment,
) -> Result<Ranges, StoreError> {
    let sql = format!(
        "SELECT starts_at, least, greatest FROM {table}
         WHERE machine_id = ?1 AND resolution = ?2 AND starts_at >= ?3 AND starts_at < ?4"
    );
    let mut ranges = Ranges::new();
    connection.query_each(&sql, params![machine.0, resolution.seconds, begin.0, to.0], |row| {
        let first = resolution.bucket(row.get(0)?);
        let column = |index: usize| -> Result<Option<Vec<Packed>>, StoreError> {
            Ok(packed::unpack(row.get(index)?, resolution.buckets))
        };
        let (Some(least), Some(greatest)) = (column(1)?, column(2)?) else { return Ok(()) };
        let pairs = (first..).zip(least.into_iter().zip(greatest));
        ranges.extend(
            pairs
                .filter(|(_, (least, _))| !least.is_empty())
                .map(|(bucket, (least, greatest))| (bucket, [least, greatest])),
        );
        Ok(())
    })?;
    Ok(ranges)
}

/// Merges the ranges of `fine`, buckets of the resolution at `index`, into those of the next coarser one. What is known of
/// them is in rows of `table` that begin before `before`.
pub fn hand_down(
    tx: &Transaction<'_>,
    table: &str,
    machine: MachineId,
    index: usize,
    fine: &[(i64, Packed)],
    before: Moment,
) -> Result<(), StoreError> {
    let resolution = RESOLUTIONS[index];
    let Some(coarse) = RESOLUTIONS.get(index + 1) else { return Ok(()) };
    // Minutes are their own range; a coarser bucket without one was handed down by an earlier version.
    let known = match index {
        0 => Ranges::new(),
        _ => read_from(tx, table, machine, resolution, Moment(i64::MIN), before)?,
    };
    let step = coarse.seconds * 1000;
    let mut means = Means { step, from: Moment(i64::MIN), to: Moment(i64::MAX), spreads: BTreeMap::new() };
    for (bucket, packed) in fine {
        let range = if index == 0 { Some([*packed; 2]) } else { known.get(bucket).copied() };
        for packed in range.into_iter().flatten() {
            means.add_minute(resolution.begin(*bucket), packed);
        }
    }
    let added = means.points().into_iter().map(|point| {
        (coarse.bucket(point.at), [point.least, point.greatest].map(|sample| Packed::from(stored(sample))))
    });
    write(tx, machine, *coarse, &added.collect::<Vec<_>>())
}

/// The figures whose range is stored: the disk changes slowly, and the load follows the CPU.
fn stored(sample: Sample) -> Sample {
    Sample { disk: None, load: None, ..sample }
}

fn write(
    tx: &Transaction<'_>,
    machine: MachineId,
    resolution: Resolution,
    added: &[(i64, [Packed; 2])],
) -> Result<(), StoreError> {
    for added in added.chunk_by(|a, b| resolution.row(a.0).0 == resolution.row(b.0).0) {
        let Some((first, _)) = added.first() else { continue };
        let first = resolution.row(*first).0;
        let begin = resolution.begin(first);
        let mut ranges = read(tx, machine, resolution, begin, resolution.begin(first + 1))?;
        ranges.extend(added.iter().copied());
        let column = |side: usize| {
            let bucket = |bucket| ranges.get(&bucket).map_or(Packed::EMPTY, |range| range[side]);
            let row: Vec<Packed> = (first..).take(resolution.buckets).map(bucket).collect();
            packed::pack(&row)
        };
        tx.execute(
            "INSERT INTO history_range (machine_id, resolution, starts_at, least, greatest)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (machine_id, resolution, starts_at)
             DO UPDATE SET least = excluded.least, greatest = excluded.greatest",
            params![machine.0, resolution.seconds, begin.0, column(0), column(1)],
        )?;
    }
    Ok(())
}
