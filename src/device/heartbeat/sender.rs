//! Sends one heartbeat to the server.

use super::credentials::Credentials;
use super::delivery::{AnswerKind, Evidence, evidence};
use super::dial::{Dialer, Uplink};
use super::outcome::{Outcome, judge};
use super::problem::{describe, has_closed};
use super::request::{RequestTemplate, run};
use super::transport;
use crate::clock::Moment;
use crate::device::config;
use crate::duration::span;
use crate::resolver::NameResolver;
use rustls::ClientConfig;
use std::cell::Cell;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use ureq::Agent;

/// For a copy that opens a connection over a slow connection: as much as `timeout` may be at most.
const WARM_UP: Duration = Duration::from_secs(10);

/// heartbeat-monitor's own path: a server that answers there without its JSON is not heartbeat-monitor.
const MONITOR_PATH: &str = "/api/v1/heartbeat";

/// A heartbeat that was sent.
#[derive(Debug, PartialEq)]
pub struct Sent {
    pub outcome: Outcome,
    /// Proof of whether the uplink and the address work; `None` if no connection was made, or another thread cut it.
    pub evidence: Option<Evidence>,
}

/// For an agent that talks to one server over one connection.
pub fn agent_config(timeout: Duration, idle: Duration) -> ureq::config::Config {
    Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        // A redirect would carry the token to another host.
        .max_redirects(0)
        .user_agent(concat!("heartbeat-daemon/", env!("CARGO_PKG_VERSION")))
        .accept("")
        .max_response_header_size(16 * 1024)
        .input_buffer_size(16 * 1024)
        .output_buffer_size(16 * 1024)
        .max_idle_connections(1)
        .max_idle_connections_per_host(1)
        .max_idle_age(idle)
        .build()
}

/// Sends to one server over one kept-alive connection.
#[derive(Debug)]
pub struct HeartbeatSender {
    agent: Agent,
    /// The agent's configuration, for further agents.
    config: ureq::config::Config,
    tls: Arc<ClientConfig>,
    names: Arc<NameResolver>,
    dialer: Arc<Dialer>,
    target: RequestTemplate,
    timeout: Duration,
    /// The server is heartbeat-monitor: its path says so, or it has answered as such.
    expects_ours: Cell<bool>,
    /// A copy of a heartbeat with more time is in flight.
    warming_up: Arc<AtomicBool>,
    /// The last one was answered, and no heartbeat has failed since.
    warm: Arc<AtomicBool>,
}

impl HeartbeatSender {
    /// `None` where no server is configured.
    pub fn new(
        config: &config::HeartbeatConfig,
        credentials: Credentials,
        names: Arc<NameResolver>,
        dialer: Arc<Dialer>,
    ) -> Option<HeartbeatSender> {
        let target = RequestTemplate::new(config, &credentials)?;
        // Ages are the transport's business; a beat of an hour keeps its connection if the server does.
        let agent_config = agent_config(config.timeout, config.interval * 2);
        let agent =
            transport::agent(agent_config.clone(), names.clone(), dialer.clone(), credentials.tls.clone());
        let expects_ours = Cell::new(target.uri.path() == MONITOR_PATH);
        let (config, timeout, tls) = (agent_config, config.timeout, credentials.tls);
        let (warming_up, warm) = (Arc::default(), Arc::default());
        Some(HeartbeatSender {
            agent,
            config,
            tls,
            names,
            dialer,
            target,
            timeout,
            expects_ours,
            warming_up,
            warm,
        })
    }

    /// The server's addresses if they are known; requests a lookup if one is due, and never waits.
    pub fn known_addresses(&self) -> Option<Vec<SocketAddr>> {
        let uri = &self.target.uri;
        let port = uri.port_u16().unwrap_or(if self.is_https() { 443 } else { 80 });
        self.names.known(uri.host()?, port)
    }

    /// A sender to the same server with connections of its own, all of them over `uplink`.
    pub fn bound_to(&self, uplink: &Uplink) -> HeartbeatSender {
        self.with(self.dialer.bound_to(uplink))
    }

    /// A sender to the same server with connections of its own, over the same uplinks.
    pub fn sibling(&self) -> HeartbeatSender {
        self.with(self.dialer.sibling())
    }

    fn with(&self, dialer: Dialer) -> HeartbeatSender {
        let dialer = Arc::new(dialer);
        HeartbeatSender {
            agent: transport::agent(
                self.config.clone(),
                self.names.clone(),
                dialer.clone(),
                self.tls.clone(),
            ),
            config: self.config.clone(),
            tls: self.tls.clone(),
            names: self.names.clone(),
            dialer,
            target: self.target.clone(),
            timeout: self.timeout,
            expects_ours: self.expects_ours.clone(),
            warming_up: Arc::default(),
            warm: Arc::default(),
        }
    }

    pub fn dialer(&self) -> Arc<Dialer> {
        self.dialer.clone()
    }

    /// The interface that the connection took.
    pub fn over(&self) -> Option<String> {
        self.dialer.last_interface()
    }

    /// Sends `body` and waits for the answer, at most for `limit` and never longer than the configured timeout.
    pub fn send(&self, body: &[u8], limit: Duration) -> Sent {
        self.dialer.begin();
        let (outcome, answer) = self.attempt(body, limit.min(self.timeout));
        if self.dialer.end() && !matches!(outcome, Outcome::Accepted { .. }) {
            return Sent { outcome: Outcome::Cut, evidence: None };
        }
        if answer == (AnswerKind::Success { ours: true }) {
            self.expects_ours.set(true);
        }
        let proved = evidence(answer, self.expects_ours.get(), self.is_https());
        let evidence = self.dialer.is_connected().then_some(proved);
        if let Some(evidence) = evidence {
            self.dialer.record_evidence(evidence);
            if matches!(evidence, Evidence::Misdirected | Evidence::Intercepted) {
                // A portal that answered in the server's place would keep the connection open.
                self.dialer.renew();
            }
        }
        Sent { outcome, evidence }
    }

    /// Sends a HEAD request with the token instead of a heartbeat, and returns the status of the response.
    ///
    /// # Errors
    /// There is no answer, in the words of [`Outcome::Failed`].
    pub fn probe(&self) -> Result<u16, String> {
        self.dialer.begin();
        let answer = self.target.head().and_then(|request| run(&self.agent, request, None));
        self.dialer.end();
        answer
            .map(|response| response.status().as_u16())
            .map_err(|error| describe(&error, self.timeout, Moment::now()))
    }

    /// A server may close a kept connection just as it is used again (Apache does after 5 s of idleness, which
    /// is our interval): that is no failure, the same heartbeat leaves over a new one.
    fn attempt(&self, body: &[u8], limit: Duration) -> (Outcome, AnswerKind) {
        let begin = Instant::now();
        let dialled = self.dialer.dialled();
        let result = match self.exchange(body, limit) {
            Err(error) if self.dialer.dialled() == dialled && has_closed(&error) => {
                self.exchange(body, limit.saturating_sub(begin.elapsed()))
            }
            result => result,
        };
        result.unwrap_or_else(|error| {
            // The server may have moved (henrygd/beszel#1924); the known address is used until that is known.
            self.names.invalidate();
            let mut problem = describe(&error, limit, Moment::now());
            if let Some(round_trip) = self.slow_round_trip(&error, limit) {
                let _ = write!(
                    problem,
                    "; the connection is slow, a round trip takes {}, and a new connection needs {}: raise timeout in \
                     [heartbeat]",
                    span(round_trip),
                    if self.is_https() { "three" } else { "two" }
                );
                self.warm_up(body);
            }
            (Outcome::Failed { problem }, AnswerKind::Nothing)
        })
    }

    /// The measured round trip, if it is what made the heartbeat miss its limit: a new connection takes two of them, or
    /// three with TLS, and the server's own time comes on top.
    fn slow_round_trip(&self, error: &ureq::Error, limit: Duration) -> Option<Duration> {
        let round_trips = if self.is_https() { 4 } else { 3 };
        let is_slow = |round_trip: &Duration| *round_trip * round_trips > limit;
        self.dialer.round_trip().filter(is_slow).filter(|_| matches!(error, ureq::Error::Timeout(_)))
    }

    fn is_https(&self) -> bool {
        self.target.uri.scheme_str() == Some("https")
    }

    fn exchange(&self, body: &[u8], limit: Duration) -> Result<(Outcome, AnswerKind), ureq::Error> {
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
