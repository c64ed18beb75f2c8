//! The figures that `/metrics` reads from the database.

use super::lists::STATUSES;
use crate::clock::Moment;
use crate::monitor::notify::delivery_state::UNDELIVERED;
use crate::monitor::store::sql::{Row, params};
use crate::monitor::store::{Store, StoreError};
use std::collections::BTreeMap;

/// The queries of `/metrics`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoredFigures {
    /// Watched ones, by [`MachineStatus`].
    pub machines: [u64; STATUSES.len()],
    pub disabled: u64,
    pub paused: u64,
    /// Open incidents by kind; without the kinds that have none.
    pub incidents: BTreeMap<String, u64>,
    /// By the channel's kind, and by [`DeliveryState`].
    pub notifications: BTreeMap<String, [u64; 5]>,
    /// Number and kind of each channel with notifications that were tried without success, and how many.
    pub retrying: Vec<(i64, String, u64)>,
    /// How long the one that waits the longest has been due.
    pub overdue_s: f64,
    pub bytes: u64,
}

impl Store {
    pub fn figures(&self, now: Moment) -> Result<StoredFigures, StoreError> {
        let mut figures = StoredFigures::default();
        self.read(|connection| {
            let sql = "SELECT status, watched, count(*) FROM machine_state GROUP BY status, watched";
            let counts = |row: &Row<'_>| -> Result<(usize, bool, u64), StoreError> {
                Ok((number(row, 0)? as usize, row.get(1)?, number(row, 2)?))
            };
            for (status, watched, count) in connection.query_all(sql, &[], counts)? {
                match figures.machines.get_mut(status).filter(|_| watched) {
                    Some(machines) => *machines += count,
                    None => figures.disabled += count,
                }
            }
            let sql =
                "SELECT count(DISTINCT machine_id) FROM maintenance WHERE starts_at <= ?1 AND ends_at > ?1";
            figures.paused = connection.query_row(sql, params![now.0], |row| number(row, 0))?;
            let sql = "SELECT kind, count(*) FROM incident WHERE ended_at IS NULL GROUP BY kind";
            let open = connection.query_all(sql, &[], |row| Ok((row.get(0)?, number(row, 1)?)))?;
            figures.incidents = open.into_iter().collect();
            let sql = "SELECT c.kind, o.state, count(*) FROM outbox o JOIN channel c ON c.id = o.channel_id
                       GROUP BY c.kind, o.state";
            let counts = |row: &Row<'_>| -> Result<(String, usize, u64), StoreError> {
                Ok((row.get(0)?, number(row, 1)? as usize, number(row, 2)?))
            };
            for (kind, state, count) in connection.query_all(sql, &[], counts)? {
                if let Some(notifications) = figures.notifications.entry(kind).or_default().get_mut(state) {
                    *notifications += count;
                }
            }
            let sql = &format!(
                "SELECT c.id, c.kind, count(*) FROM outbox o JOIN channel c ON c.id = o.channel_id
                       WHERE o.{UNDELIVERED} AND o.attempts > 0 GROUP BY c.id, c.kind ORDER BY c.id"
            );
            figures.retrying =
                connection.query_all(sql, &[], |row| Ok((row.get(0)?, row.get(1)?, number(row, 2)?)))?;
            let sql = &format!("SELECT min(due_at) FROM outbox WHERE {UNDELIVERED}");
            let oldest: Option<i64> = connection.query_row(sql, &[], |row| row.get(0))?;
            figures.overdue_s = oldest.map_or(0.0, |due| now.since(Moment(due)).as_secs_f64());
            Ok(())
        })?;
        figures.bytes = self.disk_usage()?;
        Ok(figures)
    }
}

/// Of what is counted or numbered from 0.
fn number(row: &Row<'_>, column: usize) -> Result<u64, StoreError> {
    Ok(u64::try_from(row.get::<i64>(column)?).unwrap_or(0))
}
