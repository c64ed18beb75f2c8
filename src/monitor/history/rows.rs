//! The table `history`: packed rows that are read and merged.

use super::packed::{self, Packed};
use super::ranges::{self, Ranges};
use super::resolution::{RESOLUTIONS, Resolution};
use crate::clock::Moment;
use crate::monitor::machine::MachineId;
use crate::monitor::store::sql::{Transaction, Value, params};
use crate::monitor::store::{Store, StoreError};

/// A replayed sample of a machine: figures at a moment at which no monitor received them.
#[derive(Debug, Clone, PartialEq)]
pub struct PastSample {
    pub machine: MachineId,
    pub at: Moment,
    pub figures: Packed,
}

/// Which of two values for one bucket is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precedence {
    New,
    Old,
}

/// A bucket of [`RESOLUTIONS`] at this index.
type Bucket = (i64, Packed);

/// Merges buckets of one resolution (by its index) into the rows they belong to. Each machine occurs once, its buckets oldest
/// first; machines that were removed meanwhile are passed over.
pub fn merge(
    tx: &Transaction<'_>,
    resolution: usize,
    machines: &[(MachineId, impl AsRef<[Bucket]>)],
    precedence: Precedence,
) -> Result<(), StoreError> {
    let resolution = RESOLUTIONS[resolution];
    let row_of = |bucket: &Bucket| resolution.row(bucket.0).0;
    let mut new: Vec<([Value<'_>; 3], &[Bucket])> = Vec::new();
    for (machine, buckets) in machines {
        for buckets in buckets.as_ref().chunk_by(|a, b| row_of(a) == row_of(b)) {
            let Some(first) = buckets.first() else { continue };
            let begin = resolution.begin(row_of(first));
            new.push(([machine.0, resolution.seconds, begin.0].map(Value::Integer), buckets));
        }
    }
    let keys: Vec<_> = new.iter().map(|(key, _)| *key).collect();
    let stored = tx
        .prepare("SELECT samples FROM history WHERE machine_id = ?1 AND resolution = ?2 AND starts_at = ?3")?
        .query_optional_all(&keys, |row| Ok(packed::unpack(row.get(0)?, resolution.buckets)))?;
    let merged = |(stored, (_, new)): (Option<Option<Vec<Packed>>>, &(_, &[Bucket]))| {
        // An empty one if it does not exist or cannot be unpacked.
        let mut row = stored.flatten().unwrap_or_else(|| vec![Packed::EMPTY; resolution.buckets]);
        for (bucket, new) in *new {
            let old = &mut row[resolution.row(*bucket).1];
            if precedence == Precedence::New || old.is_empty() {
                *old = *new;
            }
        }
        packed::pack(&row)
    };
    let samples: Vec<Vec<u8>> = stored.into_iter().zip(&new).map(merged).collect();
    tx.prepare(
        "INSERT INTO history (machine_id, resolution, starts_at, samples)
         SELECT id, ?2, ?3, ?4 FROM machine WHERE id = ?1
         ON CONFLICT (machine_id, resolution, starts_at) DO UPDATE SET samples = excluded.samples",
    )?
    .execute_all(
        keys.iter()
            .zip(&samples)
            .map(|([machine, seconds, begin], samples)| [*machine, *seconds, *begin, Value::Blob(samples)]),
    )?;
    Ok(())
}

/// Merges what machines say of the past, sorted by [`sort`]; each into the resolution that is still kept there.
pub fn replay(tx: &Transaction<'_>, replays: &[PastSample], now: Moment) -> Result<(), StoreError> {
    let mut parts: [Vec<(MachineId, Vec<Bucket>)>; RESOLUTIONS.len()] = Default::default();
    for of_machine in replays.chunk_by(|a, b| a.machine == b.machine) {
        let mut rest = of_machine;
        // Oldest first, so the coarsest resolution's come first.
        for (index, resolution) in RESOLUTIONS.iter().enumerate().rev() {
            let finer_begins =
                index.checked_sub(1).map_or(Moment(i64::MAX), |finer| RESOLUTIONS[finer].kept_from(now));
            let begin = now.minus(resolution.kept);
            let count = rest.iter().take_while(|past| past.at < finer_begins).count();
            let (mine, later) = rest.split_at(count);
            rest = later;
            let kept = mine.iter().filter(|past| past.at >= begin && !past.figures.is_empty());
            let buckets: Vec<Bucket> = kept.map(|past| (resolution.bucket(past.at), past.figures)).collect();
            parts[index].extend(of_machine.first().map(|first| (first.machine, buckets)));
        }
    }
    for (index, machines) in parts.iter().enumerate() {
        merge(tx, index, machines, Precedence::Old)?;
    }
    Ok(())
}

/// As [`replay`] takes them.
pub fn sort(replays: &mut [PastSample]) {
    replays.sort_unstable_by_key(|past| (past.machine, past.at));
}

impl Store {
    /// Writes what machines say of the past, in one transaction; durable when it returns. What is known of a minute
    /// already stays, so that a replay that is sent twice changes nothing.
    ///
    /// # Errors
    /// The database; nothing is written then.
    pub fn save_replays(&self, replays: &mut [PastSample], now: Moment) -> Result<(), StoreError> {
        sort(replays);
        self.write(|tx| replay(tx, replays, now))
    }

    /// Calls `take` for each bucket of one resolution that begins from `from` (included) to `to` (excluded), the row's
    /// others too.
    ///
    /// # Errors
    /// The database could not be read. A row that is damaged is left out.
    pub fn history(
        &self,
        machine: MachineId,
        resolution: Resolution,
        from: Moment,
        to: Moment,
        mut take: impl FnMut(i64, Packed),
    ) -> Result<(), StoreError> {
        let (first, _) = resolution.row(resolution.bucket(from));
        let begin = resolution.begin(first);
        self.read(|connection| {
            let sql = "SELECT starts_at, samples FROM history
                       WHERE machine_id = ?1 AND resolution = ?2 AND starts_at >= ?3 AND starts_at < ?4
                       ORDER BY starts_at";
            connection.query_each(sql, params![machine.0, resolution.seconds, begin.0, to.0], |row| {
                let first = resolution.bucket(row.get(0)?);
                let buckets = packed::unpack(row.get(1)?, resolution.buckets).unwrap_or_default();
                for (bucket, packed) in (first..).zip(buckets).filter(|(_, packed)| !packed.is_empty()) {
                    take(bucket, packed);
                }
                Ok(())
            })
        })
    }

    /// Least and greatest minute means of the buckets in the rows from `from` to `to`; minutes have none.
    ///
    /// # Errors
    /// The database could not be read.
    pub fn history_ranges(
        &self,
        machine: MachineId,
        resolution: Resolution,
        from: Moment,
        to: Moment,
    ) -> Result<Ranges, StoreError> {
        let begin = resolution.begin(resolution.row(resolution.bucket(from)).0);
        self.read(|connection| ranges::read(connection, machine, resolution, begin, to))
    }
}

#[cfg(test)]
impl Store {
    /// Makes nonsense of the rows that begin at `at`.
    pub fn damage_history(&self, at: Moment) {
        let damage = |tx: &Transaction<'_>| {
            let sql = "UPDATE history SET samples = ?2 WHERE starts_at = ?1";
            tx.execute(sql, params![at.0, [0x01_u8, 0xff, 0x02]])
        };
        self.write(damage).expect("written");
    }
}
