//! `/healthz`: whether the heartbeat loop moves. Not whether the server is there: a restart would not bring it back.

use super::call::{Answer, Call};
use crate::http::Response;
use serde_json::json;
use std::time::Duration;

pub fn healthz(call: &Call) -> Answer {
    let still = call.known.account.still_for(call.now.monotonic);
    told(still, call.settings.moves(still)).into()
}

fn told(still: Duration, moves: bool) -> Response {
    let seconds = still.as_secs();
    if moves {
        return Response::json(200, &json!({ "status": "ok", "loop_age_s": seconds }));
    }
    let error = format!("the heartbeat loop has stood still for {seconds} s");
    Response::json(503, &json!({ "error": error, "loop_age_s": seconds }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_unavailable() {
        assert_eq!(told(Duration::from_secs(5), true).status(), 200);
        assert_eq!(told(Duration::from_secs(99), false).status(), 503);
    }
}
