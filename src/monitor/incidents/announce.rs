//! Writes a transition: its incident, its event, and a row of the outbox for each channel that is to be notified.

use crate::clock::Moment;
use crate::monitor::incidents::plan::plan;
use crate::monitor::incidents::policy::{
    Announcement, FLAPPING_WINDOW, MOST_TRANSITIONS, announcement, transitions_after,
};
use crate::monitor::incidents::table::{
    IncidentId, NewOutage, UnannouncedOutage, begin_outage, end_outage, last_outage, latest_alarms,
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
use log::warn;
use rusqlite::{OptionalExtension, Transaction, params};

/// The facts that decide whether and how a transition of a machine is announced.
struct MachineContext {
    subject: Subject,
    is_in_maintenance: bool,
    is_flapping: bool,
    /// When it became steady after it flapped last.
    steady_at: Option<Moment>,
}

/// Writes transitions in one transaction.
pub struct Announcer<'t> {
    transaction: &'t Transaction<'t>,
    now: Moment,
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

    pub fn went_offline(&self, machine: MachineId, last_seen: Moment) -> Result<Transition, StoreError> {
        let context = self.context(machine)?;
        // Counted before the outage that begins now is in the table.
        let transitions = self.transitions(machine, &context)?;
        let is_announced = !context.is_in_maintenance;
        let new = NewOutage { machine, last_seen, is_planned: false, is_announced };
        let outage = begin_outage(self.transaction, &new, self.now)?;
        self.event(machine, EventKind::Offline)?;
        let flaps = is_announced
            && self.announce_alarm(&context, transitions, EventKind::Offline, outage, last_seen)?;
        let kind = TransitionKind::Offline { last_seen };
        Ok(Transition { machine, name: context.subject.name, kind, flaps })
    }

    pub fn came_back(&self, machine: MachineId, before: MachineStatus) -> Result<Transition, StoreError> {
        let context = self.context(machine)?;
        let transitions = self.transitions(machine, &context)?;
        self.event(machine, EventKind::Online)?;
        let mut flaps = false;
        let kind = match end_outage(self.transaction, machine, self.now)? {
            None if before == MachineStatus::New => TransitionKind::FirstSeen,
            None => TransitionKind::Online,
            Some(outage) => {
                if outage.was_alarm {
                    let (id, last_seen) = (outage.id, outage.last_seen);
                    flaps = self.announce_alarm(&context, transitions, EventKind::Online, id, last_seen)?;
                } else if !context.is_flapping {
                    // The end of an outage that was planned or not announced never makes a machine flap.
                    self.announce_recovery(&context.subject, outage.id, outage.last_seen)?;
                }
                TransitionKind::Online
            }
        };
        Ok(Transition { machine, name: context.subject.name, kind, flaps })
    }

    /// A shutdown heartbeat does not end an outage: it marks the open one, or a new one, as planned.
    pub fn was_stopped(&self, machine: MachineId, at: Moment) -> Result<Transition, StoreError> {
        let context = self.context(machine)?;
        self.event(machine, EventKind::Stopped)?;
        // One is open while the machine is offline, and after it was disabled while offline.
        let outage = match mark_planned(self.transaction, machine)? {
            Some(outage) => {
                self.skip_held(outage)?;
                outage
            }
            None => {
                let is_announced = !context.is_in_maintenance;
                let new = NewOutage { machine, last_seen: at, is_planned: true, is_announced };
                begin_outage(self.transaction, &new, self.now)?
            }
        };
        if !context.is_in_maintenance && !context.is_flapping {
            let what = self.happening(EventKind::Stopped, EventKind::Stopped, at);
            self.enqueue(&context.subject, &what, outage, &[])?;
        }
        let kind = TransitionKind::Stopped;
        Ok(Transition { machine, name: context.subject.name, kind, flaps: false })
    }

    pub fn outlasted_maintenance(&self, outage: &UnannouncedOutage) -> Result<Transition, StoreError> {
        let &UnannouncedOutage { id, machine, last_seen } = outage;
        mark_notified(self.transaction, id, self.now)?;
        let MachineContext { subject, is_flapping, .. } = self.context(machine)?;
        if !is_flapping {
            let what = self.happening(EventKind::Offline, EventKind::Offline, last_seen);
            self.enqueue(&subject, &what, id, &[])?;
        }
        let kind = TransitionKind::StillOffline { last_seen };
        Ok(Transition { machine, name: subject.name, kind, flaps: false })
    }

    pub fn became_steady(
        &self,
        machine: MachineId,
        status: MachineStatus,
        last_seen: Moment,
    ) -> Result<Transition, StoreError> {
        let state = match status {
            MachineStatus::Offline => EventKind::Offline,
            MachineStatus::Stopped => EventKind::Stopped,
            MachineStatus::Online | MachineStatus::New => EventKind::Online,
        };
        self.transaction
            .prepare_cached("UPDATE flapping SET steady_at = ?2 WHERE machine_id = ?1")?
            .execute(params![machine.0, self.now.0])?;
        self.event(machine, EventKind::Steady)?;
        self.skip_held_flapping(machine)?;
        let subject = self.context(machine)?.subject;
        if let Some(outage) = last_outage(self.transaction, machine)? {
            let outdated = self.outdated_channels(machine, state)?;
            let what = self.happening(EventKind::Steady, state, last_seen);
            self.enqueue(&subject, &what, outage, &outdated)?;
        }
        let kind = TransitionKind::Steady { state };
        Ok(Transition { machine, name: subject.name, kind, flaps: false })
    }

    /// Announces the begin or the end of an unplanned outage, or that the machine begins to flap; true in that case.
    fn announce_alarm(
        &self,
        context: &MachineContext,
        transitions: u32,
        event: EventKind,
        outage: IncidentId,
        last_seen: Moment,
    ) -> Result<bool, StoreError> {
        match announcement(context.is_flapping, transitions) {
            Announcement::Nothing => Ok(false),
            Announcement::Transition if event == EventKind::Online => {
                self.announce_recovery(&context.subject, outage, last_seen)?;
                Ok(false)
            }
            Announcement::Transition => {
                self.enqueue(&context.subject, &self.happening(event, event, last_seen), outage, &[])?;
                Ok(false)
            }
            Announcement::Flapping => {
                self.begin_flapping(&context.subject, event, outage, last_seen)?;
                Ok(true)
            }
        }
    }

    fn begin_flapping(
        &self,
        subject: &Subject,
        state: EventKind,
        outage: IncidentId,
        last_seen: Moment,
    ) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached(
                "INSERT INTO flapping (machine_id, since) VALUES (?1, ?2)
                 ON CONFLICT (machine_id) DO UPDATE SET since = excluded.since, steady_at = NULL",
            )?
            .execute(params![subject.id, self.now.0])?;
        self.event(MachineId(subject.id), EventKind::Flapping)?;
        self.skip_held(outage)?;
        self.enqueue(subject, &self.happening(EventKind::Flapping, state, last_seen), outage, &[])
    }

    fn announce_recovery(
        &self,
        subject: &Subject,
        outage: IncidentId,
        last_seen: Moment,
    ) -> Result<(), StoreError> {
        self.skip_held(outage)?;
        let outdated = self.outdated_channels(MachineId(subject.id), EventKind::Online)?;
        let what = self.happening(EventKind::Online, EventKind::Online, last_seen);
        self.enqueue(subject, &what, outage, &outdated)
    }

    /// Skips rows that are held (by a minimum outage or quiet hours) and were never tried. Rows that are due stay:
    /// only their courier is late. So does a mail that may have arrived before the monitor was restarted.
    fn skip_held(&self, outage: IncidentId) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached(
                "UPDATE outbox SET state = ?3
                 WHERE incident_id = ?1 AND state = ?4 AND attempts = 0 AND due_at > ?2 AND uncertain_since IS NULL",
            )?
            .execute(params![
                outage.0,
                self.now.0,
                DeliveryState::Skipped as i64,
                DeliveryState::Waiting as i64
            ])?;
        Ok(())
    }

    /// Skips a held notice that the machine flaps: the notice that it is steady says enough.
    fn skip_held_flapping(&self, machine: MachineId) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached(
                "UPDATE outbox SET state = ?3 WHERE machine_id = ?1 AND event = ?5 AND state = ?4
                   AND attempts = 0 AND due_at > ?2 AND uncertain_since IS NULL",
            )?
            .execute(params![
                machine.0,
                self.now.0,
                DeliveryState::Skipped as i64,
                DeliveryState::Waiting as i64,
                EventKind::Flapping.name()
            ])?;
        Ok(())
    }

    /// The channels whose last message about the machine, sent or still to be sent, is not that it is in `state`. A
    /// machine without any message is believed to be online.
    fn outdated_channels(&self, machine: MachineId, state: EventKind) -> Result<Vec<ChannelId>, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT content FROM outbox WHERE machine_id = ?1 AND channel_id = ?2 AND state NOT IN (?3, ?4)
             ORDER BY id DESC LIMIT 1",
        )?;
        let mut outdated = Vec::new();
        for &channel in self.recipients.iter().flat_map(|recipient| &recipient.channels) {
            let values =
                params![machine.0, channel.0, DeliveryState::Dead as i64, DeliveryState::Skipped as i64];
            let content: Option<String> = statement.query_row(values, |row| row.get(0)).optional()?;
            let last = content.and_then(|content| serde_json::from_str::<Notice>(&content).ok());
            let believed = last.map_or(Some(EventKind::Online), |last| last.believed());
            if believed != Some(state) {
                outdated.push(channel);
            }
        }
        Ok(outdated)
    }

    fn happening(&self, event: EventKind, state: EventKind, last_seen: Moment) -> Happening {
        Happening { event, state, now: self.now, last_seen }
    }

    /// Adds the planned rows to the outbox.
    fn enqueue(
        &self,
        subject: &Subject,
        what: &Happening,
        outage: IncidentId,
        outdated: &[ChannelId],
    ) -> Result<(), StoreError> {
        let rows = plan(&self.recipients, subject, what, outdated);
        if rows.is_empty() {
            return Ok(());
        }
        let content = serde_json::to_string(&Notice::new(subject, what)).map_err(|error| {
            StoreError::Other(format!("cannot encode a notice of machine {}: {error}", subject.id))
        })?;
        // The unique constraint guards against a bug: a channel never gets two rows for one event of an incident.
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO outbox (channel_id, machine_id, incident_id, event, content, created_at, due_at, expires_at,
                                 state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
        )?;
        for row in rows {
            let written = statement.execute(params![
                row.channel.0,
                subject.id,
                outage.0,
                what.event.name(),
                content,
                self.now.0,
                row.due.0,
                row.due.plus(EXPIRES_AFTER).0,
                DeliveryState::Waiting as i64
            ])?;
            if written == 0 {
                let (machine, event) = (subject.id, what.event.name());
                warn!("machine {machine}: \"{event}\" of incident {} is in the outbox already", outage.0);
            }
        }
        Ok(())
    }

    /// Transitions within the flapping window, or since the machine became steady; the current one included.
    fn transitions(&self, machine: MachineId, context: &MachineContext) -> Result<u32, StoreError> {
        let window = self.now.minus(FLAPPING_WINDOW);
        let after = context.steady_at.map_or(window, |steady_at| steady_at.max(window));
        let alarms = latest_alarms(self.transaction, machine, MOST_TRANSITIONS + 1)?;
        Ok(transitions_after(after, &alarms).saturating_add(1))
    }

    fn context(&self, machine: MachineId) -> Result<MachineContext, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT m.name, m.hostname, m.description, m.group_name,
                    EXISTS (SELECT 1 FROM maintenance x WHERE x.machine_id = m.id
                            AND x.starts_at <= ?2 AND x.ends_at > ?2),
                    f.since IS NOT NULL AND f.steady_at IS NULL, f.steady_at
             FROM machine m LEFT JOIN flapping f ON f.machine_id = m.id WHERE m.id = ?1",
        )?;
        let mut context = statement.query_row([machine.0, self.now.0], |row| {
            Ok(MachineContext {
                subject: Subject {
                    id: machine.0,
                    name: row.get(0)?,
                    hostname: row.get(1)?,
                    description: row.get(2)?,
                    group: row.get(3)?,
                    tags: Vec::new(),
                },
                is_in_maintenance: row.get(4)?,
                is_flapping: row.get(5)?,
                steady_at: row.get::<_, Option<i64>>(6)?.map(Moment),
            })
        })?;
        if self.needs_tags {
            context.subject.tags = self.tags(machine)?;
        }
        Ok(context)
    }

    fn tags(&self, machine: MachineId) -> Result<Vec<String>, StoreError> {
        let mut statement =
            self.transaction.prepare_cached("SELECT tag FROM machine_tag WHERE machine_id = ?1")?;
        let rows = statement.query_map([machine.0], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn event(&self, machine: MachineId, event: EventKind) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached("INSERT INTO event (at, machine_id, kind) VALUES (?1, ?2, ?3)")?
            .execute(params![self.now.0, machine.0, event.name()])?;
        Ok(())
    }
}
