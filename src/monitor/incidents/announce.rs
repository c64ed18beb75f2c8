//! What happened to a machine, written down: its outage, its event, and a row of the outbox for each who is told.

use crate::clock::Moment;
use crate::monitor::incidents::plan::plan;
use crate::monitor::incidents::policy::{FLAPPING_WINDOW, MOST_TRANSITIONS};
use crate::monitor::incidents::transition::{Transition, TransitionKind};
use crate::monitor::machine::{MachineId, MachineStatus};
use crate::monitor::notify::channel::ChannelId;
use crate::monitor::notify::delivery_state::DeliveryState;
use crate::monitor::notify::notice::{EventKind, Happening, Notice, Subject};
use crate::monitor::notify::outbox::EXPIRES_AFTER;
use crate::monitor::notify::recipients;
use crate::monitor::notify::recipients::Recipient;
use crate::monitor::store::StoreError;
use log::warn;
use rusqlite::{OptionalExtension, Transaction, params};

/// What has to be known of a machine to tell anything of it.
struct Told {
    subject: Subject,
    maintained: bool,
    flapping: bool,
    /// Transitions within the window, or since it was steady again.
    transitions: u32,
}

/// Writes what happened to machines, in one transaction.
pub struct Teller<'t> {
    transaction: &'t Transaction<'t>,
    now: Moment,
    recipients: Vec<Recipient>,
    /// Somebody has chosen machines by tag.
    by_tag: bool,
}

impl<'t> Teller<'t> {
    pub fn new(transaction: &'t Transaction<'t>, now: Moment) -> Result<Teller<'t>, StoreError> {
        let recipients = recipients::reachable(transaction)?;
        let by_tag = recipients.iter().any(|recipient| !recipient.machines.tags.is_empty());
        Ok(Teller { transaction, now, recipients, by_tag })
    }

    pub fn went_offline(&self, machine: MachineId, last_seen: Moment) -> Result<Transition, StoreError> {
        let told = self.machine(machine, 1)?;
        let outage = self.open_outage(machine, last_seen, false, told.maintained)?;
        self.event(machine, EventKind::Offline)?;
        let mut flaps = false;
        if !told.maintained {
            flaps = self.tell_or_flap(&told, EventKind::Offline, outage, last_seen)?;
        }
        Ok(Transition {
            machine,
            name: told.subject.name,
            kind: TransitionKind::Offline { last_seen },
            flaps,
        })
    }

    pub fn came_back(&self, machine: MachineId, before: MachineStatus) -> Result<Transition, StoreError> {
        let told = self.machine(machine, 1)?;
        self.event(machine, EventKind::Online)?;
        let open: Option<(i64, i64, bool, bool)> = self
            .transaction
            .prepare_cached(
                "UPDATE outage SET ended_at = ?2 WHERE machine_id = ?1 AND ended_at IS NULL
                 RETURNING id, last_seen, hushed, planned",
            )?
            .query_row(params![machine.0, self.now.0], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        let Some((outage, last_seen, hushed, planned)) = open else {
            let kind =
                if before == MachineStatus::New { TransitionKind::FirstSeen } else { TransitionKind::Online };
            return Ok(Transition { machine, name: told.subject.name, kind, flaps: false });
        };
        // What was planned, or nobody was told of, does not make it flap.
        let flaps = match planned || hushed {
            false => self.tell_or_flap(&told, EventKind::Online, outage, Moment(last_seen))?,
            true if told.flapping => false,
            true => {
                self.recovered(&told, outage, Moment(last_seen))?;
                false
            }
        };
        Ok(Transition { machine, name: told.subject.name, kind: TransitionKind::Online, flaps })
    }

    /// A farewell ends no outage: it says that the one that is open, or a new one, was planned.
    pub fn was_stopped(&self, machine: MachineId, at: Moment) -> Result<Transition, StoreError> {
        let told = self.machine(machine, 0)?;
        self.event(machine, EventKind::Stopped)?;
        // One is open while the machine is offline, and after it was disabled while it was.
        let open: Option<i64> = self
            .transaction
            .prepare_cached(
                "UPDATE outage SET planned = 1 WHERE machine_id = ?1 AND ended_at IS NULL RETURNING id",
            )?
            .query_row([machine.0], |row| row.get(0))
            .optional()?;
        let outage = match open {
            Some(outage) => {
                self.skip_held(outage)?;
                outage
            }
            None => self.open_outage(machine, at, true, told.maintained)?,
        };
        if !told.maintained && !told.flapping {
            self.tell(&told.subject, EventKind::Stopped, EventKind::Stopped, outage, at, &[])?;
        }
        Ok(Transition { machine, name: told.subject.name, kind: TransitionKind::Stopped, flaps: false })
    }

    pub fn outlasted(&self, outage: i64, machine: i64, last_seen: i64) -> Result<Transition, StoreError> {
        let (machine, last_seen) = (MachineId(machine), Moment(last_seen));
        self.transaction.prepare_cached("UPDATE outage SET hushed = 0 WHERE id = ?1")?.execute([outage])?;
        let Told { subject, flapping, .. } = self.machine(machine, 0)?;
        if !flapping {
            self.tell(&subject, EventKind::Offline, EventKind::Offline, outage, last_seen, &[])?;
        }
        Ok(Transition {
            machine,
            name: subject.name,
            kind: TransitionKind::StillOffline { last_seen },
            flaps: false,
        })
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
        // One message in the morning is enough.
        self.transaction
            .prepare_cached(
                "UPDATE outbox SET state = ?3 WHERE machine_id = ?1 AND event = 'flapping' AND state = ?4
                   AND attempts = 0 AND due_at > ?2",
            )?
            .execute(params![
                machine.0,
                self.now.0,
                DeliveryState::Skipped as i64,
                DeliveryState::Waiting as i64
            ])?;
        let outage: Option<i64> = self
            .transaction
            .prepare_cached("SELECT max(id) FROM outage WHERE machine_id = ?1")?
            .query_row([machine.0], |row| row.get(0))?;
        let subject = self.machine(machine, 0)?.subject;
        if let Some(outage) = outage {
            let others = self.channels_that_believe_otherwise(machine, state)?;
            self.tell(&subject, EventKind::Steady, state, outage, last_seen, &others)?;
        }
        Ok(Transition { machine, name: subject.name, kind: TransitionKind::Steady { state }, flaps: false })
    }

    /// Tells an unplanned transition, or that the machine flaps, or nothing because it does. True if it begins to.
    fn tell_or_flap(
        &self,
        told: &Told,
        news: EventKind,
        outage: i64,
        last_seen: Moment,
    ) -> Result<bool, StoreError> {
        if told.flapping {
            return Ok(false);
        }
        if told.transitions <= MOST_TRANSITIONS {
            match news {
                EventKind::Online => self.recovered(told, outage, last_seen)?,
                _ => self.tell(&told.subject, news, news, outage, last_seen, &[])?,
            }
            return Ok(false);
        }
        let machine = told.subject.id;
        self.transaction
            .prepare_cached("INSERT OR REPLACE INTO flapping (machine_id, since) VALUES (?1, ?2)")?
            .execute(params![machine, self.now.0])?;
        self.event(MachineId(machine), EventKind::Flapping)?;
        self.skip_held(outage)?;
        self.tell(&told.subject, EventKind::Flapping, news, outage, last_seen, &[])?;
        Ok(true)
    }

    fn recovered(&self, told: &Told, outage: i64, last_seen: Moment) -> Result<(), StoreError> {
        self.skip_held(outage)?;
        let waiting = self.channels_that_believe_otherwise(MachineId(told.subject.id), EventKind::Online)?;
        self.tell(&told.subject, EventKind::Online, EventKind::Online, outage, last_seen, &waiting)
    }

    /// Rows that wait on purpose and were never tried are overtaken. Those that are due are not: their courier is
    /// late, and what happened is told.
    fn skip_held(&self, outage: i64) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached(
                "UPDATE outbox SET state = ?3
                 WHERE outage_id = ?1 AND state = ?4 AND attempts = 0 AND due_at > ?2",
            )?
            .execute(params![
                outage,
                self.now.0,
                DeliveryState::Skipped as i64,
                DeliveryState::Waiting as i64
            ])?;
        Ok(())
    }

    /// Over which something else than `state` was said of the machine last, or will be before what comes now. Where
    /// nothing was, it is thought online.
    fn channels_that_believe_otherwise(
        &self,
        machine: MachineId,
        state: EventKind,
    ) -> Result<Vec<ChannelId>, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT content FROM outbox WHERE machine_id = ?1 AND channel_id = ?2 AND state NOT IN (?3, ?4)
             ORDER BY id DESC LIMIT 1",
        )?;
        let mut others = Vec::new();
        for &channel in self.recipients.iter().flat_map(|recipient| &recipient.channels) {
            let values =
                params![machine.0, channel.0, DeliveryState::Dead as i64, DeliveryState::Skipped as i64];
            let content: Option<String> = statement.query_row(values, |row| row.get(0)).optional()?;
            let last = content.and_then(|content| serde_json::from_str::<Notice>(&content).ok());
            let believed = last.map_or(Some(EventKind::Online), |last| last.believed());
            if believed != Some(state) {
                others.push(channel);
            }
        }
        Ok(others)
    }

    /// The rows of the outbox.
    fn tell(
        &self,
        subject: &Subject,
        news: EventKind,
        state: EventKind,
        outage: i64,
        last_seen: Moment,
        waiting: &[ChannelId],
    ) -> Result<(), StoreError> {
        let what = Happening { news, state, now: self.now, last_seen };
        let rows = plan(&self.recipients, subject, &what, waiting);
        if rows.is_empty() {
            return Ok(());
        }
        let content = serde_json::to_string(&Notice::new(subject, &what))
            .map_err(|error| StoreError::Other(format!("a notice of machine {}: {error}", subject.id)))?;
        // The constraint holds against a bug here: never two rows for one.
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO outbox (channel_id, machine_id, outage_id, event, content, created_at, due_at, expires_at,
                                 state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
        )?;
        for row in rows {
            let written = statement.execute(params![
                row.channel.0,
                subject.id,
                outage,
                news.name(),
                content,
                self.now.0,
                row.due.0,
                row.due.plus(EXPIRES_AFTER).0,
                DeliveryState::Waiting as i64
            ])?;
            if written == 0 {
                warn!("Outage {outage} of machine {} was told before: {}", subject.id, news.name());
            }
        }
        Ok(())
    }

    /// `None` if there is no such machine, or it is disabled.
    pub fn status(&self, machine: MachineId) -> Result<Option<MachineStatus>, StoreError> {
        let status = self
            .transaction
            .prepare_cached("SELECT status FROM machine_state WHERE machine_id = ?1 AND watched = 1")?
            .query_row([machine.0], |row| Ok(MachineStatus::of(row.get(0)?)))
            .optional()?;
        Ok(status)
    }

    pub fn set_status(
        &self,
        machine: MachineId,
        status: MachineStatus,
        seen: Moment,
    ) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached(
                "UPDATE machine_state SET status = ?2, since = ?3, last_seen = max(coalesce(last_seen, ?4), ?4)
                 WHERE machine_id = ?1",
            )?
            .execute(params![machine.0, status as i64, self.now.0, seen.0])?;
        Ok(())
    }

    /// `now_too` is 1 for a transition that is not in the database yet.
    fn machine(&self, machine: MachineId, now_too: u32) -> Result<Told, StoreError> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT m.name, m.hostname, m.description, m.group_name,
                    EXISTS (SELECT 1 FROM maintenance x WHERE x.machine_id = m.id
                            AND x.starts_at <= ?2 AND x.ends_at > ?2),
                    f.since IS NOT NULL AND f.steady_at IS NULL,
                    (SELECT coalesce(sum((started_at > max(?3, coalesce(f.steady_at, 0)))
                                         + coalesce(ended_at > max(?3, coalesce(f.steady_at, 0)), 0)), 0)
                     FROM (SELECT started_at, ended_at FROM outage
                           WHERE machine_id = m.id AND planned = 0 AND hushed = 0
                           ORDER BY started_at DESC LIMIT ?4))
             FROM machine m LEFT JOIN flapping f ON f.machine_id = m.id WHERE m.id = ?1",
        )?;
        let window = self.now.minus(FLAPPING_WINDOW);
        let told =
            statement.query_row(params![machine.0, self.now.0, window.0, MOST_TRANSITIONS + 1], |row| {
                Ok(Told {
                    subject: Subject {
                        id: machine.0,
                        name: row.get(0)?,
                        hostname: row.get(1)?,
                        description: row.get(2)?,
                        group: row.get(3)?,
                        tags: Vec::new(),
                    },
                    maintained: row.get(4)?,
                    flapping: row.get(5)?,
                    transitions: row.get::<_, u32>(6)?.saturating_add(now_too),
                })
            })?;
        let tags = if self.by_tag { self.tags(machine)? } else { Vec::new() };
        Ok(Told { subject: Subject { tags, ..told.subject }, ..told })
    }

    fn tags(&self, machine: MachineId) -> Result<Vec<String>, StoreError> {
        let mut statement =
            self.transaction.prepare_cached("SELECT tag FROM machine_tag WHERE machine_id = ?1")?;
        let rows = statement.query_map([machine.0], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn open_outage(
        &self,
        machine: MachineId,
        last_seen: Moment,
        planned: bool,
        hushed: bool,
    ) -> Result<i64, StoreError> {
        self.transaction
            .prepare_cached(
                "INSERT INTO outage (machine_id, planned, hushed, last_seen, started_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![machine.0, planned, hushed, last_seen.0, self.now.0])?;
        Ok(self.transaction.last_insert_rowid())
    }

    fn event(&self, machine: MachineId, news: EventKind) -> Result<(), StoreError> {
        self.transaction
            .prepare_cached("INSERT INTO event (at, machine_id, kind) VALUES (?1, ?2, ?3)")?
            .execute(params![self.now.0, machine.0, news.name()])?;
        Ok(())
    }
}
