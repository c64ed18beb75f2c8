//! The facts that decide whether and how an incident is announced.

use crate::clock::Moment;
use crate::monitor::incidents::behind::hidden_by_front;
use crate::monitor::incidents::policy::{FLAPPING_WINDOW, MOST_TRANSITIONS, transitions_after};
use crate::monitor::incidents::table::{IncidentKey, latest_alarms};
use crate::monitor::machine::MachineId;
use crate::monitor::notify::notice::Subject;
use crate::monitor::store::StoreError;
use crate::monitor::store::sql::{Transaction, params};

/// The facts that decide whether and how a transition of a machine is announced.
pub struct MachineContext {
    pub subject: Subject,
    pub is_in_maintenance: bool,
    /// The machine in front of it is dead, has just returned, or probably died at the same time.
    pub is_hidden: bool,
    pub is_flapping: bool,
    /// When it became steady after it flapped last.
    pub steady_at: Option<Moment>,
}

impl MachineContext {
    pub fn load(
        tx: &Transaction<'_>,
        key: IncidentKey<'_>,
        with_tags: bool,
        now: Moment,
    ) -> Result<MachineContext, StoreError> {
        let machine = key.machine;
        let hidden = hidden_by_front("own", "?1");
        let sql = format!(
            "SELECT m.name, m.hostname, m.description, m.group_name,
                    EXISTS (SELECT 1 FROM maintenance x WHERE x.machine_id = m.id
                            AND x.starts_at <= ?1 AND x.ends_at > ?1),
                    f.since IS NOT NULL AND f.steady_at IS NULL, f.steady_at,
                    EXISTS (SELECT 1 FROM machine_state own WHERE own.machine_id = m.id AND {hidden})
             FROM machine m
             LEFT JOIN flapping f ON f.machine_id = m.id AND f.kind = ?3 AND f.subject = ?4 WHERE m.id = ?2",
        );
        let values = params![now.0, machine.0, key.kind, key.subject];
        let mut context = tx.query_row(&sql, values, |row| {
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
                steady_at: row.get(6)?,
                is_hidden: row.get(7)?,
            })
        })?;
        if with_tags {
            context.subject.tags = tags(tx, machine)?;
        }
        Ok(context)
    }

    /// Transitions within the flapping window, or since it became steady; the current one included.
    pub fn transitions(
        &self,
        tx: &Transaction<'_>,
        key: IncidentKey<'_>,
        now: Moment,
    ) -> Result<u32, StoreError> {
        let window = now.minus(FLAPPING_WINDOW);
        let after = self.steady_at.map_or(window, |steady_at| steady_at.max(window));
        let alarms = latest_alarms(tx, key, MOST_TRANSITIONS + 1)?;
        Ok(transitions_after(after, &alarms).saturating_add(1))
    }
}

/// The tags of a machine.
pub fn tags(tx: &Transaction<'_>, machine: MachineId) -> Result<Vec<String>, StoreError> {
    tx.query_all("SELECT tag FROM machine_tag WHERE machine_id = ?1", params![machine.0], |row| row.get(0))
}
