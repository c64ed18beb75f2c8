//! Escalation: an incident that a recipient was to be notified of, and that nobody acknowledges in time, is announced to
//! another recipient, whatever that one chooses.
//!
//! The time counts from the begin of the incident (after its hold time), and from the recipient's minimum outage if that is
//! later. It does not matter whether the first message has arrived, or waits for the end of quiet hours.

use crate::clock::Moment;
use crate::monitor::events::note;
use crate::monitor::incidents::announce::{Announcer, News};
use crate::monitor::incidents::messages::EventMessages;
use crate::monitor::incidents::plan::Planned;
use crate::monitor::incidents::table::{IncidentId, IncidentKey, KEYS, condition_of, key_rows};
use crate::monitor::incidents::unacknowledged::{self, COLUMNS, Unacknowledged};
use crate::monitor::notify::channel::ChannelId;
use crate::monitor::notify::delivery_state::{DeliveryState, UNDELIVERED, WAITING};
use crate::monitor::notify::notice::{EventKind, Happening, Notice};
use crate::monitor::notify::recipients::Recipient;
use crate::monitor::store::sql::{Connection, params};
use crate::monitor::store::{Store, StoreError};
use log::info;
use serde_json::json;
use std::collections::HashSet;

/// Escalations written in one transaction; the next check writes the others.
const MOST_AT_ONCE: u32 = 1_000;

/// An incident that is to be escalated.
struct Overdue {
    incident: Unacknowledged,
    /// The recipient who has not acknowledged it.
    recipient: String,
    /// To whom it is escalated.
    to: (i64, String),
}

impl Store {
    /// Writes the escalations that are due. Returns their number.
    pub fn escalate(&self, now: Moment) -> Result<usize, StoreError> {
        if self.read(|connection| overdue(connection, now))?.is_empty() {
            return Ok(0);
        }
        self.write(|transaction| {
            let announcer = Announcer::new(transaction, now)?;
            let mut escalated = 0;
            for incident in overdue(transaction, now)? {
                escalated += usize::from(announcer.escalate(&incident)?);
            }
            Ok(escalated)
        })
    }
}

impl Announcer<'_> {
    /// False if nothing is sent about it now, because of a maintenance or flapping.
    fn escalate(&self, overdue: &Overdue) -> Result<bool, StoreError> {
        let Overdue { incident, recipient, to } = overdue;
        let Unacknowledged { id, machine, since, .. } = *incident;
        let context = self.context(incident.key())?;
        let Some(target) = self.recipients().iter().find(|recipient| recipient.id == to.0) else {
            return Ok(false);
        };
        if context.is_in_maintenance || context.is_flapping {
            return Ok(false);
        }
        let condition = condition_of(self.transaction, id)?;
        let state = if condition.is_some() { EventKind::Condition } else { EventKind::Offline };
        let what = Happening { condition, ..self.happening(EventKind::Escalation, state, since) };
        self.skip_held_of(target, id)?;
        let due = target.due(&what);
        let notice = Notice::new(&context.subject, &what);
        self.insert(&[EventMessages {
            planned: target.channels.iter().map(|&channel| Planned { channel, due, reminder: 0 }).collect(),
            machine: &context.subject,
            event: EventKind::Escalation,
            notice: Notice { unacknowledged_by: Some(recipient.clone()), ..notice },
            incident: id,
        }])?;
        let detail = json!({ "incident": id.0, "recipient": recipient, "to": to.1 });
        note(self.transaction, Some(machine), "escalated", Some(detail), self.now)?;
        info!(
            "Machine {} ({}): incident {} is not acknowledged by {recipient}, escalated to {}",
            machine.0, context.subject.name, id.0, to.1
        );
        Ok(true)
    }

    /// Skips what is held (by a minimum outage or quiet hours) and was never tried: the escalation says it, and would wait for
    /// it.
    fn skip_held_of(&self, recipient: &Recipient, incident: IncidentId) -> Result<(), StoreError> {
        let mut statement = self.transaction.prepare(&format!(
            "UPDATE outbox SET state = ?3
             WHERE incident_id = ?1 AND channel_id = ?4 AND {UNDELIVERED} AND state = {WAITING} AND attempts = 0
               AND due_at > ?2 AND uncertain_since IS NULL"
        ))?;
        for channel in &recipient.channels {
            statement.execute(params![incident.0, self.now.0, DeliveryState::Skipped as i64, channel.0])?;
        }
        Ok(())
    }

    /// For each end, the channels that got an escalation of its key, and no end since.
    pub(super) fn unended_escalations(
        &self,
        ends: &[&News<'_>],
    ) -> Result<Vec<HashSet<ChannelId>>, StoreError> {
        if ends.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "WITH {KEYS}
             SELECT wanted.number, o.channel_id, o.content
             FROM wanted CROSS JOIN outbox o JOIN incident i ON i.id = o.incident_id
             WHERE o.machine_id = wanted.machine_id AND i.kind = wanted.kind AND i.subject = wanted.subject
               AND o.event IN (?2, ?3, ?4, ?5)
               AND EXISTS (SELECT 1 FROM outbox e WHERE e.machine_id = o.machine_id AND e.channel_id = o.channel_id
                           AND e.event = ?2)
             ORDER BY o.id"
        );
        let keys: Vec<IncidentKey<'_>> = ends.iter().map(|news| news.key).collect();
        let values = params![
            key_rows(&keys)?,
            EventKind::Escalation.name(),
            EventKind::Online.name(),
            EventKind::ConditionEnded.name(),
            EventKind::Steady.name()
        ];
        let mut unended = vec![HashSet::new(); ends.len()];
        self.transaction.query_each(&sql, values, |row| {
            let (escalated, channel) = (&mut unended[row.get::<u32>(0)? as usize], ChannelId(row.get(1)?));
            let Ok(notice) = serde_json::from_str::<Notice>(row.get(2)?) else { return Ok(()) };
            if notice.news == EventKind::Escalation {
                escalated.insert(channel);
            } else if notice.state.is_end() {
                // That it is steady and still down ends nothing.
                escalated.remove(&channel);
            }
            Ok(())
        })?;
        Ok(unended)
    }
}

/// An incident goes to a recipient once. A heartbeat later than the begin of its outage was dated by a clock that has been
/// set back since.
fn overdue(connection: &Connection<'_>, now: Moment) -> Result<Vec<Overdue>, StoreError> {
    let condition = unacknowledged::condition();
    let values = params![
        DeliveryState::Skipped as i64,
        EventKind::Flapping.name(),
        now.0,
        EventKind::Escalation.name(),
        MOST_AT_ONCE,
    ];
    let sql = format!(
        "SELECT DISTINCT {COLUMNS}, r.name, e.id, e.name
         FROM recipient r JOIN recipient e ON e.id = r.escalate_to AND e.enabled
         JOIN channel c ON c.recipient_id = r.id
         CROSS JOIN incident i JOIN machine_state s ON s.machine_id = i.machine_id
         JOIN outbox o ON o.incident_id = i.id AND o.channel_id = c.id AND o.state <> ?1 AND o.event <> ?2
         WHERE r.enabled AND {condition}
           AND i.notified_at + r.escalate_after <= ?3
           AND CASE WHEN i.last_seen < i.began_at THEN i.last_seen ELSE i.began_at END
               + r.min_outage + r.escalate_after <= ?3
           AND EXISTS (SELECT 1 FROM channel x WHERE x.recipient_id = e.id AND x.enabled)
           AND NOT EXISTS (SELECT 1 FROM channel x JOIN outbox y ON y.channel_id = x.id
                           WHERE x.recipient_id = e.id AND y.incident_id = i.id AND y.event = ?4)
         ORDER BY i.id, r.name LIMIT ?5"
    );
    let rows = connection.query_all(&sql, values, |row| {
        let incident = Unacknowledged::of_row(row)?;
        Ok(Overdue { incident, recipient: row.get(5)?, to: (row.get(6)?, row.get(7)?) })
    })?;
    // Two recipients who escalate to the same one, or to each other: one message.
    let mut found: Vec<Overdue> = Vec::new();
    for overdue in rows {
        let is_same =
            |known: &Overdue| (known.incident.id, known.to.0) == (overdue.incident.id, overdue.to.0);
        if !found.iter().rev().any(is_same) {
            found.push(overdue);
        }
    }
    Ok(found)
}
