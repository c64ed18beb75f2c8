//! `/settings/maintenance`: the machines in maintenance, and a form that pauses several.

use super::context::PageContext;
use super::form::Form;
use super::frame::{Frame, Section};
use super::outcome::form_page;
use super::page::see_other;
use super::refusal::{PageRefusal, sentence};
use super::visit::Visit;
use super::words::when;
use crate::config::Period;
use crate::http::Response;
use crate::monitor::accounts::visitor::Role;
use crate::monitor::machine::{Machine, MachineId};
use crate::monitor::maintenance::plans::{MaintenancePlan, PlanTarget};
use crate::monitor::registry::watching::Maintenance;
use crate::monitor::store::Refused;
use askama::Template;
use std::collections::HashMap;

/// Lines of the list; the first to end come first.
const MOST_LISTED: usize = 1000;

#[derive(Template)]
#[template(path = "maintenance.html")]
struct MaintenancePage {
    frame: Frame,
    lines: Vec<MaintenanceLine>,
    plans: Vec<PlanLine>,
    entered: EnteredMaintenance,
    problem: Option<String>,
}

struct MaintenanceLine {
    machine: i64,
    name: String,
    group: String,
    time: String,
    reason: String,
}

/// Maintenance that recurs each week.
struct PlanLine {
    machines: String,
    time: String,
    reason: String,
}

impl PlanLine {
    fn new(plan: &MaintenancePlan) -> PlanLine {
        let (kind, name) = plan.target.words();
        PlanLine {
            machines: format!("{kind} {name}"),
            time: format!("{} ({})", plan.weekly, plan.clock),
            reason: plan.reason.clone().unwrap_or_default(),
        }
    }
}

/// Whether a plan is for this machine.
fn is_for(plan: &MaintenancePlan, machine: &Machine) -> bool {
    match &plan.target {
        PlanTarget::Machine(name) => machine.name == *name,
        PlanTarget::Group(name) => machine.group.as_ref() == Some(name),
        PlanTarget::Tag(name) => machine.tags.contains(name),
    }
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
    show(context, visit, EnteredMaintenance::default(), None)
}

fn show(
    context: &PageContext,
    visit: &Visit<'_>,
    entered: EnteredMaintenance,
    problem: Option<String>,
) -> Result<Response, PageRefusal> {
    let (view, _) = context.live.view()?;
    let visible = view.visible(&visit.viewpoint).map(|machine| (machine.machine.id, &machine.machine));
    let visible: HashMap<MachineId, &Machine> = visible.collect();
    let line = |maintenance: Maintenance| {
        let machine = visible.get(&maintenance.machine)?;
        Some(MaintenanceLine::new(maintenance, machine, visit))
    };
    let maintenances = context.shared.store.maintenances(visit.now.wall)?.into_iter();
    let lines = maintenances.filter_map(line).take(MOST_LISTED).collect();
    // Those of machines that this person may see.
    let plans = context.shared.store.maintenance_plans()?;
    let is_visible = |plan: &&MaintenancePlan| visible.values().any(|machine| is_for(plan, machine));
    let plans = plans.iter().filter(is_visible).map(PlanLine::new).collect();
    let frame = Frame::new(&visit.viewpoint, Section::Settings, "Maintenance");
    let page = MaintenancePage { frame, lines, plans, entered, problem };
    Ok(form_page(page.problem.as_deref(), &page))
}

impl MaintenanceLine {
    fn new(maintenance: Maintenance, machine: &Machine, visit: &Visit<'_>) -> MaintenanceLine {
        let at = |moment| when(moment, &visit.viewpoint.clock, visit.now.wall);
        let until = visit.viewpoint.clock.time_of_day(maintenance.ends_at, visit.now.wall);
        MaintenanceLine {
            machine: machine.id.0,
            name: machine.name.clone(),
            group: machine.group.clone().unwrap_or_default(),
            time: match maintenance.starts_at <= visit.now.wall {
                true => format!("since {}, until {until}", at(maintenance.starts_at)),
                false => format!("from {}, until {until}", at(maintenance.starts_at)),
            },
            reason: maintenance.reason.unwrap_or_default(),
        }
    }
}

/// `POST /settings/maintenance`: pauses all machines that the form names.
pub fn begin(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    visit.require(Role::Operator)?;
    let form = Form::of_body(visit.request)?;
    let (store, now) = (&context.shared.store, visit.now.wall);
    let (view, _) = context.live.view()?;
    let visible: Vec<&Machine> = view.visible(&visit.viewpoint).map(|machine| &machine.machine).collect();
    let paused = chosen(&visible, &form).and_then(|machines| {
        let length: Period = form.text("for").parse().map_err(Refused::because)?;
        store.pause_machines(&machines, length.0, form.filled("reason"), now)?;
        Ok((machines, length))
    });
    match paused {
        Ok((machines, length)) => {
            let names: Vec<&str> = machines.iter().map(String::as_str).collect();
            let detail = format!("for {length}");
            store.record_audit(
                &visit.actor(),
                "machine.pause",
                Some(&names.join(", ")),
                Some(&detail),
                now,
            )?;
            context.changed();
            Ok(see_other("maintenance".into()))
        }
        Err(refused) => show(context, visit, EnteredMaintenance::of(&form), Some(sentence(refused)?)),
    }
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
