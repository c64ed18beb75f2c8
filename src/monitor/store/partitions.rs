//! Tables that PostgreSQL keeps in partitions, one for each period, so that expired rows go with their table: a DROP costs the
//! same for one row as for a million. SQLite has no partitions, and keeps all rows in the table itself.
//!
//! Each such table has a DEFAULT partition, `..._default`: it takes the rows of periods that have no partition, so that no row
//! is ever refused, whatever a clock said. Rows there are deleted one by one, as on SQLite.

use super::database::Store;
use super::error::StoreError;
use super::sql::{Connection, Transaction, params};
use crate::clock::{Moment, milliseconds};
use std::fmt::Write;
use std::thread;
use std::time::Duration;

/// Making or dropping a partition waits this long for the transactions that use its table. All later ones wait behind it, so
/// it gives up, and tries again.
const LOCK_LIMIT: Duration = Duration::from_millis(300);
/// Attempts to get the locks, and the pause between them.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// Rows that are moved from the default partition into a new one, in 0.5 s. If there are more, they stay, and the period has no
/// partition.
const MOST_MOVED: i64 = 50_000;

/// Partitions that are made at once.
const MOST_MADE: usize = 1_000;

/// The periods by which the rows of tables are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// They always have the same partitions.
    pub tables: &'static [&'static str],
    /// A column and its value, if the periods are those of a part of the rows. It comes first in the partition key.
    pub part: Option<(&'static str, i64)>,
    /// The column with the moment.
    pub column: &'static str,
    /// Each begins at a multiple of this since 1970.
    pub length: Duration,
}

/// One period with a partition of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition {
    /// Included.
    pub begin: Moment,
    /// Excluded.
    pub end: Moment,
}

impl Periods {
    /// The partitions that there are, the oldest first.
    pub fn partitions(&self, connection: &Connection<'_>) -> Result<Vec<Partition>, StoreError> {
        if connection.is_sqlite() {
            return Ok(Vec::new());
        }
        let sql = "SELECT pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                   WHERE i.inhparent = CAST(?1 AS regclass)";
        let bounds =
            connection.query_all(sql, params![self.tables[0]], |row| row.get::<Option<String>>(0))?;
        let mut partitions: Vec<_> =
            bounds.iter().flatten().filter_map(|bounds| self.parse(bounds)).collect();
        partitions.sort_unstable();
        Ok(partitions)
    }

    /// `FOR VALUES FROM ('60', '0') TO ('60', '86400000')`, or without the part.
    fn parse(&self, bounds: &str) -> Option<Partition> {
        let numbers = bounds.split(|c: char| !c.is_ascii_digit() && c != '-');
        let numbers: Vec<i64> = numbers.filter_map(|number| number.parse().ok()).collect();
        let (begin, end) = match (self.part, numbers.as_slice()) {
            (None, [begin, end]) => (*begin, *end),
            (Some((_, part)), [from, begin, to, end]) if part == *from && part == *to => (*begin, *end),
            _ => return None,
        };
        Some(Partition { begin: Moment(begin), end: Moment(end) })
    }

    /// The table with the rows of `table` in a period: `history_60_20260121`. `None`: beyond the year 9999.
    pub fn name(&self, table: &str, partition: Partition) -> Option<String> {
        let date = partition.begin.rfc_3339()?;
        let mut name = table.to_owned();
        if let Some((_, part)) = self.part {
            // Writing to a text cannot fail.
            let _ = write!(name, "_{part}");
        }
        name.push('_');
        name.extend(date.chars().take_while(|c| *c != 'T').filter(char::is_ascii_digit));
        Some(name)
    }

    /// The periods from the one of `from` to the one of `to`.
    fn between(&self, from: Moment, to: Moment) -> impl Iterator<Item = Partition> {
        let length = milliseconds(self.length);
        let numbers = from.0.div_euclid(length)..=to.0.div_euclid(length);
        let period = move |number: i64| {
            let begin = number.checked_mul(length)?;
            Some(Partition { begin: Moment(begin), end: Moment(begin.checked_add(length)?) })
        };
        numbers.filter_map(period).take(MOST_MADE)
    }

    /// The condition of the rows in a period.
    fn condition(&self, partition: Partition) -> String {
        let (column, begin, end) = (self.column, partition.begin.0, partition.end.0);
        let part = self.part.map_or(String::new(), |(column, value)| format!("{column} = {value} AND "));
        format!("{part}{column} >= {begin} AND {column} < {end}")
    }

    /// Whether the rows of a period that are in no partition are few enough to be moved.
    fn can_be_made(&self, connection: &Connection<'_>, partition: Partition) -> Result<bool, StoreError> {
        for table in self.tables {
            let (rest, condition) = (rest(connection, table), self.condition(partition));
            let sql = format!(
                "SELECT count(*) FROM (SELECT 1 FROM {rest} WHERE {condition} LIMIT {MOST_MOVED}) AS moved"
            );
            if connection.query_row(&sql, &[], |row| row.get::<i64>(0))? == MOST_MOVED {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes a partition with the rows of its period. False: another monitor has just made it.
    fn make(&self, tx: &Transaction<'_>, partition: Partition) -> Result<bool, StoreError> {
        let rests: Vec<_> = self.tables.iter().map(|table| rest(tx, table)).collect();
        // Whatever writes to `machine` and then to these tables takes its locks in this order, too. The first one is that of
        // the foreign key; heartbeats and reads pass it.
        tx.execute_batch(&format!(
            "SET LOCAL lock_timeout = {};
             LOCK TABLE machine IN SHARE ROW EXCLUSIVE MODE;
             LOCK TABLE {} IN ACCESS EXCLUSIVE MODE",
            LOCK_LIMIT.as_millis(),
            rests.join(", ")
        ))?;
        if self.partitions(tx)?.contains(&partition) {
            return Ok(false);
        }
        let (Partition { begin, end }, condition) = (partition, self.condition(partition));
        let part = self.part.map_or(String::new(), |(_, value)| format!("{value}, "));
        for (table, rest) in self.tables.iter().zip(rests) {
            let Some(name) = self.name(table, partition) else { return Ok(false) };
            tx.execute_batch(&format!(
                "CREATE TABLE {name} (LIKE {table});
                 WITH moved AS (DELETE FROM {rest} WHERE {condition} RETURNING *) INSERT INTO {name} SELECT * FROM moved;
                 ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({part}{}) TO ({part}{})",
                begin.0, end.0
            ))?;
        }
        Ok(true)
    }

    /// Removes a partition with its rows, if it is still there.
    ///
    /// # Errors
    /// [`StoreError::Busy`]: another transaction has used the tables for 300 ms.
    pub fn remove(&self, tx: &Transaction<'_>, partition: Partition) -> Result<(), StoreError> {
        tx.execute_batch(&format!("SET LOCAL lock_timeout = {}", LOCK_LIMIT.as_millis()))?;
        for name in self.tables.iter().filter_map(|table| self.name(table, partition)) {
            tx.execute_batch(&format!("DROP TABLE IF EXISTS {name}"))?;
        }
        Ok(())
    }
}

/// The table with the rows of `table` that are in no partition: all of them on SQLite.
pub fn rest(connection: &Connection<'_>, table: &str) -> String {
    match connection.is_sqlite() {
        true => table.to_owned(),
        false => format!("{table}_default"),
    }
}

impl Store {
    /// Makes the partitions from the period of `from` to that of `to` that are missing; returns how many. Several monitors may
    /// do so at the same moment.
    ///
    /// # Errors
    /// The database; those before are made. Rows of the others are written nevertheless.
    pub fn make_partitions(&self, periods: &Periods, from: Moment, to: Moment) -> Result<usize, StoreError> {
        let missing = self.read(|connection| {
            if connection.is_sqlite() {
                return Ok(Vec::new());
            }
            let known = periods.partitions(connection)?;
            let mut missing = Vec::new();
            for period in periods.between(from, to).filter(|period| !known.contains(period)) {
                if periods.can_be_made(connection, period)? {
                    missing.push(period);
                }
            }
            Ok(missing)
        })?;
        let mut made = 0;
        for period in missing {
            made += usize::from(self.write_when_free(|tx| periods.make(tx, period))?);
        }
        Ok(made)
    }

    /// Removes the partitions that end at `before` or earlier, with their rows; returns how many.
    ///
    /// # Errors
    /// The database; those before are removed.
    pub fn remove_partitions(&self, periods: &Periods, before: Moment) -> Result<usize, StoreError> {
        let mut removed = 0;
        for partition in self.read(|connection| periods.partitions(connection))? {
            if partition.end <= before {
                self.write_when_free(|tx| periods.remove(tx, partition))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Runs a write transaction, and again if another one holds its locks.
    fn write_when_free<T>(
        &self,
        work: impl Fn(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 1..ATTEMPTS {
            match self.write(&work) {
                Err(StoreError::Busy) => thread::sleep(PAUSE),
                done => return done,
            }
        }
        self.write(&work)
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests;
