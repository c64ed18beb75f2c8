//! How often the messages about incidents were repeated: reminders and escalations, from the outbox.

use crate::monitor::notify::notice::EventKind;
use crate::monitor::store::sql::params;
use crate::monitor::store::{Store, StoreError};
use std::collections::HashMap;

/// The messages about an incident besides its begin and end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repetitions {
    /// Number of the last reminder on the channel with most; 0: there was none.
    pub reminders: u32,
    /// Names of the recipients to whom it was escalated.
    pub escalated_to: Vec<String>,
}

impl Store {
    /// Those of some incidents. Incidents without any are not in the map; those of notifications that were removed by age
    /// are not counted.
    pub fn repetitions(&self, incidents: &[i64]) -> Result<HashMap<i64, Repetitions>, StoreError> {
        let mut found: HashMap<i64, Repetitions> = HashMap::new();
        self.read(|connection| {
            let sql = "SELECT r.name, o.event, max(o.reminder) FROM outbox o
                       JOIN channel c ON c.id = o.channel_id JOIN recipient r ON r.id = c.recipient_id
                       WHERE o.incident_id = ?1 AND o.event IN (?2, ?3) GROUP BY r.name, o.event ORDER BY r.name";
            let (reminder, escalation) = (EventKind::Reminder.name(), EventKind::Escalation.name());
            for &incident in incidents {
                connection.query_each(sql, params![incident, reminder, escalation], |row| {
                    let (recipient, event): (String, String) = (row.get(0)?, row.get(1)?);
                    let known = found.entry(incident).or_default();
                    match event == escalation {
                        true => known.escalated_to.push(recipient),
                        false => known.reminders = known.reminders.max(row.get(2)?),
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_counts_and_each_recipient_of_an_escalation_once() {
        let store = Store::scratch();
        store
            .write(|transaction| {
                transaction.execute_batch(
                    "INSERT INTO machine (id, name, created_at) VALUES (1, 'barn', 0);
                     INSERT INTO recipient (id, name, events) VALUES (1, 'farm', '[]'), (2, 'owner', '[]');
                     INSERT INTO channel (id, recipient_id, kind, target, created_at) VALUES
                        (1, 1, 'ntfy', 'x', 0), (2, 2, 'ntfy', 'y', 0), (3, 2, 'slack', 'z', 0);
                     INSERT INTO incident (id, machine_id, kind, planned, last_seen, began_at) VALUES
                        (1, 1, 'offline', FALSE, 0, 0), (2, 1, 'disk', FALSE, 0, 0), (3, 1, 'clock', FALSE, 0, 0);
                     INSERT INTO outbox (channel_id, machine_id, incident_id, event, reminder, content, created_at, due_at,
                        expires_at, state) VALUES
                        (1, 1, 1, 'offline', 0, '{}', 0, 0, 0, 2), (1, 1, 1, 'reminder', 7, '{}', 0, 0, 0, 2),
                        (1, 1, 1, 'reminder', 8, '{}', 0, 0, 0, 0), (2, 1, 1, 'escalation', 0, '{}', 0, 0, 0, 2),
                        (3, 1, 1, 'escalation', 0, '{}', 0, 0, 0, 2), (2, 1, 1, 'reminder', 2, '{}', 0, 0, 0, 2),
                        (1, 1, 2, 'condition', 0, '{}', 0, 0, 0, 2), (1, 1, 2, 'reminder', 1, '{}', 0, 0, 0, 2),
                        (1, 1, 3, 'condition', 0, '{}', 0, 0, 0, 2);",
                )?;
                Ok(())
            })
            .expect("rows");
        let found = store.repetitions(&[1, 2, 3]).expect("read");
        let expected = [
            (1, Repetitions { reminders: 8, escalated_to: vec!["owner".into()] }),
            (2, Repetitions { reminders: 1, escalated_to: Vec::new() }),
        ];
        assert_eq!(found, expected.into());
    }
}
