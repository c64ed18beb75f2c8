//! Maintenance that recurs each week, on the page about maintenance: the plans, and the form that adds one.

use super::form::Form;
use super::visit::Visit;
use crate::web::words::capital;
use heartbeat_daemon::monitor::accounts::visitor::AccessScope;
use heartbeat_daemon::monitor::machine::Machine;
use heartbeat_daemon::monitor::maintenance::listed::ListedPlan;
use heartbeat_daemon::monitor::maintenance::plans::{MaintenancePlan, PlanTarget};
use heartbeat_daemon::monitor::maintenance::weekly::{DAYS, Weekly};
use heartbeat_daemon::monitor::store::{Refused, Store};
use heartbeat_daemon::monitor::zone::Clock;

/// A line of the list.
pub struct PlanLine {
    pub id: i64,
    pub machines: String,
    pub time: String,
    /// "until ..." or "next ..."
    pub when: String,
    pub reason: String,
    pub warning: Option<String>,
    /// The visitor may remove it.
    pub can_remove: bool,
}

/// The form, as it was entered.
#[derive(Default)]
pub struct EnteredPlan {
    /// `machine`, `group` or `tag`; empty: nothing was chosen.
    pub kind: String,
    pub name: String,
    /// Each day of the week: as in `sun`, as people read it, and whether it is chosen.
    pub days: Vec<(&'static str, String, bool)>,
    pub from: String,
    pub to: String,
    pub time_zone: String,
    pub reason: String,
}

impl EnteredPlan {
    pub fn of(form: &Form) -> EnteredPlan {
        let text = |name: &str| form.text(name).to_owned();
        let day = |day: &'static str| (day, capital(day), form.all("day").any(|chosen| chosen == day));
        EnteredPlan {
            kind: text("kind"),
            name: text("name"),
            days: DAYS.into_iter().map(day).collect(),
            from: text("from"),
            to: text("to"),
            time_zone: text("time_zone"),
            reason: text("reason"),
        }
    }
}

/// The plans that concern machines which the visitor may see.
pub fn lines(plans: &[ListedPlan], visible: &[&Machine], visit: &Visit<'_>) -> Vec<PlanLine> {
    let scope = &visit.visitor().scope;
    let is_visible = |listed: &&ListedPlan| {
        *scope == AccessScope::All || visible.iter().any(|machine| is_for(&listed.plan, machine))
    };
    let line = |listed: &ListedPlan| {
        let plan = &listed.plan;
        let (kind, name) = plan.target.words();
        PlanLine {
            id: plan.id,
            machines: format!("{kind} {name}"),
            time: format!("{} ({})", plan.weekly, plan.clock),
            when: listed.when(visit.now.wall),
            reason: plan.reason.clone().unwrap_or_default(),
            warning: listed.warning(),
            can_remove: covers(scope, &plan.target, visible),
        }
    };
    plans.iter().filter(is_visible).map(line).collect()
}

/// Whether a plan is for this machine.
fn is_for(plan: &MaintenancePlan, machine: &Machine) -> bool {
    match &plan.target {
        PlanTarget::Machine(name) => machine.name == *name,
        PlanTarget::Group(name) => machine.group.as_ref() == Some(name),
        PlanTarget::Tag(name) => machine.tags.contains(name),
    }
}

/// Whether all machines of a target are within a scope, also those that join it later.
fn covers(scope: &AccessScope, target: &PlanTarget, visible: &[&Machine]) -> bool {
    match (scope, target) {
        (_, PlanTarget::Machine(name)) => visible.iter().any(|machine| machine.name == *name),
        (AccessScope::All, _) => true,
        (AccessScope::Limited { groups, .. }, PlanTarget::Group(name)) => groups.contains(name),
        (AccessScope::Limited { tags, .. }, PlanTarget::Tag(name)) => tags.contains(name),
    }
}

/// Adds the plan of a form. Returns its target in words.
pub fn add(store: &Store, visit: &Visit<'_>, visible: &[&Machine], form: &Form) -> Result<String, Refused> {
    let target = target(form)?;
    let (kind, name) = target.words();
    if !covers(&visit.visitor().scope, &target, visible) {
        return Err(Refused::because(match target {
            PlanTarget::Machine(_) => format!("there is no machine \"{name}\""),
            _ => format!("you are limited to other machines than those of the {kind} \"{name}\""),
        }));
    }
    let days: Vec<&str> = form.all("day").collect();
    if days.is_empty() {
        return Err(Refused::because("choose a day of the week"));
    }
    let times = format!("{}-{}", form.text("from"), form.text("to"));
    let weekly = Weekly::parse(&days.join(","), &times).map_err(Refused::because)?;
    let clock = match form.filled("time_zone") {
        Some(zone) => zone.parse::<Clock>().map_err(Refused::because)?,
        None => Clock::of_server(),
    };
    store.add_maintenance_plan(&target, weekly, &clock, form.filled("reason"), visit.now.wall)?;
    Ok(format!("{kind} {name}"))
}

fn target(form: &Form) -> Result<PlanTarget, Refused> {
    let name = form.filled("name").ok_or_else(|| Refused::because("name a machine, a group or a tag"))?;
    match form.text("kind") {
        "machine" => Ok(PlanTarget::Machine(name.into())),
        "group" => Ok(PlanTarget::Group(name.into())),
        "tag" => Ok(PlanTarget::Tag(name.into())),
        _ => Err(Refused::because("choose whether it is for a machine, a group or a tag")),
    }
}

/// Removes the plan of a form. Returns its number.
pub fn remove(
    store: &Store,
    visit: &Visit<'_>,
    visible: &[&Machine],
    form: &Form,
) -> Result<String, Refused> {
    let id = form.text("plan");
    let scope = &visit.visitor().scope;
    let plans = store.maintenance_plans()?;
    let plan = plans.iter().find(|plan| plan.id.to_string() == id && covers(scope, &plan.target, visible));
    let plan = plan.ok_or_else(|| Refused::because("this plan does not exist any more"))?;
    store.remove_maintenance_plan(plan.id, visit.now.wall)?;
    Ok(id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_operator_may_plan_for_groups_and_tags_of_the_own_scope_alone() {
        let limited = AccessScope::Limited { groups: vec!["barn".into()], tags: vec!["pi5".into()] };
        for (target, expected) in [
            (PlanTarget::Group("barn".into()), true),
            (PlanTarget::Group("mill".into()), false),
            (PlanTarget::Group("pi5".into()), false),
            (PlanTarget::Tag("pi5".into()), true),
            (PlanTarget::Tag("barn".into()), false),
            (PlanTarget::Machine("barn-cam".into()), false),
        ] {
            assert_eq!(covers(&limited, &target, &[]), expected, "{target:?}");
            let may_all = !matches!(target, PlanTarget::Machine(_));
            assert_eq!(covers(&AccessScope::All, &target, &[]), may_all, "{target:?}");
        }
    }
}
