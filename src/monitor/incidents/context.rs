//! The facts that decide whether and how incidents are announced.

use crate::clock::Moment;
use crate::monitor::incidents::behind::hidden_by_front;
use crate::monitor::incidents::policy::{FLAPPING_WINDOW, MOST_TRANSITIONS};
use crate::monitor::incidents::table::{IncidentKey, KEYS, key_rows};
use crate::monitor::incidents::transition::{Transition, TransitionKind};
use crate::monitor::machine::MachineId;
use crate::monitor::notify::notice::Subject;
use crate::monitor::store::StoreError;
use crate::monitor::store::sql::{Row, Transaction, params};

/// The facts that decide whether and how a transition of a machine, or of a condition of it, is announced.
#[derive(Debug, Clone)]
pub struct MachineContext {
    pub subject: Subject,
    pub is_in_maintenance: bool,
    /// The machine in front of it is dead, has just returned, or probably died at the same time.
    pub is_hidden: bool,
    pub is_flapping: bool,
    /// Within the flapping window, or since it became steady; the current one included. No more are counted than decide
    /// whether it flaps.
    pub transitions: u32,
}

impl MachineContext {
    /// For each key, in the same order; `None`: there is no such machine. Call it before the transition is written.
    pub fn load(
        tx: &Transaction<'_>,
        keys: &[IncidentKey<'_>],
        with_tags: bool,
        now: Moment,
    ) -> Result<Vec<Option<MachineContext>>, StoreError> {
        let mut contexts = vec![None; keys.len()];
        let encoded = key_rows(keys)?;
        let values = params![encoded, now, now.minus(FLAPPING_WINDOW), MOST_TRANSITIONS + 1];
        tx.query_each(&query(), values, |row| {
            contexts[row.get::<u32>(0)? as usize] = Some(MachineContext::of_row(row)?);
            Ok(())
        })?;
        if with_tags {
            load_tags(tx, &encoded, &mut contexts)?;
        }
        Ok(contexts)
    }

    /// The log line of a transition of this machine.
    pub fn transition(&self, kind: TransitionKind, flaps: bool) -> Transition {
        Transition { machine: MachineId(self.subject.id), name: self.subject.name.clone(), kind, flaps }
    }

    fn of_row(row: &Row<'_>) -> Result<MachineContext, StoreError> {
        Ok(MachineContext {
            subject: Subject {
                id: row.get(1)?,
                name: row.get(2)?,
                hostname: row.get(3)?,
                description: row.get(4)?,
                group: row.get(5)?,
                tags: Vec::new(),
            },
            is_in_maintenance: row.get(6)?,
            is_flapping: row.get(7)?,
            is_hidden: row.get(8)?,
            transitions: row.get::<u32>(9)?.saturating_add(1),
        })
    }
}

/// `?1` has the keys, `?2` is now, `?3` the begin of the flapping window, `?4` how many incidents are enough. Only incidents that
/// were unplanned and announced count.
fn query() -> String {
    let hidden = hidden_by_front("own", "?2", "?2");
    let after = "CASE WHEN f.steady_at > ?3 THEN f.steady_at ELSE ?3 END";
    format!(
        "WITH {KEYS}
         SELECT wanted.number, m.id, m.name, m.hostname, m.description, m.group_name,
                EXISTS (SELECT 1 FROM maintenance x WHERE x.machine_id = m.id AND x.starts_at <= ?2 AND x.ends_at > ?2),
                f.since IS NOT NULL AND f.steady_at IS NULL,
                EXISTS (SELECT 1 FROM machine_state own WHERE own.machine_id = m.id AND {hidden}),
                (SELECT coalesce(sum(CASE WHEN last.began_at > {after} THEN 1 ELSE 0 END
                                     + CASE WHEN last.ended_at > {after} THEN 1 ELSE 0 END), 0)
                 FROM (SELECT i.began_at, i.ended_at FROM incident i
                       WHERE i.machine_id = m.id AND i.kind = wanted.kind AND i.subject = wanted.subject
                         AND NOT i.planned AND i.notified_at IS NOT NULL
                       ORDER BY i.began_at DESC LIMIT ?4) last)
         FROM wanted CROSS JOIN machine m
         LEFT JOIN flapping f ON f.machine_id = m.id AND f.kind = wanted.kind AND f.subject = wanted.subject
         WHERE m.id = wanted.machine_id"
    )
}

fn load_tags(
    tx: &Transaction<'_>,
    keys: &str,
    contexts: &mut [Option<MachineContext>],
) -> Result<(), StoreError> {
    let sql = format!(
        "WITH {KEYS} SELECT wanted.number, t.tag FROM wanted CROSS JOIN machine_tag t
         WHERE t.machine_id = wanted.machine_id"
    );
    tx.query_each(&sql, params![keys], |row| {
        if let Some(context) = &mut contexts[row.get::<u32>(0)? as usize] {
            context.subject.tags.push(row.get(1)?);
        }
        Ok(())
    })
}

/// The tags of a machine.
pub fn tags(tx: &Transaction<'_>, machine: MachineId) -> Result<Vec<String>, StoreError> {
    tx.query_all("SELECT tag FROM machine_tag WHERE machine_id = ?1", params![machine.0], |row| row.get(0))
}
