//! Requests that are answered on the thread `password`, because they need a hash.

use super::context::SignInContext;
use crate::http::{Exchange, Request, Response};
use crate::monitor::accounts::attempts::Attempter;
use crate::monitor::accounts::password::HashLane;
use crate::monitor::web::page::response;
use crate::monitor::web::refusal::PageRefusal;
use crate::monitor::web::route::PageRoute;
use std::sync::Arc;
use std::time::Duration;

/// After this time, a full queue of hashes has room again.
const BUSY: Duration = Duration::from_secs(2);

pub fn answer(exchange: Exchange, route: PageRoute, answer: Result<Response, PageRefusal>) {
    let Exchange { request, reply } = exchange;
    let answer = answer.unwrap_or_else(|refusal| refusal.into_response(&request, route));
    reply.send(response(&request, answer));
}

/// Answers with the result of `work`, which runs on the thread `password`; with 429 if too many requests wait for it.
pub fn answer_there(
    context: &Arc<SignInContext>,
    who: Attempter,
    (exchange, route): (Exchange, PageRoute),
    work: impl FnOnce(&SignInContext, &Request) -> Result<Response, PageRefusal> + Send + 'static,
) {
    let lane = if who.is_known() { HashLane::Known } else { HashLane::Stranger };
    let shared = context.clone();
    let submitted = context.passwords.submit(lane, exchange, move |exchange| {
        let answered = work(&shared, &exchange.request);
        answer(exchange, route, answered);
    });
    if let Err(exchange) = submitted {
        answer(*exchange, route, Err(PageRefusal::TooMany(BUSY)));
    }
}
