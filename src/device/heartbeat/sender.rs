//! One heartbeat to the server, and what became of it.

use super::credentials::Credentials;
use super::delivery::{Answer, Evidence, evidence};
use super::dial::{Line, Uplink};
use super::transport;
use crate::clock::Moment;
use crate::config::Period;
use crate::device::config::{self, Format, Method};
use crate::duration::span;
use crate::resolver::Names;
use crate::tls_client::fault;
use crate::wire;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rustls::ClientConfig;
use std::cell::Cell;
use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use ureq::http::{Method as HttpMethod, Request, Response, StatusCode, Uri};
use ureq::{Agent, Body};

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// For a copy that opens a connection over a slow line: as much as `timeout` may be at most.
const WARM_UP: Duration = Duration::from_secs(10);

/// heartbeat-monitor's own path: whatever answers there without its JSON is not heartbeat-monitor.
const MONITOR_PATH: &str = "/api/v1/heartbeat";

/// A heartbeat that was sent.
#[derive(Debug, PartialEq)]
pub struct Sent {
    pub outcome: Outcome,
    /// What it proves of the uplink and the address; `None` if no connection was made, or another thread cut it.
    pub evidence: Option<Evidence>,
}

/// What became of a heartbeat.
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
    /// The server asks for silence (429 or 503 with Retry-After).
    Busy { hold: Duration },
    /// No answer, or one that asks for another try.
    Failed { problem: String },
    /// Another thread cut the line.
    Cut,
}

/// Sends to one server over one kept-alive connection.
#[derive(Debug)]
pub struct Sender {
    agent: Agent,
    /// What the agent was made of.
    config: ureq::config::Config,
    tls: Arc<ClientConfig>,
    names: Arc<Names>,
    line: Arc<Line>,
    target: Target,
    timeout: Duration,
    /// The server is heartbeat-monitor: its path says so, or it has answered as such.
    expects_ours: Cell<bool>,
    /// A copy of a heartbeat with more time is in flight.
    warming_up: Arc<AtomicBool>,
    /// The last one was answered, and no heartbeat has failed since.
    warm: Arc<AtomicBool>,
}

/// Everything of a request that stays the same.
#[derive(Debug, Clone)]
struct Target {
    uri: Uri,
    method: Method,
    token: Option<(HeaderName, HeaderValue)>,
}

impl Sender {
    /// `None` where no server is configured.
    pub fn new(
        config: &config::Heartbeat,
        credentials: Credentials,
        names: Arc<Names>,
        line: Arc<Line>,
    ) -> Option<Sender> {
        let target = Target::new(config, &credentials)?;
        let agent_config = Agent::config_builder()
            .timeout_global(Some(config.timeout))
            .http_status_as_error(false)
            // A redirect would carry the token to whoever is named there.
            .max_redirects(0)
            .user_agent(concat!("heartbeat-daemon/", env!("CARGO_PKG_VERSION")))
            .accept("")
            .max_response_header_size(16 * 1024)
            .input_buffer_size(16 * 1024)
            .output_buffer_size(16 * 1024)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            // Ages are the transport's business; a beat of an hour keeps its connection if the server does.
            .max_idle_age(config.interval * 2)
            .build();
        let agent =
            transport::agent(agent_config.clone(), names.clone(), line.clone(), credentials.tls.clone());
        let expects_ours = Cell::new(target.uri.path() == MONITOR_PATH);
        let port =
            target.uri.port_u16().unwrap_or(if target.uri.scheme_str() == Some("https") { 443 } else { 80 });
        if let Some(addresses) = target.uri.host().and_then(|host| names.known(host, port)) {
            line.expect_server(addresses);
        }
        let (config, timeout, tls) = (agent_config, config.timeout, credentials.tls);
        let (warming_up, warm) = (Arc::default(), Arc::default());
        Some(Sender { agent, config, tls, names, line, target, timeout, expects_ours, warming_up, warm })
    }

    /// A sender to the same server with connections of its own, all of them over `uplink`.
    pub fn bound_to(&self, uplink: &Uplink) -> Sender {
        let line = Arc::new(self.line.bound_to(uplink));
        Sender {
            agent: transport::agent(self.config.clone(), self.names.clone(), line.clone(), self.tls.clone()),
            config: self.config.clone(),
            tls: self.tls.clone(),
            names: self.names.clone(),
            line,
            target: self.target.clone(),
            timeout: self.timeout,
            expects_ours: self.expects_ours.clone(),
            warming_up: Arc::default(),
            warm: Arc::default(),
        }
    }

    pub fn line(&self) -> Arc<Line> {
        self.line.clone()
    }

    /// The interface that the connection took.
    pub fn over(&self) -> Option<String> {
        self.line.took()
    }

    /// Sends `body` and waits for the answer, at most for `limit` and never longer than the configured timeout.
    pub fn send(&self, body: &[u8], limit: Duration) -> Sent {
        self.line.begin();
        let (outcome, answer) = self.attempt(body, limit.min(self.timeout));
        if self.line.end() && !matches!(outcome, Outcome::Accepted { .. }) {
            return Sent { outcome: Outcome::Cut, evidence: None };
        }
        if answer == (Answer::Success { ours: true }) {
            self.expects_ours.set(true);
        }
        let proved = evidence(answer, self.expects_ours.get(), self.is_https());
        let evidence = self.line.is_connected().then_some(proved);
        if let Some(evidence) = evidence {
            self.line.learn(evidence);
            if matches!(evidence, Evidence::Misdirected | Evidence::Intercepted) {
                // What answered in the server's place would keep the connection open.
                self.line.renew();
            }
        }
        Sent { outcome, evidence }
    }

    /// Asks the server without sending a heartbeat (HEAD, with the token), and returns the status of its answer.
    ///
    /// # Errors
    /// There is no answer, in the words of [`Outcome::Failed`].
    pub fn probe(&self) -> Result<u16, String> {
        let request = Request::builder().method(HttpMethod::HEAD).uri(self.target.uri.clone());
        self.line.begin();
        let answer = self.target.finish(request, ()).and_then(|request| run(&self.agent, request, None));
        self.line.end();
        answer
            .map(|response| response.status().as_u16())
            .map_err(|error| describe(&error, self.timeout, Moment::now()))
    }

    /// A server may close a kept connection just as it is used again (Apache does after 5 s of idleness, which
    /// is our interval): that is no failure, the same heartbeat leaves over a new one.
    fn attempt(&self, body: &[u8], limit: Duration) -> (Outcome, Answer) {
        let begin = std::time::Instant::now();
        let dialled = self.line.dialled();
        let result = match self.exchange(body, limit) {
            Err(error) if self.line.dialled() == dialled && has_closed(&error) => {
                self.exchange(body, limit.saturating_sub(begin.elapsed()))
            }
            result => result,
        };
        result.unwrap_or_else(|error| {
            // The server may have moved (henrygd/beszel#1924); the known address is used until that is known.
            self.names.invalidate();
            let mut problem = describe(&error, limit, Moment::now());
            if let Some(round_trip) = self.slow_line(&error, limit) {
                let _ = write!(
                    problem,
                    "; the line is slow, a round trip takes {}, and a new connection needs {}: raise timeout in \
                     [heartbeat]",
                    span(round_trip),
                    if self.is_https() { "three" } else { "two" }
                );
                self.warm_up(body);
            }
            (Outcome::Failed { problem }, Answer::Nothing)
        })
    }

    /// The measured round trip, if it is what made the heartbeat miss its limit: a new connection takes two of them, or
    /// three with TLS, and the server's own time comes on top.
    fn slow_line(&self, error: &ureq::Error, limit: Duration) -> Option<Duration> {
        let round_trips = if self.is_https() { 4 } else { 3 };
        let is_slow = |round_trip: &Duration| *round_trip * round_trips > limit;
        self.line.round_trip().filter(is_slow).filter(|_| matches!(error, ureq::Error::Timeout(_)))
    }

    fn is_https(&self) -> bool {
        self.target.uri.scheme_str() == Some("https")
    }

    fn exchange(&self, body: &[u8], limit: Duration) -> Result<(Outcome, Answer), ureq::Error> {
        let limit = (limit < self.timeout).then_some(limit);
        let response = self.target.send(&self.agent, body, limit)?;
        Ok(judge(response, &self.target, self.expects_ours.get()))
    }

    /// Sends `body` once more (the same `id`) on a thread of its own, which has more time than a heartbeat: its connection
    /// is kept for the next heartbeat, which then takes a single round trip.
    fn warm_up(&self, body: &[u8]) {
        // A connection that was opened while this heartbeat was under way is the next heartbeat's.
        if self.warm.swap(false, Ordering::Relaxed) || self.warming_up.swap(true, Ordering::Relaxed) {
            return;
        }
        let (agent, target, body) = (self.agent.clone(), self.target.clone(), body.to_vec());
        let (warming_up, warm, expects_ours) =
            (self.warming_up.clone(), self.warm.clone(), self.expects_ours.get());
        let work = move || {
            let result = target.send(&agent, &body, Some(WARM_UP));
            let result = result.map(|response| judge(response, &target, expects_ours).0);
            log::debug!("a copy with more time: {result:?}");
            warm.store(result.is_ok(), Ordering::Relaxed);
            warming_up.store(false, Ordering::Relaxed);
        };
        if let Err(error) = thread::Builder::new().name("warm-up".into()).spawn(work) {
            log::debug!("no thread for a copy with more time: {error}");
            self.warming_up.store(false, Ordering::Relaxed);
        }
    }
}

fn run<B: ureq::AsSendBody>(
    agent: &Agent,
    request: Request<B>,
    limit: Option<Duration>,
) -> Result<Response<Body>, ureq::Error> {
    // A request with a limit of its own costs a copy of the configuration; usually it has none.
    match limit {
        Some(_) => agent.run(agent.configure_request(request).timeout_global(limit).build()),
        None => agent.run(request),
    }
}

impl Target {
    fn new(config: &config::Heartbeat, credentials: &Credentials) -> Option<Target> {
        let url = config.url.as_ref()?;
        let uri = match (config.format, &config.device_key) {
            (Format::Meeting, Some(key)) => meeting_uri(url, key),
            _ => url.clone(),
        };
        let token = credentials.token.as_ref().and_then(|token| {
            let (name, value) = match config.format {
                Format::Meeting => (HeaderName::from_static("x-token-code"), token.expose().to_owned()),
                _ => (AUTHORIZATION, format!("Bearer {}", token.expose())),
            };
            // The token has been checked: printable ASCII.
            let mut value = HeaderValue::from_str(&value).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        Some(Target { uri, method: config.method, token })
    }

    /// In a header, or in the URL's query.
    fn has_token(&self) -> bool {
        self.token.is_some() || config::advice::has_token_in_query(&self.uri)
    }

    /// `limit` where it is not the agent's.
    fn send(
        &self,
        agent: &Agent,
        body: &[u8],
        limit: Option<Duration>,
    ) -> Result<Response<Body>, ureq::Error> {
        match self.method {
            Method::Post => run(agent, self.post(body)?, limit),
            Method::Get => run(agent, self.get(body)?, limit),
        }
    }

    fn post<'b>(&self, body: &'b [u8]) -> Result<Request<&'b [u8]>, ureq::Error> {
        let request = Request::builder()
            .method(HttpMethod::POST)
            .uri(self.uri.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.finish(request, body)
    }

    /// The form of the first servers: `?params=<url-encoded JSON>`.
    fn get(&self, body: &[u8]) -> Result<Request<()>, ureq::Error> {
        let mark = if self.uri.query().is_some() { '&' } else { '?' };
        let uri = format!("{}{mark}params={}", self.uri, percent_encode(body, RESERVED));
        let uri: Uri = uri.parse().map_err(|e: ureq::http::uri::InvalidUri| ureq::Error::Http(e.into()))?;
        self.finish(Request::builder().method(HttpMethod::GET).uri(uri), ())
    }

    fn finish<B>(&self, request: ureq::http::request::Builder, body: B) -> Result<Request<B>, ureq::Error> {
        let request = match &self.token {
            Some((name, value)) => request.header(name, value),
            None => request,
        };
        Ok(request.body(body)?)
    }
}

/// `{url}/api/devices/{device_key}/online`. The original's `api_url` may end in `/api` already. The key has been checked
/// to need no encoding.
fn meeting_uri(url: &Uri, device_key: &str) -> Uri {
    let base = url.to_string();
    let base = base.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let base = base.strip_suffix("/api").map_or(base, |base| base.trim_end_matches('/'));
    format!("{base}/api/devices/{device_key}/online").parse().unwrap_or_else(|_| url.clone())
}

/// What an answer means. Its body is read only as far as ours can be long; with more of it the connection is
/// dropped, and the status counts all the same where our JSON is not expected.
fn judge(mut response: Response<Body>, target: &Target, expects_ours: bool) -> (Outcome, Answer) {
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
        return (outcome, Answer::Success { ours });
    }
    let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
    if status.is_redirection() {
        let to = header(LOCATION).map(|place| format!(" to {}", config::without_query(place)));
        let problem = format!(
            "status {code}, a redirect{}: put the server's own address into url, or log in if this is a network's \
             login page",
            to.unwrap_or_default()
        );
        return (Outcome::Foreign { problem }, Answer::Redirect);
    }
    if status == StatusCode::NETWORK_AUTHENTICATION_REQUIRED {
        let problem = format!("status {code}: the network requires a login");
        return (Outcome::Foreign { problem }, Answer::LoginRequired);
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
    (outcome, Answer::Other)
}

/// Whether the other side has closed the connection without a word, or the kernel has because nothing came through
/// (ETIMEDOUT; our own limit is [`ureq::Error::Timeout`]).
fn has_closed(error: &ureq::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut, UnexpectedEof,
    };
    match error {
        ureq::Error::Io(error) => matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | TimedOut | UnexpectedEof
        ),
        _ => false,
    }
}

/// The error for the person who reads it at night.
fn describe(error: &ureq::Error, limit: Duration, now: Moment) -> String {
    match error {
        ureq::Error::Timeout(_) => {
            format!("no answer within {}", Period(Duration::from_millis(limit.as_millis() as u64)))
        }
        ureq::Error::Io(error) => match fault::within(error) {
            Some(error) => describe_tls(error, now),
            None if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe) => {
                "it closed the connection".to_owned()
            }
            None => error.to_string(),
        },
        ureq::Error::Rustls(error) => describe_tls(error, now),
        ureq::Error::Protocol(error) => {
            format!(
                "its answer is not HTTP ({error}); if the port is for HTTPS, url must start with https://"
            )
        }
        ureq::Error::LargeResponseHeader(..) => "its answer has more than 16 KiB of headers".to_owned(),
        other => other.to_string(),
    }
}

fn describe_tls(error: &rustls::Error, now: Moment) -> String {
    use rustls::CertificateError as Bad;
    use rustls::Error::InvalidCertificate;
    match error {
        InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => format!(
            "its certificate is not valid yet; this device's clock says {}: has the time been set?",
            now.rfc_3339().unwrap_or_else(|| "nothing sensible".to_owned())
        ),
        InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            format!(
                "its certificate has expired, or this device's clock is wrong: it says {}",
                now.rfc_3339().unwrap_or_else(|| "nothing sensible".to_owned())
            )
        }
        rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired) => {
            "it wants a client certificate: set client_certificate_file and client_key_file".to_owned()
        }
        // The first byte of the answer begins no TLS record.
        rustls::Error::InvalidMessage(_) => {
            "its answer is not TLS; if the port is for plain HTTP, url must start with http://".to_owned()
        }
        other => fault::advice(other).unwrap_or_else(|| format!("TLS: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_named_when_a_certificate_is_not_valid_yet() {
        let error = rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidYet);
        let wrapped = ureq::Error::Io(io::Error::new(io::ErrorKind::InvalidData, error));
        let text = describe(&wrapped, Duration::from_secs(2), Moment(0));
        assert!(text.contains("1970-01-01T00:00:00Z"), "{text}");
        assert!(text.contains("has the time been set"), "{text}");
    }

    #[test]
    fn the_meeting_api_has_its_path_below_the_configured_url() {
        for base in ["https://api.example.org", "https://api.example.org/"] {
            let uri = meeting_uri(&base.parse().expect("a URL"), "cam-7");
            assert_eq!(uri.to_string(), "https://api.example.org/api/devices/cam-7/online");
        }
    }
}
