//! `/settings/maintenance`: the machines in maintenance, and forms that pause several, now or each week.

use super::context::PageContext;
use super::form::Form;
use super::frame::{Frame, Section};
use super::maintenance_plans::{self, EnteredPlan, PlanLine};
use super::outcome::form_page;
use super::page::see_other;
use super::refusal::{PageRefusal, sentence};
use super::visit::Visit;
use askama::Template;
use heartbeat_daemon::config::Period;
use heartbeat_daemon::http::Response;
use heartbeat_daemon::monitor::accounts::visitor::Role;
use heartbeat_daemon::monitor::machine::{Machine, MachineId};
use heartbeat_daemon::monitor::registry::watching::Maintenance;
use heartbeat_daemon::monitor::store::{Refused, Store};
use std::collections::{HashMap, HashSet};

/// Lines of the list; the first to end come first.
const MOST_LISTED: usize = 1000;

#[derive(Template)]
#[template(path = "maintenance.html")]
struct MaintenancePage {
    frame: Frame,
    lines: Vec<MaintenanceLine>,
    plans: Vec<PlanLine>,
    entered: EnteredMaintenance,
    plan: EnteredPlan,
    problem: Option<String>,
}

struct MaintenanceLine {
    machine: i64,
    name: String,
    group: String,
    time: String,
    reason: String,
    /// What the button does; `None`: there is none, because one before it goes on.
    ends: Option<EndOf>,
}

/// What a button ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EndOf {
    /// A maintenance that goes on.
    Current,
    /// One that has not begun.
    Coming,
}

/// The form, as it was entered.
#[derive(Default)]
struct EnteredMaintenance {
    machines: String,
    groups: String,
    tags: String,
    length: String,
    reason: String,
}

impl EnteredMaintenance {
    fn of(form: &Form) -> EnteredMaintenance {
        let text = |name: &str| form.text(name).to_owned();
        EnteredMaintenance {
            machines: text("machines"),
            groups: text("groups"),
            tags: text("tags"),
            length: text("for"),
            reason: text("reason"),
        }
    }
}

/// `GET /settings/maintenance`
pub fn page(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    show(context, visit, &Form::default(), None)
}

/// The page; `entered` is the form that was refused.
fn show(
    context: &PageContext,
    visit: &Visit<'_>,
    entered: &Form,
    problem: Option<String>,
) -> Result<Response, PageRefusal> {
    let (view, _) = context.live.view()?;
    let visible: Vec<&Machine> = view.visible(&visit.viewpoint).map(|machine| &machine.machine).collect();
    let (store, now) = (&context.shared.store, visit.now.wall);
    let (of_pause, of_plan) = match entered.text("do") {
        "plan" => (Form::default(), entered.clone()),
        _ => (entered.clone(), Form::default()),
    };
    let page = MaintenancePage {
        frame: Frame::new(&visit.viewpoint, Section::Settings, "Maintenance"),
        lines: lines(&store.maintenances(now)?, &visible, visit),
        plans: maintenance_plans::lines(&store.listed_plans(now)?, &visible, visit),
        entered: EnteredMaintenance::of(&of_pause),
        plan: EnteredPlan::of(&of_plan),
        problem,
    };
    Ok(form_page(page.problem.as_deref(), &page))
}

fn lines(maintenances: &[Maintenance], visible: &[&Machine], visit: &Visit<'_>) -> Vec<MaintenanceLine> {
    let visible: HashMap<MachineId, &Machine> =
        visible.iter().map(|machine| (machine.id, *machine)).collect();
    let has_begun = |maintenance: &&Maintenance| maintenance.starts_at <= visit.now.wall;
    let current: HashSet<MachineId> =
        maintenances.iter().filter(has_begun).map(|maintenance| maintenance.machine).collect();
    let line = |maintenance: &Maintenance| {
        let machine = visible.get(&maintenance.machine)?;
        let ends = match (has_begun(&maintenance), current.contains(&machine.id)) {
            (true, _) => Some(EndOf::Current),
            (false, false) => Some(EndOf::Coming),
            (false, true) => None,
        };
        Some(MaintenanceLine::new(maintenance, machine, ends, visit))
    };
    maintenances.iter().filter_map(line).take(MOST_LISTED).collect()
}

impl MaintenanceLine {
    fn new(
        maintenance: &Maintenance,
        machine: &Machine,
        ends: Option<EndOf>,
        visit: &Visit<'_>,
    ) -> MaintenanceLine {
        let Maintenance { starts_at, ends_at, ref reason, .. } = *maintenance;
        let (clock, now) = (&visit.viewpoint.clock, visit.now.wall);
        let (from, until) = (clock.time_of_day(starts_at, now), clock.time_of_day(ends_at, now));
        MaintenanceLine {
            machine: machine.id.0,
            name: machine.name.clone(),
            group: machine.group.clone().unwrap_or_default(),
            time: match starts_at <= now {
                true => format!("since {from}, until {until}"),
                false => format!("starts at {from}, until {until}"),
            },
            reason: reason.clone().unwrap_or_default(),
            ends,
        }
    }
}

/// `POST /settings/maintenance`: pauses all machines that the form names, or adds or removes a plan.
pub fn change(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    visit.require(Role::Operator)?;
    let form = Form::of_body(visit.request)?;
    let store = &context.shared.store;
    let (view, _) = context.live.view()?;
    let visible: Vec<&Machine> = view.visible(&visit.viewpoint).map(|machine| &machine.machine).collect();
    let changed = match form.text("do") {
        "plan" => maintenance_plans::add(store, visit, &visible, &form).map(|target| Changed {
            action: "maintenance.add",
            target,
            detail: None,
        }),
        "remove-plan" => maintenance_plans::remove(store, visit, &visible, &form).map(|target| Changed {
            action: "maintenance.remove",
            target,
            detail: None,
        }),
        _ => pause(store, visit, &visible, &form),
    };
    match changed {
        Ok(Changed { action, target, detail }) => {
            let (actor, now) = (visit.actor(), visit.now.wall);
            store.record_audit(&actor, action, Some(&target), detail.as_deref(), now)?;
            context.changed();
            Ok(see_other("maintenance".into()))
        }
        Err(refused) => show(context, visit, &form, Some(sentence(refused)?)),
    }
}

/// What was done, for the audit log.
struct Changed {
    action: &'static str,
    target: String,
    detail: Option<String>,
}

fn pause(store: &Store, visit: &Visit<'_>, visible: &[&Machine], form: &Form) -> Result<Changed, Refused> {
    let machines = chosen(visible, form)?;
    let length: Period = form.text("for").parse().map_err(Refused::because)?;
    store.pause_machines(&machines, length.0, form.filled("reason"), visit.now.wall)?;
    let detail = Some(format!("for {length}"));
    Ok(Changed { action: "machine.pause", target: machines.join(", "), detail })
}

/// The names of the visible machines that the form chooses.
fn chosen(visible: &[&Machine], form: &Form) -> Result<Vec<String>, Refused> {
    let (names, groups, tags) = (form.names("machines"), form.names("groups"), form.names("tags"));
    if let Some(unknown) = names.iter().find(|name| !visible.iter().any(|machine| machine.name == **name)) {
        return Err(Refused::because(format!("there is no machine \"{unknown}\"")));
    }
    let is_chosen = |machine: &&&Machine| {
        names.contains(&machine.name)
            || machine.group.as_ref().is_some_and(|group| groups.contains(group))
            || machine.tags.iter().any(|tag| tags.contains(tag))
    };
    let chosen: Vec<String> = visible.iter().filter(is_chosen).map(|machine| machine.name.clone()).collect();
    match chosen.is_empty() {
        true => Err(Refused::because("no machine matches: name a machine, a group or a tag")),
        false => Ok(chosen),
    }
}
