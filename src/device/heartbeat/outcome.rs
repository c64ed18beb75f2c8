//! The outcome of a heartbeat: what the server's answer means.

use super::delivery::AnswerKind;
use super::request::RequestTemplate;
use crate::device::config;
use crate::duration::span;
use crate::wire;
use std::time::Duration;
use ureq::Body;
use ureq::http::header::{HeaderName, LOCATION, RETRY_AFTER};
use ureq::http::{Response, StatusCode};

/// The outcome of a heartbeat.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// The server has it. `monitor`: the answer was heartbeat-monitor's, which takes replays.
    Accepted { status: u16, monitor: bool },
    /// 401 or 403: our token is wrong, or we sent none. The pace is kept; a person has to act.
    Refused { status: u16, with_token: bool },
    /// The server will never take this one.
    Rejected { status: u16, hint: Option<String> },
    /// An answer that is not the server's: a redirect, or a page in place of heartbeat-monitor's JSON.
    Foreign { problem: String },
    /// The server requires a pause (429 or 503 with Retry-After).
    Busy { hold: Duration },
    /// No answer, or one that permits a retry.
    Failed { problem: String },
    /// Another thread cut the connection.
    Cut,
}

/// The meaning of an answer. Its body is read only as far as ours can be long; with more of it the connection is
/// dropped, and the status counts all the same where our JSON is not expected.
pub fn judge(
    mut response: Response<Body>,
    target: &RequestTemplate,
    expects_ours: bool,
) -> (Outcome, AnswerKind) {
    let status = response.status();
    let code = status.as_u16();
    if status.is_success() {
        let body = response.body_mut().with_config().limit(wire::MAX_BODY as u64).read_to_vec();
        let ours = body.is_ok_and(|body| serde_json::from_slice::<wire::HeartbeatResponse>(&body).is_ok());
        let outcome = match expects_ours && !ours {
            true => Outcome::Foreign {
                problem: format!(
                    "status {code}, but not from heartbeat-monitor: a network's login page, or check url"
                ),
            },
            false => Outcome::Accepted { status: code, monitor: ours },
        };
        return (outcome, AnswerKind::Success { ours });
    }
    let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
    if status.is_redirection() {
        let to = header(LOCATION).map(|place| format!(" to {}", config::without_query(place)));
        let problem = format!(
            "status {code}, a redirect{}: put the server's own address into url, or log in if this is a network's \
             login page",
            to.unwrap_or_default()
        );
        return (Outcome::Foreign { problem }, AnswerKind::Redirect);
    }
    if status == StatusCode::NETWORK_AUTHENTICATION_REQUIRED {
        let problem = format!("status {code}: the network requires a login");
        return (Outcome::Foreign { problem }, AnswerKind::LoginRequired);
    }
    let failed = || Outcome::Failed { problem: format!("status {code}") };
    let outcome = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Outcome::Refused { status: code, with_token: target.has_token() }
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            // A date instead of seconds would need a clock that can be trusted.
            let seconds = header(RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok());
            seconds.map_or_else(failed, |seconds| Outcome::Busy { hold: Duration::from_secs(seconds) })
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            Outcome::Rejected { status: code, hint: config::advice::missing_path(&target.uri) }
        }
        _ if status.is_client_error() => Outcome::Rejected { status: code, hint: None },
        _ => failed(),
    };
    (outcome, AnswerKind::Other)
}

/// The outcome as one clause for people. `server` is its name.
pub fn summary(server: &str, outcome: &Outcome, took: Duration) -> String {
    match outcome {
        Outcome::Accepted { status, .. } => format!("{server} answered {status} in {}", span(took)),
        Outcome::Refused { status, with_token: true } => format!("{server} refuses our token ({status})"),
        Outcome::Refused { status, with_token: false } => {
            format!("{server} refuses heartbeats without a token ({status})")
        }
        Outcome::Rejected { status, .. } => format!("{server} rejects our heartbeats ({status})"),
        Outcome::Foreign { problem } => format!("not delivered to {server}: {problem}"),
        Outcome::Busy { hold } => format!("{server} requires a pause of {}", span(*hold)),
        Outcome::Failed { problem } => format!("{server}: {problem}"),
        Outcome::Cut => format!("the connection to {server} was cut"),
    }
}
