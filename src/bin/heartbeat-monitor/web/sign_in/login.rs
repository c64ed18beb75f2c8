//! `/login` and `/logout`: name and password, then the second factor.

use super::arrive::{Arrival, arrive};
use super::context::SignInContext;
use super::cookies;
use super::hashing::answer_there;
use crate::web::form::Form;
use crate::web::frame::Frame;
use crate::web::page::{html, see_other};
use crate::web::refusal::{PageRefusal, answer};
use crate::web::visit::{SESSION_COOKIE, cookie};
use askama::Template;
use heartbeat_daemon::clock::Now;
use heartbeat_daemon::http::{Exchange, Request, Response};
use heartbeat_daemon::monitor::accounts::attempts::{Attempter, Proof};
use heartbeat_daemon::monitor::accounts::audit::Actor;
use heartbeat_daemon::monitor::accounts::password;
use heartbeat_daemon::monitor::accounts::pending::PendingLogin;
use heartbeat_daemon::monitor::accounts::proofs::{LoginRecord, SecondFactor};
use std::sync::Arc;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    name: String,
    next: String,
    problem: Option<String>,
}

#[derive(Template)]
#[template(path = "login_code.html")]
struct CodePage {
    frame: Frame,
    /// Proves that the password was right.
    step: String,
    next: String,
    zone: String,
    problem: Option<&'static str>,
}

/// Fields of both steps.
struct Entered {
    name: String,
    password: String,
    next: String,
    zone: String,
}

/// `GET /login`
pub fn form(request: &Request) -> Result<Response, PageRefusal> {
    let query = Form::of_query(request)?;
    let entered = Entered {
        name: String::new(),
        password: String::new(),
        next: query.text("next").into(),
        zone: String::new(),
    };
    Ok(login_page(200, &entered, None))
}

/// `POST /login`
pub fn submit(context: &Arc<SignInContext>, exchange: Exchange, now: Now) {
    let read = Form::of_body(&exchange.request);
    let form = match read {
        Ok(form) => form,
        Err(refusal) => return answer(exchange, Err(refusal)),
    };
    if form.filled("step").is_some() {
        let answered = second_step(context, &exchange.request, &form, now);
        return answer(exchange, answered);
    }
    let entered = Entered {
        name: form.text("name").into(),
        password: form.exact("password").into(),
        next: form.text("next").into(),
        zone: form.text("zone").into(),
    };
    match first_step(context, &exchange.request, &entered, now) {
        Ok((record, who)) => {
            answer_there(context, who, exchange, move |context, request| {
                checked(context, request, &entered, record, who, now)
            });
        }
        Err(PageRefusal::TooMany(wait)) => {
            let problem = PageRefusal::TooMany(wait).sentence();
            let page = login_page(429, &entered, Some(problem));
            let seconds = wait.as_secs() + 1;
            answer(exchange, Ok(page.header("Retry-After", seconds.to_string())));
        }
        Err(refusal) => answer(exchange, Err(refusal)),
    }
}

/// Counts the attempt, before it costs a hash.
fn first_step(
    context: &SignInContext,
    request: &Request,
    entered: &Entered,
    now: Now,
) -> Result<(Option<LoginRecord>, Attempter), PageRefusal> {
    let record = context.store.login_record(&entered.name)?;
    let who = context.attempter(request, record.as_ref().map(|record| record.id));
    context.begin(Proof::Password, &entered.name, who, now)?;
    Ok((record, who))
}

/// Compares the password; on the thread `password`.
fn checked(
    context: &SignInContext,
    request: &Request,
    entered: &Entered,
    record: Option<LoginRecord>,
    who: Attempter,
    now: Now,
) -> Result<Response, PageRefusal> {
    let stored = record.as_ref().and_then(|record| record.password.clone());
    let is_right = password::verify(&entered.password, stored.as_deref());
    let (true, Some(record), Some(stored)) = (is_right, &record, stored) else {
        refused(context, request, record.as_ref(), "a wrong password", now);
        return Ok(login_page(401, entered, Some("The name or the password is wrong.".into())));
    };
    context.attempts.succeeded(Proof::Password, &entered.name, who);
    if record.has_totp {
        let login = PendingLogin { user: record.id, name: record.name.clone(), password: stored };
        let step = context.pending.add(login, now.monotonic);
        let step = step.map_err(|error| PageRefusal::Failed(format!("no random numbers: {error}")))?;
        return Ok(code_page(200, step.as_str(), &entered.next, &entered.zone, None));
    }
    arrive(context, request, arrival(record, &entered.zone, None, now), &entered.next)
}

/// Compares the code of the second factor.
fn second_step(
    context: &SignInContext,
    request: &Request,
    form: &Form,
    now: Now,
) -> Result<Response, PageRefusal> {
    let (step, next, zone) = (form.text("step"), form.text("next"), form.text("zone"));
    let pending = context.pending.get(step, now.monotonic);
    let record = match &pending {
        Some(pending) => context.store.login_record(&pending.name)?.filter(|record| is_of(pending, record)),
        None => None,
    };
    let Some(record) = record else {
        let entered =
            Entered { name: String::new(), password: String::new(), next: next.into(), zone: zone.into() };
        return Ok(login_page(401, &entered, Some("That took too long. Sign in again.".into())));
    };
    let who = context.attempter(request, Some(record.id));
    context.begin(Proof::Code, &record.name, who, now)?;
    let Some(factor) = context.store.use_code(record.id, form.text("code"), now.wall)? else {
        refused(context, request, Some(&record), "a wrong code after the right password", now);
        let problem = "The code is wrong, or it was used before. Enter the one that is shown now.";
        return Ok(code_page(401, step, next, zone, Some(problem)));
    };
    context.attempts.succeeded(Proof::Code, &record.name, who);
    context.pending.remove(step, now.monotonic);
    let detail = match factor {
        SecondFactor::Code => "with a code".into(),
        SecondFactor::Recovery { left } => format!("with a recovery code; {left} are left"),
    };
    arrive(context, request, arrival(&record, zone, Some(&detail), now), next)
}

/// Neither the user nor the password has changed since the first step.
fn is_of(pending: &PendingLogin, record: &LoginRecord) -> bool {
    record.id == pending.user && record.password.as_deref() == Some(pending.password.as_str())
}

fn arrival<'a>(record: &'a LoginRecord, zone: &'a str, detail: Option<&'a str>, now: Now) -> Arrival<'a> {
    let zone = Some(zone).filter(|zone| !record.has_time_zone && !zone.is_empty());
    Arrival { user: record.id, name: &record.name, zone, detail, now }
}

/// Records a wrong attempt: in the audit log only for an existing user, whose attempts are limited.
fn refused(context: &SignInContext, request: &Request, record: Option<&LoginRecord>, detail: &str, now: Now) {
    let address = context.address(request);
    let name = record.map(|record| record.name.as_str());
    context.log_failure(name, address, now.monotonic);
    if let Some(name) = name {
        let actor = Actor { name: "not signed in".into(), address };
        let recorded = context.store.record_audit(&actor, "login.failed", Some(name), Some(detail), now.wall);
        // With a full disk, an existing user must not look different from an unknown one.
        if let Err(error) = recorded {
            log::warn!("cannot record a wrong sign-in: {error}");
        }
    }
}

/// `POST /logout`
pub fn sign_out(context: &SignInContext, request: &Request) -> Result<Response, PageRefusal> {
    if let Some(token) = cookie(request, SESSION_COOKIE) {
        context.store.end_session_of(token)?;
    }
    let cookie = cookies::no_session(context.public_url().as_ref());
    Ok(see_other("./login".into()).header("Set-Cookie", cookie))
}

fn login_page(status: u16, entered: &Entered, problem: Option<String>) -> Response {
    let frame = Frame::without_user("./", "Sign in");
    html(status, &LoginPage { frame, name: entered.name.clone(), next: entered.next.clone(), problem })
}

fn code_page(status: u16, step: &str, next: &str, zone: &str, problem: Option<&'static str>) -> Response {
    let frame = Frame::without_user("./", "Sign in");
    html(status, &CodePage { frame, step: step.into(), next: next.into(), zone: zone.into(), problem })
}
