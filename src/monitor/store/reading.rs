//! What the read API asks for, a page at a time.

use super::machines::{SELECT, read};
use super::{Delivery, MachineId, Status, Store, StoreError};
use crate::clock::Moment;
use crate::monitor::machine::Machine;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};
use std::collections::BTreeMap;
use std::path::Path;

/// Which machines, and which page of them.
#[derive(Debug, Clone, Default)]
pub struct MachineFilter {
    pub after: i64,
    pub limit: u32,
    pub status: Option<Status>,
    pub group: Option<String>,
    pub tag: Option<String>,
}

/// A page of a growing list: the newest first, or from `after` on the oldest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Page {
    pub before: Option<i64>,
    pub after: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub id: i64,
    pub at: Moment,
    /// With its name; `None`: the monitor's own.
    pub machine: Option<(MachineId, String)>,
    pub kind: String,
    /// JSON.
    pub detail: Option<String>,
}

/// An outage, from the last heartbeat before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    pub last_seen: Moment,
    pub started: Moment,
    /// `None`: it lasts.
    pub ended: Option<Moment>,
    /// The device said that it was being stopped.
    pub planned: bool,
}

/// A notification on its way to somebody; never the secret with which it is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Sending {
    pub id: i64,
    pub created: Moment,
    pub machine: (MachineId, String),
    pub outage: i64,
    pub event: String,
    pub recipient: String,
    pub channel: i64,
    /// webhook, telegram, email, ntfy.
    pub kind: String,
    pub state: i64,
    pub attempts: i64,
    pub due: Moment,
    pub expires: Moment,
    pub delivered: Option<Moment>,
    pub last_error: Option<String>,
}

/// What `/metrics` asks the database.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// Watched ones, by [`Status`].
    pub machines: [u64; 4],
    pub disabled: u64,
    pub paused: u64,
    /// By the channel's kind, and by [`Delivery`].
    pub notifications: BTreeMap<String, [u64; 5]>,
    /// Number and kind of each channel with notifications that were tried without success, and how many.
    pub retrying: Vec<(i64, String, u64)>,
    /// How long the one that waits the longest has been due.
    pub overdue_s: f64,
    pub bytes: u64,
}

impl Store {
    /// By number, ascending.
    pub fn machines(&self, filter: &MachineFilter, now: Moment) -> Result<Vec<Machine>, StoreError> {
        let mut sql = format!("{SELECT} WHERE machine.id > ?2");
        let mut values = vec![Value::from(now.0), Value::from(filter.after)];
        let mut only = |condition: &str, value: Value| {
            values.push(value);
            sql += &format!(" AND {}", condition.replace("?#", &format!("?{}", values.len())));
        };
        if let Some(status) = filter.status {
            only("status = ?#", Value::from(status as i64));
        }
        if let Some(group) = &filter.group {
            only("group_name = ?#", Value::from(group.clone()));
        }
        if let Some(tag) = &filter.tag {
            let tagged = "machine.id IN (SELECT machine_id FROM machine_tag WHERE tag = ?#)";
            only(tagged, Value::from(tag.clone()));
        }
        sql += &format!(" ORDER BY machine.id LIMIT {}", filter.limit);
        self.read(|connection| rows(connection, &sql, values, read))
    }

    pub fn figures(&self, now: Moment) -> Result<Figures, StoreError> {
        let mut figures = Figures::default();
        self.read(|connection| {
            let sql = "SELECT status, watched, count(*) FROM machine_state GROUP BY status, watched";
            let counts = |row: &Row<'_>| -> rusqlite::Result<(usize, bool, u64)> {
                Ok((number(row, 0)? as usize, row.get(1)?, number(row, 2)?))
            };
            for (status, watched, count) in rows(connection, sql, Vec::new(), counts)? {
                match figures.machines.get_mut(status).filter(|_| watched) {
                    Some(machines) => *machines += count,
                    None => figures.disabled += count,
                }
            }
            let sql =
                "SELECT count(DISTINCT machine_id) FROM maintenance WHERE starts_at <= ?1 AND ends_at > ?1";
            figures.paused = connection.query_row(sql, [now.0], |row| number(row, 0))?;
            let sql = "SELECT c.kind, o.state, count(*) FROM outbox o JOIN channel c ON c.id = o.channel_id
                       GROUP BY c.kind, o.state";
            let counts = |row: &Row<'_>| -> rusqlite::Result<(String, usize, u64)> {
                Ok((row.get(0)?, number(row, 1)? as usize, number(row, 2)?))
            };
            for (kind, state, count) in rows(connection, sql, Vec::new(), counts)? {
                if let Some(notifications) = figures.notifications.entry(kind).or_default().get_mut(state) {
                    *notifications += count;
                }
            }
            let sql = "SELECT c.id, c.kind, count(*) FROM outbox o JOIN channel c ON c.id = o.channel_id
                       WHERE o.state IN (0, 1) AND o.attempts > 0 GROUP BY c.id, c.kind ORDER BY c.id";
            figures.retrying =
                rows(connection, sql, Vec::new(), |row| Ok((row.get(0)?, row.get(1)?, number(row, 2)?)))?;
            let sql = "SELECT min(due_at) FROM outbox WHERE state IN (0, 1)";
            let oldest: Option<i64> = connection.query_row(sql, [], |row| row.get(0))?;
            figures.overdue_s = oldest.map_or(0.0, |due| now.since(Moment(due)).as_secs_f64());
            Ok(())
        })?;
        figures.bytes = ["", "-wal"].iter().map(|suffix| size(&super::beside(self.path(), suffix))).sum();
        Ok(figures)
    }

    pub fn events(
        &self,
        page: Page,
        machine: Option<MachineId>,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let (mut condition, order) = paged("e.id", page);
        if let Some(machine) = machine {
            condition += &format!(" AND e.machine_id = {}", machine.0);
        }
        let sql = format!(
            "SELECT e.id, e.at, e.machine_id, m.name, e.kind, e.detail
             FROM event e LEFT JOIN machine m ON m.id = e.machine_id WHERE {condition} {order} LIMIT {limit}"
        );
        self.read(|connection| {
            rows(connection, &sql, Vec::new(), |row| {
                let machine: Option<i64> = row.get(2)?;
                let name: Option<String> = row.get(3)?;
                Ok(Event {
                    id: row.get(0)?,
                    at: Moment(row.get(1)?),
                    machine: machine.map(MachineId).zip(name),
                    kind: row.get(4)?,
                    detail: row.get(5)?,
                })
            })
        })
    }

    /// The outage of a machine that began or ended at this moment.
    pub fn outage_at(&self, machine: MachineId, at: Moment) -> Result<Option<Outage>, StoreError> {
        self.outage("(started_at = ?2 OR ended_at = ?2)", vec![machine.0.into(), at.0.into()])
    }

    /// The outage of a machine that lasts.
    pub fn open_outage(&self, machine: MachineId) -> Result<Option<Outage>, StoreError> {
        self.outage("ended_at IS NULL", vec![machine.0.into()])
    }

    fn outage(&self, condition: &str, values: Vec<Value>) -> Result<Option<Outage>, StoreError> {
        let sql = format!(
            "SELECT last_seen, started_at, ended_at, planned FROM outage WHERE machine_id = ?1 AND {condition}
             ORDER BY id DESC LIMIT 1"
        );
        let outage = |row: &Row<'_>| {
            Ok(Outage {
                last_seen: Moment(row.get(0)?),
                started: Moment(row.get(1)?),
                ended: row.get::<_, Option<i64>>(2)?.map(Moment),
                planned: row.get(3)?,
            })
        };
        Ok(self.read(|connection| rows(connection, &sql, values, outage))?.pop())
    }

    pub fn deliveries(
        &self,
        page: Page,
        machine: Option<MachineId>,
        state: Option<Delivery>,
        limit: u32,
    ) -> Result<Vec<Sending>, StoreError> {
        let (mut condition, order) = paged("o.id", page);
        if let Some(machine) = machine {
            condition += &format!(" AND o.machine_id = {}", machine.0);
        }
        if let Some(state) = state {
            // For people, what a courier has in its hands waits.
            let leased = if state == Delivery::Waiting { Delivery::Leased } else { state };
            condition += &format!(" AND o.state IN ({}, {})", state as i64, leased as i64);
        }
        let sql = format!(
            "SELECT o.id, o.created_at, o.machine_id, m.name, o.outage_id, o.event, r.name, o.channel_id, c.kind,
                    o.state, o.attempts, o.due_at, o.expires_at, o.delivered_at, o.last_error
             FROM outbox o JOIN machine m ON m.id = o.machine_id JOIN channel c ON c.id = o.channel_id
             JOIN recipient r ON r.id = c.recipient_id WHERE {condition} {order} LIMIT {limit}"
        );
        self.read(|connection| rows(connection, &sql, Vec::new(), sending))
    }
}

/// Of what is counted or numbered from 0.
fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// What stands behind WHERE, and the order.
fn paged(id: &str, page: Page) -> (String, String) {
    let order = if page.after.is_some() { "" } else { " DESC" };
    let (after, before) = (page.after.unwrap_or(-1), page.before.unwrap_or(i64::MAX));
    (format!("{id} > {after} AND {id} < {before}"), format!("ORDER BY {id}{order}"))
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    values: Vec<Value>,
    each: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map(params_from_iter(values), each)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn sending(row: &Row<'_>) -> rusqlite::Result<Sending> {
    Ok(Sending {
        id: row.get(0)?,
        created: Moment(row.get(1)?),
        machine: (MachineId(row.get(2)?), row.get(3)?),
        outage: row.get(4)?,
        event: row.get(5)?,
        recipient: row.get(6)?,
        channel: row.get(7)?,
        kind: row.get(8)?,
        state: row.get(9)?,
        attempts: row.get(10)?,
        due: Moment(row.get(11)?),
        expires: Moment(row.get(12)?),
        delivered: row.get::<_, Option<i64>>(13)?.map(Moment),
        last_error: row.get(14)?,
    })
}
