//! Removes events, incidents, deliveries and audit records that are older than `[retention]` allows.

use crate::clock::Moment;
use crate::monitor::notify::delivery_state::DeliveryState;
use crate::monitor::store::partitions::rest;
use crate::monitor::store::sql::{Parameter, params};
use crate::monitor::store::{Store, StoreError};

/// Rows of one transaction: some milliseconds, in which the recorder waits.
const BATCH: i64 = 1_000;

impl Store {
    /// The stored horizon; without one the newest heartbeat, or `now` in a new database.
    pub fn horizon(&self, now: Moment) -> Result<Moment, StoreError> {
        self.read(|connection| {
            let sql = "SELECT coalesce((SELECT max(horizon) FROM retention), (SELECT max(last_seen) FROM machine_state))";
            let kept: Option<i64> = connection.query_row(sql, &[], |row| row.get(0))?;
            Ok(kept.map_or(now, Moment))
        })
    }

    pub fn set_horizon(&self, horizon: Moment) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO retention (id, horizon) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET horizon = ?1",
                params![horizon.0],
            )?;
            Ok(())
        })
    }

    /// Removes events, ended incidents and audit records from before `events`, and finished notifications from before `deliveries`;
    /// of the reminders of an open incident all but the last; a part of them, and how many. Call it again until it is 0.
    pub fn prune(&self, events: Moment, deliveries: Moment) -> Result<usize, StoreError> {
        let finished =
            [DeliveryState::Delivered, DeliveryState::Dead, DeliveryState::Skipped].map(|state| state as i64);
        // The search takes longest, and needs no write lock.
        let (old_events, old_incidents, old_deliveries, old_audit) = self.read(|connection| {
            let ids = |sql: &str, values: &[&dyn Parameter]| -> Result<Vec<i64>, StoreError> {
                connection.query_all(&format!("{sql} LIMIT {BATCH}"), values, |row| row.get(0))
            };
            let [delivered, dead, skipped] = finished;
            Ok((
                // Those in partitions go with them.
                ids(&format!("SELECT id FROM {} WHERE at < ?1", rest(connection, "event")), params![events.0])?,
                // Deleting an incident deletes its notifications, so it stays while they do.
                ids(
                    "SELECT id FROM incident WHERE ended_at < ?1
                     AND NOT EXISTS (SELECT 1 FROM outbox WHERE incident_id = incident.id)",
                    params![events.0],
                )?,
                // While an incident is open, they determine which channels get its end, and the last reminder of a channel
                // says when the next one is due; those before it say nothing more.
                ids(
                    "SELECT id FROM outbox o WHERE created_at < ?1 AND state IN (?2, ?3, ?4)
                     AND (NOT EXISTS (SELECT 1 FROM incident WHERE id = o.incident_id AND ended_at IS NULL)
                          OR reminder > 0 AND EXISTS (
                             SELECT 1 FROM outbox n WHERE n.incident_id = o.incident_id AND n.channel_id = o.channel_id
                               AND n.event = o.event AND n.reminder > o.reminder AND n.state IN (?2, ?3)))",
                    params![deliveries.0, delivered, dead, skipped],
                )?,
                ids("SELECT id FROM audit WHERE at < ?1", params![events.0])?,
            ))
        })?;
        let all = [
            ("event", old_events),
            ("incident", old_incidents),
            ("outbox", old_deliveries),
            ("audit", old_audit),
        ];
        let found = all.iter().map(|(_, ids)| ids.len()).sum();
        if found == 0 {
            return Ok(0);
        }
        self.write(|transaction| {
            for (table, ids) in &all {
                let table = if *table == "event" { rest(transaction, table) } else { (*table).to_owned() };
                let mut statement = transaction.prepare(&format!("DELETE FROM {table} WHERE id = ?1"))?;
                for id in ids {
                    statement.execute(params![id])?;
                }
            }
            Ok(found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(store: &Store, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        store.read(|connection| connection.query_row(&sql, &[], |row| row.get(0))).expect("counted")
    }

    #[test]
    fn the_horizon_is_kept_and_begins_with_the_newest_heartbeat() {
        let store = Store::scratch();
        assert_eq!(store.horizon(Moment(5_000)).expect("read"), Moment(5_000), "a new database");
        store
            .write(|transaction| {
                transaction.execute_batch(
                    "INSERT INTO machine (id, name, created_at) VALUES (1, 'barn', 0);
                     INSERT INTO machine_state (machine_id, status, watched, since, last_seen) VALUES (1, 1, TRUE, 0, 700);",
                )?;
                Ok(())
            })
            .expect("rows");
        assert_eq!(store.horizon(Moment(5_000)).expect("read"), Moment(700));
        for moment in [Moment(900), Moment(800)] {
            store.set_horizon(moment).expect("written");
            assert_eq!(store.horizon(Moment(5_000)).expect("read"), moment);
        }
    }

    #[test]
    fn old_rows_are_pruned_and_undelivered_ones_stay() {
        let store = Store::scratch();
        store
            .write(|transaction| {
                transaction.execute_batch(
                    "INSERT INTO machine (id, name, created_at) VALUES (1, 'barn', 0);
                     INSERT INTO recipient (id, name, events) VALUES (1, 'me', '[]');
                     INSERT INTO channel (id, recipient_id, kind, target, created_at) VALUES (1, 1, 'ntfy', 'x', 0);
                     INSERT INTO audit (at, actor, action) VALUES (100, 'ada', 'x'), (900, 'ada', 'y');
                     INSERT INTO event (at, machine_id, kind) VALUES (100, 1, 'offline'), (900, 1, 'online');
                     INSERT INTO incident (id, machine_id, planned, last_seen, began_at, ended_at) VALUES
                        (1, 1, FALSE, 0, 100, 200), (2, 1, FALSE, 0, 100, 200), (3, 1, FALSE, 0, 100, NULL);
                     INSERT INTO outbox (channel_id, machine_id, incident_id, event, content, created_at, due_at,
                        expires_at, state) VALUES (1, 1, 1, 'offline', '{}', 100, 0, 0, 2),
                        (1, 1, 2, 'offline', '{}', 100, 0, 0, 0), (1, 1, 3, 'offline', '{}', 100, 0, 0, 2);",
                )?;
                Ok(())
            })
            .expect("rows");
        let mut removed = 0;
        loop {
            match store.prune(Moment(500), Moment(500)).expect("pruned") {
                0 => break,
                more => removed += more,
            }
        }
        assert_eq!(removed, 4, "an event, an audit record, a delivered notification and then its outage");
        assert_eq!(count(&store, "audit"), 1);
        assert_eq!((count(&store, "event"), count(&store, "incident"), count(&store, "outbox")), (1, 2, 2));
    }

    /// Reminders 1 to 6 of an open incident, of which the fifth is the last that was delivered.
    #[test]
    fn of_the_reminders_of_an_open_incident_the_last_one_and_what_comes_after_it_stay() {
        let store = Store::scratch();
        store
            .write(|transaction| {
                transaction.execute_batch(
                    "INSERT INTO machine (id, name, created_at) VALUES (1, 'barn', 0);
                     INSERT INTO recipient (id, name, events) VALUES (1, 'me', '[]');
                     INSERT INTO channel (id, recipient_id, kind, target, created_at) VALUES
                        (1, 1, 'ntfy', 'x', 0), (2, 1, 'ntfy', 'y', 0);
                     INSERT INTO incident (id, machine_id, planned, last_seen, began_at) VALUES (1, 1, FALSE, 0, 100);
                     INSERT INTO outbox (channel_id, machine_id, incident_id, event, content, created_at, due_at,
                        expires_at, state, reminder) VALUES
                        (1, 1, 1, 'offline', '{}', 100, 0, 0, 2, 0), (2, 1, 1, 'offline', '{}', 100, 0, 0, 2, 0),
                        (1, 1, 1, 'reminder', '{}', 101, 0, 0, 2, 1), (1, 1, 1, 'reminder', '{}', 102, 0, 0, 3, 2),
                        (1, 1, 1, 'reminder', '{}', 103, 0, 0, 4, 3), (1, 1, 1, 'reminder', '{}', 600, 0, 0, 2, 4),
                        (1, 1, 1, 'reminder', '{}', 104, 0, 0, 2, 5), (1, 1, 1, 'reminder', '{}', 105, 0, 0, 4, 6),
                        (2, 1, 1, 'reminder', '{}', 101, 0, 0, 2, 1);",
                )?;
                Ok(())
            })
            .expect("rows");
        assert_eq!(store.prune(Moment(500), Moment(500)).expect("pruned"), 3);
        let kept: Vec<(i64, u32)> = store
            .read(|connection| {
                let sql = "SELECT channel_id, reminder FROM outbox ORDER BY channel_id, reminder";
                connection.query_all(sql, &[], |row| Ok((row.get(0)?, row.get(1)?)))
            })
            .expect("read");
        assert_eq!(kept, [(1, 0), (1, 4), (1, 5), (1, 6), (2, 0), (2, 1)], "the fourth is not old yet");
        assert_eq!(store.prune(Moment(500), Moment(500)).expect("pruned"), 0);
    }
}
