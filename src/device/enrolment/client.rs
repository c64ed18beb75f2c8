//! One request to be enrolled, and what its answer means.
//!
//! ```text
//! POST /api/v1/enroll    Authorization: Bearer KEY
//! {"hardwareid": "10000000a5bd2dd2", "hostname": "barn-cam", "token": "43 characters"}
//! ```

use super::record::EnrolmentRecord;
use super::server::MonitorAddress;
use super::stored::EnrolmentState;
use crate::clock::Moment;
use crate::config::ConfigError;
use crate::device::config::{HeartbeatConfig, without_query};
use crate::device::heartbeat::credentials::Credentials;
use crate::device::heartbeat::problem::describe;
use crate::device::heartbeat::{sender, transport};
use crate::resolver::NameResolver;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use ureq::http::{Response, Uri};
use ureq::{Agent, Body};

/// For everything together; the monitor's answer waits for its disk.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Far above a monitor's answer.
const LONGEST_ANSWER: u64 = 16 * 1024;

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnrolmentAnswer {
    /// The token is valid; the machine's name and number.
    Granted { name: String, machine: i64 },
    /// A person has to approve it: the reason.
    Waiting(String),
    /// The monitor refuses the key or the request: its sentence.
    Refused(String),
    /// No answer, or not a monitor's: worth another attempt, after `hold` at the earliest.
    Failed { problem: String, hold: Option<Duration> },
}

/// Asks one monitor.
#[derive(Debug)]
pub struct EnrolmentClient {
    agent: Agent,
    enroll: Uri,
}

impl EnrolmentClient {
    /// For the server of `record`, verified with its CA; without one as `config` says.
    ///
    /// # Errors
    /// A certificate file cannot be read or used, or no thread for the resolver can be started.
    pub fn new(
        config: &HeartbeatConfig,
        server: &MonitorAddress,
        record: &EnrolmentRecord,
    ) -> Result<EnrolmentClient, ConfigError> {
        let mut config = config.clone();
        if record.ca.is_some() {
            config.ca_file = None;
        }
        config.token_file = None;
        config.enrolment.state = EnrolmentState::Used(Arc::new(record.clone()));
        let tls = Credentials::load(&config)?.tls;
        let names =
            NameResolver::start(crate::device::heartbeat::RESOLVER_LIMITS, crate::resolver::lookup)
                .map_err(|error| ConfigError::new(format!("cannot start the resolver thread: {error}")))?;
        let agent = transport::agent(
            sender::agent_config(TIMEOUT, TIMEOUT),
            Arc::new(names),
            // The kernel chooses the way.
            Arc::default(),
            tls,
        );
        Ok(EnrolmentClient { agent, enroll: server.enroll.clone() })
    }

    /// One request. `credential` is a key, or the token of the machine whose card this is.
    pub fn send(
        &self,
        credential: &str,
        record: &EnrolmentRecord,
        hostname: Option<&str>,
    ) -> EnrolmentAnswer {
        let body = json!({ "hardwareid": record.hardware_id, "hostname": hostname, "token": record.token });
        let Ok(mut bearer) = HeaderValue::from_str(&format!("Bearer {credential}")) else {
            return EnrolmentAnswer::Refused("the key has characters that no key has".into());
        };
        bearer.set_sensitive(true);
        let request = self.agent.post(self.enroll.clone()).header(AUTHORIZATION, bearer);
        match request.header(CONTENT_TYPE, "application/json").send(body.to_string()) {
            Ok(response) => judge(response),
            Err(error) => {
                EnrolmentAnswer::Failed { problem: describe(&error, TIMEOUT, Moment::now()), hold: None }
            }
        }
    }
}

fn judge(mut response: Response<Body>) -> EnrolmentAnswer {
    let status = response.status().as_u16();
    let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
    let seconds = header(RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok());
    let location = header(LOCATION).map(|place| format!(", a redirect to {}", without_query(place)));
    let body = response.body_mut().with_config().limit(LONGEST_ANSWER).read_to_vec().unwrap_or_default();
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |key: &str| json[key].as_str().map(shown);
    let granted = text("name").zip(json["machine"].as_i64());
    match (status, granted, text("waiting"), text("error")) {
        (201, Some((name, machine)), ..) => EnrolmentAnswer::Granted { name, machine },
        (202, _, Some(reason), _) => EnrolmentAnswer::Waiting(reason),
        // From a monitor: a login page or a proxy has no such JSON.
        (400 | 401 | 403, _, _, Some(error)) => EnrolmentAnswer::Refused(error),
        (_, _, _, error) => EnrolmentAnswer::Failed {
            problem: match (location, error) {
                (Some(location), _) => format!("status {status}{location}"),
                (None, Some(error)) => format!("status {status}: {error}"),
                (None, None) => format!("status {status}, and not a heartbeat-monitor's answer"),
            },
            hold: seconds.map(Duration::from_secs),
        },
    }
}

/// A monitor's text for the log: one line of bounded length, without control characters.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> EnrolmentAnswer {
        let response = headers
            .iter()
            .fold(Response::builder().status(status), |built, (name, value)| built.header(*name, *value));
        judge(response.body(Body::builder().data(body.to_owned())).expect("a response"))
    }

    fn failed(problem: &str, hold: Option<u64>) -> EnrolmentAnswer {
        EnrolmentAnswer::Failed { problem: problem.into(), hold: hold.map(Duration::from_secs) }
    }

    #[test]
    fn what_each_answer_means() {
        let granted = r#"{"machine": 7, "name": "barn-cam"}"#;
        let refused = r#"{"error": "the key is used"}"#;
        let not_ours = ", and not a heartbeat-monitor's answer";
        for (status, headers, body, meaning) in [
            (201, vec![], granted, EnrolmentAnswer::Granted { name: "barn-cam".into(), machine: 7 }),
            (202, vec![], r#"{"waiting": "approval"}"#, EnrolmentAnswer::Waiting("approval".into())),
            // The token is stored, and valid as soon as the monitor can read its database.
            (202, vec![], granted, failed(&format!("status 202{not_ours}"), None)),
            (403, vec![], refused, EnrolmentAnswer::Refused("the key is used".into())),
            (400, vec![], refused, EnrolmentAnswer::Refused("the key is used".into())),
            (403, vec![], "<html>", failed(&format!("status 403{not_ours}"), None)),
            (200, vec![], "<html>", failed(&format!("status 200{not_ours}"), None)),
            (201, vec![], "<html>", failed(&format!("status 201{not_ours}"), None)),
            (404, vec![], refused, failed("status 404: the key is used", None)),
            (429, vec![("retry-after", "11")], refused, failed("status 429: the key is used", Some(11))),
            (503, vec![("retry-after", "Sun")], "", failed(&format!("status 503{not_ours}"), None)),
            (
                302,
                vec![("location", "https://login.example.org/?token=x")],
                "",
                failed("status 302, a redirect to https://login.example.org/", None),
            ),
        ] {
            assert_eq!(answer(status, &headers, body), meaning, "{status} {body}");
        }
    }

    #[test]
    fn a_monitors_text_cannot_control_a_terminal_or_fill_the_log() {
        let EnrolmentAnswer::Refused(text) =
            answer(403, &[], &json!({ "error": format!("\u{1b}[2J{}", "x".repeat(1000)) }).to_string())
        else {
            panic!("refused")
        };
        assert!(text.starts_with("[2J") && text.len() == 300, "{text}");
    }
}
