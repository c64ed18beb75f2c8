//! A plan as lists show it: the machines that it is for now, and its next window.

use super::plans::{MaintenancePlan, PlanTarget};
use super::weekly::Window;
use crate::clock::Moment;
use crate::monitor::store::sql::{Connection, params};
use crate::monitor::store::{Store, StoreError};
use serde::Serialize;
use std::time::Duration;

/// A plan has a window within this time, unless the clock skips it.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPlan {
    pub plan: MaintenancePlan,
    /// Number of machines that it is for now.
    pub machines: u32,
    /// The window that goes on, or else the next one; `None`: there is none within a week.
    pub window: Option<Window>,
}

/// A plan in the API, and in JSON on the command line. One of `machine`, `group` and `tag` is set.
#[derive(Debug, Serialize)]
pub struct PlanView {
    id: i64,
    machine: Option<String>,
    group: Option<String>,
    tag: Option<String>,
    /// Machines that it is for now.
    machines: u32,
    /// `sun 02:00-04:00`
    weekly: String,
    time_zone: String,
    /// Of the window that goes on, or else of the next one.
    begins: Option<String>,
    ends: Option<String>,
    reason: Option<String>,
}

impl Store {
    /// All plans, by number.
    pub fn listed_plans(&self, now: Moment) -> Result<Vec<ListedPlan>, StoreError> {
        let plans = self.maintenance_plans()?;
        self.read(|connection| {
            let listed = plans.into_iter().map(|plan| {
                let window = plan.weekly.windows(&plan.clock, now, now.plus(WEEK)).into_iter().next();
                Ok(ListedPlan { machines: machines(connection, &plan.target)?, window, plan })
            });
            listed.collect()
        })
    }
}

fn machines(connection: &Connection<'_>, target: &PlanTarget) -> Result<u32, StoreError> {
    let sql = match target {
        PlanTarget::Machine(_) => "SELECT count(*) FROM machine WHERE name = ?1",
        PlanTarget::Group(_) => "SELECT count(*) FROM machine WHERE group_name = ?1",
        PlanTarget::Tag(_) => "SELECT count(*) FROM machine_tag WHERE tag = ?1",
    };
    let (_, name) = target.words();
    connection.query_row(sql, params![name], |row| row.get(0))
}

impl ListedPlan {
    /// "until 2026-01-18 04:00:00 +01:00" or "next ...", by the plan's clock.
    pub fn when(&self, now: Moment) -> String {
        match self.window {
            Some(window) if window.begin <= now => format!("until {}", self.plan.clock.written(window.end)),
            Some(window) => format!("next {}", self.plan.clock.written(window.begin)),
            None => "not in the next week".into(),
        }
    }

    /// That the plan is for no machine, which may be a typing error, or may change later.
    pub fn warning(&self) -> Option<String> {
        let warning = match &self.plan.target {
            PlanTarget::Machine(_) => return None,
            PlanTarget::Group(name) => format!("no machine is in the group \"{name}\" now"),
            PlanTarget::Tag(name) => format!("no machine has the tag \"{name}\" now"),
        };
        (self.machines == 0).then_some(warning)
    }

    pub fn view(&self) -> PlanView {
        let MaintenancePlan { id, target, weekly, clock, reason } = &self.plan;
        let (kind, name) = target.words();
        let named = |of: &str| (kind == of).then(|| name.to_owned());
        PlanView {
            id: *id,
            machine: named("machine"),
            group: named("group"),
            tag: named("tag"),
            machines: self.machines,
            weekly: weekly.to_string(),
            time_zone: clock.to_string(),
            begins: self.window.and_then(|window| window.begin.rfc_3339()),
            ends: self.window.and_then(|window| window.end.rfc_3339()),
            reason: reason.clone(),
        }
    }
}
