//! Judges each request by method, path and token before its body has arrived; the handlers check the same again.
//!
//! Incomplete requests of unknown clients end here; those of known devices are the last to be closed at a limit.

use super::api::ApiContext;
use super::ingest::{Ingest, enroll};
use crate::clock::Moment;
use crate::http::{GateDecision, Method, Request};
use std::sync::Arc;

pub fn gate(ingest: Ingest, api: Arc<ApiContext>) -> impl Fn(&Request) -> GateDecision + Send + 'static {
    move |request| {
        let now = Moment::now();
        if let Some(verdict) = ingest.check(request, now) {
            return verdict;
        }
        if request.path() != enroll::PATH {
            return api.check(request, now);
        }
        // The key may be in the body.
        match request.method() {
            Method::Post => GateDecision::Receive,
            _ => GateDecision::Refuse(enroll::wrong_method()),
        }
    }
}
