//! Escalation: an incident that a recipient was to be notified of, and that nobody acknowledges in time, is announced to
//! another recipient, whatever that one chooses.
//!
//! The time counts from the begin of the incident (after its hold time), and from the recipient's minimum outage if that is
//! later. It does not matter whether the first message has arrived, or waits for the end of quiet hours.

use crate::clock::Moment;
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::events::note;
use crate::monitor::incidents::announce::Announcer;
use crate::monitor::incidents::plan::Planned;
use crate::monitor::incidents::table::{IncidentId, IncidentKey, OFFLINE, condition_of};
use crate::monitor::machine::{MachineId, MachineStatus};
use crate::monitor::notify::channel::ChannelId;
use crate::monitor::notify::delivery_state::DeliveryState;
use crate::monitor::notify::notice::{EventKind, Happening, Notice, Subject};
use crate::monitor::store::{Store, StoreError};
use log::info;
use rusqlite::{Connection, params};
use serde_json::json;

/// Escalations written in one transaction; the next check writes the others.
const MOST_AT_ONCE: u32 = 1_000;

/// An incident that is to be escalated.
struct Unacknowledged {
    id: IncidentId,
    machine: MachineId,
    kind: String,
    subject: String,
    /// The last heartbeat before an outage; when a condition began to hold.
    since: Moment,
    /// The recipient who has not acknowledged it.
    recipient: String,
    /// To whom it is escalated.
    to: (i64, String),
}

impl Store {
    /// Writes the escalations that are due. Returns their number.
    pub fn escalate(&self, now: Moment) -> Result<usize, StoreError> {
        if self.read(|connection| unacknowledged(connection, now))?.is_empty() {
            return Ok(0);
        }
        self.write(|transaction| {
            let announcer = Announcer::new(transaction, now)?;
            let mut escalated = 0;
            for incident in unacknowledged(transaction, now)? {
                escalated += usize::from(announcer.escalate(&incident)?);
            }
            Ok(escalated)
        })
    }
}

impl Announcer<'_> {
    /// False if nothing is sent about it now, because of a maintenance or flapping.
    fn escalate(&self, incident: &Unacknowledged) -> Result<bool, StoreError> {
        let Unacknowledged { id, machine, kind, subject, since, recipient, to } = incident;
        let context = self.context(IncidentKey { machine: *machine, kind, subject })?;
        let Some(target) = self.recipients().iter().find(|recipient| recipient.id == to.0) else {
            return Ok(false);
        };
        if context.is_in_maintenance || context.is_flapping {
            return Ok(false);
        }
        let condition = condition_of(self.transaction, *id)?;
        let state = if condition.is_some() { EventKind::Condition } else { EventKind::Offline };
        let what = Happening { condition, ..self.happening(EventKind::Escalation, state, *since) };
        let notice =
            Notice { unacknowledged_by: Some(recipient.clone()), ..Notice::new(&context.subject, &what) };
        let due = target.due(&what);
        let rows = target.channels.iter().map(|&channel| Planned { channel, due, reminder: 0 }).collect();
        self.insert(rows, &context.subject, EventKind::Escalation, &notice, *id)?;
        let detail = json!({ "incident": id.0, "recipient": recipient, "to": to.1 });
        note(self.transaction, Some(*machine), "escalated", Some(detail), self.now)?;
        info!(
            "Machine {} ({}): incident {} is not acknowledged by {recipient}, escalated to {}",
            machine.0, context.subject.name, id.0, to.1
        );
        Ok(true)
    }

    /// The end of an incident goes to every channel to which it was escalated, whatever its recipient chooses.
    pub(super) fn end_escalation(
        &self,
        subject: &Subject,
        what: &Happening,
        incident: IncidentId,
        outdated: &[ChannelId],
    ) -> Result<(), StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT o.channel_id FROM outbox o WHERE o.incident_id = ?1 AND o.event = ?2
               AND NOT EXISTS (SELECT 1 FROM outbox e WHERE e.incident_id = ?1 AND e.event = ?3
                               AND e.channel_id = o.channel_id)",
        )?;
        let values = params![incident.0, EventKind::Escalation.name(), what.event.name()];
        let channels = statement.query_map(values, |row| row.get(0).map(ChannelId))?;
        let channels: Vec<ChannelId> = channels.collect::<Result<_, _>>()?;
        let mut rows = Vec::new();
        for recipient in self.recipients() {
            let due = recipient.due(what);
            let is_notified = |channel: &&ChannelId| channels.contains(channel) && outdated.contains(channel);
            let escalated = recipient.channels.iter().filter(is_notified);
            rows.extend(escalated.map(|&channel| Planned { channel, due, reminder: 0 }));
        }
        self.insert(rows, subject, what.event, &Notice::new(subject, what), incident)
    }
}

/// Those of an offline machine's conditions are hidden. An incident goes to a recipient once.
fn unacknowledged(connection: &Connection, now: Moment) -> Result<Vec<Unacknowledged>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT i.id, i.machine_id, i.kind, i.subject, i.last_seen, r.name, e.id, e.name
         FROM recipient r JOIN recipient e ON e.id = r.escalate_to AND e.enabled
         JOIN channel c ON c.recipient_id = r.id
         CROSS JOIN incident i JOIN machine_state s ON s.machine_id = i.machine_id
         JOIN outbox o ON o.incident_id = i.id AND o.channel_id = c.id AND o.state <> ?6 AND o.event <> ?7
         WHERE r.enabled AND i.ended_at IS NULL AND i.notified_at IS NOT NULL AND i.acknowledged_at IS NULL
           AND NOT i.planned AND s.watched
           AND CASE WHEN i.kind = ?3 THEN s.status = ?1 ELSE s.status = ?2 OR i.kind IN (?4, ?5) END
           AND CASE WHEN i.notified_at > i.last_seen + r.min_outage THEN i.notified_at
                    ELSE i.last_seen + r.min_outage END + r.escalate_after <= ?8
           AND EXISTS (SELECT 1 FROM channel x WHERE x.recipient_id = e.id AND x.enabled)
           AND NOT EXISTS (SELECT 1 FROM channel x JOIN outbox y ON y.channel_id = x.id
                           WHERE x.recipient_id = e.id AND y.incident_id = i.id AND y.event = ?9)
         ORDER BY i.id, r.name LIMIT ?10",
    )?;
    let values = params![
        MachineStatus::Offline as i64,
        MachineStatus::Online as i64,
        OFFLINE,
        Condition::NeverSeen.name(),
        Condition::RefusedToken.name(),
        DeliveryState::Skipped as i64,
        EventKind::Flapping.name(),
        now.0,
        EventKind::Escalation.name(),
        MOST_AT_ONCE,
    ];
    let rows = statement.query_map(values, |row| {
        Ok(Unacknowledged {
            id: IncidentId(row.get(0)?),
            machine: MachineId(row.get(1)?),
            kind: row.get(2)?,
            subject: row.get(3)?,
            since: Moment(row.get(4)?),
            recipient: row.get(5)?,
            to: (row.get(6)?, row.get(7)?),
        })
    })?;
    // Two recipients who escalate to the same one, or to each other: one message.
    let mut found: Vec<Unacknowledged> = Vec::new();
    for incident in rows {
        let incident = incident?;
        if !found.iter().rev().any(|known| (known.id, known.to.0) == (incident.id, incident.to.0)) {
            found.push(incident);
        }
    }
    Ok(found)
}
