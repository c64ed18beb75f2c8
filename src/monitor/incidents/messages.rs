//! The messages of an announcement: rows of the outbox that are added, or skipped because they would say nothing true any more.

use crate::monitor::incidents::announce::{Announcer, News};
use crate::monitor::incidents::plan::{Planned, plan};
use crate::monitor::incidents::table::{IncidentId, IncidentKey, KEYS, key_rows};
use crate::monitor::notify::channel::ChannelId;
use crate::monitor::notify::delivery_state::DeliveryState;
use crate::monitor::notify::notice::{EventKind, Notice, Subject};
use crate::monitor::notify::outbox::EXPIRES_AFTER;
use crate::monitor::store::StoreError;
use crate::monitor::store::sql::{params, rows};
use log::warn;
use std::collections::HashSet;

/// Rows that one statement adds.
const ROWS_AT_ONCE: usize = 1000;

/// Last messages that one statement reads: a few hundred bytes each.
const MESSAGES_AT_ONCE: usize = 10_000;

/// The messages about one event of an incident.
pub(super) struct EventMessages<'a> {
    pub planned: Vec<Planned>,
    pub machine: &'a Subject,
    pub event: EventKind,
    pub notice: Notice,
    pub incident: IncidentId,
}

impl Announcer<'_> {
    /// Adds the messages about news to the outbox, in their order. What is held about an incident that has ended is skipped. An
    /// end, and that a key is steady, goes to those who know another state; an end also to those to whom it was escalated.
    pub(super) fn send(&self, news: &[News<'_>]) -> Result<(), StoreError> {
        let ends = news.iter().filter(|news| news.what.event.is_end());
        self.skip_held(ends.map(|news| news.incident))?;
        let follows = |news: &&News<'_>| news.what.event.is_end() || news.what.event == EventKind::Steady;
        let following: Vec<&News<'_>> = news.iter().filter(follows).collect();
        let mut outdated = self.outdated_channels(&following)?.into_iter();
        let mut escalated = self.unended_escalations(&following)?.into_iter();
        let outgoing = news.iter().map(|news| {
            let (outdated, escalated) = match follows(&news) {
                true => (outdated.next().unwrap_or_default(), escalated.next().unwrap_or_default()),
                false => (Vec::new(), HashSet::new()),
            };
            self.messages_of(news, &outdated, &escalated)
        });
        self.insert(&outgoing.collect::<Vec<_>>())
    }

    /// `outdated`: the channels over which another state was reported last; `escalated`: those that got an escalation.
    fn messages_of<'a>(
        &self,
        news: &News<'a>,
        outdated: &[ChannelId],
        escalated: &HashSet<ChannelId>,
    ) -> EventMessages<'a> {
        let subject = &news.context.subject;
        let mut planned = plan(self.recipients(), subject, &news.what, outdated);
        if news.what.state.is_end() {
            for recipient in self.recipients() {
                let due = recipient.due(&news.what);
                let is_notified = |channel: &ChannelId| {
                    outdated.contains(channel)
                        && escalated.contains(channel)
                        && !planned.iter().any(|row| row.channel == *channel)
                };
                let channels: Vec<_> = recipient.channels.iter().copied().filter(is_notified).collect();
                planned.extend(channels.into_iter().map(|channel| Planned { channel, due, reminder: 0 }));
            }
        }
        EventMessages {
            planned,
            machine: subject,
            event: news.what.event,
            notice: Notice::new(subject, &news.what),
            incident: news.incident,
        }
    }

    /// Sends ends to the channels in `outdated` alone, which has those for each of them.
    pub(super) fn send_ends_to(
        &self,
        ends: &[&News<'_>],
        outdated: &[Vec<ChannelId>],
    ) -> Result<(), StoreError> {
        let outgoing =
            ends.iter().zip(outdated).map(|(end, outdated)| self.messages_of(end, outdated, &HashSet::new()));
        self.insert(&outgoing.collect::<Vec<_>>())
    }

    /// Adds rows to the outbox.
    pub(super) fn insert(&self, outgoing: &[EventMessages<'_>]) -> Result<(), StoreError> {
        let mut added = Vec::new();
        for EventMessages { planned, machine, event, notice, incident } in outgoing {
            if planned.is_empty() {
                continue;
            }
            let content = serde_json::to_string(notice).map_err(|error| {
                StoreError::Other(format!("cannot encode a notice of machine {}: {error}", machine.id))
            })?;
            added.extend(planned.iter().map(|row| {
                let expires = row.due.plus(EXPIRES_AFTER);
                let due = (row.due.0, expires.0, row.reminder);
                (row.channel.0, machine.id, incident.0, event.name(), content.clone(), due.0, due.1, due.2)
            }));
        }
        for part in added.chunks(ROWS_AT_ONCE) {
            // The unique constraint guards against a bug: a channel never gets two rows for one event of an incident.
            let written = self.transaction.execute(
                "INSERT INTO outbox (channel_id, machine_id, incident_id, event, content, created_at, due_at,
                                     expires_at, state, reminder)
                 SELECT CAST(value ->> 0 AS BIGINT), CAST(value ->> 1 AS BIGINT), CAST(value ->> 2 AS BIGINT),
                        value ->> 3, value ->> 4, ?2, CAST(value ->> 5 AS BIGINT), CAST(value ->> 6 AS BIGINT), ?3,
                        CAST(value ->> 7 AS BIGINT)
                 FROM json_each(?1) WHERE true ON CONFLICT DO NOTHING",
                params![rows(part)?, self.now, DeliveryState::Waiting as i64],
            )?;
            if written < part.len() {
                let (_, machine, incident, event, ..) = &part[0];
                warn!(
                    "{} of {} messages are in the outbox already; the first of all {}: machine {machine}, \"{event}\" of \
                     incident {incident}",
                    part.len() - written,
                    part.len(),
                    part.len()
                );
            }
        }
        Ok(())
    }

    /// Skips rows that are held (by a minimum outage or quiet hours) and were never tried. Rows that are due stay:
    /// only their courier is late. So does a mail that may have arrived before the monitor was restarted. A reminder that is
    /// still to be sent says nothing true any more, nor does an escalation that was not tried. A summary is about others, too.
    pub(super) fn skip_held(&self, incidents: impl Iterator<Item = IncidentId>) -> Result<(), StoreError> {
        let incidents: Vec<i64> = incidents.map(|incident| incident.0).collect();
        if incidents.is_empty() {
            return Ok(());
        }
        self.transaction.execute(
            "UPDATE outbox SET state = ?3
             WHERE incident_id IN (SELECT CAST(value AS BIGINT) FROM json_each(?1)) AND state = ?4
               AND uncertain_since IS NULL AND event <> ?7
               AND (attempts = 0 AND (due_at > ?2 OR event = ?6) OR event = ?5)",
            params![
                rows(incidents)?,
                self.now.0,
                DeliveryState::Skipped as i64,
                DeliveryState::Waiting as i64,
                EventKind::Reminder.name(),
                EventKind::Escalation.name(),
                EventKind::Summary.name()
            ],
        )?;
        Ok(())
    }

    /// Skips a held notice that it flaps: the notice that it is steady says enough.
    pub(super) fn skip_held_flapping(&self, key: IncidentKey<'_>) -> Result<(), StoreError> {
        self.transaction.execute(
            "UPDATE outbox SET state = ?5
             WHERE machine_id = ?1 AND event = ?7 AND state = ?6 AND attempts = 0 AND due_at > ?4
               AND uncertain_since IS NULL
               AND incident_id IN (SELECT id FROM incident
                                   WHERE machine_id = ?1 AND kind = ?2 AND subject = ?3)",
            params![
                key.machine.0,
                key.kind,
                key.subject,
                self.now.0,
                DeliveryState::Skipped as i64,
                DeliveryState::Waiting as i64,
                EventKind::Flapping.name()
            ],
        )?;
        Ok(())
    }

    /// For each of the news, the channels whose last message about the key, sent or still to be sent, is not that it is in this
    /// state. A reminder or an escalation that was tried may have arrived, also if it is not sent any more. A key without any
    /// message is believed to be good.
    pub(super) fn outdated_channels(&self, news: &[&News<'_>]) -> Result<Vec<Vec<ChannelId>>, StoreError> {
        let channels = self.recipients().iter().flat_map(|recipient| &recipient.channels);
        let channels: Vec<i64> = channels.map(|channel| channel.0).collect();
        let mut outdated = Vec::new();
        for part in news.chunks((MESSAGES_AT_ONCE / channels.len().max(1)).max(1)) {
            outdated.append(&mut self.outdated_of(part, &channels)?);
        }
        Ok(outdated)
    }

    fn outdated_of(&self, news: &[&News<'_>], channels: &[i64]) -> Result<Vec<Vec<ChannelId>>, StoreError> {
        let sql = format!(
            "WITH {KEYS}
             SELECT wanted.number, CAST(channel.value AS BIGINT),
                    (SELECT o.content FROM outbox o JOIN incident i ON i.id = o.incident_id
                     WHERE o.machine_id = wanted.machine_id AND o.channel_id = CAST(channel.value AS BIGINT)
                       AND (o.state NOT IN (?3, ?4) OR o.state = ?4 AND o.event IN (?6, ?7)
                                                       AND (o.attempts > 0 OR o.uncertain_since IS NOT NULL))
                       AND i.kind = wanted.kind AND i.subject = wanted.subject AND o.event <> ?5
                     ORDER BY o.id DESC LIMIT 1)
             FROM wanted CROSS JOIN json_each(?2) channel"
        );
        let keys: Vec<IncidentKey<'_>> = news.iter().map(|news| news.key).collect();
        let values = params![
            key_rows(&keys)?,
            rows(channels)?,
            DeliveryState::Dead as i64,
            DeliveryState::Skipped as i64,
            EventKind::Summary.name(),
            EventKind::Escalation.name(),
            EventKind::Reminder.name()
        ];
        let mut outdated = vec![Vec::new(); news.len()];
        self.transaction.query_each(&sql, values, |row| {
            let place = row.get::<u32>(0)? as usize;
            let state = news[place].what.state;
            let content = row.get::<Option<&str>>(2)?;
            let last = content.and_then(|content| serde_json::from_str::<Notice>(content).ok());
            let good = if state.is_of_condition() { EventKind::ConditionEnded } else { EventKind::Online };
            let believed = last.map_or(Some(good), |last| last.believed());
            if believed != Some(state) {
                outdated[place].push(ChannelId(row.get(1)?));
            }
            Ok(())
        })?;
        Ok(outdated)
    }
}
