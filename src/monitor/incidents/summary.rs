//! The summary of conditions that held when they were first judged: after an upgrade, on a new machine, or when a
//! condition was switched on. They are incidents, but not news: each recipient gets one message about all of them. A service
//! in which each incident is one gets them one by one, and their ends.

use crate::clock::Moment;
use crate::monitor::incidents::announce::{Announcer, News};
use crate::monitor::incidents::messages::EventMessages;
use crate::monitor::incidents::plan::Planned;
use crate::monitor::incidents::table::IncidentId;
use crate::monitor::machine::MachineId;
use crate::monitor::notify::channel::{ChannelId, ChannelKind};
use crate::monitor::notify::condition_notice::ConditionNotice;
use crate::monitor::notify::notice::{EventKind, Happening, Notice, Subject};
use crate::monitor::notify::recipients::Recipient;
use crate::monitor::store::sql::{Connection, Row, Transaction, params, rows};
use crate::monitor::store::{Store, StoreError};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Time from the first such incident to the summary: a fleet's first heartbeats are one message.
const GATHERED_FOR: Duration = Duration::from_secs(5 * 60);

/// Incidents that one summary includes; the next sweep goes on. An upgrade of 100,000 devices begins several times as many at
/// once, and heartbeats are refused while one transaction takes too long.
const MOST_TOGETHER: u32 = 10_000;

/// Conditions that one message lists; it counts the others.
const MOST_LISTED: usize = 20;

/// An open incident that no summary included.
struct Existing {
    incident: IncidentId,
    machine: Subject,
    condition: ConditionNotice,
}

impl Store {
    /// Plans the summaries if the first of these incidents is old enough. Returns the number of incidents.
    pub fn summarise_existing(&self, now: Moment) -> Result<usize, StoreError> {
        if !self.read(|connection| is_due(connection, now))? {
            return Ok(0);
        }
        self.write(|transaction| {
            let announcer = Announcer::new(transaction, now)?;
            let existing = existing(transaction, &announcer)?;
            let mirrors = mirrors(transaction)?;
            for recipient in announcer.recipients() {
                announcer.summarise(recipient, &existing, &mirrors)?;
            }
            transaction.execute(
                "UPDATE incident SET summarised_at = ?2 WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each(?1))",
                params![rows(existing.iter().map(|known| known.incident.0))?, now],
            )?;
            Ok(existing.len())
        })
    }
}

impl Announcer<'_> {
    /// One message for the channels that people read; each incident alone for those in `mirrors`.
    fn summarise(
        &self,
        recipient: &Recipient,
        existing: &[Existing],
        mirrors: &HashSet<ChannelId>,
    ) -> Result<(), StoreError> {
        let chosen = |known: &&Existing| {
            recipient.machines.includes(&known.machine)
                && recipient.wants_condition(&known.condition, EventKind::Condition)
        };
        let chosen: Vec<&Existing> = existing.iter().filter(chosen).collect();
        let Some(first) = chosen.first() else { return Ok(()) };
        let due = recipient.quiet.as_ref().map_or(self.now, |quiet| quiet.end_if_quiet(self.now));
        let rows = |is_mirror: bool| -> Vec<Planned> {
            let channels = recipient.channels.iter().filter(|channel| mirrors.contains(channel) == is_mirror);
            channels.map(|&channel| Planned { channel, due, reminder: 0 }).collect()
        };
        let each = chosen.iter().map(|known| self.existing_alone(known, rows(true)));
        self.insert(&each.collect::<Vec<_>>())?;
        let what = self.happening(EventKind::Summary, EventKind::Condition, self.now);
        let listed = chosen.iter().take(MOST_LISTED);
        let notice = Notice {
            existing: listed.map(|known| (known.machine.name.clone(), known.condition.clone())).collect(),
            existing_in_all: chosen.len(),
            ..Notice::new(&first.machine, &what)
        };
        let (machine, incident) = (&first.machine, first.incident);
        self.insert(&[EventMessages {
            planned: rows(false),
            machine,
            event: EventKind::Summary,
            notice,
            incident,
        }])
    }

    fn existing_alone<'e>(&self, known: &'e Existing, planned: Vec<Planned>) -> EventMessages<'e> {
        let since = Moment(known.condition.since);
        let begin = self.happening(EventKind::Condition, EventKind::Condition, since);
        let what = Happening { condition: Some(known.condition.clone()), ..begin };
        let notice = Notice::new(&known.machine, &what);
        EventMessages {
            planned,
            machine: &known.machine,
            event: what.event,
            notice,
            incident: known.incident,
        }
    }
}

impl Announcer<'_> {
    /// The ends of incidents that were in a summary, or not announced at all, go to the channels that got their begins alone.
    pub(super) fn end_existing(&self, ends: &[News<'_>]) -> Result<(), StoreError> {
        let mut begun: HashMap<IncidentId, HashSet<ChannelId>> = HashMap::new();
        let sql = "SELECT incident_id, channel_id FROM outbox
                   WHERE incident_id IN (SELECT CAST(value AS BIGINT) FROM json_each(?1)) AND event = ?2";
        let incidents = rows(ends.iter().map(|news| news.incident.0))?;
        self.transaction.query_each(sql, params![incidents, EventKind::Condition.name()], |row| {
            begun.entry(IncidentId(row.get(0)?)).or_default().insert(ChannelId(row.get(1)?));
            Ok(())
        })?;
        let ends: Vec<&News<'_>> = ends.iter().filter(|news| begun.contains_key(&news.incident)).collect();
        if ends.is_empty() {
            return Ok(());
        }
        self.skip_held(ends.iter().map(|news| news.incident))?;
        let mut outdated = self.outdated_channels(&ends)?;
        for (news, outdated) in ends.iter().zip(&mut outdated) {
            outdated.retain(|channel| begun[&news.incident].contains(channel));
        }
        self.send_ends_to(&ends, &outdated)
    }
}

/// The channels of services in which each incident is one.
fn mirrors(tx: &Transaction<'_>) -> Result<HashSet<ChannelId>, StoreError> {
    let mut mirrors = HashSet::new();
    tx.query_each("SELECT id, kind FROM channel WHERE enabled", &[], |row| {
        if ChannelKind::from_name(row.get(1)?).is_some_and(ChannelKind::mirrors_incidents) {
            mirrors.insert(ChannelId(row.get(0)?));
        }
        Ok(())
    })?;
    Ok(mirrors)
}

/// Whether the first of those that no summary included is old enough.
fn is_due(connection: &Connection<'_>, now: Moment) -> Result<bool, StoreError> {
    let first: Option<i64> = connection.query_row(
        "SELECT min(began_at) FROM incident
         WHERE existing AND summarised_at IS NULL AND ended_at IS NULL",
        &[],
        |row| row.get(0),
    )?;
    Ok(first.is_some_and(|began| now.since(Moment(began)) >= GATHERED_FOR))
}

/// Those that no summary included, [`MOST_TOGETHER`] at most.
fn existing(tx: &Transaction<'_>, announcer: &Announcer<'_>) -> Result<Vec<Existing>, StoreError> {
    let sql = "SELECT i.id, i.kind, i.subject, i.label, i.value, i.threshold, i.last_seen,
                      m.id, m.name, m.hostname, m.description, m.group_name
               FROM incident i JOIN machine m ON m.id = i.machine_id
               WHERE i.existing AND i.summarised_at IS NULL AND i.ended_at IS NULL
               ORDER BY i.machine_id, i.id LIMIT ?1";
    let mut existing: Vec<Existing> = Vec::new();
    tx.query_each(sql, params![MOST_TOGETHER], |row| {
        let mut known = Existing::from_row(row)?;
        known.machine.tags = match existing.last() {
            Some(last) if last.machine.id == known.machine.id => last.machine.tags.clone(),
            _ => announcer.tags(MachineId(known.machine.id))?,
        };
        existing.push(known);
        Ok(())
    })?;
    Ok(existing)
}

impl Existing {
    /// Without the tags of its machine.
    fn from_row(row: &Row<'_>) -> Result<Existing, StoreError> {
        let condition = ConditionNotice {
            condition: row.get(1)?,
            subject: row.get(2)?,
            label: row.get(3)?,
            value: row.get(4)?,
            threshold: row.get(5)?,
            since: row.get(6)?,
            uplink: None,
            days: 0,
            existed: true,
        };
        let machine = Subject {
            id: row.get(7)?,
            name: row.get(8)?,
            hostname: row.get(9)?,
            description: row.get(10)?,
            group: row.get(11)?,
            tags: Vec::new(),
        };
        Ok(Existing { incident: IncidentId(row.get(0)?), machine, condition })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_incidents_that_need_no_summary_are_not_read() {
        let store = Store::scratch_file();
        let plan = "EXPLAIN QUERY PLAN SELECT min(began_at) FROM incident
                    WHERE existing AND summarised_at IS NULL AND ended_at IS NULL";
        let step: String =
            store.read(|connection| connection.query_row(plan, &[], |row| row.get(3))).expect("a plan");
        assert!(step.contains("incident_summary"), "{step}");
    }
}
