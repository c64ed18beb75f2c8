//! The forms of a machine's page: pause, settings, token, removal.

use super::page::{RefusedForm, show};
use crate::web::act::visible_machine;
use crate::web::context::PageContext;
use crate::web::form::Form;
use crate::web::frame::{Frame, Section};
use crate::web::page::{html, see_other};
use crate::web::refusal::{PageRefusal, sentence};
use crate::web::route::MachineForm;
use crate::web::visit::Visit;
use askama::Template;
use heartbeat_daemon::config::Period;
use heartbeat_daemon::http::Response;
use heartbeat_daemon::monitor::accounts::visitor::Role;
use heartbeat_daemon::monitor::machine::{Machine, MachineId};
use heartbeat_daemon::monitor::registry::machines::MachineChange;
use heartbeat_daemon::monitor::store::Refused;
use std::time::Duration;

#[derive(Template)]
#[template(path = "machine_token.html")]
struct TokenPage {
    frame: Frame,
    id: i64,
    name: String,
    token: String,
    overlap: String,
}

/// `POST /machines/{id}/...`
pub fn apply(
    context: &PageContext,
    visit: &Visit<'_>,
    id: MachineId,
    form: MachineForm,
) -> Result<Response, PageRefusal> {
    match form {
        MachineForm::Pause => pause(context, visit, id),
        MachineForm::Resume => resume(context, visit, id),
        MachineForm::Settings => settings(context, visit, id),
        MachineForm::Token => rotate(context, visit, id),
        MachineForm::Remove => remove(context, visit, id),
    }
}

fn pause(context: &PageContext, visit: &Visit<'_>, id: MachineId) -> Result<Response, PageRefusal> {
    visit.require(Role::Operator)?;
    let machine = visible_machine(context, visit, id)?;
    let form = Form::of_body(visit.request)?;
    let (store, now) = (&context.shared.store, visit.now.wall);
    let paused = form.text("for").parse::<Period>().map_err(Refused::because).and_then(|length| {
        store.pause_machine(&machine.name, length.0, form.filled("reason"), now).map(|_| length)
    });
    match paused {
        Ok(length) => {
            let detail = format!("for {length}");
            store.record_audit(&visit.actor(), "machine.pause", Some(&machine.name), Some(&detail), now)?;
            context.changed();
            Ok(back(id))
        }
        Err(refused) => refuse(context, visit, id, "pause", refused),
    }
}

fn resume(context: &PageContext, visit: &Visit<'_>, id: MachineId) -> Result<Response, PageRefusal> {
    visit.require(Role::Operator)?;
    let machine = visible_machine(context, visit, id)?;
    let (store, now) = (&context.shared.store, visit.now.wall);
    store.resume_machine(&machine.name, now)?;
    store.record_audit(&visit.actor(), "machine.resume", Some(&machine.name), None, now)?;
    context.changed();
    Ok(back(id))
}

fn settings(context: &PageContext, visit: &Visit<'_>, id: MachineId) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    let machine = visible_machine(context, visit, id)?;
    let form = Form::of_body(visit.request)?;
    let changed = change(&form, &machine)
        .and_then(|change| context.shared.store.change_machine(&id.0.to_string(), &change));
    match changed {
        Ok(after) => {
            let detail = (after.name != machine.name).then(|| format!("was {}", machine.name));
            let (store, now) = (&context.shared.store, visit.now.wall);
            store.record_audit(&visit.actor(), "machine.set", Some(&after.name), detail.as_deref(), now)?;
            context.machines_changed()?;
            Ok(back(id))
        }
        Err(refused) => refuse(context, visit, id, "settings", refused),
    }
}

/// The change that a form asks for; empty fields clear what they are about.
fn change(form: &Form, machine: &Machine) -> Result<MachineChange, Refused> {
    let tags = form.names("tags");
    let threshold = form.filled("threshold").map(str::parse::<Period>).transpose();
    let threshold = threshold.map_err(|problem| Refused::because(format!("threshold: {problem}")))?;
    let optional = |name: &str| Some(form.filled(name).map(str::to_owned));
    Ok(MachineChange {
        name: Some(form.text("name").to_owned()),
        description: optional("description"),
        group: optional("group"),
        behind: optional("behind"),
        threshold: Some(threshold.map(|length| length.0)),
        untag: machine.tags.iter().filter(|tag| !tags.contains(tag)).cloned().collect(),
        tag: tags,
        ..MachineChange::default()
    })
}

/// Makes a new token, and shows it once.
fn rotate(context: &PageContext, visit: &Visit<'_>, id: MachineId) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    let machine = visible_machine(context, visit, id)?;
    let form = Form::of_body(visit.request)?;
    let (store, now) = (&context.shared.store, visit.now.wall);
    let rotated = form
        .text("keep")
        .parse::<Period>()
        .map_err(Refused::because)
        .and_then(|keep| Ok((keep, store.rotate(&machine.name, keep.0, now, &|_| Ok(()))?)));
    let (keep, (_, token)) = match rotated {
        Ok(rotated) => rotated,
        Err(refused) => return refuse(context, visit, id, "token", refused),
    };
    store.record_audit(&visit.actor(), "machine.rotate", Some(&machine.name), None, now)?;
    context.machines_changed()?;
    let frame = Frame::new(&visit.viewpoint, Section::Fleet, format!("New token of {}", machine.name));
    let overlap = if keep.0 > Duration::ZERO { keep.to_string() } else { String::new() };
    let token = token.as_str().to_owned();
    Ok(html(200, &TokenPage { frame, id: id.0, name: machine.name, token, overlap }))
}

/// Removes the machine if its name was entered as a confirmation.
fn remove(context: &PageContext, visit: &Visit<'_>, id: MachineId) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    let machine = visible_machine(context, visit, id)?;
    let form = Form::of_body(visit.request)?;
    if form.text("name") != machine.name {
        let refused = Refused::because("this is not the machine's name; nothing was removed");
        return refuse(context, visit, id, "remove", refused);
    }
    let (store, now) = (&context.shared.store, visit.now.wall);
    store.remove_machine(&machine.name, now)?;
    store.record_audit(&visit.actor(), "machine.remove", Some(&machine.name), None, now)?;
    context.machines_changed()?;
    Ok(see_other("../../".into()))
}

fn back(id: MachineId) -> Response {
    see_other(format!("../{}", id.0))
}

fn refuse(
    context: &PageContext,
    visit: &Visit<'_>,
    id: MachineId,
    form: &'static str,
    refused: Refused,
) -> Result<Response, PageRefusal> {
    show(context, visit, id, Some(RefusedForm { form, sentence: sentence(refused)? }))
}
