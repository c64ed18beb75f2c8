//! What happened to machines within a period, from the database.

use super::schedule::{ReportPeriod, local_day};
use super::table::ReportRecipient;
use crate::clock::Moment;
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::fleet::activity::day;
use crate::monitor::incidents::table::OFFLINE;
use crate::monitor::machine::MachineId;
use crate::monitor::notify::notice::Subject;
use crate::monitor::notify::topic::Topic;
use crate::monitor::registry::machines::MachineFilter;
use crate::monitor::store::sql::params;
use crate::monitor::store::{Store, StoreError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// Incidents that are read for a report: a fleet that flaps for a month must not fill the memory.
const MOST_INCIDENTS: u32 = 200_000;

/// What happened to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineFacts {
    pub id: MachineId,
    pub name: String,
    pub outages: u32,
    /// Of all outages together, within the period.
    pub down: Duration,
    /// Cameras that did not respond for a minute or more.
    pub cameras: Vec<CameraFigures>,
    /// Local days on which a condition held.
    pub conditions: BTreeMap<Condition, BTreeSet<i64>>,
}

/// Known minutes of a camera; those of which are `down`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CameraFigures {
    pub name: String,
    pub up: u32,
    pub down: u32,
}

impl MachineFacts {
    pub fn is_fine(&self) -> bool {
        self.outages == 0 && self.cameras.is_empty() && self.conditions.is_empty()
    }
}

/// The facts about all machines that the recipient has chosen, as far as the recipient's topics go.
pub fn facts(
    store: &Store,
    recipient: &ReportRecipient,
    period: &ReportPeriod,
    now: Moment,
) -> Result<Vec<MachineFacts>, StoreError> {
    let filter = MachineFilter { limit: u32::MAX, ..MachineFilter::default() };
    let machines = store.machines(&filter, now)?.into_iter().filter(|machine| machine.watched);
    let mut facts: Vec<MachineFacts> = Vec::new();
    let mut places: HashMap<i64, usize> = HashMap::new();
    for machine in machines {
        let (id, name) = (machine.id, machine.name.clone());
        let subject = Subject {
            id: machine.id.0,
            name: machine.name,
            group: machine.group,
            tags: machine.tags,
            ..Subject::default()
        };
        if recipient.machines.includes(&subject) {
            places.insert(id.0, facts.len());
            facts.push(MachineFacts {
                id,
                name,
                outages: 0,
                down: Duration::ZERO,
                cameras: Vec::new(),
                conditions: BTreeMap::new(),
            });
        }
    }
    let wants = |topic: Topic| recipient.preferences.events.contains(&topic);
    let clock = recipient.clock();
    each_incident(store, period, |machine, kind, from, until| {
        let Some(facts) = places.get(&machine).and_then(|place| facts.get_mut(*place)) else { return };
        if kind == OFFLINE {
            if wants(Topic::Offline) {
                facts.outages += 1;
                facts.down += until.since(from);
            }
            return;
        }
        let Some(condition) = Condition::from_name(kind).filter(|known| wants(known.entry().topic)) else {
            return;
        };
        // The availability of cameras says more than the days of their incidents.
        if condition != Condition::Camera {
            let days = facts.conditions.entry(condition).or_default();
            days.extend(local_day(&clock, from)..=local_day(&clock, until.max(from)));
        }
    })?;
    if wants(Topic::Camera) {
        each_camera(store, period, |machine, camera| {
            if let Some(facts) = places.get(&machine).and_then(|place| facts.get_mut(*place)) {
                facts.cameras.push(camera);
            }
        })?;
    }
    Ok(facts)
}

/// Calls `visit` with machine, kind, begin and end (within the period) of each unplanned incident. Outages that began in a
/// maintenance and were never announced do not count.
fn each_incident(
    store: &Store,
    period: &ReportPeriod,
    mut visit: impl FnMut(i64, &str, Moment, Moment),
) -> Result<(), StoreError> {
    store.read(|connection| {
        // Not one condition with OR: each half has an index of its own.
        let sql =
            "SELECT machine_id, kind, last_seen, ended_at FROM incident
             WHERE ended_at IS NULL AND planned = ?4 AND last_seen < ?2 AND (kind <> ?3 OR notified_at IS NOT NULL)
             UNION ALL
             SELECT machine_id, kind, last_seen, ended_at FROM incident
             WHERE ended_at > ?1 AND planned = ?4 AND last_seen < ?2 AND (kind <> ?3 OR notified_at IS NOT NULL)
             LIMIT ?5";
        let values = params![period.from.0, period.until.0, OFFLINE, false, MOST_INCIDENTS];
        connection.query_each(sql, values, |row| {
            let (from, until): (Moment, Option<Moment>) = (row.get(2)?, row.get(3)?);
            let until = until.map_or(period.until, |until| until.min(period.until));
            visit(row.get(0)?, row.get(1)?, from.max(period.from), until);
            Ok(())
        })
    })
}

/// Calls `visit` with each camera that was down. Their days are those of UTC, so the first and last one of the period are
/// counted if most of them belongs to it.
fn each_camera(
    store: &Store,
    period: &ReportPeriod,
    mut visit: impl FnMut(i64, CameraFigures),
) -> Result<(), StoreError> {
    const HALF_A_DAY: Duration = Duration::from_secs(12 * 3600);
    let (first, end) = (day(period.from.plus(HALF_A_DAY)), day(period.until.plus(HALF_A_DAY)));
    store.read(|connection| {
        let sql = "SELECT c.machine_id, coalesce(c.name, c.mac), CAST(sum(d.up) AS BIGINT), CAST(sum(d.down) AS BIGINT)
                   FROM camera c JOIN camera_day d ON d.camera_id = c.id
                   WHERE d.day >= ?1 AND d.day < ?2 GROUP BY c.id, c.machine_id, c.name, c.mac
                   HAVING sum(d.down) > 0 ORDER BY sum(d.down) DESC, c.id";
        connection.query_each(sql, params![first, end], |row| {
            visit(row.get(0)?, CameraFigures { name: row.get(1)?, up: row.get(2)?, down: row.get(3)? });
            Ok(())
        })
    })
}
