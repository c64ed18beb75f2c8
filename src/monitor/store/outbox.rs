//! The outbox: what is still to be told, leased by couriers, marked only by who holds the lease.
//!
//! One process serves a database, with one courier for a channel at a time. The statements would hold for several of
//! both: a lease is committed before anything is sent, and a mark counts only while the lease does.

use super::{Delivery, Store, StoreError};
use crate::monitor::notify::channel::{Channel, Kind};
use crate::monitor::notify::notice::Notice;
use crate::monitor::notify::plan::ChannelId;
use crate::monitor::time::{Moment, milliseconds};
use log::warn;
use rusqlite::{OptionalExtension, Transaction, params};
use std::time::Duration;

/// Longer than any courier needs for what it takes at once: 16 webhooks of at most 10 s each, and a lookup.
pub const LEASE: Duration = Duration::from_secs(300);

/// A row of the outbox that a courier has leased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// `X-Webhook-Id`.
    pub id: i64,
    pub notice: Notice,
    pub attempts: u32,
    pub expires: Moment,
}

/// What a courier got.
#[derive(Debug)]
pub struct Batch {
    pub channel: Channel,
    /// Proves that it is the one who holds the rows.
    pub lease: i64,
    /// At most one of each machine: the first that it has not been told of.
    pub rows: Vec<Leased>,
    /// Rows that were given up because they are too old.
    pub expired: usize,
}

/// What became of a leased row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Delivered,
    /// To be tried again then.
    Failed {
        why: String,
        again: Moment,
    },
    /// Given up.
    Dead {
        why: String,
    },
    /// Not tried; nobody holds it any more.
    Untouched,
}

impl Store {
    /// At start: whoever held leases has ended with the last process. Returns how many there were.
    pub fn free_leases(&self) -> Result<usize, StoreError> {
        self.write(|transaction| {
            let sql = "UPDATE outbox SET state = 0, lease = NULL, leased_until = NULL WHERE state = 1";
            Ok(transaction.execute(sql, [])?)
        })
    }

    /// The enabled channels that have anything to be told, and since or from when.
    pub fn channels_with_work(&self) -> Result<Vec<(ChannelId, Moment)>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT c.id, (SELECT min(due_at) FROM outbox o WHERE o.channel_id = c.id AND o.state IN (0, 1)) AS due
                 FROM channel c JOIN recipient r ON r.id = c.recipient_id
                 WHERE c.enabled = 1 AND r.enabled = 1 AND due IS NOT NULL ORDER BY due",
            )?;
            let rows = statement.query_map([], |row| Ok((ChannelId(row.get(0)?), Moment(row.get(1)?))))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Leases what is due on `channel`, a batch at most; `None` if the channel has gone or is switched off.
    pub fn lease(&self, channel: ChannelId, now: Moment) -> Result<Option<Batch>, StoreError> {
        self.write(|transaction| {
            let Some(channel) = enabled_channel(transaction, channel)? else { return Ok(None) };
            let expired = expire(transaction, channel.id, now)?;
            let lease = i64::from_ne_bytes(fastrand::u64(..).to_ne_bytes());
            let rows = take(transaction, channel.id, lease, channel.kind.batch(), now)?;
            Ok(Some(Batch { channel, lease, rows, expired }))
        })
    }

    /// Writes what became of leased rows. Returns how many of them the lease still held.
    pub fn settle(&self, lease: i64, outcomes: &[(i64, Outcome)], now: Moment) -> Result<usize, StoreError> {
        self.write(|transaction| {
            let mut held = 0;
            for (id, outcome) in outcomes {
                held += settle_one(transaction, lease, *id, outcome, now)?;
            }
            Ok(held)
        })
    }

    /// How many rows wait, and since when the first of them has been due.
    pub fn waiting_deliveries(&self) -> Result<(u64, Option<Moment>), StoreError> {
        self.read(|connection| {
            let sql = "SELECT count(*), min(due_at) FROM outbox WHERE state IN (0, 1)";
            let number = |count: i64| u64::try_from(count).unwrap_or(0);
            Ok(connection.query_row(sql, [], |row| {
                Ok((number(row.get(0)?), row.get::<_, Option<i64>>(1)?.map(Moment)))
            })?)
        })
    }
}

fn enabled_channel(transaction: &Transaction, id: ChannelId) -> Result<Option<Channel>, StoreError> {
    let mut statement = transaction.prepare_cached(
        "SELECT c.kind, c.target, c.secret, c.secret_file FROM channel c JOIN recipient r ON r.id = c.recipient_id
         WHERE c.id = ?1 AND c.enabled = 1 AND r.enabled = 1",
    )?;
    let row = statement
        .query_row([id.0], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((kind, target, secret, secret_file)) = row else { return Ok(None) };
    // Of a later version, or written by hand: as good as switched off.
    let Some(kind) = Kind::from_name(&kind) else { return Ok(None) };
    Ok(Some(Channel { id, kind, target, secret, secret_file }))
}

fn expire(transaction: &Transaction, channel: ChannelId, now: Moment) -> Result<usize, StoreError> {
    let mut statement = transaction.prepare_cached(
        "UPDATE outbox SET state = ?3, last_error = coalesce(last_error, 'not sent in time: the monitor was not running')
         WHERE channel_id = ?1 AND state IN (0, 1) AND state = 0 AND due_at <= ?2 AND expires_at <= ?2",
    )?;
    Ok(statement.execute(params![channel.0, now.0, Delivery::Dead as i64])?)
}

fn take(
    transaction: &Transaction,
    channel: ChannelId,
    lease: i64,
    most: usize,
    now: Moment,
) -> Result<Vec<Leased>, StoreError> {
    // A machine's second row waits until its first one has been told or given up.
    let mut statement = transaction.prepare_cached(
        "UPDATE outbox SET state = 1, lease = ?2, leased_until = ?4
         WHERE id IN (
             SELECT o.id FROM outbox o
             WHERE o.channel_id = ?1 AND o.state IN (0, 1) AND o.due_at <= ?3
               AND (o.state = 0 OR o.leased_until <= ?3)
               AND NOT EXISTS (SELECT 1 FROM outbox e WHERE e.machine_id = o.machine_id
                               AND e.channel_id = o.channel_id AND e.id < o.id AND e.state IN (0, 1))
             ORDER BY o.due_at, o.id LIMIT ?5)
         RETURNING id, content, attempts, expires_at",
    )?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![channel.0, lease, now.0, now.plus(LEASE).0, most], |row| {
        Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, Moment(row.get(3)?)))
    })?;
    let mut leased = Vec::new();
    for row in rows {
        let (id, content, attempts, expires) = row?;
        match serde_json::from_str(&content) {
            Ok(notice) => leased.push(Leased { id, notice, attempts, expires }),
            // Never written so here; whoever did must not stop the channel.
            Err(error) => {
                warn!("Row {id} of the outbox cannot be read: {error}");
                let why = format!("cannot be read: {error}");
                settle_one(transaction, lease, id, &Outcome::Dead { why }, now)?;
            }
        }
    }
    // RETURNING promises no order.
    leased.sort_by_key(|row| row.id);
    Ok(leased)
}

fn settle_one(
    transaction: &Transaction,
    lease: i64,
    id: i64,
    outcome: &Outcome,
    now: Moment,
) -> Result<usize, StoreError> {
    let (state, attempts, due, delivered, error) = match outcome {
        Outcome::Delivered => (Delivery::Delivered, 1, None, Some(now.0), None),
        Outcome::Failed { why, again } => (Delivery::Waiting, 1, Some(again.0), None, Some(why.as_str())),
        Outcome::Dead { why } => (Delivery::Dead, 1, None, None, Some(why.as_str())),
        Outcome::Untouched => (Delivery::Waiting, 0, None, None, None),
    };
    let mut statement = transaction.prepare_cached(
        "UPDATE outbox SET state = ?3, attempts = attempts + ?4, due_at = coalesce(?5, due_at), delivered_at = ?6,
                           last_error = CASE WHEN ?4 = 1 THEN ?7 ELSE last_error END,
                           lease = NULL, leased_until = NULL
         WHERE id = ?1 AND lease = ?2 AND state = 1",
    )?;
    Ok(statement.execute(params![id, lease, state as i64, attempts, due, delivered, error])?)
}

/// After the clock went back: what was written later than now is due, and leases end as they would have.
pub(super) fn forget_the_future(transaction: &Transaction, now: Moment) -> Result<(), StoreError> {
    transaction.execute(
        "UPDATE outbox SET due_at = ?1 WHERE state IN (0, 1) AND due_at > ?1 AND created_at > ?1",
        [now.0],
    )?;
    transaction.execute(
        "UPDATE outbox SET leased_until = ?1 WHERE state IN (0, 1) AND state = 1 AND leased_until > ?1 + ?2",
        [now.0, milliseconds(LEASE)],
    )?;
    Ok(())
}
