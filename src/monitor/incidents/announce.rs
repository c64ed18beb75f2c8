//! Writes a transition: its incident, its event, and a row of the outbox for each channel that is to be notified.

use crate::clock::Moment;
use crate::monitor::events::note;
use crate::monitor::incidents::context::{MachineContext, tags};
use crate::monitor::incidents::plan::{Planned, plan};
use crate::monitor::incidents::policy::{Announcement, announcement};
use crate::monitor::incidents::table::{
    IncidentId, IncidentKey, NewIncident, OFFLINE, UnannouncedOutage, begin, condition_of, end, last,
    mark_notified, mark_planned,
};
use crate::monitor::incidents::transition::{Transition, TransitionKind};
use crate::monitor::machine::{MachineId, MachineStatus};
use crate::monitor::notify::channel::ChannelId;
use crate::monitor::notify::delivery_state::DeliveryState;
use crate::monitor::notify::notice::{EventKind, Happening, Notice, Subject};
use crate::monitor::notify::outbox::EXPIRES_AFTER;
use crate::monitor::notify::recipients::{self, Recipient};
use crate::monitor::store::StoreError;
use crate::monitor::store::sql::{Transaction, params};
use log::warn;
use serde_json::json;

/// Writes transitions in one transaction.
pub struct Announcer<'t> {
    pub(super) transaction: &'t Transaction<'t>,
    pub(super) now: Moment,
    recipients: Vec<Recipient>,
    /// At least one recipient chooses machines by tag.
    needs_tags: bool,
}

impl<'t> Announcer<'t> {
    pub fn new(transaction: &'t Transaction<'t>, now: Moment) -> Result<Announcer<'t>, StoreError> {
        let recipients = recipients::reachable(transaction)?;
        let needs_tags = recipients.iter().any(|recipient| !recipient.machines.tags.is_empty());
        Ok(Announcer { transaction, now, recipients, needs_tags })
    }

    /// `is_kept_back`: the outage is recorded, and announced later if at all.
    pub fn went_offline(
        &self,
        machine: MachineId,
        last_seen: Moment,
        is_kept_back: bool,
    ) -> Result<Transition, StoreError> {
        let key = IncidentKey::outage(machine);
        let context = self.context(key)?;
        // Counted before the outage that begins now is in the table.
        let transitions = self.transitions(key, &context)?;
        let is_announced = !is_kept_back && !context.is_in_maintenance && !context.is_hidden;
        let new = NewIncident { is_announced, ..NewIncident::outage(machine, last_seen) };
        let outage = begin(self.transaction, &new, self.now)?;
        self.event(key, EventKind::Offline)?;
        let mut flaps = false;
        if let Some(outage) = outage.filter(|_| is_announced) {
            let what = self.happening(EventKind::Offline, EventKind::Offline, last_seen);
            flaps = self.announce_alarm(&context, key, transitions, &what, outage)?;
        }
        let kind = TransitionKind::Offline { last_seen };
        Ok(Transition { machine, name: context.subject.name, kind, flaps })
    }

    pub fn came_back(&self, machine: MachineId, before: MachineStatus) -> Result<Transition, StoreError> {
        let key = IncidentKey::outage(machine);
        let context = self.context(key)?;
        let transitions = self.transitions(key, &context)?;
        self.event(key, EventKind::Online)?;
        let mut flaps = false;
        let kind = match end(self.transaction, key, self.now)? {
            None if before == MachineStatus::New => TransitionKind::FirstSeen,
            None => TransitionKind::Online,
            Some(outage) => {
                let what = self.happening(EventKind::Online, EventKind::Online, outage.since);
                if outage.was_alarm {
                    flaps = self.announce_alarm(&context, key, transitions, &what, outage.id)?;
                } else if !context.is_flapping {
                    // The end of an outage that was planned or not announced never makes a machine flap.
                    self.announce_end(&context.subject, key, &what, outage.id)?;
                }
                TransitionKind::Online
            }
        };
        Ok(Transition { machine, name: context.subject.name, kind, flaps })
    }

    /// The machine's heartbeats go to another monitor. Its conditions end without a message: that one judges them.
    pub fn became_standby(&self, machine: MachineId) -> Result<Transition, StoreError> {
        note(self.transaction, Some(machine), "standby", None, self.now)?;
        self.end_conditions(machine, u32::MAX)?;
        let name = self.context(IncidentKey::outage(machine))?.subject.name;
        Ok(Transition { machine, name, kind: TransitionKind::Standby, flaps: false })
    }

    /// A shutdown heartbeat does not end an outage: it marks the open one, or a new one, as planned.
    pub fn was_stopped(&self, machine: MachineId, at: Moment) -> Result<Transition, StoreError> {
        let key = IncidentKey::outage(machine);
        let context = self.context(key)?;
        self.event(key, EventKind::Stopped)?;
        // One is open while the machine is offline, and after it was disabled while offline.
        let outage = match mark_planned(self.transaction, machine)? {
            Some(outage) => {
                self.skip_held(outage)?;
                Some(outage)
            }
            None => {
                let is_announced = !context.is_in_maintenance;
                let outage = NewIncident::outage(machine, at);
                let new = NewIncident { is_planned: true, is_announced, ..outage };
                begin(self.transaction, &new, self.now)?
            }
        };
        if let Some(outage) = outage.filter(|_| !context.is_in_maintenance && !context.is_flapping) {
            let what = self.happening(EventKind::Stopped, EventKind::Stopped, at);
            self.enqueue(&context.subject, &what, outage, &[])?;
        }
        let kind = TransitionKind::Stopped;
        Ok(Transition { machine, name: context.subject.name, kind, flaps: false })
    }

    pub fn is_still_offline(&self, outage: &UnannouncedOutage) -> Result<Transition, StoreError> {
        let &UnannouncedOutage { id, machine, last_seen, .. } = outage;
        mark_notified(self.transaction, id, self.now)?;
        let MachineContext { subject, is_flapping, .. } = self.context(IncidentKey::outage(machine))?;
        if !is_flapping {
            let what = self.happening(EventKind::Offline, EventKind::Offline, last_seen);
            self.enqueue(&subject, &what, id, &[])?;
        }
        let kind = TransitionKind::StillOffline { last_seen };
        Ok(Transition { machine, name: subject.name, kind, flaps: false })
    }

    /// A machine, or a condition of it, has stopped flapping; `state` is its present one.
    pub fn became_steady(
        &self,
        key: IncidentKey<'_>,
        state: EventKind,
        since: Moment,
    ) -> Result<Transition, StoreError> {
        let machine = key.machine;
        self.transaction.execute(
            "UPDATE flapping SET steady_at = ?4 WHERE machine_id = ?1 AND kind = ?2 AND subject = ?3",
            params![machine.0, key.kind, key.subject, self.now.0],
        )?;
        self.event(key, EventKind::Steady)?;
        self.skip_held_flapping(key)?;
        let subject = self.context(key)?.subject;
        if let Some(incident) = last(self.transaction, key)? {
            let outdated = self.outdated_channels(key, state)?;
            let condition = condition_of(self.transaction, incident)?;
            let what = Happening { condition, ..self.happening(EventKind::Steady, state, since) };
            self.enqueue(&subject, &what, incident, &outdated)?;
            if state.is_end() {
                self.end_escalation(&subject, key, &what, incident, &outdated)?;
            }
        }
        let kind = TransitionKind::Steady { state };
        Ok(Transition { machine, name: subject.name, kind, flaps: false })
    }

    /// Announces the begin or the end of an incident, or that it begins to flap; true in that case.
    pub(super) fn announce_alarm(
        &self,
        context: &MachineContext,
        key: IncidentKey<'_>,
        transitions: u32,
        what: &Happening,
        incident: IncidentId,
    ) -> Result<bool, StoreError> {
        match announcement(context.is_flapping, transitions) {
            Announcement::Nothing => Ok(false),
            Announcement::Transition if what.event.is_end() => {
                self.announce_end(&context.subject, key, what, incident)?;
                Ok(false)
            }
            Announcement::Transition => {
                self.enqueue(&context.subject, what, incident, &[])?;
                Ok(false)
            }
            Announcement::Flapping => {
                self.begin_flapping(&context.subject, key, what, incident)?;
                Ok(true)
            }
        }
    }

    fn begin_flapping(
        &self,
        subject: &Subject,
        key: IncidentKey<'_>,
        what: &Happening,
        incident: IncidentId,
    ) -> Result<(), StoreError> {
        self.transaction.execute(
            "INSERT INTO flapping (machine_id, kind, subject, since) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (machine_id, kind, subject)
             DO UPDATE SET since = excluded.since, steady_at = NULL",
            params![key.machine.0, key.kind, key.subject, self.now.0],
        )?;
        self.event(key, EventKind::Flapping)?;
        self.skip_held(incident)?;
        let flaps = Happening { event: EventKind::Flapping, ..what.clone() };
        self.enqueue(subject, &flaps, incident, &[])
    }

    pub(super) fn announce_end(
        &self,
        subject: &Subject,
        key: IncidentKey<'_>,
        what: &Happening,
        incident: IncidentId,
    ) -> Result<(), StoreError> {
        self.skip_held(incident)?;
        let outdated = self.outdated_channels(key, what.state)?;
        self.enqueue(subject, what, incident, &outdated)?;
        self.end_escalation(subject, key, what, incident, &outdated)
    }

    /// Skips rows that are held (by a minimum outage or quiet hours) and were never tried. Rows that are due stay:
    /// only their courier is late. So does a mail that may have arrived before the monitor was restarted. A reminder that is
    /// still to be sent says nothing true any more, nor does an escalation that was not tried. A summary is about others, too.
    pub(super) fn skip_held(&self, outage: IncidentId) -> Result<(), StoreError> {
        self.transaction.execute(
            "UPDATE outbox SET state = ?3
             WHERE incident_id = ?1 AND state = ?4 AND uncertain_since IS NULL AND event <> ?7
               AND (attempts = 0 AND (due_at > ?2 OR event = ?6) OR event = ?5)",
            params![
                outage.0,
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
    fn skip_held_flapping(&self, key: IncidentKey<'_>) -> Result<(), StoreError> {
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

    /// The channels whose last message about the key, sent or still to be sent, is not that it is in `state`. A reminder or an
    /// escalation that was tried may have arrived, also if it is not sent any more. A key without any message is believed
    /// to be good.
    pub(super) fn outdated_channels(
        &self,
        key: IncidentKey<'_>,
        state: EventKind,
    ) -> Result<Vec<ChannelId>, StoreError> {
        let mut statement = self.transaction.prepare(
            "SELECT o.content FROM outbox o JOIN incident i ON i.id = o.incident_id
             WHERE o.machine_id = ?1 AND o.channel_id = ?2
               AND (o.state NOT IN (?3, ?4) OR o.state = ?4 AND o.event IN (?8, ?9)
                                               AND (o.attempts > 0 OR o.uncertain_since IS NOT NULL))
               AND i.kind = ?5 AND i.subject = ?6 AND o.event <> ?7
             ORDER BY o.id DESC LIMIT 1",
        )?;
        let mut outdated = Vec::new();
        for &channel in self.recipients.iter().flat_map(|recipient| &recipient.channels) {
            let values = params![
                key.machine.0,
                channel.0,
                DeliveryState::Dead as i64,
                DeliveryState::Skipped as i64,
                key.kind,
                key.subject,
                EventKind::Summary.name(),
                EventKind::Escalation.name(),
                EventKind::Reminder.name()
            ];
            let content: Option<String> = statement.query_optional(values, |row| row.get(0))?;
            let last = content.and_then(|content| serde_json::from_str::<Notice>(&content).ok());
            let good = if state.is_of_condition() { EventKind::ConditionEnded } else { EventKind::Online };
            let believed = last.map_or(Some(good), |last| last.believed());
            if believed != Some(state) {
                outdated.push(channel);
            }
        }
        Ok(outdated)
    }

    pub(super) fn happening(&self, event: EventKind, state: EventKind, last_seen: Moment) -> Happening {
        Happening { event, state, now: self.now, last_seen, condition: None }
    }

    /// Adds the planned rows to the outbox.
    pub(super) fn enqueue(
        &self,
        subject: &Subject,
        what: &Happening,
        outage: IncidentId,
        outdated: &[ChannelId],
    ) -> Result<(), StoreError> {
        let rows = plan(&self.recipients, subject, what, outdated);
        self.insert(rows, subject, what.event, &Notice::new(subject, what), outage)
    }

    /// Adds rows to the outbox.
    pub(super) fn insert(
        &self,
        rows: Vec<Planned>,
        subject: &Subject,
        event: EventKind,
        notice: &Notice,
        incident: IncidentId,
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let content = serde_json::to_string(notice).map_err(|error| {
            StoreError::Other(format!("cannot encode a notice of machine {}: {error}", subject.id))
        })?;
        // The unique constraint guards against a bug: a channel never gets two rows for one event of an incident.
        let mut statement = self.transaction.prepare(
            "INSERT INTO outbox (channel_id, machine_id, incident_id, event, content, created_at, due_at, expires_at,
                                 state, reminder)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
        )?;
        for row in rows {
            let written = statement.execute(params![
                row.channel.0,
                subject.id,
                incident.0,
                event.name(),
                content,
                self.now.0,
                row.due.0,
                row.due.plus(EXPIRES_AFTER).0,
                DeliveryState::Waiting as i64,
                row.reminder
            ])?;
            if written == 0 {
                let (machine, event) = (subject.id, event.name());
                warn!("machine {machine}: \"{event}\" of incident {} is in the outbox already", incident.0);
            }
        }
        Ok(())
    }

    pub(super) fn recipients(&self) -> &[Recipient] {
        &self.recipients
    }

    /// Empty if no recipient has chosen machines by tag.
    pub(super) fn tags(&self, machine: MachineId) -> Result<Vec<String>, StoreError> {
        if self.needs_tags { tags(self.transaction, machine) } else { Ok(Vec::new()) }
    }

    pub(super) fn context(&self, key: IncidentKey<'_>) -> Result<MachineContext, StoreError> {
        MachineContext::load(self.transaction, key, self.needs_tags, self.now)
    }

    pub(super) fn transitions(
        &self,
        key: IncidentKey<'_>,
        context: &MachineContext,
    ) -> Result<u32, StoreError> {
        context.transitions(self.transaction, key, self.now)
    }

    /// Writes the event; that a condition flaps, or is steady again, says which one.
    fn event(&self, key: IncidentKey<'_>, event: EventKind) -> Result<(), StoreError> {
        let detail = (key.kind != OFFLINE).then(|| json!({ "condition": key.kind, "subject": key.subject }));
        note(self.transaction, Some(key.machine), event.name(), detail, self.now)
    }
}
