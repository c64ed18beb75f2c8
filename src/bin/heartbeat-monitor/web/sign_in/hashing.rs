//! Requests that are answered on the thread `password`, because they need a hash.

use super::context::SignInContext;
use crate::web::refusal::{PageRefusal, answer};
use heartbeat_daemon::http::{Exchange, Request, Response};
use heartbeat_daemon::monitor::accounts::attempts::Attempter;
use heartbeat_daemon::monitor::accounts::password::HashLane;
use std::sync::Arc;
use std::time::Duration;

/// After this time, a full queue of hashes has room again.
const BUSY: Duration = Duration::from_secs(2);

/// Answers with the result of `work`, which runs on the thread `password`; with 429 if too many requests wait for it.
pub fn answer_there(
    context: &Arc<SignInContext>,
    who: Attempter,
    exchange: Exchange,
    work: impl FnOnce(&SignInContext, &Request) -> Result<Response, PageRefusal> + Send + 'static,
) {
    let lane = if who.is_known() { HashLane::Known } else { HashLane::Stranger };
    let shared = context.clone();
    let submitted = context.passwords.submit(lane, exchange, move |exchange| {
        let answered = work(&shared, &exchange.request);
        answer(exchange, answered);
    });
    if let Err(exchange) = submitted {
        answer(*exchange, Err(PageRefusal::TooMany(BUSY)));
    }
}
