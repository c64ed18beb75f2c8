//! `/healthz`: whether the heartbeat loop moves. Not whether the server is there: a restart would not bring it back.

use super::route::{Answer, Call};
use crate::http::Response;
use serde_json::json;

pub fn healthz(call: &Call) -> Answer {
    let still = call.known.account.still_for(call.now.monotonic);
    let seconds = still.as_secs();
    if call.settings.moves(still) {
        return Response::json(200, &json!({ "status": "ok", "loop_age_s": seconds })).into();
    }
    let error = format!("the heartbeat loop has stood still for {seconds} s");
    Response::json(503, &json!({ "error": error, "loop_age_s": seconds })).into()
}
