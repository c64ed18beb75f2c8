//! Reminders: what is open and not acknowledged is announced again, at the interval that a recipient has chosen.
//!
//! The outbox is the only state: the last message about an incident on a channel says when the next reminder is due, and
//! its number is part of the row's key. So neither a restart nor a kill repeats one, and none is made up for: after a
//! night without power, or at the end of quiet hours, there is one.

use crate::clock::Moment;
use crate::monitor::incidents::announce::Announcer;
use crate::monitor::incidents::messages::EventMessages;
use crate::monitor::incidents::plan::Planned;
use crate::monitor::incidents::table::{IncidentId, condition_of};
use crate::monitor::incidents::unacknowledged::{self, COLUMNS, Unacknowledged};
use crate::monitor::notify::channel::ChannelId;
use crate::monitor::notify::delivery_state::{DeliveryState, UNDELIVERED, WAITING};
use crate::monitor::notify::notice::{EventKind, Happening, Notice, Subject};
use crate::monitor::notify::recipients::{self, Recipient};
use crate::monitor::store::sql::{Connection, Transaction, params};
use crate::monitor::store::{Store, StoreError};
use std::time::Duration;

/// Incidents of which reminders are written in one transaction; the next check writes the others.
const MOST_AT_ONCE: u32 = 10_000;

/// An incident about which a channel got a message, and no message is pending.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Announced {
    incident: Unacknowledged,
    channel: ChannelId,
    /// When the last message was delivered, or written if it was abandoned.
    notified: Moment,
    /// The number of the last reminder.
    reminder: u32,
    /// It was escalated to this channel.
    is_escalated: bool,
}

impl Store {
    /// Writes the reminders that are due. Returns their number.
    pub fn remind(&self, now: Moment) -> Result<usize, StoreError> {
        if !self.read(|connection| is_any_due(connection, now))? {
            return Ok(0);
        }
        self.write(|transaction| {
            let announcer = Announcer::new(transaction, now)?;
            let announced = announced(transaction, now)?;
            let mut written = 0;
            for recipient in announcer.recipients() {
                written += announcer.remind(recipient, &announced)?;
            }
            Ok(written)
        })
    }
}

fn is_any_due(connection: &Connection<'_>, now: Moment) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM recipient WHERE remind_every IS NOT NULL AND enabled)";
    if !connection.query_row(sql, &[], |row| row.get(0))? {
        return Ok(false);
    }
    let (announced, recipients) = (announced(connection, now)?, recipients::reachable(connection)?);
    Ok(recipients.iter().any(|recipient| due(&announced, recipient, now).next().is_some()))
}

/// The incidents that a recipient's next message names, if the first of them is due now: all whose last message is half an
/// interval old, so that incidents that began at different times soon share one message. During quiet hours there is none.
fn due<'a>(
    announced: &'a [Announced],
    recipient: &'a Recipient,
    now: Moment,
) -> impl Iterator<Item = &'a Announced> {
    let quiet = recipient.quiet.as_ref().is_some_and(|quiet| quiet.end_if_quiet(now) > now);
    let every = recipient.remind_every.filter(|_| !quiet);
    let is_older = move |incident: &Announced, age: Duration| {
        recipient.channels.contains(&incident.channel) && incident.is_older(age, now)
    };
    let every = every.filter(|every| announced.iter().any(|incident| is_older(incident, *every)));
    announced.iter().filter(move |incident| every.is_some_and(|every| is_older(incident, every / 2)))
}

impl Announced {
    /// Whether its last message is at least this old.
    fn is_older(&self, age: Duration, now: Moment) -> bool {
        self.notified.plus(age) <= now
    }
}

/// A reminder that can be sent now.
struct Reminder<'a> {
    announced: &'a Announced,
    subject: Subject,
    notice: Notice,
}

impl Announcer<'_> {
    /// Writes a recipient's reminders if one of them is due. Returns their number.
    fn remind(&self, recipient: &Recipient, announced: &[Announced]) -> Result<usize, StoreError> {
        let mut reminders = Vec::new();
        for incident in due(announced, recipient, self.now) {
            reminders.extend(self.reminder(recipient, incident)?);
        }
        // An incident that is not sent now stays due: it must not double the pace of the others.
        let is_due = |reminder: &Reminder| {
            recipient.remind_every.is_some_and(|every| reminder.announced.is_older(every, self.now))
        };
        if !reminders.iter().any(is_due) {
            return Ok(0);
        }
        let outgoing = reminders.iter().map(|Reminder { announced, subject, notice }| EventMessages {
            planned: vec![Planned {
                channel: announced.channel,
                due: self.now,
                reminder: announced.reminder + 1,
            }],
            machine: subject,
            event: EventKind::Reminder,
            notice: notice.clone(),
            incident: announced.incident.id,
        });
        self.insert(&outgoing.collect::<Vec<_>>())?;
        Ok(reminders.len())
    }

    /// `None` if nothing is sent about it now, because of a maintenance or flapping, or because the recipient no longer
    /// chooses it.
    fn reminder<'a>(
        &self,
        recipient: &Recipient,
        announced: &'a Announced,
    ) -> Result<Option<Reminder<'a>>, StoreError> {
        let Announced { incident, is_escalated, .. } = announced;
        let context = self.context(incident.key())?;
        let condition = condition_of(self.transaction, incident.id)?;
        let state = if condition.is_some() { EventKind::Condition } else { EventKind::Offline };
        let begin = Happening { condition, ..self.happening(state, state, incident.since) };
        let is_chosen = recipient.machines.includes(&context.subject) && recipient.wants(&begin);
        if context.is_in_maintenance || context.is_flapping || !(is_chosen || *is_escalated) {
            return Ok(None);
        }
        let notice = Notice::new(&context.subject, &Happening { event: EventKind::Reminder, ..begin });
        Ok(Some(Reminder { announced, subject: context.subject, notice }))
    }
}

/// Skips the reminders and escalations of an incident that are still to be sent. A message that an escalation has replaced
/// (see `skip_held_of`) is to be sent again when it is due.
pub fn skip_repetitions(tx: &Transaction<'_>, incident: IncidentId) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE outbox SET state = ?2 WHERE incident_id = ?1 AND {UNDELIVERED} AND state = {WAITING} AND event IN (?3, ?4)"
    );
    tx.execute(
        &sql,
        params![
            incident.0,
            DeliveryState::Skipped as i64,
            EventKind::Reminder.name(),
            EventKind::Escalation.name()
        ],
    )?;
    tx.execute(
        "UPDATE outbox SET state = ?2
         WHERE incident_id = ?1 AND state = ?3 AND attempts = 0 AND uncertain_since IS NULL AND event IN (?4, ?5)
           AND EXISTS (SELECT 1 FROM outbox e WHERE e.incident_id = ?1 AND e.channel_id = outbox.channel_id
                       AND e.event = ?6 AND e.state = ?3 AND e.attempts = 0)",
        params![
            incident.0,
            DeliveryState::Waiting as i64,
            DeliveryState::Skipped as i64,
            EventKind::Offline.name(),
            EventKind::Condition.name(),
            EventKind::Escalation.name()
        ],
    )?;
    Ok(())
}

/// Those that a reminder may name now.
fn announced(connection: &Connection<'_>, now: Moment) -> Result<Vec<Announced>, StoreError> {
    let condition = unacknowledged::condition();
    let notified = "max(CASE WHEN o.state IN (?1, ?2) THEN coalesce(o.delivered_at, o.created_at) END)";
    let sql = format!(
        "SELECT {COLUMNS}, o.channel_id, {notified} AS notified,
                max(o.reminder), max(CASE WHEN o.event = ?3 THEN 1 ELSE 0 END)
         FROM incident i JOIN machine_state s ON s.machine_id = i.machine_id
         JOIN outbox o ON o.incident_id = i.id
         JOIN channel c ON c.id = o.channel_id JOIN recipient r ON r.id = c.recipient_id
         WHERE {condition} AND c.enabled AND r.enabled AND r.remind_every IS NOT NULL
         GROUP BY {COLUMNS}, o.channel_id, r.remind_every
         HAVING max(CASE WHEN o.{UNDELIVERED} THEN 1 ELSE 0 END) = 0 AND {notified} + r.remind_every / 2 <= ?4
         ORDER BY notified, i.id, o.channel_id LIMIT ?5"
    );
    let values = params![
        DeliveryState::Delivered as i64,
        DeliveryState::Dead as i64,
        EventKind::Escalation.name(),
        now.0,
        MOST_AT_ONCE,
    ];
    connection.query_all(&sql, values, |row| {
        Ok(Announced {
            incident: Unacknowledged::of_row(row)?,
            channel: ChannelId(row.get(5)?),
            notified: Moment(row.get(6)?),
            reminder: row.get(7)?,
            is_escalated: row.get(8)?,
        })
    })
}
