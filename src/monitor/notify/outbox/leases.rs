//! Leases of processes that have ended: their rows are free again.

use super::{EXPIRES_AFTER, LeaseOwner};
use crate::clock::{Moment, milliseconds};
use crate::monitor::instances::limits::MONITOR_LAPSES;
use crate::monitor::notify::delivery_state::{LEASED, UNDELIVERED, WAITING};
use crate::monitor::store::sql::{Transaction, params, rows};
use crate::monitor::store::{Store, StoreError};
use std::time::Duration;

impl Store {
    /// Ends the leases of the previous process, at start, and of monitors that are dead. A mail that it had handed over to the
    /// server may have arrived; it is not sent again within `hold`. If no monitor was alive, the time since a row was due does
    /// not count towards its expiry, because nobody tried it. Returns the number of leases.
    pub fn free_leases(&self, now: Moment, hold: Duration) -> Result<usize, StoreError> {
        self.write(|transaction| {
            let alive_since = now.minus(MONITOR_LAPSES);
            let alive = "SELECT 1 FROM monitor_instance WHERE dead_at IS NULL AND alive_at > ?1";
            if !transaction.exists(alive, params![alive_since])? {
                let sql = format!(
                    "UPDATE outbox SET expires_at = ?1 + ?2
                     WHERE {UNDELIVERED} AND attempts = 0 AND due_at < ?1 AND expires_at < ?1 + ?2"
                );
                transaction.execute(&sql, params![now.0, milliseconds(EXPIRES_AFTER)])?;
                let sql = format!(
                    "UPDATE outbox SET expires_at = expires_at + (?1 - due_at), due_at = ?1
                     WHERE {UNDELIVERED} AND attempts > 0 AND due_at < ?1"
                );
                transaction.execute(&sql, params![now.0])?;
            }
            let mut ended = 0;
            for owner in dead_owners(transaction, alive_since)? {
                ended += end_leases(transaction, owner, now, hold)?;
            }
            Ok(ended)
        })
    }

    /// Ends the leases of `owner` but those of the rows `kept`, after a commit that was not confirmed: it may have leased rows
    /// that no courier got. For a database on PostgreSQL.
    pub fn release_unknown(&self, owner: LeaseOwner, kept: &[i64]) -> Result<usize, StoreError> {
        self.write(|transaction| {
            let sql = format!(
                "UPDATE outbox SET state = {WAITING}, lease = NULL, leased_until = NULL
                 WHERE state = {LEASED} AND lease = ?1 AND id NOT IN (SELECT CAST(value AS BIGINT) FROM json_each(?2))"
            );
            transaction.execute(&sql, params![owner.0, rows(kept)?])
        })
    }
}

/// Who has leases and is no monitor that was alive after `alive_since`.
fn dead_owners(transaction: &Transaction<'_>, alive_since: Moment) -> Result<Vec<i64>, StoreError> {
    let sql = format!(
        "SELECT DISTINCT lease FROM outbox WHERE {UNDELIVERED} AND state = {LEASED}
         AND NOT EXISTS (SELECT 1 FROM monitor_instance
                         WHERE process = lease AND dead_at IS NULL AND alive_at > ?1)"
    );
    transaction.query_all(&sql, params![alive_since], |row| row.get(0))
}

/// Ends the leases of a process that is dead.
pub fn end_leases(
    transaction: &Transaction<'_>,
    owner: i64,
    now: Moment,
    hold: Duration,
) -> Result<usize, StoreError> {
    let sql = format!(
        "UPDATE outbox SET last_error = ?3,
                due_at = ?2 + CASE WHEN uncertain_since < ?1 THEN uncertain_since ELSE ?1 END
         WHERE {UNDELIVERED} AND state = {LEASED} AND uncertain_since IS NOT NULL AND lease = ?4"
    );
    let why = "the monitor ended before the mail server answered";
    transaction.execute(&sql, params![now.0, milliseconds(hold), why, owner])?;
    // What was leased was due, also if the clock was set back since: a row that is not due holds up no other one.
    // It counts as tried: it may have arrived, and then its end must be sent, too.
    let sql = format!(
        "UPDATE outbox SET state = {WAITING}, lease = NULL, leased_until = NULL, attempts = attempts + 1,
                due_at = CASE WHEN uncertain_since IS NULL AND due_at > ?1 THEN ?1 ELSE due_at END
         WHERE {UNDELIVERED} AND state = {LEASED} AND lease = ?2"
    );
    transaction.execute(&sql, params![now.0, owner])
}
