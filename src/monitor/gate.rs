//! What is decided about a request before its body has come: method, path and token, as the handlers check them again.
//!
//! Half-sent requests of strangers end here, and those of known devices are the last to be closed at a bound.

use super::ingest::{Ingest, enroll};
use super::web::Web;
use crate::clock::Moment;
use crate::http::{GateDecision, Method, Request};
use std::sync::Arc;

pub fn gate(ingest: Ingest, web: Arc<Web>) -> impl Fn(&Request) -> GateDecision + Send + 'static {
    move |request| {
        let now = Moment::now();
        if let Some(verdict) = ingest.check(request, now) {
            return verdict;
        }
        if request.path() != enroll::PATH {
            return web.check(request, now);
        }
        // Its key may be in the body.
        match request.method() {
            Method::Post => GateDecision::Receive,
            _ => GateDecision::Refuse(enroll::wrong_method()),
        }
    }
}
