//! `/welcome?link=...`: a user who got a link sets a password.

use super::arrive::{Arrival, arrive};
use super::context::SignInContext;
use super::hashing::answer_there;
use super::new_password::read_new;
use crate::web::form::Form;
use crate::web::frame::Frame;
use crate::web::page::{html, see_other};
use crate::web::refusal::{PageRefusal, answer};
use askama::Template;
use heartbeat_daemon::clock::Now;
use heartbeat_daemon::http::{Exchange, Request, Response};
use heartbeat_daemon::monitor::accounts::attempts::{Attempter, Proof};
use heartbeat_daemon::monitor::accounts::invitations::Invited;
use heartbeat_daemon::monitor::accounts::password;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "welcome.html")]
struct WelcomePage {
    frame: Frame,
    name: String,
    link: String,
    problem: Option<String>,
}

/// `GET /welcome`: changes nothing, because programs open links to look at them.
pub fn form(context: &SignInContext, request: &Request, now: Now) -> Result<Response, PageRefusal> {
    let query = Form::of_query(request)?;
    let invited = invited(context, query.text("link"), now)?;
    Ok(welcome_page(200, &invited, query.text("link"), None))
}

/// `POST /welcome`
pub fn submit(context: &Arc<SignInContext>, exchange: Exchange, now: Now) {
    match read(context, &exchange.request, now) {
        Ok(Choice::Good { link, password, zone }) => {
            // Who has a link is no stranger.
            let who = Attempter::Stranger(context.address(&exchange.request));
            if let Err(refusal) = context.begin(Proof::Password, &link, who, now) {
                return answer(exchange, Err(refusal));
            }
            answer_there(context, who, exchange, move |context, request| {
                let done = accept(context, request, &link, &password, &zone, now)?;
                context.attempts.succeeded(Proof::Password, &link, who);
                Ok(done)
            });
        }
        Ok(Choice::Bad(page)) => answer(exchange, Ok(page)),
        Err(refusal) => answer(exchange, Err(refusal)),
    }
}

enum Choice {
    Good {
        link: String,
        password: String,
        zone: String,
    },
    /// The form again, with what is wrong.
    Bad(Response),
}

fn read(context: &SignInContext, request: &Request, now: Now) -> Result<Choice, PageRefusal> {
    let form = Form::of_body(request)?;
    let link = form.text("link").to_owned();
    let invited = invited(context, &link, now)?;
    Ok(match read_new(&form, &invited.name) {
        Ok(password) => Choice::Good { link, password, zone: form.text("zone").into() },
        Err(problem) => Choice::Bad(welcome_page(400, &invited, &link, Some(problem))),
    })
}

/// Sets the password, and signs the user in unless a second factor is needed; on the thread `password`.
fn accept(
    context: &SignInContext,
    request: &Request,
    link: &str,
    password: &str,
    zone: &str,
    now: Now,
) -> Result<Response, PageRefusal> {
    let hash = password::hash(password)
        .map_err(|error| PageRefusal::Failed(format!("cannot hash a password: {error}")))?;
    let accepted = context.store.accept_invitation(link, &hash, context.address(request), now.wall)?;
    let invited = accepted.ok_or_else(invalid)?;
    if invited.has_totp {
        return Ok(see_other("./login".into()));
    }
    let has_zone = context.store.user(invited.id)?.is_some_and(|user| user.time_zone.is_some());
    let arrival = Arrival {
        user: invited.id,
        name: &invited.name,
        zone: Some(zone).filter(|zone| !has_zone && !zone.is_empty()),
        detail: Some("with a link"),
        now,
    };
    arrive(context, request, arrival, "")
}

fn invited(context: &SignInContext, link: &str, now: Now) -> Result<Invited, PageRefusal> {
    context.store.invited(link, now.wall)?.ok_or_else(invalid)
}

fn invalid() -> PageRefusal {
    PageRefusal::Invalid(
        "This link was used, has expired, or was replaced by another one. An owner can make a new one, or on the \
         server: sudo heartbeat-monitor user password NAME"
            .into(),
    )
}

fn welcome_page(status: u16, invited: &Invited, link: &str, problem: Option<String>) -> Response {
    let frame = Frame::without_user("./", "Choose a password");
    html(status, &WelcomePage { frame, name: invited.name.clone(), link: link.into(), problem })
}
