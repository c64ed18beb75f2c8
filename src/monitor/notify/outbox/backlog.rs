//! Long queues: a look at a channel reads a stretch of its rows, so that a channel with 100,000 undelivered rows delays the
//! others no longer than one with a few.
//!
//! Rows that wait for an earlier one of their machine stand before it in the queue once that one has failed, so a look at all
//! of them would read almost the whole queue, each time.

use super::free::free;
use super::lease_owner::LeaseOwner;
use crate::clock::Moment;
use crate::monitor::notify::channel::ChannelId;
use crate::monitor::notify::delivery_state::UNDELIVERED;
use crate::monitor::store::sql::params;
use crate::monitor::store::{Store, StoreError};
use std::time::{Duration, Instant};

/// Rows of a stretch: 10 ms of the database.
const STRETCH: usize = 2_000;

/// After a look at all stretches that found nothing.
const PAUSE: Duration = Duration::from_secs(5);

/// A place in the queue of a channel, which is in the order of moments and then of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueuePlace {
    pub due: Moment,
    pub id: i64,
}

/// A part of a channel's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueStretch {
    /// Excluded.
    pub after: QueuePlace,
    /// Included.
    pub until: QueuePlace,
}

/// The first row of a stretch that can be leased, now or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingWork {
    /// `None`: there is none.
    pub due: Option<Moment>,
    pub stretch: QueueStretch,
}

/// How far the looks at a channel's queue have come.
#[derive(Debug)]
pub struct QueueLook {
    pub after: QueuePlace,
    paused_until: Option<Instant>,
}

impl QueuePlace {
    pub const BEGIN: QueuePlace = QueuePlace { due: Moment(i64::MIN), id: i64::MIN };
    const END: QueuePlace = QueuePlace { due: Moment(i64::MAX), id: i64::MAX };
}

impl QueueStretch {
    /// The whole queue.
    pub const ALL: QueueStretch = QueueStretch { after: QueuePlace::BEGIN, until: QueuePlace::END };

    /// Its rows that are due.
    pub fn due_by(self, now: Moment) -> QueueStretch {
        let until = self.until.min(QueuePlace { due: now, id: i64::MAX });
        QueueStretch { until, ..self }
    }

    fn is_last(self) -> bool {
        self.until == QueuePlace::END
    }
}

impl Default for QueueLook {
    fn default() -> QueueLook {
        QueueLook { after: QueuePlace::BEGIN, paused_until: None }
    }
}

impl QueueLook {
    /// Time until the next look; `None`: now.
    pub fn pause(&self, now: Instant) -> Option<Duration> {
        self.paused_until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// Nothing of `work` is due. Returns the time until the next look; `None`: another event.
    pub fn found_nothing(&mut self, work: PendingWork, now: Instant) -> Option<Duration> {
        if work.due.is_none() && !work.stretch.is_last() {
            self.after = work.stretch.until;
            return Some(Duration::ZERO);
        }
        let is_whole = self.after == QueuePlace::BEGIN;
        self.after = QueuePlace::BEGIN;
        if is_whole {
            return None;
        }
        self.paused_until = Some(now + PAUSE);
        Some(PAUSE)
    }

    /// A message has ended, so that another one of its machine can be sent.
    pub fn ended_message(&mut self) {
        self.paused_until = None;
    }
}

/// The condition that a row is in a stretch, whose places are four parameters from `?first` on. `row` is the table's name.
/// SQLite looks into the index by this condition only if there is no other one about `due_at`.
pub(super) fn within(row: &str, first: usize) -> String {
    let [after_due, after_id, until_due, until_id] = [first, first + 1, first + 2, first + 3];
    format!(
        "({row}.due_at, {row}.id) > (?{after_due}, ?{after_id}) AND ({row}.due_at, {row}.id) <= (?{until_due}, ?{until_id})"
    )
}

impl Store {
    /// The first row that can be leased, now or later, in the stretch of the queue after `after`; of rows that were never tried
    /// if `only_new`.
    pub fn pending_work(
        &self,
        channel: ChannelId,
        owner: LeaseOwner,
        only_new: bool,
        after: QueuePlace,
        now: Moment,
    ) -> Result<PendingWork, StoreError> {
        self.read(|connection| {
            let end = format!(
                "SELECT due_at, id FROM outbox WHERE channel_id = ?1 AND {UNDELIVERED} AND (due_at, id) > (?2, ?3)
                 ORDER BY due_at, id LIMIT 1 OFFSET {}",
                STRETCH - 1
            );
            let until = connection.query_optional(&end, params![channel.0, after.due, after.id], |row| {
                Ok(QueuePlace { due: row.get(0)?, id: row.get(1)? })
            })?;
            let until = until.unwrap_or(QueuePlace::END);
            let (free, within) = (free(), within("o", 5));
            let first = format!(
                "SELECT o.due_at FROM outbox o
                 WHERE o.channel_id = ?3 AND {free} AND (o.attempts = 0 OR NOT ?4) AND {within}
                 ORDER BY o.due_at, o.id LIMIT 1"
            );
            let values =
                params![now, owner.0, channel.0, only_new, after.due, after.id, until.due, until.id];
            let due = connection.query_optional(&first, values, |row| row.get(0))?;
            Ok(PendingWork { due, stretch: QueueStretch { after, until } })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::notify::outbox::LeaseLimit;

    #[test]
    fn a_queue_is_looked_at_stretch_by_stretch_and_then_left_for_a_while() {
        let now = Instant::now();
        let place = |id| QueuePlace { due: Moment(5), id };
        let work = |due, after, until| PendingWork { due, stretch: QueueStretch { after, until } };
        let mut look = QueueLook::default();
        let begin = QueuePlace::BEGIN;
        assert_eq!(look.found_nothing(work(None, begin, QueuePlace::END), now), None, "a short queue");
        assert_eq!(look.pause(now), None);
        assert_eq!(look.found_nothing(work(None, begin, place(7)), now), Some(Duration::ZERO));
        assert_eq!(look.after, place(7));
        assert_eq!(look.found_nothing(work(None, place(7), QueuePlace::END), now), Some(PAUSE));
        assert_eq!((look.after, look.pause(now), look.pause(now + PAUSE)), (begin, Some(PAUSE), None));
        look.ended_message();
        assert_eq!(look.pause(now), None);
        // What stands after a row that is due later is due later still.
        look.found_nothing(work(None, begin, place(7)), now);
        assert_eq!(look.found_nothing(work(Some(Moment(9)), place(7), place(9)), now), Some(PAUSE));
        assert_eq!(look.after, begin);
    }

    /// 5,000 rows wait for the first of their machine, and one of another machine is due after them.
    #[test]
    fn a_row_far_behind_in_a_queue_is_found_and_leased() {
        let store = Store::scratch();
        let (now, owner, channel) = (Moment(1_763_774_609_000), LeaseOwner::new(), ChannelId(1));
        let notice = r#"{"news":"offline","state":"offline","machine":1,"name":"m","hostname":null,"description":null,
                         "last_seen":0,"at":0}"#;
        let numbers = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 5001)";
        let sql = format!(
            "INSERT INTO recipient (name, events) VALUES ('ops', '[]');
             INSERT INTO channel (recipient_id, kind, target, created_at) VALUES (1, 'webhook', 'x', 0);
             INSERT INTO machine (id, name, created_at) VALUES (1, 'm1', 0), (2, 'm2', 0);
             {numbers} INSERT INTO incident (id, machine_id, planned, last_seen, began_at, ended_at)
                       SELECT n, CASE WHEN n > 5000 THEN 2 ELSE 1 END, FALSE, 0, 0, 1 FROM n;
             INSERT INTO outbox (id, channel_id, machine_id, incident_id, event, content, created_at, due_at, expires_at, state,
                                 attempts)
             SELECT id, 1, machine_id, id, 'offline', '{notice}', 0,
                    {now} - 10000 + id + CASE WHEN id = 1 THEN 600000 ELSE 0 END, {now} + 86400000, 0,
                    CASE WHEN id = 1 THEN 1 ELSE 0 END
             FROM incident",
            now = now.0
        );
        store.write(|transaction| transaction.execute_batch(&sql)).expect("filled");
        let (mut look, clock) = (QueueLook::default(), Instant::now());
        let mut find = || {
            for looks in 1.. {
                let work = store.pending_work(channel, owner, false, look.after, now).expect("read");
                match work.due.filter(|due| *due <= now) {
                    Some(_) => return Some((looks, work)),
                    None if look.found_nothing(work, clock) != Some(Duration::ZERO) => return None,
                    None => {}
                }
            }
            None
        };
        let (looks, work) = find().expect("the last row");
        assert_eq!(looks, 3);
        let most = LeaseLimit { rows: 9, retries: 9 };
        let leased =
            store.lease_in(channel, owner, most, work.stretch, now).expect("leased").expect("a channel");
        assert_eq!(leased.rows.iter().map(|row| row.id).collect::<Vec<_>>(), [5001]);
        assert_eq!(find(), None, "the others wait for the first one");
    }
}
