//! One POST with limits: of time, of redirects (none), of what is read of the answer.

use super::Settings;
use super::guard::PublicOnly;
use super::send::Failure;
use crate::clock::Moment;
use crate::resolver::Names;
use crate::resolver::ureq_resolver::UreqResolver;
use crate::tls_client::connector::TlsConnector;
use crate::tls_client::fault;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::resolver::Resolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, TcpConnector};

/// Of an answer, for the error in it; Telegram's are a few hundred bytes.
const MOST_READ: u64 = 16 * 1024;

/// Characters of an answer that are shown, and among how many they are looked for.
const MOST_WORDS: usize = 200;
const LONGEST_SEARCH: usize = 4096;

/// Long enough for a burst over one connection, short enough to hold no socket for somebody we seldom call.
const IDLE: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// From `Retry-After`: seconds, or a date.
    pub retry_after: Option<Duration>,
    pub body: String,
}

/// Goes anywhere, or to public addresses alone.
#[derive(Debug, Clone)]
pub struct Http {
    /// The error: why there can be no TLS.
    agent: Result<Agent, String>,
}

impl Http {
    /// For Telegram, whose server the configuration names; by a proxy if the environment has one.
    pub fn anywhere(settings: &Settings, names: &Arc<Names>) -> Http {
        Http::new(settings, config(settings.timeout).build(), UreqResolver(names.clone()))
    }

    /// For webhooks and ntfy. No proxy: it would resolve the name itself, where nobody checks the address.
    pub fn guarded(settings: &Settings, names: &Arc<Names>) -> Http {
        let config = config(settings.timeout).proxy(None).build();
        if settings.allow_private_webhooks {
            Http::new(settings, config, UreqResolver(names.clone()))
        } else {
            Http::new(settings, config, PublicOnly(UreqResolver(names.clone())))
        }
    }

    fn new(settings: &Settings, config: Config, resolver: impl Resolver) -> Http {
        let agent = settings.trust.client_config(None).map(|tls| {
            let connector =
                ().chain(ConnectProxyConnector::default())
                    .chain(TcpConnector::default())
                    .chain(TlsConnector::new(Arc::new(tls)));
            Agent::with_parts(config, connector, resolver)
        });
        Http { agent: agent.map_err(|error| format!("TLS cannot be set up: {error}")) }
    }

    /// # Errors
    /// There was no whole answer; any status is one.
    pub fn post(&self, url: &str, headers: &[(&str, String)], body: &[u8]) -> Result<Answer, Failure> {
        let agent = self.agent.as_ref().map_err(|problem| Failure::later(problem.clone()))?;
        let mut request = agent.post(url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = request.send(body).map_err(|error| Failure::later(sentence(&error)))?;
        let status = response.status().as_u16();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after =
            header("retry-after").and_then(|wish| retry_after(wish, header("date"), Moment::now()));
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
        .max_idle_connections(64)
        // As many as one channel has in flight.
        .max_idle_connections_per_host(8)
        .user_agent(concat!("heartbeat-monitor/", env!("CARGO_PKG_VERSION")))
}

/// Without the URL, in which a bot token may stand.
fn sentence(error: &ureq::Error) -> String {
    match error {
        ureq::Error::BadUri(_) => "the URL is not one".into(),
        ureq::Error::HostNotFound => "its host has no address".into(),
        ureq::Error::Timeout(_) => "no answer in time".into(),
        ureq::Error::Other(why) => why.to_string(),
        ureq::Error::Io(why) => match fault::within(why) {
            Some(tls) => about_tls(tls),
            None => why.to_string(),
        },
        ureq::Error::Rustls(tls) => about_tls(tls),
        other => other.to_string(),
    }
}

/// The wait that a `Retry-After` header asks for: a number of seconds, or an HTTP date, which is compared with the
/// receiver's own `Date` if there is one. `None` if it asks for nothing or cannot be parsed.
fn retry_after(wish: &str, date: Option<&str>, now: Moment) -> Option<Duration> {
    let wish = wish.trim();
    if !wish.is_empty() && wish.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number too large for 64 bits is a long wait, not none.
        return Some(Duration::from_secs(wish.parse().unwrap_or(u64::MAX)));
    }
    let seconds =
        |text: &str| OffsetDateTime::parse(text.trim(), &Rfc2822).ok().map(OffsetDateTime::unix_timestamp);
    let until = seconds(wish)?;
    let since = date.and_then(seconds).unwrap_or(now.0.div_euclid(1000));
    u64::try_from(until.saturating_sub(since)).ok().map(Duration::from_secs)
}

/// A receiver's own words in one short line; markup is left out. Empty if it said nothing.
pub fn words(text: &str) -> String {
    let mut inside_tag = false;
    let is_markup = text.trim_start().starts_with('<');
    let visible = text.chars().map(|c| {
        let hidden = is_markup && (inside_tag || c == '<');
        inside_tag = if inside_tag { c != '>' } else { c == '<' };
        if hidden || c.is_control() { ' ' } else { c }
    });
    let mut line = String::new();
    for word in visible.take(LONGEST_SEARCH).collect::<String>().split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line.chars().take(MOST_WORDS).collect()
}

fn about_tls(error: &rustls::Error) -> String {
    fault::advice(error).unwrap_or_else(|| format!("TLS: {error}"))
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The failure that a status means for every receiver: it is broken, busy, misconfigured or does not know us. All of
    /// that can pass, so the message is retried until it expires.
    pub fn failure(&self) -> Failure {
        let meaning = match self.status {
            300..=399 => ": it redirects; name the last URL itself",
            401 | 403 => ": it does not accept our credentials",
            404 | 410 => ": there is nothing at this URL",
            429 => ": too many messages",
            400..=499 => ": it refuses this message",
            _ => "",
        };
        let mut why = format!("{}{meaning}", self.status);
        let said = words(&self.body);
        if !said.is_empty() {
            why = format!("{why}; it says: {said}");
        }
        Failure::Later { why, after: self.retry_after, limits_us: self.status == 429 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(784_111_777_000);

    #[test]
    fn a_wish_to_wait_is_seconds_or_a_date() {
        let wish = |text| retry_after(text, None, NOW).map(|wait| wait.as_secs());
        assert_eq!(wish("0"), Some(0));
        assert_eq!(wish(" 120 "), Some(120));
        assert_eq!(wish("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(wish("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        for nothing in
            ["", "-5", "1.5", "5s", "soon", "\u{fc}", "Sun, 06 Nov 1994 08:00:00 GMT", "Sun, 99 Nov 1994"]
        {
            assert_eq!(wish(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_date_is_compared_with_the_receivers_own_clock() {
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let wait = retry_after("Sun, 06 Nov 1994 08:50:07 GMT", date, Moment(0));
        assert_eq!(wait, Some(Duration::from_secs(30)));
    }

    #[test]
    fn every_refusal_is_retried_and_says_what_the_receiver_said() {
        for status in [302, 400, 401, 404, 409, 410, 413, 415, 422, 429, 451, 499, 500, 503, 599] {
            let answer = Answer { status, retry_after: None, body: "no\tsuch {field}\r\n\0".into() };
            let Failure::Later { why, .. } = answer.failure() else { panic!("{status} is final") };
            assert!(
                why.starts_with(&status.to_string()) && why.ends_with("; it says: no such {field}"),
                "{why}"
            );
        }
        let silent = Answer { status: 500, retry_after: None, body: " \r\n".into() };
        assert_eq!(silent.failure(), Failure::later("500"));
    }

    #[test]
    fn an_error_page_is_read_without_its_markup_and_not_to_its_end() {
        let page =
            format!("<html><head><title>502 Bad Gateway</title></head>\r\n<p>{}</p>", "x".repeat(9999));
        assert!(words(&page).starts_with("502 Bad Gateway xxx"), "{}", words(&page));
        assert_eq!(words(&page).chars().count(), MOST_WORDS);
    }
}
