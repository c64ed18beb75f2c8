//! Which rows of the outbox can be leased.

use crate::monitor::notify::delivery_state::{UNDELIVERED, WAITING};
use crate::monitor::notify::notice::EventKind;

/// The condition that a row can be leased: no courier has it, and no earlier row of its machine on its channel is still
/// to be delivered. Conditions that began or ended together (several cameras), and reminders of them, do not wait for each
/// other: they are one message to a person. Outages always do: a step of the clock can give two of them the same times. No
/// row waits for one of another incident that is held by a minimum outage or quiet hours: that one is not due yet, and may
/// never be sent.
/// `?1` is now, `?2` the owner.
pub fn free() -> String {
    format!(
        "o.{UNDELIVERED} AND (o.state = {WAITING} OR (o.leased_until <= ?1 AND o.lease <> ?2))
         AND NOT EXISTS (SELECT 1 FROM outbox e WHERE e.machine_id = o.machine_id AND e.channel_id = o.channel_id
                         AND e.id < o.id AND e.{UNDELIVERED}
                         AND NOT (e.event = o.event AND e.event IN ('{}', '{}', '{}', '{}')
                                  AND e.created_at = o.created_at AND e.due_at = o.due_at)
                         AND NOT (e.state = {WAITING} AND e.attempts = 0 AND e.due_at > ?1 AND e.uncertain_since IS NULL
                                  AND e.incident_id <> o.incident_id))",
        EventKind::Condition.name(),
        EventKind::ConditionEnded.name(),
        EventKind::Reminder.name(),
        EventKind::Escalation.name()
    )
}
