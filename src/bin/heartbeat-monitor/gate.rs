//! Judges each request by method, path and token before its body has arrived; the handlers check the same again.
//!
//! Incomplete requests of unknown clients end here; those of known devices are the last to be closed at a limit.

use crate::web::route::PageRoute;
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::http::{GateDecision, Method, Request, Response};
use heartbeat_daemon::monitor::api::ApiContext;
use heartbeat_daemon::monitor::ingest::{Ingest, enroll};
use heartbeat_daemon::monitor::packages::install::wrong_method;
use heartbeat_daemon::monitor::packages::offer;
use std::sync::Arc;

/// `pages`: they are served.
pub fn gate(
    ingest: Ingest,
    api: Arc<ApiContext>,
    pages: bool,
) -> impl Fn(&Request) -> GateDecision + Send + 'static {
    move |request| {
        let now = Moment::now();
        if let Some(verdict) = ingest.check(request, now) {
            return verdict;
        }
        if pages && PageRoute::of(request.path()).is_some() {
            return page_gate(request);
        }
        if offer::is_for_devices(request.path()) {
            return match request.method() {
                Method::Get => GateDecision::Receive,
                _ => GateDecision::Refuse(wrong_method()),
            };
        }
        if request.path() != enroll::PATH {
            return api.check(request, now);
        }
        // The key may be in the body.
        match (request.method(), api.refuse_enrolment(request)) {
            (Method::Post, None) => GateDecision::Receive,
            (Method::Post, Some(refusal)) => GateDecision::Refuse(refusal),
            _ => GateDecision::Refuse(enroll::wrong_method()),
        }
    }
}

/// The thread `page` looks at the session: that needs the database.
fn page_gate(request: &Request) -> GateDecision {
    match request.method() {
        Method::Get | Method::Post => GateDecision::Receive,
        _ => GateDecision::Refuse(Response::error(405, "use GET or POST").header("Allow", "GET, HEAD, POST")),
    }
}
