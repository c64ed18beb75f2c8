//! One POST with limits: of time, of redirects (none), of what is read of the answer.

use super::guard::PublicOnly;
use super::send::Failure;
use std::io::Read;
use std::time::Duration;
use ureq::Agent;
use ureq::unversioned::transport::DefaultConnector;

/// Of an answer, for the error in it; Telegram's are a few hundred bytes.
const MOST_READ: u64 = 16 * 1024;

/// Long enough for a burst over one connection, short enough to hold no socket for somebody we seldom call.
const IDLE: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Seconds, from `Retry-After`.
    pub retry_after: Option<Duration>,
    pub body: String,
}

/// Goes anywhere, or to public addresses alone.
#[derive(Debug, Clone)]
pub struct Http {
    agent: Agent,
}

impl Http {
    /// For Telegram, whose server the configuration names; by a proxy if the environment has one.
    pub fn anywhere(timeout: Duration) -> Http {
        Http { agent: config(timeout).build().new_agent() }
    }

    /// For webhooks and ntfy. No proxy: it would resolve the name itself, where nobody checks the address.
    pub fn guarded(timeout: Duration, allow_private: bool) -> Http {
        let config = config(timeout).proxy(None).build();
        match allow_private {
            true => Http { agent: config.new_agent() },
            false => {
                Http { agent: Agent::with_parts(config, DefaultConnector::default(), PublicOnly::default()) }
            }
        }
    }

    /// # Errors
    /// There was no whole answer; any status is one.
    pub fn post(&self, url: &str, headers: &[(&str, String)], body: &[u8]) -> Result<Answer, Failure> {
        let mut request = self.agent.post(url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = request.send(body).map_err(|error| Failure::later(sentence(&error)))?;
        let status = response.status().as_u16();
        let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = header.and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
        let mut text = Vec::new();
        // The status has decided; of a body that breaks off, what came is enough.
        let _ = response.into_body().into_reader().take(MOST_READ).read_to_end(&mut text);
        Ok(Answer { status, retry_after, body: String::from_utf8_lossy(&text).into_owned() })
    }
}

fn config(timeout: Duration) -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(MOST_READ as usize)
        .timeout_global(Some(timeout))
        .max_idle_age(IDLE)
        .max_idle_connections(8)
        .user_agent(concat!("heartbeat-monitor/", env!("CARGO_PKG_VERSION")))
}

/// Without the URL, in which a bot token may stand.
fn sentence(error: &ureq::Error) -> String {
    match error {
        ureq::Error::BadUri(_) => "the URL is not one".into(),
        ureq::Error::HostNotFound => "its host has no address".into(),
        ureq::Error::Timeout(_) => "no answer in time".into(),
        ureq::Error::Other(why) => why.to_string(),
        ureq::Error::Io(why) => why.to_string(),
        other => other.to_string(),
    }
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What a status means that is the same for all: the receiver is broken, busy, or does not know us, which may
    /// pass; or it refuses this very message, and would again.
    pub fn failure(&self) -> Failure {
        let why = match self.status {
            300..=399 => format!("{}: it redirects; name the last URL itself", self.status),
            401 | 403 => format!("{}: it does not accept our credentials", self.status),
            404 | 410 => format!("{}: there is nothing at this URL", self.status),
            429 => "429: too many messages".into(),
            status => status.to_string(),
        };
        match self.status {
            400..=499 if ![401, 403, 404, 407, 408, 410, 421, 425, 429].contains(&self.status) => {
                Failure::Never { why: format!("{why}: it refuses this message") }
            }
            _ => Failure::Later { why, after: self.retry_after },
        }
    }
}
