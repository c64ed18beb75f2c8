//! The summary of conditions that held when they were first judged: after an upgrade, on a new machine, or when a
//! condition was switched on. They are incidents, but not news: each recipient gets one message about all of them.

use crate::clock::Moment;
use crate::monitor::incidents::announce::Announcer;
use crate::monitor::incidents::plan::Planned;
use crate::monitor::incidents::table::{IncidentId, IncidentKey, condition_of};
use crate::monitor::machine::MachineId;
use crate::monitor::notify::condition_notice::ConditionNotice;
use crate::monitor::notify::notice::{EventKind, Notice, Subject};
use crate::monitor::notify::recipients::Recipient;
use crate::monitor::store::{Store, StoreError};
use rusqlite::{Transaction, params};
use std::time::Duration;

/// Time from the first such incident to the summary: a fleet's first heartbeats are one message.
const GATHERED_FOR: Duration = Duration::from_secs(5 * 60);

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
        self.write(|transaction| {
            let existing = existing(transaction, now)?;
            if existing.is_empty() {
                return Ok(0);
            }
            let announcer = Announcer::new(transaction, now)?;
            for recipient in announcer.recipients() {
                announcer.summarise(recipient, &existing)?;
            }
            let mut mark =
                transaction.prepare_cached("UPDATE incident SET summarised_at = ?2 WHERE id = ?1")?;
            for known in &existing {
                mark.execute([known.incident.0, now.0])?;
            }
            Ok(existing.len())
        })
    }
}

impl Announcer<'_> {
    fn summarise(&self, recipient: &Recipient, existing: &[Existing]) -> Result<(), StoreError> {
        let chosen = |known: &&Existing| {
            recipient.machines.includes(&known.machine)
                && recipient.wants_condition(&known.condition, EventKind::Condition)
        };
        let chosen: Vec<&Existing> = existing.iter().filter(chosen).collect();
        let Some(first) = chosen.first() else { return Ok(()) };
        let what = self.happening(EventKind::Summary, EventKind::Condition, self.now);
        let listed = chosen.iter().take(MOST_LISTED);
        let notice = Notice {
            existing: listed.map(|known| (known.machine.name.clone(), known.condition.clone())).collect(),
            existing_in_all: chosen.len(),
            ..Notice::new(&first.machine, &what)
        };
        let due = recipient.quiet.as_ref().map_or(self.now, |quiet| quiet.end_if_quiet(self.now));
        let rows = recipient.channels.iter().map(|&channel| Planned { channel, due }).collect();
        self.insert(rows, &first.machine, EventKind::Summary, &notice, first.incident)
    }
}

/// Those that no summary included, if the first of them is old enough.
fn existing(tx: &Transaction<'_>, now: Moment) -> Result<Vec<Existing>, StoreError> {
    let mut statement = tx.prepare_cached(
        "SELECT id, machine_id, began_at FROM incident
         WHERE existing = ?1 AND summarised_at IS NULL AND ended_at IS NULL ORDER BY machine_id, id",
    )?;
    let rows = statement.query_map(params![true], |row| {
        Ok((IncidentId(row.get(0)?), MachineId(row.get(1)?), Moment(row.get(2)?)))
    })?;
    let found: Vec<_> = rows.collect::<Result<_, _>>()?;
    if found.iter().all(|(_, _, began)| now.since(*began) < GATHERED_FOR) {
        return Ok(Vec::new());
    }
    let announcer = Announcer::new(tx, now)?;
    let mut existing = Vec::new();
    for (incident, machine, _) in found {
        if let Some(condition) = condition_of(tx, incident)? {
            let key = IncidentKey { machine, kind: &condition.condition, subject: &condition.subject };
            let machine = announcer.context(key)?.subject;
            existing.push(Existing { incident, machine, condition });
        }
    }
    Ok(existing)
}
