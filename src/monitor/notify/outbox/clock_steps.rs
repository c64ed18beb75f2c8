//! Deadlines in the outbox after the wall clock was set forward or back.

use super::{EXPIRES_AFTER, LEASE};
use crate::clock::{Moment, milliseconds};
use crate::monitor::notify::channel::ChannelId;
use crate::monitor::notify::delivery_state::{LEASED, UNDELIVERED};
use crate::monitor::notify::recipients;
use crate::monitor::store::{Store, StoreError};
use rusqlite::{Transaction, params};
use std::time::Duration;

/// Longer than any receiver makes a retry wait: a retry that is due later was scheduled by a clock that was ahead.
const LONGEST_RETRY: Duration = Duration::from_secs(2 * 3600);

impl Store {
    /// After the wall clock was set forward by `step`: rows that are not delivered expire as much later.
    pub fn postpone_expiry(&self, step: Duration) -> Result<(), StoreError> {
        self.write(|transaction| {
            let sql = &format!("UPDATE outbox SET expires_at = expires_at + ?1 WHERE {UNDELIVERED}");
            transaction.execute(sql, [milliseconds(step)])?;
            Ok(())
        })
    }
}

/// A row as [`forget_the_future`] reads it.
struct Scheduled {
    id: i64,
    channel: ChannelId,
    is_retry: bool,
    created: Moment,
    /// It may have arrived, and is not sent again soon.
    handed_over: Option<Moment>,
    due: Moment,
    expires: Moment,
}

impl Scheduled {
    /// When it is due by a clock that went back to `now`.
    fn new_due(&self, now: Moment) -> Moment {
        let written = self.handed_over.unwrap_or(self.created);
        let is_held = !self.is_retry || self.handed_over.is_some();
        if is_held && written > now {
            return now.plus(self.due.since(written));
        }
        let is_misdated = self.created > now || self.due > now.plus(LONGEST_RETRY);
        if self.is_retry && is_misdated { now } else { self.due }
    }

    fn new_expiry(&self, due: Moment, now: Moment) -> Moment {
        let by_creation =
            if self.created > now { now.plus(self.expires.since(self.created)) } else { self.expires };
        by_creation.min(due.max(now).plus(EXPIRES_AFTER))
    }
}

/// After the clock went back: rows that were written later than now count as written now. A row that is held, by a
/// minimum outage or by quiet hours, or a mail that may have arrived, is held for as long from now, and until its
/// recipient's quiet hours are over by the new clock. Retries that a clock which was ahead has scheduled are due now.
/// Leases end as they would have.
pub fn forget_the_future(transaction: &Transaction, now: Moment) -> Result<(), StoreError> {
    let mut statement = transaction.prepare_cached(&format!(
        "SELECT id, channel_id, attempts > 0, created_at, uncertain_since, due_at, expires_at FROM outbox
         WHERE {UNDELIVERED} AND (created_at > ?1 OR uncertain_since > ?1 OR due_at > ?1 + ?2
                                    OR expires_at > max(due_at, ?1) + ?3)"
    ))?;
    let values = [now.0, milliseconds(LONGEST_RETRY), milliseconds(EXPIRES_AFTER)];
    let rows = statement.query_map(values, |row| {
        let moment = |index| row.get(index).map(Moment);
        Ok(Scheduled {
            id: row.get(0)?,
            channel: ChannelId(row.get(1)?),
            is_retry: row.get(2)?,
            created: moment(3)?,
            handed_over: row.get::<_, Option<i64>>(4)?.map(Moment),
            due: moment(5)?,
            expires: moment(6)?,
        })
    })?;
    let rows: Vec<Scheduled> = rows.collect::<Result<_, _>>()?;
    let recipients = if rows.is_empty() { Vec::new() } else { recipients::reachable(transaction)? };
    let mut update = transaction.prepare_cached(
        "UPDATE outbox SET created_at = min(created_at, ?2), uncertain_since = min(uncertain_since, ?2), due_at = ?3,
                           expires_at = ?4
         WHERE id = ?1",
    )?;
    for row in rows {
        let recipient = recipients.iter().find(|recipient| recipient.channels.contains(&row.channel));
        let quiet = recipient.and_then(|recipient| recipient.quiet.as_ref());
        let mut due = row.new_due(now);
        if due != row.due && due > now {
            due = quiet.map_or(due, |quiet| quiet.end_if_quiet(due));
        }
        update.execute(params![row.id, now.0, due.0, row.new_expiry(due, now).0])?;
    }
    transaction.execute(
        &format!("UPDATE outbox SET leased_until = ?1 WHERE {UNDELIVERED} AND state = {LEASED} AND leased_until > ?1 + ?2"),
        [now.0, milliseconds(LEASE)],
    )?;
    Ok(())
}
