//! The outbox: notifications to deliver. Couriers lease rows; only the process that holds a lease may mark the row.
//!
//! Several monitors may share a database: a lease is committed before anything is sent, and a mark counts only while the
//! lease lasts. A process never takes over its own leases, however long a courier needs.

pub mod backlog;
pub mod clock_steps;
mod free;
mod lease_owner;
pub mod leases;
mod obsolete;
#[cfg(test)]
mod tests;
pub mod watched_clock;

pub use lease_owner::LeaseOwner;

use crate::clock::Moment;
use crate::monitor::notify::channel::{Channel, ChannelId, ChannelKind};
use crate::monitor::notify::channels::channel_of_row;
use crate::monitor::notify::delivery_state::{DeliveryState, LEASED, UNDELIVERED, WAITING};
use crate::monitor::notify::notice::Notice;
use crate::monitor::notify::recipients;
use crate::monitor::store::sql::{Transaction, params};
use crate::monitor::store::{Store, StoreError};
use crate::monitor::zone::Clock;
use backlog::{QueueStretch, within};
use free::free;
use log::warn;
use std::time::Duration;
use watched_clock::ClockSteps;

/// Length of a lease, renewed while the courier lives. Afterwards another process may lease the row.
pub const LEASE: Duration = Duration::from_secs(300);

/// A row that could not be delivered for this long is abandoned. Only time that passes while the monitor runs counts: a
/// wall clock that is wrong, or a night without power, must not lose a message.
pub const EXPIRES_AFTER: Duration = Duration::from_secs(24 * 3600);

/// A mail that may have arrived is not sent again within this time: the server may still be delivering it, and the person
/// would get it twice.
pub const UNKNOWN_HOLD: Duration = Duration::from_secs(30 * 60);

/// Rows whose backoff ends early are tried after this time.
const FREED_AFTER: Duration = Duration::from_secs(1);

/// A row of the outbox that a courier has leased.
#[derive(Debug, Clone, PartialEq)]
pub struct LeasedRow {
    /// `X-Webhook-Id`.
    pub id: i64,
    pub notice: Notice,
    pub attempts: u32,
    pub expires: Moment,
}

/// How many rows may be leased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseLimit {
    pub rows: usize,
    /// Rows among them that were tried before.
    pub retries: usize,
}

/// Rows of one channel, leased together.
#[derive(Debug)]
pub struct LeasedBatch {
    pub channel: Channel,
    /// The recipient's.
    pub clock: Clock,
    /// Of each machine the first that is not delivered, and those that were written together with it.
    pub rows: Vec<LeasedRow>,
    /// Rows that were abandoned because they are too old.
    pub expired: usize,
}

/// The result of a delivery, by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    Delivered,
    /// Next attempt at `again`.
    Failed {
        why: String,
        again: Moment,
    },
    /// It may have arrived; next attempt at `again`.
    Unknown {
        why: String,
        again: Moment,
    },
    /// Abandoned.
    Dead {
        why: String,
    },
    /// Not tried; ends the lease.
    Untouched,
}

impl Store {
    /// The enabled channels with rows to deliver.
    pub fn channels_with_rows(&self) -> Result<Vec<(ChannelId, ChannelKind)>, StoreError> {
        self.read(|connection| {
            let sql = format!(
                "SELECT c.id, c.kind FROM channel c JOIN recipient r ON r.id = c.recipient_id
                 WHERE c.enabled AND r.enabled
                   AND EXISTS (SELECT 1 FROM outbox o WHERE o.channel_id = c.id AND o.{UNDELIVERED}) ORDER BY c.id"
            );
            let mut channels = Vec::new();
            connection.query_each(&sql, &[], |row| {
                // An unknown kind (of a later version, or edited by hand) counts as disabled.
                if let Some(kind) = ChannelKind::from_name(row.get(1)?) {
                    channels.push((ChannelId(row.get(0)?), kind));
                }
                Ok(())
            })?;
            Ok(channels)
        })
    }

    /// Leases what is due on `channel` in a stretch of its queue, in the order in which it became due: a message that has failed
    /// stands behind those that were due by then. `None` if the channel has gone or is disabled.
    pub fn lease_in(
        &self,
        channel: ChannelId,
        owner: LeaseOwner,
        most: LeaseLimit,
        stretch: QueueStretch,
        now: Moment,
    ) -> Result<Option<LeasedBatch>, StoreError> {
        self.write(|transaction| {
            let Some((channel, clock)) = enabled_channel(transaction, channel)? else { return Ok(None) };
            let due = stretch.due_by(now);
            let expired = expire(transaction, channel.id, due, now)?;
            obsolete::skip(transaction, channel.id, owner, stretch, now)?;
            let queue = Queue { channel: channel.id, owner, due, now };
            let mut rows = lease_due(transaction, &queue, most.retries.min(most.rows), true)?;
            rows.extend(lease_due(transaction, &queue, most.rows.saturating_sub(rows.len()), false)?);
            // RETURNING promises no order.
            rows.sort_by_key(|row| row.id);
            Ok(Some(LeasedBatch { channel, clock, rows, expired }))
        })
    }

    /// Every lease of `owner` lasts [`LEASE`] from now on.
    pub fn renew_leases(&self, owner: LeaseOwner, now: Moment) -> Result<(), StoreError> {
        self.write(|transaction| {
            let sql = &format!(
                "UPDATE outbox SET leased_until = ?2 WHERE {UNDELIVERED} AND state = {LEASED} AND lease = ?1"
            );
            transaction.execute(sql, params![owner.0, now.plus(LEASE).0])?;
            Ok(())
        })
    }

    /// Notes that these rows are about to be handed over, and that only an answer will say whether they were.
    ///
    /// # Errors
    /// It cannot be written, or the lease is lost: nothing may be handed over.
    pub fn note_handover(&self, owner: LeaseOwner, rows: &[i64], now: Moment) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare(&format!(
                "UPDATE outbox SET uncertain_since = ?3 WHERE id = ?1 AND lease = ?2 AND state = {LEASED}"
            ))?;
            for row in rows {
                if statement.execute(params![row, owner.0, now.0])? == 0 {
                    return Err(StoreError::Other(
                        "the notification was changed while it was being sent".into(),
                    ));
                }
            }
            Ok(())
        })
    }

    /// Writes what became of leased rows, and ends the backoff of the rows in `freed`. `steps` of the wall clock since the
    /// last call are applied in the same transaction as the next attempts, which are scheduled by the new clock. Returns
    /// how many rows the lease still held.
    pub fn settle(
        &self,
        owner: LeaseOwner,
        outcomes: &[(i64, DeliveryOutcome)],
        freed: &[i64],
        steps: ClockSteps,
        now: Moment,
    ) -> Result<usize, StoreError> {
        self.write(|transaction| {
            steps.apply(transaction)?;
            let mut held = 0;
            for (id, outcome) in outcomes {
                held += settle_one(transaction, owner, *id, outcome, now)?;
            }
            let mut free = transaction.prepare(&format!(
                "UPDATE outbox SET due_at = ?2 WHERE id = ?1 AND state = {WAITING} AND due_at > ?2"
            ))?;
            for id in freed {
                free.execute(params![id, now.plus(FREED_AFTER).0])?;
            }
            Ok(held)
        })
    }

    /// How many rows wait, and since when the first of them has been due.
    pub fn waiting_deliveries(&self) -> Result<(u64, Option<Moment>), StoreError> {
        self.read(|connection| {
            let sql = &format!("SELECT count(*), min(due_at) FROM outbox WHERE {UNDELIVERED}");
            let number = |count: i64| u64::try_from(count).unwrap_or(0);
            connection.query_row(sql, &[], |row| Ok((number(row.get(0)?), row.get(1)?)))
        })
    }
}

/// The channel and its recipient's clock: this server's if the recipient has none.
fn enabled_channel(
    transaction: &Transaction<'_>,
    id: ChannelId,
) -> Result<Option<(Channel, Clock)>, StoreError> {
    let sql = "SELECT c.kind, c.target, c.secret, c.secret_file, c.token, c.options,
                      r.time_zone, r.utc_offset, r.quiet_from IS NOT NULL
               FROM channel c JOIN recipient r ON r.id = c.recipient_id
               WHERE c.id = ?1 AND c.enabled AND r.enabled";
    let found = transaction.query_optional(sql, params![id.0], |row| {
        // An unknown kind (of a later version, or edited by hand) counts as disabled.
        let Ok(channel) = channel_of_row(id, row)? else { return Ok(None) };
        let clock = recipients::clock(row.get(6)?, row.get(7)?, row.get(8)?);
        Ok(Some((channel, clock.unwrap_or_else(Clock::of_server))))
    })?;
    Ok(found.flatten())
}

fn expire(
    transaction: &Transaction<'_>,
    channel: ChannelId,
    due: QueueStretch,
    now: Moment,
) -> Result<usize, StoreError> {
    let within = within("outbox", 4);
    let QueueStretch { after, until } = due;
    let sql = format!(
        "UPDATE outbox SET state = ?3, last_error = coalesce(last_error, 'not sent within a day')
         WHERE channel_id = ?1 AND {UNDELIVERED} AND state = {WAITING} AND expires_at <= ?2 AND {within}"
    );
    let dead = DeliveryState::Dead as i64;
    transaction.execute(&sql, params![channel.0, now, dead, after.due, after.id, until.due, until.id])
}

/// Where rows are leased from, for whom.
struct Queue {
    channel: ChannelId,
    owner: LeaseOwner,
    due: QueueStretch,
    now: Moment,
}

fn lease_due(
    transaction: &Transaction<'_>,
    queue: &Queue,
    most: usize,
    retries: bool,
) -> Result<Vec<LeasedRow>, StoreError> {
    if most == 0 {
        return Ok(Vec::new());
    }
    let Queue { channel, owner, due: QueueStretch { after, until }, now } = *queue;
    let (free, within) = (free(), within("o", 7));
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let lapses = now.plus(LEASE);
    let values =
        params![now, owner.0, channel.0, lapses, retries, most, after.due, after.id, until.due, until.id];
    // The last condition holds for all of them, unless another monitor has just leased one.
    let sql = format!(
        "UPDATE outbox SET state = {LEASED}, lease = ?2, leased_until = ?4
         WHERE id IN (
             SELECT o.id FROM outbox o
             WHERE o.channel_id = ?3 AND (o.attempts = 0 OR ?5) AND {free} AND {within}
             ORDER BY o.due_at, o.id LIMIT ?6)
           AND (state = {WAITING} OR (leased_until <= ?1 AND lease <> ?2))
         RETURNING id, content, attempts, expires_at"
    );
    let rows = transaction
        .query_all(&sql, values, |row| Ok((row.get(0)?, row.get::<String>(1)?, row.get(2)?, row.get(3)?)))?;
    let mut leased = Vec::new();
    for (id, content, attempts, expires) in rows {
        match serde_json::from_str(&content) {
            Ok(notice) => leased.push(LeasedRow { id, notice, attempts, expires }),
            // This program never wrote it; it must not stop the channel.
            Err(error) => {
                warn!("row {id} of the outbox cannot be parsed and is abandoned: {error}");
                let why = format!("cannot be parsed: {error}");
                settle_one(transaction, owner, id, &DeliveryOutcome::Dead { why }, now)?;
            }
        }
    }
    Ok(leased)
}

fn settle_one(
    transaction: &Transaction<'_>,
    owner: LeaseOwner,
    id: i64,
    outcome: &DeliveryOutcome,
    now: Moment,
) -> Result<usize, StoreError> {
    let (state, attempts, due, delivered, error) = match outcome {
        DeliveryOutcome::Delivered => (DeliveryState::Delivered, 1, None, Some(now.0), None),
        DeliveryOutcome::Failed { why, again } | DeliveryOutcome::Unknown { why, again } => {
            (DeliveryState::Waiting, 1, Some(again.0), None, Some(why.as_str()))
        }
        DeliveryOutcome::Dead { why } => (DeliveryState::Dead, 1, None, None, Some(why.as_str())),
        DeliveryOutcome::Untouched => (DeliveryState::Waiting, 0, None, None, None),
    };
    // Only an answer ends the uncertainty whether a mail has arrived.
    let is_certain = !matches!(outcome, DeliveryOutcome::Unknown { .. } | DeliveryOutcome::Untouched);
    let sql = format!("UPDATE outbox SET state = ?3, attempts = attempts + ?4, due_at = coalesce(?5, due_at), delivered_at = ?6,
                                         last_error = CASE WHEN ?4 = 1 THEN ?7 ELSE last_error END,
                                         uncertain_since = CASE WHEN ?8 THEN NULL ELSE uncertain_since END,
                                         lease = NULL, leased_until = NULL
                       WHERE id = ?1 AND lease = ?2 AND state = {LEASED}");
    let values = params![id, owner.0, state as i64, attempts, due, delivered, error, is_certain];
    transaction.execute(&sql, values)
}
