//! Conditions as incidents: what has begun and ended in memory is written with its event and messages, in one transaction.

use crate::clock::Moment;
use crate::monitor::conditions::catalogue::{CATALOGUE, Condition};
use crate::monitor::conditions::held::{ConditionChange, OpenCondition};
use crate::monitor::conditions::table::json_number;
use crate::monitor::conditions::tracked::ConditionChanges;
use crate::monitor::events::note;
use crate::monitor::incidents::announce::Announcer;
use crate::monitor::incidents::table::{
    IncidentId, IncidentKey, NewIncident, begin, condition_of, days_since, end, mark_notified,
};
use crate::monitor::incidents::transition::{Transition, TransitionKind};
use crate::monitor::machine::{MachineId, MachineStatus};
use crate::monitor::notify::condition_notice::ConditionNotice;
use crate::monitor::notify::notice::{EventKind, Happening};
use crate::monitor::store::sql::{Connection, Row, Transaction, array, params};
use crate::monitor::store::{Store, StoreError};
use serde_json::json;
use std::collections::HashMap;
use std::time::Duration;

/// The days of an incident's message: "third day this week".
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// The result of [`Store::record_conditions`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RecordedConditions {
    /// Machines whose changes are in the database now; the others are not online there yet.
    pub machines: Vec<MachineId>,
    pub transitions: Vec<Transition>,
}

/// The conditions of a machine that the database has.
#[derive(Debug, Default)]
pub struct StoredConditions {
    /// Bits of those that were judged before.
    pub judged: u32,
    pub open: Vec<OpenCondition>,
}

impl Store {
    /// Records what began and ended. A machine that is not online is passed over: its conditions are hidden.
    pub fn record_conditions(
        &self,
        changes: &[(MachineId, ConditionChanges)],
        now: Moment,
    ) -> Result<RecordedConditions, StoreError> {
        self.write(|transaction| {
            let announcer = Announcer::new(transaction, now)?;
            let mut recorded = RecordedConditions::default();
            for (machine, changes) in changes {
                if !is_online(transaction, *machine)? {
                    continue;
                }
                save_judged(transaction, *machine, changes.judged)?;
                for change in &changes.changes {
                    let uplink = changes.active.as_ref().map(|name| name.as_str());
                    recorded.transitions.extend(match change.begins {
                        true => announcer.condition_began(*machine, change, uplink)?,
                        false => announcer.condition_ended(*machine, change, uplink)?,
                    });
                }
                recorded.machines.push(*machine);
            }
            Ok(recorded)
        })
    }

    /// Ends the incidents of conditions (bits) that were switched off, without a message; they are judged for the first
    /// time when they are switched on.
    pub fn end_switched_off(&self, machines: &[(MachineId, u32)], now: Moment) -> Result<(), StoreError> {
        if machines.is_empty() {
            return Ok(());
        }
        self.write(|transaction| {
            let announcer = Announcer::new(transaction, now)?;
            for &(machine, bits) in machines {
                announcer.end_conditions(machine, bits)?;
            }
            Ok(())
        })
    }

    /// The conditions of every machine that has any.
    pub fn stored_conditions(&self) -> Result<HashMap<MachineId, StoredConditions>, StoreError> {
        self.read(|connection| {
            let mut stored: HashMap<MachineId, StoredConditions> = HashMap::new();
            connection.query_each("SELECT machine_id, conditions FROM machine_judged", &[], |row| {
                stored.entry(MachineId(row.get(0)?)).or_default().judged = row.get(1)?;
                Ok(())
            })?;
            for entry in &CATALOGUE {
                load_open(connection, entry.condition, &mut stored)?;
            }
            Ok(stored)
        })
    }

    /// [`Store::stored_conditions`] of some machines; for a database on PostgreSQL.
    pub fn stored_conditions_of(
        &self,
        machines: &[MachineId],
    ) -> Result<HashMap<MachineId, StoredConditions>, StoreError> {
        let machines = array(machines.iter().map(|machine| machine.0));
        self.read(|connection| {
            let mut stored: HashMap<MachineId, StoredConditions> = HashMap::new();
            let sql = "SELECT machine_id, conditions FROM machine_judged
                       WHERE machine_id = ANY (CAST(?1 AS BIGINT[]))";
            connection.query_each(sql, params![machines], |row| {
                stored.entry(MachineId(row.get(0)?)).or_default().judged = row.get(1)?;
                Ok(())
            })?;
            let sql = "SELECT machine_id, subject, last_seen, value, kind FROM incident
                       WHERE machine_id = ANY (CAST(?1 AS BIGINT[])) AND ended_at IS NULL AND kind <> 'offline'";
            connection.query_each(sql, params![machines], |row| {
                if let Some(condition) = Condition::from_name(row.get(4)?) {
                    let open = open_condition(condition, row)?;
                    stored.entry(MachineId(row.get(0)?)).or_default().open.push(open);
                }
                Ok(())
            })?;
            Ok(stored)
        })
    }

    /// Announces the conditions that began during a maintenance and have outlasted it, of machines that are online; those that
    /// the sweep judges need no online machine.
    pub fn announce_conditions_after_maintenance(&self, now: Moment) -> Result<Vec<Transition>, StoreError> {
        if self.read(|connection| after_maintenance(connection, now))?.is_empty() {
            return Ok(Vec::new());
        }
        self.write(|transaction| {
            let unannounced = after_maintenance(transaction, now)?;
            let announcer = Announcer::new(transaction, now)?;
            unannounced.iter().map(|&(id, machine)| announcer.condition_outlasted(machine, id)).collect()
        })
    }
}

impl Announcer<'_> {
    /// Ends the open conditions among `bits` without a message. They are judged anew when they are judged again.
    pub(super) fn end_conditions(&self, machine: MachineId, bits: u32) -> Result<(), StoreError> {
        self.transaction.execute(
            "UPDATE machine_judged SET conditions = conditions & ~?2 WHERE machine_id = ?1",
            params![machine.0, bits],
        )?;
        for (id, (kind, subject)) in open_of(self.transaction, machine)? {
            if Condition::from_name(&kind).is_some_and(|condition| condition.bit() & bits != 0) {
                end(self.transaction, IncidentKey { machine, kind: &kind, subject: &subject }, self.now)?;
                self.skip_held(id)?;
            }
        }
        Ok(())
    }

    /// `None` if it is open already.
    pub(super) fn condition_began(
        &self,
        machine: MachineId,
        change: &ConditionChange,
        uplink: Option<&str>,
    ) -> Result<Option<Transition>, StoreError> {
        // The clock may have been set back since it began to hold: its message must not wait for that moment.
        let change = &ConditionChange { since: change.since.min(self.now), ..change.clone() };
        let key = key(machine, change);
        let context = self.context(key)?;
        let transitions = self.transitions(key, &context)?;
        let is_announced = !context.is_in_maintenance && !change.existed;
        let new = NewIncident {
            key,
            since: change.since,
            is_planned: false,
            is_announced,
            existed: change.existed,
            label: change.label.as_deref(),
            value: change.value,
            threshold: change.threshold,
        };
        let Some(id) = begin(self.transaction, &new, self.now)? else { return Ok(None) };
        let days = days_since(self.transaction, key, self.now.minus(WEEK))?;
        let what = self.condition(EventKind::Condition, change, uplink, days);
        self.note_condition(machine, &what)?;
        let flaps = is_announced && self.announce_alarm(&context, key, transitions, &what, id)?;
        let kind = TransitionKind::ConditionBegan { text: phrase(&what) };
        Ok(Some(Transition { machine, name: context.subject.name, kind, flaps }))
    }

    /// `None` if it is not open.
    pub(super) fn condition_ended(
        &self,
        machine: MachineId,
        change: &ConditionChange,
        uplink: Option<&str>,
    ) -> Result<Option<Transition>, StoreError> {
        let key = key(machine, change);
        let context = self.context(key)?;
        let transitions = self.transitions(key, &context)?;
        let Some(ended) = end(self.transaction, key, self.now)? else { return Ok(None) };
        let change = &ConditionChange { since: ended.since, ..change.clone() };
        let what = self.condition(EventKind::ConditionEnded, change, uplink, 0);
        self.note_condition(machine, &what)?;
        let mut flaps = false;
        if ended.was_alarm {
            flaps = self.announce_alarm(&context, key, transitions, &what, ended.id)?;
        } else if !context.is_flapping {
            self.end_existing(&context.subject, key, &what, ended.id)?;
        }
        let kind = TransitionKind::ConditionEnded { text: phrase(&what) };
        Ok(Some(Transition { machine, name: context.subject.name, kind, flaps }))
    }

    fn condition_outlasted(&self, machine: MachineId, id: IncidentId) -> Result<Transition, StoreError> {
        mark_notified(self.transaction, id, self.now)?;
        let condition = condition_of(self.transaction, id)?;
        let kind = condition.as_ref().map(|known| known.condition.clone()).unwrap_or_default();
        let part = condition.as_ref().map(|known| known.subject.clone()).unwrap_or_default();
        let since = condition.as_ref().map_or(self.now, |known| Moment(known.since));
        let context = self.context(IncidentKey { machine, kind: &kind, subject: &part })?;
        let what =
            Happening { condition, ..self.happening(EventKind::Condition, EventKind::Condition, since) };
        if !context.is_flapping {
            self.enqueue(&context.subject, &what, id, &[])?;
        }
        let kind = TransitionKind::ConditionBegan { text: phrase(&what) };
        Ok(Transition { machine, name: context.subject.name, kind, flaps: false })
    }

    fn condition(
        &self,
        event: EventKind,
        change: &ConditionChange,
        uplink: Option<&str>,
        days: u32,
    ) -> Happening {
        let notice = ConditionNotice {
            condition: change.condition.name().to_owned(),
            subject: change.subject.to_string(),
            label: change.label.as_deref().map(str::to_owned),
            value: change.value,
            threshold: change.threshold,
            since: change.since.0,
            uplink: uplink.map(str::to_owned),
            days,
            existed: false,
        };
        Happening { condition: Some(notice), ..self.happening(event, event, change.since) }
    }

    fn note_condition(&self, machine: MachineId, what: &Happening) -> Result<(), StoreError> {
        let detail = what.condition.as_ref().map(|condition| {
            json!({
                "condition": condition.condition,
                "subject": condition.subject,
                "label": condition.label,
                "value": condition.value.map(json_number),
                "threshold": condition.threshold.map(json_number),
            })
        });
        note(self.transaction, Some(machine), what.event.name(), detail, self.now)
    }
}

/// Ends the open incidents of the cameras of a machine that `is_subject` accepts, without a message.
pub fn end_forgotten(
    tx: &Transaction<'_>,
    machine: MachineId,
    is_subject: impl Fn(&str) -> bool,
    now: Moment,
) -> Result<(), StoreError> {
    let camera = Condition::Camera.name();
    for (id, (kind, subject)) in open_of(tx, machine)? {
        if kind == camera && is_subject(&subject) {
            end(tx, IncidentKey { machine, kind: camera, subject: &subject }, now)?;
            Announcer::new(tx, now)?.skip_held(id)?;
        }
    }
    Ok(())
}

fn key(machine: MachineId, change: &ConditionChange) -> IncidentKey<'_> {
    IncidentKey { machine, kind: change.condition.name(), subject: &change.subject }
}

fn phrase(what: &Happening) -> String {
    what.condition
        .as_ref()
        .map(|condition| condition.phrase(what.event == EventKind::ConditionEnded))
        .unwrap_or_default()
}

fn is_online(tx: &Transaction<'_>, machine: MachineId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM machine_state WHERE machine_id = ?1 AND watched = ?2 AND status = ?3";
    tx.exists(sql, params![machine.0, true, MachineStatus::Online as i64])
}

fn save_judged(tx: &Transaction<'_>, machine: MachineId, judged: u32) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO machine_judged (machine_id, conditions) VALUES (?1, ?2)
         ON CONFLICT (machine_id) DO UPDATE SET conditions = excluded.conditions
         WHERE machine_judged.conditions <> excluded.conditions",
        params![machine.0, judged],
    )?;
    Ok(())
}

type KindAndSubject = (String, String);

fn open_of(
    tx: &Transaction<'_>,
    machine: MachineId,
) -> Result<Vec<(IncidentId, KindAndSubject)>, StoreError> {
    let sql = "SELECT id, kind, subject FROM incident WHERE machine_id = ?1 AND ended_at IS NULL";
    tx.query_all(sql, params![machine.0], |row| Ok((IncidentId(row.get(0)?), (row.get(1)?, row.get(2)?))))
}

fn load_open(
    connection: &Connection<'_>,
    condition: Condition,
    stored: &mut HashMap<MachineId, StoredConditions>,
) -> Result<(), StoreError> {
    let sql = "SELECT machine_id, subject, last_seen, value FROM incident
               WHERE kind = ?1 AND ended_at IS NULL AND kind <> 'offline'";
    connection.query_each(sql, params![condition.name()], |row| {
        stored.entry(MachineId(row.get(0)?)).or_default().open.push(open_condition(condition, row)?);
        Ok(())
    })
}

fn open_condition(condition: Condition, row: &Row<'_>) -> Result<OpenCondition, StoreError> {
    Ok(OpenCondition { condition, subject: row.get(1)?, since: Moment(row.get(2)?), value: row.get(3)? })
}

/// The open incidents of conditions that were not announced because of a maintenance that is over.
fn after_maintenance(
    connection: &Connection<'_>,
    now: Moment,
) -> Result<Vec<(IncidentId, MachineId)>, StoreError> {
    let outage = IncidentKey::outage(MachineId(0)).kind;
    let online = MachineStatus::Online as i64;
    let (never_seen, refused) = (Condition::NeverSeen.name(), Condition::RefusedToken.name());
    let values = params![now.0, online, outage, false, true, never_seen, refused];
    connection.query_all(
        "SELECT i.id, i.machine_id FROM incident i CROSS JOIN machine_state s
         WHERE s.machine_id = i.machine_id AND i.notified_at IS NULL AND i.ended_at IS NULL AND i.kind <> ?3
           AND i.existing = ?4 AND s.watched = ?5 AND (s.status = ?2 OR i.kind IN (?6, ?7))
           AND NOT EXISTS (SELECT 1 FROM maintenance m WHERE m.machine_id = i.machine_id
                           AND m.starts_at <= ?1 AND m.ends_at > ?1)",
        values,
        |row| Ok((IncidentId(row.get(0)?), MachineId(row.get(1)?))),
    )
}

#[cfg(test)]
pub(super) mod tests;
