//! `/healthz`: whether the heartbeat loop moves, and which file systems do not answer. Neither the server nor a file
//! system makes it 503: restarting the daemon would bring neither back.

use super::call::{Call, Handled};
use crate::http::Response;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

pub fn healthz(call: &Call) -> Handled {
    let still = call.context.heartbeat_status.stalled_for(call.now.monotonic);
    response(still, call.settings.is_loop_alive(still), &call.context.metrics.get().unresponsive).into()
}

fn response(still: Duration, moves: bool, unresponsive: &[PathBuf]) -> Response {
    let seconds = still.as_secs();
    if moves && unresponsive.is_empty() {
        return Response::json(200, &json!({ "status": "ok", "loop_age_s": seconds }));
    }
    if moves {
        let paths: Vec<_> = unresponsive.iter().map(|path| path.to_string_lossy()).collect();
        let body = json!({ "status": "degraded", "loop_age_s": seconds, "unresponsive": paths });
        return Response::json(200, &body);
    }
    let error = format!("the heartbeat loop has stood still for {seconds} s");
    Response::json(503, &json!({ "error": error, "loop_age_s": seconds }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stalled_loop_is_unavailable() {
        assert_eq!(response(Duration::from_secs(5), true, &[]).status(), 200);
        assert_eq!(response(Duration::from_secs(99), false, &[]).status(), 503);
        assert_eq!(response(Duration::from_secs(5), true, &["/mnt/nas".into()]).status(), 200);
    }
}
