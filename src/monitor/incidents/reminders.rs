//! Reminders: what is open and not acknowledged is announced again, at the interval that a recipient has chosen.
//!
//! The outbox is the only state: the last message about an incident on a channel says when the next reminder is due, and
//! its number is part of the row's key. So neither a restart nor a kill repeats one, and none is made up for: after a
//! night without power, or at the end of quiet hours, there is one.

use crate::clock::Moment;
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::incidents::announce::Announcer;
use crate::monitor::incidents::plan::Planned;
use crate::monitor::incidents::table::{IncidentId, IncidentKey, OFFLINE, condition_of};
use crate::monitor::machine::{MachineId, MachineStatus};
use crate::monitor::notify::channel::ChannelId;
use crate::monitor::notify::delivery_state::{DeliveryState, UNDELIVERED, WAITING};
use crate::monitor::notify::notice::{EventKind, Happening, Notice};
use crate::monitor::notify::recipients::{self, Recipient};
use crate::monitor::store::{Store, StoreError};
use rusqlite::{Connection, Transaction, params};
use std::time::Duration;

/// Incidents of which reminders are written in one transaction; the next check writes the others.
const MOST_AT_ONCE: u32 = 10_000;

/// An open incident about which a channel got a message, and no message is pending.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OpenIncident {
    id: IncidentId,
    machine: MachineId,
    kind: String,
    subject: String,
    /// The last heartbeat before an outage; when a condition began to hold.
    since: Moment,
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
            let open = open_incidents(transaction, now)?;
            let mut written = 0;
            for recipient in announcer.recipients() {
                for incident in due(&open, recipient, now) {
                    written += usize::from(announcer.remind(recipient, incident)?);
                }
            }
            Ok(written)
        })
    }
}

fn is_any_due(connection: &Connection, now: Moment) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM recipient WHERE remind_every IS NOT NULL AND enabled)";
    if !connection.query_row(sql, [], |row| row.get(0))? {
        return Ok(false);
    }
    let (open, recipients) = (open_incidents(connection, now)?, recipients::reachable(connection)?);
    Ok(recipients.iter().any(|recipient| due(&open, recipient, now).next().is_some()))
}

/// The incidents that a recipient's next message names, if the first of them is due now: all whose last message is half an
/// interval old, so that incidents that began at different times soon share one message. During quiet hours there is none.
fn due<'o>(
    open: &'o [OpenIncident],
    recipient: &'o Recipient,
    now: Moment,
) -> impl Iterator<Item = &'o OpenIncident> {
    let quiet = recipient.quiet.as_ref().is_some_and(|quiet| quiet.end_if_quiet(now) > now);
    let every = recipient.remind_every.filter(|_| !quiet);
    let is_older = move |incident: &OpenIncident, age: Duration| {
        recipient.channels.contains(&incident.channel) && incident.notified.plus(age) <= now
    };
    let every = every.filter(|every| open.iter().any(|incident| is_older(incident, *every)));
    open.iter().filter(move |incident| every.is_some_and(|every| is_older(incident, every / 2)))
}

impl Announcer<'_> {
    /// False if nothing is sent about it now, because of a maintenance or flapping, or because the recipient no longer
    /// chooses it.
    fn remind(&self, recipient: &Recipient, incident: &OpenIncident) -> Result<bool, StoreError> {
        let OpenIncident { id, machine, kind, subject, since, channel, reminder, .. } = incident;
        let context = self.context(IncidentKey { machine: *machine, kind, subject })?;
        let condition = condition_of(self.transaction, *id)?;
        let state = if condition.is_some() { EventKind::Condition } else { EventKind::Offline };
        let begin = Happening { condition, ..self.happening(state, state, *since) };
        let is_chosen = recipient.machines.includes(&context.subject) && recipient.wants(&begin);
        if context.is_in_maintenance || context.is_flapping || !(is_chosen || incident.is_escalated) {
            return Ok(false);
        }
        let notice = Notice::new(&context.subject, &Happening { event: EventKind::Reminder, ..begin });
        let row = Planned { channel: *channel, due: self.now, reminder: reminder + 1 };
        self.insert(vec![row], &context.subject, EventKind::Reminder, &notice, *id)?;
        Ok(true)
    }
}

/// Skips the reminders and escalations of an incident that are still to be sent.
pub fn skip_repetitions(tx: &Transaction<'_>, incident: IncidentId) -> Result<(), StoreError> {
    tx.prepare_cached(&format!(
        "UPDATE outbox SET state = ?2 WHERE incident_id = ?1 AND {UNDELIVERED} AND state = {WAITING} AND event IN (?3, ?4)"
    ))?
    .execute(params![
        incident.0,
        DeliveryState::Skipped as i64,
        EventKind::Reminder.name(),
        EventKind::Escalation.name()
    ])?;
    Ok(())
}

/// The parameters are [`MachineStatus::Offline`], [`MachineStatus::Online`], [`OFFLINE`], the two conditions that need no
/// online machine, [`DeliveryState::Delivered`], [`DeliveryState::Dead`], now, [`MOST_AT_ONCE`] and
/// [`EventKind::Escalation`].
const OPEN: &str = "
    SELECT i.id, i.machine_id, i.kind, i.subject, i.last_seen, o.channel_id,
           max(CASE WHEN o.state IN (?6, ?7) THEN coalesce(o.delivered_at, o.created_at) END) AS notified,
           max(o.reminder), max(CASE WHEN o.event = ?10 THEN 1 ELSE 0 END)
    FROM incident i JOIN machine_state s ON s.machine_id = i.machine_id
    JOIN outbox o ON o.incident_id = i.id
    JOIN channel c ON c.id = o.channel_id JOIN recipient r ON r.id = c.recipient_id
    WHERE i.ended_at IS NULL AND i.notified_at IS NOT NULL AND i.acknowledged_at IS NULL AND NOT i.planned
      AND s.watched AND CASE WHEN i.kind = ?3 THEN s.status = ?1 ELSE s.status = ?2 OR i.kind IN (?4, ?5) END
      AND c.enabled AND r.enabled AND r.remind_every IS NOT NULL
    GROUP BY i.id, i.machine_id, i.kind, i.subject, i.last_seen, o.channel_id, r.remind_every
    HAVING max(CASE WHEN o.state IN (0, 1) THEN 1 ELSE 0 END) = 0
       AND max(CASE WHEN o.state IN (?6, ?7) THEN coalesce(o.delivered_at, o.created_at) END) + r.remind_every / 2 <= ?8
    ORDER BY notified, i.id, o.channel_id LIMIT ?9";

/// Those that a reminder may name now: an offline machine hides its conditions.
fn open_incidents(connection: &Connection, now: Moment) -> Result<Vec<OpenIncident>, StoreError> {
    let mut statement = connection.prepare_cached(OPEN)?;
    let values = params![
        MachineStatus::Offline as i64,
        MachineStatus::Online as i64,
        OFFLINE,
        Condition::NeverSeen.name(),
        Condition::RefusedToken.name(),
        DeliveryState::Delivered as i64,
        DeliveryState::Dead as i64,
        now.0,
        MOST_AT_ONCE,
        EventKind::Escalation.name(),
    ];
    let rows = statement.query_map(values, |row| {
        Ok(OpenIncident {
            id: IncidentId(row.get(0)?),
            machine: MachineId(row.get(1)?),
            kind: row.get(2)?,
            subject: row.get(3)?,
            since: Moment(row.get(4)?),
            channel: ChannelId(row.get(5)?),
            notified: Moment(row.get(6)?),
            reminder: row.get(7)?,
            is_escalated: row.get(8)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
