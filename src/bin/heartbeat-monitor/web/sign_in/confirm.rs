//! Sensitive changes, which ask for the visitor's password again.

use super::arrive::{Arrival, with_session};
use super::context::SignInContext;
use super::hashing::answer_there;
use crate::web::refusal::{PageRefusal, answer};
use crate::web::visit::SignedIn;
use heartbeat_daemon::http::{Exchange, Request, Response};
use heartbeat_daemon::monitor::accounts::attempts::{Attempter, Proof};
use heartbeat_daemon::monitor::accounts::password;
use std::sync::Arc;

/// [`answer_there`] if the password is the visitor's own: sensitive changes ask for it again.
pub fn answer_confirmed(
    context: &Arc<SignInContext>,
    visit: SignedIn,
    password: String,
    exchange: Exchange,
    work: impl FnOnce(&SignInContext, &Request, &SignedIn) -> Result<Response, PageRefusal> + Send + 'static,
) {
    let who = Attempter::SignedIn(visit.session);
    let name = visit.viewpoint.visitor.name.clone();
    if let Err(refusal) = context.begin(Proof::Password, &name, who, visit.now) {
        return answer(exchange, Err(refusal));
    }
    answer_there(context, who, exchange, move |context, request| {
        let stored = context.store.login_record(&name)?.and_then(|record| record.password);
        if stored.is_none() {
            let sentence = "You have no password, which this change asks for. An owner can make a link for you to set one.";
            return Err(PageRefusal::Invalid(sentence.into()));
        }
        if !password::verify(&password, stored.as_deref()) {
            context.log_failure(Some(&name), visit.address, visit.now.monotonic);
            return Err(PageRefusal::WrongPassword);
        }
        context.attempts.succeeded(Proof::Password, &name, who);
        work(context, request, &visit)
    });
}

/// All sessions have ended; this browser gets a new one.
pub fn stay(
    context: &SignInContext,
    request: &Request,
    visit: &SignedIn,
    response: Response,
) -> Result<Response, PageRefusal> {
    let visitor = &visit.viewpoint.visitor;
    let arrival = Arrival { user: visitor.id, name: &visitor.name, zone: None, detail: None, now: visit.now };
    with_session(context, request, arrival, response)
}
