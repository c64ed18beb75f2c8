//! Conditions as incidents: what has begun and ended in memory is written with its event and messages, in one transaction.

use crate::clock::Moment;
use crate::monitor::conditions::catalogue::{CATALOGUE, Condition};
use crate::monitor::conditions::held::{ConditionChange, OpenCondition};
use crate::monitor::conditions::table::json_number;
use crate::monitor::conditions::tracked::ConditionChanges;
use crate::monitor::events::note_each;
use crate::monitor::incidents::announce::{Announcer, News, in_parts, key_line};
use crate::monitor::incidents::table::{
    IncidentId, IncidentKey, NewIncident, begin, condition_of, days_since, end, mark_notified,
};
use crate::monitor::incidents::transition::{Transition, TransitionKind};
use crate::monitor::machine::{MachineId, MachineStatus};
use crate::monitor::notify::condition_notice::ConditionNotice;
use crate::monitor::notify::notice::{EventKind, Happening};
use crate::monitor::store::sql::{Connection, Row, Transaction, params, rows};
use crate::monitor::store::{Store, StoreError};
use serde_json::json;
use std::collections::{HashMap, HashSet};
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

/// A condition of a machine that has begun or ended.
pub(super) struct MachineChange<'a> {
    pub machine: MachineId,
    pub change: &'a ConditionChange,
    /// Over which its heartbeats came.
    pub uplink: Option<&'a str>,
}

impl Store {
    /// Records what began and ended. A machine that is not online is passed over: its conditions are hidden.
    pub fn record_conditions(
        &self,
        changes: &[(MachineId, ConditionChanges)],
        now: Moment,
    ) -> Result<RecordedConditions, StoreError> {
        self.write(|transaction| {
            let online = online(transaction, changes.iter().map(|(machine, _)| *machine))?;
            let changes: Vec<_> = changes.iter().filter(|(machine, _)| online.contains(machine)).collect();
            save_judged(transaction, changes.iter().map(|(machine, changes)| (*machine, changes.judged)))?;
            let each = changes.iter().flat_map(|(machine, changes)| {
                let uplink = changes.active.as_ref().map(|name| name.as_str());
                changes.changes.iter().map(move |change| MachineChange { machine: *machine, change, uplink })
            });
            let (begun, ended): (Vec<_>, Vec<_>) = each.partition(|change| change.change.begins);
            let announcer = Announcer::new(transaction, now)?;
            let mut transitions = in_parts(&begun, |begun| announcer.conditions_began(begun))?;
            transitions.append(&mut in_parts(&ended, |ended| announcer.conditions_ended(ended))?);
            Ok(RecordedConditions {
                machines: changes.iter().map(|(machine, _)| *machine).collect(),
                transitions,
            })
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
        let machines = rows(machines.iter().map(|machine| machine.0))?;
        self.read(|connection| {
            let mut stored: HashMap<MachineId, StoredConditions> = HashMap::new();
            let sql = "SELECT machine_id, conditions FROM machine_judged
                       WHERE machine_id IN (SELECT CAST(value AS BIGINT) FROM json_each(?1))";
            connection.query_each(sql, params![machines], |row| {
                stored.entry(MachineId(row.get(0)?)).or_default().judged = row.get(1)?;
                Ok(())
            })?;
            let sql = "SELECT machine_id, subject, last_seen, value, kind FROM incident
                       WHERE machine_id IN (SELECT CAST(value AS BIGINT) FROM json_each(?1)) AND ended_at IS NULL AND kind <> 'offline'";
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
        let open = open_of(self.transaction, machine)?;
        let switched_off =
            |kind: &str| Condition::from_name(kind).is_some_and(|condition| condition.bit() & bits != 0);
        let keys = open.iter().filter(|(kind, _)| switched_off(kind));
        let keys = keys.map(|(kind, subject)| IncidentKey { machine, kind, subject });
        self.end_silently(&keys.collect::<Vec<_>>())
    }

    /// Ends the open incidents of keys without a message.
    pub(super) fn end_silently(&self, keys: &[IncidentKey<'_>]) -> Result<(), StoreError> {
        let ended = end(self.transaction, keys, self.now)?;
        self.skip_held(ended.iter().flatten().map(|ended| ended.id))
    }

    /// Those that are open already are passed over.
    pub(super) fn conditions_began(
        &self,
        changes: &[MachineChange<'_>],
    ) -> Result<Vec<Transition>, StoreError> {
        let known = self.with_contexts(changes, MachineChange::key)?;
        let new = known.iter().map(|(change, context)| {
            let ConditionChange { existed, ref label, value, threshold, .. } = *change.change;
            NewIncident {
                key: change.key(),
                // The clock may have been set back since it began to hold: its message must not wait for that moment.
                since: change.change.since.min(self.now),
                is_planned: false,
                is_announced: !context.is_in_maintenance && !existed,
                existed,
                label: label.as_deref(),
                value,
                threshold,
            }
        });
        let new: Vec<NewIncident<'_>> = new.collect();
        let begun = begin(self.transaction, &new, self.now)?;
        let keys: Vec<IncidentKey<'_>> = new.iter().map(|new| new.key).collect();
        let days = days_since(self.transaction, &keys, self.now.minus(WEEK))?;
        let (mut news, mut alarms) = (Vec::new(), Vec::new());
        for (((change, context), new), (begun, &days)) in known.iter().zip(&new).zip(begun.iter().zip(&days))
        {
            let Some(incident) = *begun else { continue };
            let what = self.condition(EventKind::Condition, change, new.since, days);
            let begin = News { key: new.key, context, what, incident };
            if new.is_announced {
                alarms.push(begin.clone());
            }
            news.push(begin);
        }
        let flapping = self.announce_alarms(alarms)?;
        self.note_conditions(&news, &flapping)?;
        Ok(transitions(&news, &flapping, |text| TransitionKind::ConditionBegan { text }))
    }

    /// Those that are not open are passed over.
    pub(super) fn conditions_ended(
        &self,
        changes: &[MachineChange<'_>],
    ) -> Result<Vec<Transition>, StoreError> {
        let known = self.with_contexts(changes, MachineChange::key)?;
        let keys: Vec<IncidentKey<'_>> = known.iter().map(|(change, _)| change.key()).collect();
        let ended = end(self.transaction, &keys, self.now)?;
        let (mut news, mut alarms, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for ((change, context), ended) in known.iter().zip(&ended) {
            let Some(ended) = ended else { continue };
            let what = self.condition(EventKind::ConditionEnded, change, ended.since, 0);
            let end = News { key: change.key(), context, what, incident: ended.id };
            news.push(end.clone());
            if ended.was_alarm {
                alarms.push(end);
            } else if !context.is_flapping {
                others.push(end);
            }
        }
        let flapping = self.announce_alarms(alarms)?;
        self.note_conditions(&news, &flapping)?;
        self.end_existing(&others)?;
        Ok(transitions(&news, &flapping, |text| TransitionKind::ConditionEnded { text }))
    }

    fn condition_outlasted(&self, machine: MachineId, id: IncidentId) -> Result<Transition, StoreError> {
        mark_notified(self.transaction, &[id], self.now)?;
        let condition = condition_of(self.transaction, id)?;
        let kind = condition.as_ref().map(|known| known.condition.clone()).unwrap_or_default();
        let part = condition.as_ref().map(|known| known.subject.clone()).unwrap_or_default();
        let since = condition.as_ref().map_or(self.now, |known| Moment(known.since));
        let key = IncidentKey { machine, kind: &kind, subject: &part };
        let context = self.context(key)?;
        let what =
            Happening { condition, ..self.happening(EventKind::Condition, EventKind::Condition, since) };
        let text = phrase(&what);
        if !context.is_flapping {
            self.send(&[News { key, context: &context, what, incident: id }])?;
        }
        Ok(context.transition(TransitionKind::ConditionBegan { text }, false))
    }

    fn condition(&self, event: EventKind, of: &MachineChange<'_>, since: Moment, days: u32) -> Happening {
        let change = of.change;
        let notice = ConditionNotice {
            condition: change.condition.name().to_owned(),
            subject: change.subject.to_string(),
            label: change.label.as_deref().map(str::to_owned),
            value: change.value,
            threshold: change.threshold,
            since: since.0,
            uplink: of.uplink.map(str::to_owned),
            days,
            existed: false,
        };
        Happening { condition: Some(notice), ..self.happening(event, event, since) }
    }

    /// Writes what happened to conditions, each with that it flaps from now on.
    fn note_conditions(&self, news: &[News<'_>], flapping: &HashSet<IncidentId>) -> Result<(), StoreError> {
        let lines = news.iter().flat_map(|news| {
            let detail = news.what.condition.as_ref().map(|condition| {
                json!({
                    "condition": condition.condition,
                    "subject": condition.subject,
                    "label": condition.label,
                    "value": condition.value.map(json_number),
                    "threshold": condition.threshold.map(json_number),
                })
            });
            let flaps = key_line(news.key, EventKind::Flapping);
            let change = (Some(news.key.machine), news.what.event.name(), detail);
            [change].into_iter().chain(flapping.contains(&news.incident).then_some(flaps))
        });
        note_each(self.transaction, lines, self.now)
    }
}

impl MachineChange<'_> {
    fn key(&self) -> IncidentKey<'_> {
        let ConditionChange { condition, ref subject, .. } = *self.change;
        IncidentKey { machine: self.machine, kind: condition.name(), subject }
    }
}

fn transitions(
    news: &[News<'_>],
    flapping: &HashSet<IncidentId>,
    kind: impl Fn(String) -> TransitionKind,
) -> Vec<Transition> {
    let transition = |news: &News<'_>| {
        news.context.transition(kind(phrase(&news.what)), flapping.contains(&news.incident))
    };
    news.iter().map(transition).collect()
}

/// Ends the open incidents of the cameras of a machine that `is_subject` accepts, without a message.
pub fn end_forgotten(
    tx: &Transaction<'_>,
    machine: MachineId,
    is_subject: impl Fn(&str) -> bool,
    now: Moment,
) -> Result<(), StoreError> {
    let camera = Condition::Camera.name();
    let open = open_of(tx, machine)?;
    let keys = open.iter().filter(|(kind, subject)| kind == camera && is_subject(subject));
    let keys: Vec<_> = keys.map(|(_, subject)| IncidentKey { machine, kind: camera, subject }).collect();
    if keys.is_empty() {
        return Ok(());
    }
    Announcer::new(tx, now)?.end_silently(&keys)
}

fn phrase(what: &Happening) -> String {
    what.condition
        .as_ref()
        .map(|condition| condition.phrase(what.event == EventKind::ConditionEnded))
        .unwrap_or_default()
}

/// Those of the machines that are watched and online.
fn online(
    tx: &Transaction<'_>,
    machines: impl Iterator<Item = MachineId>,
) -> Result<HashSet<MachineId>, StoreError> {
    let sql = "SELECT machine_id FROM machine_state
               WHERE machine_id IN (SELECT CAST(value AS BIGINT) FROM json_each(?1)) AND watched AND status = ?2";
    let values = params![rows(machines.map(|machine| machine.0))?, MachineStatus::Online as i64];
    Ok(tx.query_all(sql, values, |row| Ok(MachineId(row.get(0)?)))?.into_iter().collect())
}

fn save_judged(
    tx: &Transaction<'_>,
    judged: impl Iterator<Item = (MachineId, u32)>,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO machine_judged (machine_id, conditions)
         SELECT CAST(value ->> 0 AS BIGINT), CAST(value ->> 1 AS BIGINT) FROM json_each(?1) WHERE true
         ON CONFLICT (machine_id) DO UPDATE SET conditions = excluded.conditions
         WHERE machine_judged.conditions <> excluded.conditions",
        params![rows(judged.map(|(machine, bits)| (machine.0, bits)))?],
    )?;
    Ok(())
}

type KindAndSubject = (String, String);

fn open_of(tx: &Transaction<'_>, machine: MachineId) -> Result<Vec<KindAndSubject>, StoreError> {
    let sql = "SELECT kind, subject FROM incident WHERE machine_id = ?1 AND ended_at IS NULL";
    tx.query_all(sql, params![machine.0], |row| Ok((row.get(0)?, row.get(1)?)))
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
