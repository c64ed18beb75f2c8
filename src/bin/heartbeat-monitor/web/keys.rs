//! `/settings/keys`: tokens of programs that read the API, keys with which devices enrol, and devices that wait.

use super::context::PageContext;
use super::device_setup::DeviceSetup;
use super::form::Form;
use super::frame::{Frame, Section};
use super::outcome::{FormOutcome, answer_form, form_page};
use super::refusal::PageRefusal;
use super::visit::Visit;
use super::words::when;
use askama::Template;
use heartbeat_daemon::config::Period;
use heartbeat_daemon::http::Response;
use heartbeat_daemon::monitor::accounts::visitor::Role;
use heartbeat_daemon::monitor::registry::enrolment::{Approval, EnrolmentRequest, NewKey};
use heartbeat_daemon::monitor::registry::token::Token;
use heartbeat_daemon::monitor::store::Refused;

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    frame: Frame,
    /// Name, and when it was added.
    readers: Vec<(String, String)>,
    keys: Vec<KeyLine>,
    waiting: Vec<WaitingLine>,
    /// What was just made; shown once.
    made: Option<String>,
    /// For a new enrolment key: how to use it, or why this page does not know.
    setup: Option<Result<DeviceSetup, &'static str>>,
    problem: Option<String>,
}

struct KeyLine {
    id: i64,
    group: String,
    until: String,
    /// "3 of 50"
    used: String,
    needs_approval: bool,
}

/// A secret that is shown once.
struct MadeToken {
    token: Token,
    /// Devices that can use it; `None`: it is a read token.
    uses: Option<u32>,
}

/// A device that waits for approval.
struct WaitingLine {
    id: i64,
    device: String,
    group: String,
    requested: String,
    reason: String,
    /// The machine that it says or seems to be: offered for replacement.
    machine: Option<String>,
    is_rejected: bool,
}

/// `GET /settings/keys`
pub fn page(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    show(context, visit, FormOutcome::default())
}

fn show(
    context: &PageContext,
    visit: &Visit<'_>,
    FormOutcome { secret: made, problem }: FormOutcome<MadeToken>,
) -> Result<Response, PageRefusal> {
    let (store, clock, now) = (&context.shared.store, &visit.viewpoint.clock, visit.now.wall);
    let keys = store.keys(now)?.into_iter().map(|key| KeyLine {
        id: key.id,
        group: key.group.unwrap_or_default(),
        until: clock.time_of_day(key.expires_at, now),
        used: format!("{} of {}", key.uses.0, key.uses.1),
        needs_approval: key.needs_approval,
    });
    let waiting = store.enrolment_requests(now)?.into_iter().map(|request| WaitingLine::new(request, visit));
    let page = KeysPage {
        frame: Frame::new(&visit.viewpoint, Section::Settings, "Tokens and keys"),
        readers: store
            .readers()?
            .into_iter()
            .map(|token| (token.name, when(token.created_at, clock, now)))
            .collect(),
        keys: keys.collect(),
        waiting: waiting.collect(),
        setup: made.as_ref().and_then(|made| {
            let uses = made.uses?;
            Some(DeviceSetup::new(context, &made.token, uses))
        }),
        made: made.map(|made| made.token.as_str().to_owned()),
        problem,
    };
    Ok(form_page(page.problem.as_deref(), &page))
}

impl WaitingLine {
    fn new(request: EnrolmentRequest, visit: &Visit<'_>) -> WaitingLine {
        WaitingLine {
            id: request.id,
            reason: request.sentence(),
            device: match request.hostname {
                Some(hostname) => format!("{hostname} ({})", request.hardware_id),
                None => request.hardware_id,
            },
            group: request.group.unwrap_or_default(),
            requested: when(request.requested_at, &visit.viewpoint.clock, visit.now.wall),
            machine: request.machine.map(|(_, name)| name),
            is_rejected: request.is_rejected,
        }
    }
}

/// `POST /settings/keys`
pub fn change(context: &PageContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    visit.require(Role::Owner)?;
    let form = Form::of_body(visit.request)?;
    let applied = match apply(context, visit, &form) {
        Ok((action, made)) => {
            let (store, subject) = (&context.shared.store, form.filled("name").or(form.filled("id")));
            store.record_audit(&visit.actor(), action, subject, None, visit.now.wall)?;
            context.machines_changed()?;
            Ok(made)
        }
        Err(refused) => Err(refused),
    };
    answer_form(applied, "keys", |outcome| show(context, visit, outcome))
}

/// The name of the action in the audit log, and the token that was made.
fn apply(
    context: &PageContext,
    visit: &Visit<'_>,
    form: &Form,
) -> Result<(&'static str, Option<MadeToken>), Refused> {
    let (store, now) = (&context.shared.store, visit.now.wall);
    match form.text("do") {
        "add-token" => {
            let token = store.add_reader(form.text("name"), now, &|_| Ok(()))?;
            Ok(("token.add", Some(MadeToken { token, uses: None })))
        }
        "remove-token" => store.remove_reader(form.text("name")).map(|()| ("token.remove", None)),
        "add-key" => {
            let new = NewKey {
                valid: form.text("for").parse::<Period>().map_err(Refused::because)?.0,
                uses: form.filled("uses").map_or(Ok(1), |text| text.parse().map_err(|_| not_a_number()))?,
                group: form.filled("group").map(str::to_owned),
                needs_approval: form.filled("approve").is_some(),
            };
            let token = store.add_key(&new, now, &|_| Ok(()))?;
            Ok(("enroll.add", Some(MadeToken { token, uses: Some(new.uses) })))
        }
        "approve" | "replace" => {
            let approval = match form.text("do") {
                "replace" => Approval::Replaces(form.text("machine").to_owned()),
                _ => Approval::New(form.filled("as").map(str::to_owned)),
            };
            store.approve_request(number(form)?, &approval, now)?;
            Ok(("enroll.approve", None))
        }
        "reject" => store.reject_request(number(form)?, now).map(|()| ("enroll.reject", None)),
        "remove-key" => store.remove_key(number(form)?).map(|()| ("enroll.remove", None)),
        _ => Err(Refused::because("this form is not known")),
    }
}

fn number(form: &Form) -> Result<i64, Refused> {
    form.text("id").parse().map_err(|_| Refused::because("nothing has this number"))
}

fn not_a_number() -> Refused {
    Refused::because("enter a number of devices")
}
