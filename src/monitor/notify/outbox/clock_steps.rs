//! Deadlines in the outbox after the wall clock was set back, possibly while no process was running.

use super::{EXPIRES_AFTER, LEASE, UNKNOWN_HOLD};
use crate::clock::{Moment, milliseconds};
use crate::monitor::notify::channel::ChannelId;
use crate::monitor::notify::delivery_state::{LEASED, UNDELIVERED};
use crate::monitor::notify::recipients;
use crate::monitor::store::StoreError;
use crate::monitor::store::sql::{Transaction, params};
use std::time::Duration;

/// Longer than any receiver makes a retry wait: a retry that is due later was scheduled by a clock that was ahead.
const LONGEST_RETRY: Duration = Duration::from_secs(2 * 3600);

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
        // The clock may have been set forward between the handover and its result.
        let longest = if self.handed_over.is_some() { UNKNOWN_HOLD } else { Duration::MAX };
        if is_held && written > now {
            return now.plus(self.due.since(written).min(longest));
        }
        let is_misdated = self.created > now || self.due > now.plus(LONGEST_RETRY);
        match self.handed_over {
            // The clock may have been set back by several steps since its result.
            Some(_) => self.due.min(now.plus(UNKNOWN_HOLD)),
            None if self.is_retry && is_misdated => now,
            None => self.due,
        }
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
/// A mail that may have arrived is never held for longer than [`UNKNOWN_HOLD`]. Leases end as they would have. The next
/// reminder counts from the last message about an open incident.
pub fn forget_the_future(transaction: &Transaction<'_>, now: Moment) -> Result<(), StoreError> {
    let (retry, expiry, hold) =
        (milliseconds(LONGEST_RETRY), milliseconds(EXPIRES_AFTER), milliseconds(UNKNOWN_HOLD));
    let values = params![now.0, retry, expiry, hold];
    let sql = format!(
        "SELECT id, channel_id, attempts > 0, created_at, uncertain_since, due_at, expires_at FROM outbox
         WHERE {UNDELIVERED} AND (created_at > ?1 OR uncertain_since > ?1 OR due_at > ?1 + ?2
                                    OR expires_at > due_at + ?3 AND expires_at > ?1 + ?3
                                    OR uncertain_since IS NOT NULL AND due_at > ?1 + ?4)"
    );
    let rows: Vec<Scheduled> = transaction.query_all(&sql, values, |row| {
        let moment = |index| row.get(index).map(Moment);
        Ok(Scheduled {
            id: row.get(0)?,
            channel: ChannelId(row.get(1)?),
            is_retry: row.get(2)?,
            created: moment(3)?,
            handed_over: row.get(4)?,
            due: moment(5)?,
            expires: moment(6)?,
        })
    })?;
    let recipients = if rows.is_empty() { Vec::new() } else { recipients::reachable(transaction)? };
    let (created, uncertain) = (not_after("created_at", 2), not_after("uncertain_since", 2));
    let sql = &format!(
        "UPDATE outbox SET created_at = {created}, uncertain_since = {uncertain}, due_at = ?3, expires_at = ?4
         WHERE id = ?1"
    );
    for row in rows {
        let recipient = recipients.iter().find(|recipient| recipient.channels.contains(&row.channel));
        let quiet = recipient.and_then(|recipient| recipient.quiet.as_ref());
        let mut due = row.new_due(now);
        if due != row.due && due > now {
            due = quiet.map_or(due, |quiet| quiet.end_if_quiet(due));
        }
        transaction.execute(sql, params![row.id, now.0, due.0, row.new_expiry(due, now).0])?;
    }
    let sql = format!(
        "UPDATE outbox SET leased_until = ?1 WHERE {UNDELIVERED} AND state = {LEASED} AND leased_until > ?1 + ?2"
    );
    transaction.execute(&sql, params![now.0, milliseconds(LEASE)])?;
    let (created, delivered) = (not_after("created_at", 1), not_after("delivered_at", 1));
    let sql = &format!(
        "UPDATE outbox SET created_at = {created}, delivered_at = {delivered}
         WHERE (created_at > ?1 OR delivered_at > ?1)
           AND incident_id IN (SELECT id FROM incident WHERE ended_at IS NULL)"
    );
    transaction.execute(sql, params![now.0])?;
    Ok(())
}

/// The value of a column, at most that of a parameter; NULL stays.
fn not_after(column: &str, parameter: u8) -> String {
    format!("CASE WHEN {column} > ?{parameter} THEN ?{parameter} ELSE {column} END")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_763_774_609_000);
    const DAY_MIN: i64 = 24 * 60;

    fn at(minutes: i64) -> Moment {
        Moment(NOW.0 + minutes * 60_000)
    }

    /// Times in minutes from now.
    fn row(is_retry: bool, created: i64, handed_over: Option<i64>, due: i64) -> Scheduled {
        let (created, due, expires) = (at(created), at(due), at(created + DAY_MIN));
        let handed_over = handed_over.map(at);
        Scheduled { id: 1, channel: ChannelId(1), is_retry, created, handed_over, due, expires }
    }

    #[test]
    fn a_clock_that_went_back_keeps_holds_as_long_and_makes_its_retries_due() {
        for (what, row, due) in [
            ("held, written before", row(false, -5, None, 30), 30),
            ("held, written now", row(false, 0, None, 30), 30),
            ("held, written an hour ahead", row(false, 60, None, 90), 30),
            ("due, written an hour ahead", row(false, 60, None, 60), 0),
            ("held for ten hours", row(false, -5, None, 600), 600),
            ("a retry, written before", row(true, -5, None, 15), 15),
            ("a retry, written now", row(true, 0, None, 15), 15),
            ("a retry, written a minute ahead", row(true, 1, None, 15), 0),
            ("a retry that is due in two hours", row(true, -5, None, 120), 120),
            ("a retry that is due later than any", row(true, -5, None, 121), 0),
            ("a mail that may have arrived", row(true, -5, Some(-1), 29), 29),
            ("such a mail, being sent now", row(true, -5, Some(0), -1), -1),
            ("such a mail, handed over an hour ahead", row(true, -5, Some(60), 90), 30),
            ("such a mail, and the clock was ahead at its result", row(true, -95, Some(-90), 90), 30),
            (
                "such a mail, and the clock was set forward before its result",
                row(true, -5, Some(60), 900),
                30,
            ),
        ] {
            assert_eq!(row.new_due(NOW), at(due), "{what}");
        }
    }

    #[test]
    fn a_row_expires_a_day_after_it_was_written_and_at_most_a_day_after_it_is_due() {
        for (what, row, due, expiry) in [
            ("written an hour ago", row(false, -60, None, 0), 0, DAY_MIN - 60),
            ("written now", row(false, 0, None, 0), 0, DAY_MIN),
            ("written ten days ahead", row(false, 14_400, None, 14_400), 0, DAY_MIN),
            ("held for ten hours, which count", row(false, 60, None, 660), 600, DAY_MIN),
            (
                "its expiry was postponed by a year",
                Scheduled { expires: at(525_600), ..row(true, -60, None, 15) },
                15,
                15 + DAY_MIN,
            ),
            (
                "the same, due before now",
                Scheduled { expires: at(525_600), ..row(true, -60, None, -15) },
                -15,
                DAY_MIN,
            ),
        ] {
            assert_eq!(row.new_expiry(at(due), NOW), at(expiry), "{what}");
        }
    }
}
