//! `/settings/status`: which groups have a status page, and the labels of machines there.

use super::context::PageContext;
use super::form::Form;
use super::frame::{Frame, Section};
use super::outcome::{FormOutcome, answer_form, form_page};
use super::refusal::PageRefusal;
use super::visit::Visit;
use askama::Template;
use heartbeat_daemon::http::Response;
use heartbeat_daemon::monitor::accounts::visitor::Role;
use heartbeat_daemon::monitor::status_pages::labels::StatusLabel;
use heartbeat_daemon::monitor::status_pages::pages::{StatusPage, Visibility, path_of, secret_link};
use heartbeat_daemon::monitor::store::Refused;

/// Labels that the page lists; `status-page list` has all.
const MOST_LABELS: u32 = 1_000;

#[derive(Template)]
#[template(path = "status_settings.html")]
struct StatusSettingsPage {
    frame: Frame,
    groups: Vec<GroupLine>,
    labels: Vec<StatusLabel>,
    /// The link has the monitor's address.
    is_complete: bool,
    outcome: FormOutcome,
}

struct GroupLine {
    group: String,
    machines: u32,
    state: &'static str,
    is_on: bool,
    /// Of a public page, below the root.
    path: Option<String>,
}

impl GroupLine {
    fn new(page: StatusPage) -> GroupLine {
        GroupLine {
            machines: page.machines,
            state: page.visibility.name(),
            is_on: page.visibility != Visibility::Off,
            path: match &page.visibility {
                Visibility::Public(slug) => Some(path_of(slug)),
                Visibility::SecretLink(_) | Visibility::Off => None,
            },
            group: page.group,
        }
    }
}

/// `GET /settings/status`
pub fn page(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    show(context, visit, FormOutcome::default())
}

fn show(context: &PageContext, visit: &Visit<'_>, outcome: FormOutcome) -> Result<Response, PageRefusal> {
    let store = &context.shared.store;
    let page = StatusSettingsPage {
        frame: Frame::new(&visit.viewpoint, Section::Settings, "Status pages"),
        groups: store.status_pages()?.into_iter().map(GroupLine::new).collect(),
        labels: store.status_labels(MOST_LABELS)?,
        is_complete: context.settings.get().web.public_url.is_some(),
        outcome,
    };
    Ok(form_page(page.outcome.problem.as_deref(), &page))
}

/// `POST /settings/status`
pub fn change(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    let form = Form::of_body(visit.request)?;
    let applied = apply(context, visit, &form);
    context.status.expire();
    answer_form(applied, "status", |outcome| show(context, visit, outcome))
}

/// The secret link, if one was made.
fn apply(context: &PageContext, visit: &Visit<'_>, form: &Form) -> Result<Option<String>, Refused> {
    let (store, actor, now) = (&context.shared.store, visit.actor(), visit.now.wall);
    let group = form.exact("group");
    match form.text("do") {
        "public" => store.make_status_page_public(&actor, group, now).map(|_| None),
        "secret-link" => {
            let secret = store.make_status_page_secret(&actor, group, now)?;
            Ok(Some(secret_link(&secret, context.settings.get().web.public_url.as_ref())))
        }
        "off" => store.switch_status_page_off(&actor, group, now).map(|_| None),
        "label" => {
            store.set_status_label(&actor, form.text("machine"), form.text("label"), now).map(|_| None)
        }
        _ => Err(Refused::because("this form is not known")),
    }
}
