//! The tables `maintenance_plan` and, for its windows, `maintenance`.

use super::weekly::{Weekly, Window};
use crate::clock::Moment;
use crate::monitor::machine::{self, MachineId};
use crate::monitor::registry::machines::find;
use crate::monitor::store::sql::{Row, Transaction, params};
use crate::monitor::store::{Refused, Store, StoreError};
use crate::monitor::zone::{Clock, ZONES, Zone};
use std::path::Path;
use std::time::Duration;

/// A window is written this long before it begins: several sweeps, so that it counts from its first second.
const AHEAD: Duration = Duration::from_secs(300);

/// Windows of the past that are kept, for reports of a month.
const KEPT: Duration = Duration::from_secs(70 * 86_400);

/// Plans at most. Each is read at each sweep, with its time zone.
const MOST_PLANS: i64 = 200;

/// Which machines a plan is for, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanTarget {
    Machine(String),
    Group(String),
    Tag(String),
}

/// Maintenance that recurs each week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaintenancePlan {
    pub id: i64,
    pub target: PlanTarget,
    pub weekly: Weekly,
    pub clock: Clock,
    pub reason: Option<String>,
}

impl PlanTarget {
    /// "machine barn-cam", "group barn", "tag pi5"
    pub fn words(&self) -> (&'static str, &str) {
        match self {
            PlanTarget::Machine(name) => ("machine", name),
            PlanTarget::Group(name) => ("group", name),
            PlanTarget::Tag(name) => ("tag", name),
        }
    }
}

impl Store {
    /// Adds a plan; returns its number. A group or tag may have its first machine later.
    pub fn add_maintenance_plan(
        &self,
        target: &PlanTarget,
        weekly: Weekly,
        clock: &Clock,
        reason: Option<&str>,
        now: Moment,
    ) -> Result<i64, Refused> {
        reason.map_or(Ok(()), machine::description)?;
        self.transact(|tx| {
            let count: i64 = tx.query_row("SELECT count(*) FROM maintenance_plan", &[], |row| row.get(0))?;
            if count >= MOST_PLANS {
                return Err(Refused::because(format!("there are {MOST_PLANS} plans already; remove one first")));
            }
            let (machine, group, tag) = columns(tx, target)?;
            let id = tx.query_row(
                "INSERT INTO maintenance_plan (machine_id, group_name, tag, days, from_min, to_min, time_zone, utc_offset,
                                               reason, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING id",
                params![
                    machine.map(|id| id.0),
                    group,
                    tag,
                    weekly.days,
                    weekly.from,
                    weekly.to,
                    clock.to_string(),
                    clock.minutes_ahead(now),
                    reason,
                    now.0
                ],
                |row| row.get(0),
            )?;
            Ok(id)
        })
    }

    /// Removes a plan and ends its current window. False if there is none.
    pub fn remove_maintenance_plan(&self, id: i64, now: Moment) -> Result<bool, StoreError> {
        self.write(|tx| {
            tx.execute("DELETE FROM maintenance WHERE plan_id = ?1 AND starts_at > ?2", params![id, now.0])?;
            tx.execute(
                "UPDATE maintenance SET ends_at = ?2 WHERE plan_id = ?1 AND ends_at > ?2",
                params![id, now.0],
            )?;
            Ok(tx.execute("DELETE FROM maintenance_plan WHERE id = ?1", params![id])? > 0)
        })
    }

    /// By number.
    pub fn maintenance_plans(&self) -> Result<Vec<MaintenancePlan>, StoreError> {
        let sql = "SELECT p.id, m.name, p.group_name, p.tag, p.days, p.from_min, p.to_min, p.time_zone, p.utc_offset, p.reason
                   FROM maintenance_plan p LEFT JOIN machine m ON m.id = p.machine_id ORDER BY p.id";
        self.read(|connection| connection.query_all(sql, &[], read))
    }

    /// Writes the windows that go on or begin soon, for the machines that the plans are for now. Call it at each sweep.
    pub fn apply_maintenance_plans(&self, now: Moment) -> Result<(), StoreError> {
        let plans = self.maintenance_plans()?;
        let limit = now.plus(AHEAD);
        let windows = |plan: &MaintenancePlan| plan.weekly.windows(&plan.clock, now, limit);
        let due: Vec<_> = plans
            .into_iter()
            .map(|plan| (windows(&plan), plan))
            .filter(|(windows, _)| !windows.is_empty())
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        self.write(|tx| {
            tx.execute(
                "DELETE FROM maintenance
                 WHERE plan_id IS NOT NULL AND (starts_at > ?1 AND ends_at > starts_at OR ends_at < ?2)",
                params![now.0, now.minus(KEPT).0],
            )?;
            for (windows, plan) in &due {
                for window in windows {
                    insert(tx, plan, window)?;
                }
            }
            Ok(())
        })
    }
}

/// The columns of a target, of which one has a value.
type TargetColumns<'t> = (Option<MachineId>, Option<&'t str>, Option<&'t str>);

fn columns<'t>(tx: &Transaction<'_>, target: &'t PlanTarget) -> Result<TargetColumns<'t>, Refused> {
    Ok(match target {
        PlanTarget::Machine(which) => (Some(find(tx, which)?), None, None),
        PlanTarget::Group(name) => {
            machine::group(name)?;
            (None, Some(name), None)
        }
        PlanTarget::Tag(name) => {
            machine::tag(name)?;
            (None, None, Some(name))
        }
    })
}

fn read(row: &Row<'_>) -> Result<MaintenancePlan, StoreError> {
    let (machine, group, tag): (Option<String>, Option<String>, Option<String>) =
        (row.get(1)?, row.get(2)?, row.get(3)?);
    let target = match (machine, group) {
        (Some(name), _) => PlanTarget::Machine(name),
        (None, Some(name)) => PlanTarget::Group(name),
        (None, None) => PlanTarget::Tag(tag.unwrap_or_default()),
    };
    let (zone, minutes): (String, i16) = (row.get(7)?, row.get(8)?);
    let clock = match zone.starts_with(['+', '-']) {
        true => Clock::Fixed(minutes),
        false => Clock::Zone(Zone::reload(Path::new(ZONES), zone, minutes)),
    };
    let weekly = Weekly { days: row.get(4)?, from: row.get(5)?, to: row.get(6)? };
    Ok(MaintenancePlan { id: row.get(0)?, target, weekly, clock, reason: row.get(9)? })
}

/// Not again for a machine whose window was ended, or skipped, by a person.
fn insert(tx: &Transaction<'_>, plan: &MaintenancePlan, window: &Window) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO maintenance (machine_id, starts_at, ends_at, reason, plan_id)
         SELECT m.id, ?2, ?3, p.reason, p.id FROM machine m JOIN maintenance_plan p ON p.id = ?1
         WHERE m.id = p.machine_id OR m.group_name = p.group_name
            OR EXISTS (SELECT 1 FROM machine_tag t WHERE t.machine_id = m.id AND t.tag = p.tag)
         ON CONFLICT (plan_id, machine_id, starts_at) DO NOTHING",
        params![plan.id, window.begin.0, window.end.0],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests;
