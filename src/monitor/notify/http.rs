//! One POST with limits: total time, no redirects, bytes read of the response.

use super::guard::PublicOnly;
use super::message::DeliveryError;
use super::settings::NotifySettings;
use crate::clock::Moment;
use crate::resolver::NameResolver;
use crate::resolver::ureq_resolver::UreqResolver;
use crate::tls_client::connector::TlsConnector;
use crate::tls_client::fault;
use serde_json::Value;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use ureq::config::Config;
use ureq::typestate::WithBody;
use ureq::unversioned::resolver::Resolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector, TcpConnector};
use ureq::{Agent, RequestBuilder};

/// Bytes read of a response, for the error message in it; Telegram's are a few hundred bytes.
const LARGEST_RESPONSE: u64 = 16 * 1024;

/// Characters of a response that are shown, and that are searched for text.
const LONGEST_EXCERPT: usize = 200;
const LONGEST_SEARCH: usize = 4096;

/// Long enough for a burst over one connection, short enough not to keep idle sockets open.
const IDLE: Duration = Duration::from_secs(10);

/// The response of a receiver.
#[derive(Debug)]
pub struct HttpResponse {
    pub status: u16,
    /// The pause in `Retry-After`.
    pub retry_after: Option<Duration>,
    pub body: String,
}

/// Sends POST requests to any address, or only to public ones.
#[derive(Debug, Clone)]
pub struct PostClient {
    /// `Err`: why TLS cannot be set up.
    agent: Result<Agent, String>,
}

impl PostClient {
    /// For Telegram, whose server the configuration names; uses a proxy from the environment.
    pub fn unrestricted(settings: &NotifySettings, names: &Arc<NameResolver>) -> PostClient {
        PostClient::new(settings, config(settings.timeout).build(), UreqResolver(names.clone()))
    }

    /// For webhooks and ntfy. Without a proxy, which would resolve the name without checking the address.
    pub fn public_only(settings: &NotifySettings, names: &Arc<NameResolver>) -> PostClient {
        let config = config(settings.timeout).proxy(None).build();
        if settings.allow_private_webhooks {
            PostClient::new(settings, config, UreqResolver(names.clone()))
        } else {
            PostClient::new(settings, config, PublicOnly(UreqResolver(names.clone())))
        }
    }

    fn new(settings: &NotifySettings, config: Config, resolver: impl Resolver) -> PostClient {
        let agent = settings.trust.client_config(None).map(|tls| {
            let connector =
                ().chain(ConnectProxyConnector::default())
                    .chain(TcpConnector::default())
                    .chain(TlsConnector::new(Arc::new(tls)));
            Agent::with_parts(config, connector, resolver)
        });
        PostClient { agent: agent.map_err(|error| format!("cannot set up TLS: {error}")) }
    }

    /// # Errors
    /// No response; any status counts as one.
    pub fn post(
        &self,
        url: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Result<HttpResponse, DeliveryError> {
        self.post_for(url, headers, body, LARGEST_RESPONSE)
    }

    /// [`PostClient::post`] with the method PUT.
    ///
    /// # Errors
    /// No response; any status counts as one.
    pub fn put(
        &self,
        url: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Result<HttpResponse, DeliveryError> {
        send(self.agent()?.put(url), headers, body, LARGEST_RESPONSE)
    }

    /// Reads at most `largest` bytes of the response.
    ///
    /// # Errors
    /// No response; any status counts as one.
    pub fn post_for(
        &self,
        url: &str,
        headers: &[(&str, String)],
        body: &[u8],
        largest: u64,
    ) -> Result<HttpResponse, DeliveryError> {
        send(self.agent()?.post(url), headers, body, largest)
    }

    fn agent(&self) -> Result<&Agent, DeliveryError> {
        self.agent.as_ref().map_err(|problem| DeliveryError::later(problem.clone()))
    }
}

fn send(
    mut request: RequestBuilder<WithBody>,
    headers: &[(&str, String)],
    body: &[u8],
    largest: u64,
) -> Result<HttpResponse, DeliveryError> {
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let response = request.send(body).map_err(|error| DeliveryError::later(reason(&error)))?;
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let now = Moment::now();
    let reset = header("x-limit-app-reset").filter(|_| status == 429).and_then(|at| pause_until(at, now));
    let wish = header("retry-after").and_then(|wish| retry_after(wish, header("date"), now));
    let retry_after = wish.or(reset);
    let mut text = Vec::new();
    // The status decides; a truncated body is enough.
    let _ = response.into_body().into_reader().take(largest).read_to_end(&mut text);
    Ok(HttpResponse { status, retry_after, body: String::from_utf8_lossy(&text).into_owned() })
}

/// Pushover's form of `Retry-After`: the Unix time at which its quota begins again.
fn pause_until(at: &str, now: Moment) -> Option<Duration> {
    let left = at.trim().parse::<i64>().ok()?.saturating_sub(now.0.div_euclid(1000));
    u64::try_from(left).ok().map(Duration::from_secs)
}

fn config(timeout: Duration) -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .max_response_header_size(LARGEST_RESPONSE as usize)
        .timeout_global(Some(timeout))
        .max_idle_age(IDLE)
        .max_idle_connections(64)
        // As many as a channel has in flight.
        .max_idle_connections_per_host(8)
        .user_agent(concat!("heartbeat-monitor/", env!("CARGO_PKG_VERSION")))
}

/// The reason without the URL, which may contain a bot token.
fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::BadUri(_) => "invalid URL".into(),
        ureq::Error::HostNotFound => "host not found".into(),
        ureq::Error::Timeout(_) => "no response in time".into(),
        ureq::Error::Other(why) => why.to_string(),
        ureq::Error::Io(why) => match fault::within(why) {
            Some(tls) => about_tls(tls),
            None => why.to_string(),
        },
        ureq::Error::Rustls(tls) => about_tls(tls),
        other => other.to_string(),
    }
}

/// Parses `Retry-After`: seconds, or an HTTP date, which is compared with the receiver's own `Date` if there is one. `None`
/// if it is in the past or cannot be parsed.
fn retry_after(wish: &str, date: Option<&str>, now: Moment) -> Option<Duration> {
    let wish = wish.trim();
    if !wish.is_empty() && wish.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number beyond 64 bits is a long wait.
        return Some(Duration::from_secs(wish.parse().unwrap_or(u64::MAX)));
    }
    let seconds =
        |text: &str| OffsetDateTime::parse(text.trim(), &Rfc2822).ok().map(OffsetDateTime::unix_timestamp);
    let until = seconds(wish)?;
    let since = date.and_then(seconds).unwrap_or(now.0.div_euclid(1000));
    u64::try_from(until.saturating_sub(since)).ok().map(Duration::from_secs)
}

/// The text of a response in one short line, without markup.
pub fn excerpt(text: &str) -> String {
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
    line.chars().take(LONGEST_EXCERPT).collect()
}

fn about_tls(error: &rustls::Error) -> String {
    fault::advice(error).unwrap_or_else(|| format!("TLS: {error}"))
}

impl HttpResponse {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The error for a status that is not a success: the receiver is broken, busy, misconfigured or does not know us. All of
    /// these can be temporary, so the message is retried until it expires.
    pub fn error(&self) -> DeliveryError {
        self.refused(&Refusal::default())
    }

    /// [`HttpResponse::error`] with what is known about the service.
    pub fn refused(&self, refusal: &Refusal) -> DeliveryError {
        let meaning = match self.status {
            _ if !refusal.advice.is_empty() => refusal.advice,
            300..=399 => "redirects are not followed; configure the final URL",
            401 | 403 => "the credentials were not accepted",
            404 | 410 => "nothing found at this URL",
            429 => "too many messages",
            400..=499 => "the message was refused",
            _ => "",
        };
        let mut why = self.status.to_string();
        if !meaning.is_empty() {
            why = format!("{why}: {meaning}");
        }
        let said = excerpt(&self.body);
        if !said.is_empty() {
            why = format!("{why}{RESPONSE}{said}");
        }
        match refusal.is_final {
            true => DeliveryError::Never { why },
            false => {
                let after = self.retry_after.max(refusal.pause);
                DeliveryError::Later { why, after, limits_us: self.status == 429 }
            }
        }
    }

    /// `Null` if the body is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// What an answer means that is not a success.
#[derive(Debug, Clone, Copy, Default)]
pub struct Refusal {
    /// Only for a text that the service will never accept, and for an address that does not exist.
    pub is_final: bool,
    /// The pause that the answer's body asks for.
    pub pause: Option<Duration>,
    /// What a person can do; empty: what the status says.
    pub advice: &'static str,
}

impl Refusal {
    pub fn retried(advice: &'static str) -> Refusal {
        Refusal { advice, ..Refusal::default() }
    }

    pub fn never(advice: &'static str) -> Refusal {
        Refusal { is_final: true, advice, ..Refusal::default() }
    }
}

/// A pause in a JSON body: a number that may have a fraction, in units of `unit_ms`. Any other value is none.
pub fn pause_in(value: &Value, unit_ms: f64) -> Option<Duration> {
    // The cast saturates: far above the longest wait that is respected, and 0 below 0.
    value.as_f64().map(|number| Duration::from_millis((number * unit_ms).ceil() as u64))
}

/// In a delivery's error, before what the receiver answered.
const RESPONSE: &str = "; response: ";

/// A delivery's error without what the receiver answered: that may differ each time, and that of an internal server must
/// not be shown.
pub fn without_response(why: &str) -> &str {
    why.split_once(RESPONSE).map_or(why, |(before, _)| before)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(784_111_777_000);

    #[test]
    fn retry_after_is_seconds_or_a_date() {
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
    fn a_pause_in_json_is_rounded_up_and_never_negative() {
        let pause = |json: &str, unit| {
            pause_in(&serde_json::from_str(json).expect("JSON"), unit).map(|pause| pause.as_millis())
        };
        assert_eq!(pause("0.0004", 1000.0), Some(1));
        assert_eq!(pause("64.57", 1000.0), Some(64_570));
        assert_eq!(pause("2000", 1.0), Some(2000));
        assert_eq!(pause("-3", 1000.0), Some(0));
        assert_eq!(pause("1e300", 1000.0), Some(u128::from(u64::MAX)));
        assert_eq!((pause("null", 1.0), pause("\"5\"", 1.0)), (None, None));
    }

    #[test]
    fn a_quota_begins_again_at_a_unix_time() {
        let wait = |at| pause_until(at, NOW).map(|wait| wait.as_secs());
        assert_eq!(wait("784111837"), Some(60));
        assert_eq!((wait("784111000"), wait("soon"), wait("")), (None, None, None));
    }

    #[test]
    fn a_date_is_compared_with_the_clock_of_the_receiver() {
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let wait = retry_after("Sun, 06 Nov 1994 08:50:07 GMT", date, Moment(0));
        assert_eq!(wait, Some(Duration::from_secs(30)));
    }

    #[test]
    fn every_refusal_is_retried_and_shows_the_response() {
        for status in [302, 400, 401, 404, 409, 410, 413, 415, 422, 429, 451, 499, 500, 503, 599] {
            let answer = HttpResponse { status, retry_after: None, body: "no\tsuch {field}\r\n\0".into() };
            let DeliveryError::Later { why, .. } = answer.error() else { panic!("{status} is final") };
            assert!(
                why.starts_with(&status.to_string()) && why.ends_with("; response: no such {field}"),
                "{why}"
            );
        }
        let silent = HttpResponse { status: 500, retry_after: None, body: " \r\n".into() };
        assert_eq!(silent.error(), DeliveryError::later("500"));
    }

    #[test]
    fn the_excerpt_of_an_error_page_is_short_and_has_no_markup() {
        let page =
            format!("<html><head><title>502 Bad Gateway</title></head>\r\n<p>{}</p>", "x".repeat(9999));
        assert!(excerpt(&page).starts_with("502 Bad Gateway xxx"), "{}", excerpt(&page));
        assert_eq!(excerpt(&page).chars().count(), LONGEST_EXCERPT);
    }
}
