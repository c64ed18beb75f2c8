//! `/settings/conditions`: all conditions, and what was changed of them for whom.

use super::context::PageContext;
use super::form::Form;
use super::frame::{Frame, Section};
use super::outcome::form_page;
use super::page::see_other;
use super::refusal::{PageRefusal, sentence};
use super::visit::Visit;
use askama::Template;
use heartbeat_daemon::config::Period;
use heartbeat_daemon::http::Response;
use heartbeat_daemon::monitor::accounts::visitor::{AccessScope, Role};
use heartbeat_daemon::monitor::conditions::catalogue::{CATALOGUE, Condition};
use heartbeat_daemon::monitor::conditions::settings::{
    Scope, ScopedChange, SettingChange, checked_hold, checked_threshold, sourced,
};
use heartbeat_daemon::monitor::conditions::words;
use heartbeat_daemon::monitor::store::Refused;

#[derive(Template)]
#[template(path = "conditions.html")]
struct ConditionsPage {
    frame: Frame,
    conditions: Vec<ConditionLine>,
    changes: Vec<ChangeLine>,
    problem: Option<String>,
}

/// A condition with the settings of the whole fleet.
struct ConditionLine {
    name: &'static str,
    meaning: &'static str,
    is_on: bool,
    threshold: Option<String>,
    hold: String,
}

struct ChangeLine {
    condition: &'static str,
    scope: String,
    change: String,
}

/// `GET /settings/conditions`
pub fn page(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    show(context, visit, None)
}

fn show(context: &PageContext, visit: &Visit<'_>, problem: Option<String>) -> Result<Response, PageRefusal> {
    let changes = context.shared.store.condition_changes()?;
    let conditions = sourced(&changes, None);
    let conditions = conditions.iter().map(|listed| ConditionLine {
        name: listed.entry.name,
        meaning: listed.entry.meaning,
        is_on: listed.setting.is_on,
        threshold: listed
            .entry
            .limit
            .zip(listed.setting.threshold)
            .map(|(limit, number)| limit.with_unit(number)),
        hold: Period(listed.setting.hold).to_string(),
    });
    let page = ConditionsPage {
        frame: Frame::new(&visit.viewpoint, Section::Settings, "Conditions"),
        conditions: conditions.collect(),
        changes: change_lines(context, visit, &changes)?,
        problem,
    };
    Ok(form_page(page.problem.as_deref(), &page))
}

/// A visitor with a limited scope sees only changes for the whole fleet: the others name groups, tags and machines.
fn change_lines(
    context: &PageContext,
    visit: &Visit<'_>,
    changes: &[ScopedChange],
) -> Result<Vec<ChangeLine>, PageRefusal> {
    let sees_all = visit.visitor().scope == AccessScope::All;
    let mut lines = Vec::new();
    for change in changes.iter().filter(|change| sees_all || change.scope == Scope::All) {
        let scope = match change.scope {
            Scope::Machine(id) => {
                let machine = context.shared.store.machine(id, visit.now.wall)?;
                format!("machine {}", machine.map_or_else(|| id.0.to_string(), |machine| machine.name))
            }
            ref scope => words::scope(scope).replace(':', " "),
        };
        let entry = change.condition.entry();
        lines.push(ChangeLine { condition: entry.name, scope, change: words::change(entry, &change.change) });
    }
    Ok(lines)
}

/// `POST /settings/conditions`
pub fn change(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    let form = Form::of_body(visit.request)?;
    match apply(context, visit, &form) {
        Ok(()) => {
            let (store, detail) =
                (&context.shared.store, format!("{} {}", form.text("scope"), form.text("name")));
            let subject = form.text("condition");
            store.record_audit(
                &visit.actor(),
                "condition.set",
                Some(subject),
                Some(detail.trim()),
                visit.now.wall,
            )?;
            context.machines_changed()?;
            Ok(see_other("conditions".into()))
        }
        Err(refused) => show(context, visit, Some(sentence(refused)?)),
    }
}

fn apply(context: &PageContext, visit: &Visit<'_>, form: &Form) -> Result<(), Refused> {
    let (store, now) = (&context.shared.store, visit.now.wall);
    let condition = CATALOGUE.iter().find(|entry| entry.name == form.text("condition"));
    let condition: Condition = condition.ok_or_else(|| Refused::because("choose a condition"))?.condition;
    let name = form.text("name").to_owned();
    let scope = match form.text("scope") {
        "all" => Scope::All,
        "group" => Scope::Group(name),
        "tag" => Scope::Tag(name),
        "machine" => Scope::Machine(store.machine_called(&name, now)?.id),
        _ => return Err(Refused::because("choose for which machines")),
    };
    if form.text("do") == "default" {
        return store.clear_condition(condition, &scope, now).map(drop);
    }
    let number = form.filled("threshold").map(|text| text.replace(',', ".").parse::<f32>());
    let number = number.transpose().map_err(|_| Refused::because("the threshold must be a number"))?;
    let hold = form.filled("hold").map(str::parse::<Period>).transpose();
    let hold = hold.map_err(|problem| Refused::because(format!("hold time: {problem}")))?;
    let change = SettingChange {
        is_on: match form.text("state") {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        },
        threshold: number.map(|number| checked_threshold(condition.entry(), number)).transpose()?,
        hold: hold.map(|hold| checked_hold(hold.0)).transpose()?,
    };
    if change == SettingChange::default() {
        return Err(Refused::because("nothing to change: enter a threshold, a hold time, or on or off"));
    }
    store.change_condition(&ScopedChange { condition, scope, change }, now)
}
