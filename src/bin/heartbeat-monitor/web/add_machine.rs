//! A new machine: its name, the commands for the device, and the wait for its first heartbeat.

use super::context::PageContext;
use super::form::Form;
use super::frame::{Frame, Section};
use super::outcome::form_page;
use super::page::html;
use super::refusal::{PageRefusal, sentence};
use super::visit::Visit;
use askama::Template;
use heartbeat_daemon::http::Response;
use heartbeat_daemon::monitor::accounts::visitor::Role;
use heartbeat_daemon::monitor::config::PublicUrl;
use heartbeat_daemon::monitor::machine::Description;

#[derive(Template)]
#[template(path = "add_machine.html")]
struct AddPage {
    frame: Frame,
    groups: Vec<String>,
    entered: Description,
    problem: Option<String>,
}

#[derive(Template)]
#[template(path = "added_machine.html")]
struct AddedPage {
    frame: Frame,
    id: i64,
    name: String,
    token: String,
    /// Where the device sends its heartbeats; `None`: the person fills in the address.
    url: Option<String>,
    version: u64,
}

/// `GET /machines/add`
pub fn form(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    let group = Form::of_query(visit.request)?.filled("group").map(str::to_owned);
    show(context, visit, Description { group, ..Description::default() }, None)
}

/// `POST /machines/add`
pub fn add(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    let form = Form::of_body(visit.request)?;
    let entered = Description {
        name: form.text("name").into(),
        group: form.filled("group").map(str::to_owned),
        ..Description::default()
    };
    let (store, now) = (&context.shared.store, visit.now.wall);
    let (id, token) = match store.add_machine(&entered, now) {
        Ok(added) => added,
        Err(refused) => return show(context, visit, entered, Some(sentence(refused)?)),
    };
    store.record_audit(&visit.actor(), "machine.add", Some(&entered.name), None, now)?;
    context.machines_changed()?;
    let (_, version) = context.live.view()?;
    let settings = context.settings.get();
    let page = AddedPage {
        frame: Frame::new(&visit.viewpoint, Section::Fleet, format!("{} is added", entered.name)),
        id: id.0,
        name: entered.name,
        token: token.as_str().to_owned(),
        url: settings.web.public_url.as_ref().map(heartbeat_url),
        version,
    };
    Ok(html(201, &page))
}

fn show(
    context: &PageContext,
    visit: &Visit<'_>,
    entered: Description,
    problem: Option<String>,
) -> Result<Response, PageRefusal> {
    let (view, _) = context.live.view()?;
    let mut groups: Vec<String> =
        view.machines.iter().filter_map(|machine| machine.machine.group.clone()).collect();
    groups.sort_unstable();
    groups.dedup();
    let frame = Frame::new(&visit.viewpoint, Section::Fleet, "Add a machine");
    let page = AddPage { frame, groups, entered, problem };
    Ok(form_page(page.problem.as_deref(), &page))
}

fn heartbeat_url(public: &PublicUrl) -> String {
    format!("{}{}api/v1/heartbeat", public.origin, public.path)
}
