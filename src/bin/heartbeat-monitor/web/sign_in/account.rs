//! `/account`: the visitor's own password, time zone and sessions.

use super::browser_name::browser_name;
use super::confirm::{answer_confirmed, stay};
use super::context::SignInContext;
use super::new_password::read_new;
use super::second_factor;
use crate::web::form::Form;
use crate::web::frame::{Frame, Section};
use crate::web::page::{html, see_other};
use crate::web::refusal::{PageRefusal, answer};
use crate::web::viewpoint::Viewpoint;
use crate::web::visit::SignedIn;
use crate::web::visit::Visit;
use askama::Template;
use heartbeat_daemon::http::{Exchange, Request, Response};
use heartbeat_daemon::monitor::accounts::password;
use heartbeat_daemon::monitor::accounts::sessions::{Session, SessionId};
use heartbeat_daemon::monitor::accounts::users::{User, described};
use heartbeat_daemon::monitor::store::Store;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    name: String,
    permits: String,
    done: Option<&'static str>,
    /// Recovery codes that were not used; `None` without a second factor.
    codes_left: Option<usize>,
    zone: String,
    sessions: Vec<SessionRow>,
}

struct SessionRow {
    id: i64,
    agent: String,
    address: String,
    used: String,
    is_this: bool,
}

/// What a form of this page has done.
const DONE: [(&str, &str); 5] = [
    ("password", "The password is changed, and you are signed out everywhere else."),
    ("totp-off", "The second factor is off."),
    ("zone", "The time zone is changed."),
    ("end", "That browser is signed out."),
    ("end-others", "You are signed out everywhere else."),
];

/// `GET /account`
pub fn page(context: &SignInContext, visit: &Visit<'_>) -> Result<Response, PageRefusal> {
    let (store, user) = (&context.store, visit.visitor().id);
    let known = store.user(user)?.ok_or(PageRefusal::SignIn)?;
    let done = Form::of_query(visit.request)?;
    let done = DONE.into_iter().find(|(name, _)| *name == done.text("done")).map(|(_, sentence)| sentence);
    let codes_left = known.has_totp.then(|| store.recovery_codes_left(user)).transpose()?;
    let sessions = store.sessions(user, visit.now.wall)?;
    let row = |session: &Session| session_row(session, visit.session, &visit.viewpoint);
    Ok(html(
        200,
        &AccountPage {
            frame: Frame::new(&visit.viewpoint, Section::Account, "Your account"),
            permits: permits(&known),
            name: known.name,
            done,
            codes_left,
            zone: known.time_zone.unwrap_or_default(),
            sessions: sessions.iter().map(row).collect(),
        },
    ))
}

/// `Role: operator, limited to group barn. ...`
fn permits(user: &User) -> String {
    format!("{}: {}.", described(user.role, &user.scope), user.role.meaning())
}

fn session_row(session: &Session, this: SessionId, viewpoint: &Viewpoint) -> SessionRow {
    SessionRow {
        id: session.id.0,
        agent: browser_name(session.agent.as_deref().unwrap_or_default()),
        address: session.address.clone().unwrap_or_else(|| "unknown".into()),
        used: viewpoint.clock.time_of_day(session.used_at, viewpoint.now),
        is_this: session.id == this,
    }
}

/// `POST /account`
pub fn submit(context: &Arc<SignInContext>, visit: SignedIn, exchange: Exchange) {
    let form = match Form::of_body(&exchange.request) {
        Ok(form) => form,
        Err(refusal) => return answer(exchange, Err(refusal)),
    };
    let current = form.exact("current").to_owned();
    match form.text("action") {
        "password" => match read_new(&form, &visit.viewpoint.visitor.name) {
            Ok(new) => {
                answer_confirmed(context, visit, current, exchange, move |context, request, visit| {
                    change_password(context, request, visit, &new)
                });
            }
            Err(problem) => answer(exchange, Err(PageRefusal::Invalid(problem))),
        },
        "totp-on" => second_factor::turn_on(context, visit, current, exchange, &form),
        "totp-off" => answer_confirmed(context, visit, current, exchange, second_factor::turn_off),
        _ => {
            let answered = change(context, &visit, &form);
            answer(exchange, answered);
        }
    }
}

/// A change that does not need the password.
fn change(context: &SignInContext, visit: &SignedIn, form: &Form) -> Result<Response, PageRefusal> {
    let (store, user) = (&context.store, visit.viewpoint.visitor.id);
    let ended = |store: &Store| {
        let name = visit.viewpoint.visitor.name.as_str();
        store.record_audit(&visit.actor(), "user.sessions.end", Some(name), None, visit.now.wall)
    };
    match form.text("action") {
        "totp" => return second_factor::setup(visit),
        "zone" => store.set_time_zone(user, form.filled("zone"))?,
        "end" => {
            let id = form.text("session").parse().map(SessionId).map_err(|_| PageRefusal::NotFound)?;
            if !store.end_session(user, id)? {
                return Err(PageRefusal::NotFound);
            }
            ended(store)?;
        }
        "end-others" => {
            store.end_sessions(user, Some(visit.session))?;
            ended(store)?;
        }
        _ => return Err(PageRefusal::Invalid("The form names no action.".into())),
    }
    Ok(see_other(format!("./account?done={}", form.text("action"))))
}

fn change_password(
    context: &SignInContext,
    request: &Request,
    visit: &SignedIn,
    new: &str,
) -> Result<Response, PageRefusal> {
    let hash = password::hash(new)
        .map_err(|error| PageRefusal::Failed(format!("cannot hash a password: {error}")))?;
    let user = visit.viewpoint.visitor.id;
    context.store.set_password(&visit.actor(), user, &hash, visit.now.wall)?;
    stay(context, request, visit, see_other("./account?done=password".into()))
}
