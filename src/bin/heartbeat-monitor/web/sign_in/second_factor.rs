//! The second factor of the visitor's account: set up, turned on, turned off.

use super::confirm::{answer_confirmed, stay};
use super::context::SignInContext;
use crate::web::form::Form;
use crate::web::frame::{Frame, Section};
use crate::web::page::{html, see_other};
use crate::web::refusal::{PageRefusal, answer};
use crate::web::visit::SignedIn;
use askama::Template;
use heartbeat_daemon::http::{Exchange, Request, Response};
use heartbeat_daemon::monitor::accounts::totp::{TotpSecret, qr_svg, recovery_codes};
use std::sync::Arc;

#[derive(Template)]
#[template(path = "second_factor.html")]
struct SetupPage {
    frame: Frame,
    /// SVG.
    qr: String,
    /// In groups of four.
    key: String,
    secret: String,
    problem: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "recovery_codes.html")]
struct CodesPage {
    frame: Frame,
    codes: Vec<String>,
}

/// Shows a new secret. It is stored only after a code has proved that a program has it.
pub fn setup(visit: &SignedIn) -> Result<Response, PageRefusal> {
    let secret = TotpSecret::make().map_err(no_random)?;
    setup_page(200, visit, &secret, None)
}

fn setup_page(
    status: u16,
    visit: &SignedIn,
    secret: &TotpSecret,
    problem: Option<&'static str>,
) -> Result<Response, PageRefusal> {
    let text = secret.base32();
    let groups: Vec<&str> =
        text.as_bytes().chunks(4).filter_map(|group| std::str::from_utf8(group).ok()).collect();
    let qr = qr_svg(&secret.url(&visit.viewpoint.visitor.name));
    let page = SetupPage {
        frame: Frame::new(&visit.viewpoint, Section::Account, "Second factor"),
        qr: qr.map_err(|error| PageRefusal::Failed(format!("cannot draw a QR code: {error}")))?,
        key: groups.join(" "),
        secret: text.clone(),
        problem,
    };
    Ok(html(status, &page))
}

/// Turns it on if the code and the password are right.
pub fn turn_on(
    context: &Arc<SignInContext>,
    visit: SignedIn,
    password: String,
    exchange: Exchange,
    form: &Form,
) {
    let Some(secret) = TotpSecret::from_base32(form.text("secret")) else {
        let refusal = PageRefusal::Invalid("The form has no key.".into());
        return answer(exchange, Err(refusal));
    };
    // Guessing is useless: the key is the visitor's own.
    let Some(step) = secret.step_of(form.text("code"), None, visit.now.wall) else {
        let problem = "The code is wrong. Enter the one that is shown now; the phone's clock must be right.";
        let page = setup_page(400, &visit, &secret, Some(problem));
        return answer(exchange, page);
    };
    answer_confirmed(context, visit, password, exchange, move |context, request, visit| {
        let (user, codes) = (visit.viewpoint.visitor.id, recovery_codes().map_err(no_random)?);
        context.store.set_totp(&visit.actor(), user, &secret, step, &codes, visit.now.wall)?;
        let frame = Frame::new(&visit.viewpoint, Section::Account, "Recovery codes");
        stay(context, request, visit, html(200, &CodesPage { frame, codes }))
    });
}

/// Turns it off; the password was right.
pub fn turn_off(
    context: &SignInContext,
    request: &Request,
    visit: &SignedIn,
) -> Result<Response, PageRefusal> {
    context.store.clear_totp(&visit.actor(), visit.viewpoint.visitor.id, visit.now.wall)?;
    stay(context, request, visit, see_other("./account?done=totp-off".into()))
}

fn no_random(error: std::io::Error) -> PageRefusal {
    PageRefusal::Failed(format!("the kernel gives no random numbers: {error}"))
}
