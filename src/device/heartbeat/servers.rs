//! The servers of a device in order of preference: how each is sent to, its role, and what the log says of it.

use super::checks::{CheckResult, Checks};
use super::credentials::Credentials;
use super::dial::Dialer;
use super::outage::Outage;
use super::outcome::Outcome;
use super::sender::HeartbeatSender;
use super::status::ServerReport;
use crate::device::config::HeartbeatConfig;
use crate::resolver::NameResolver;
use crate::wire::ServerRole;
use crossbeam_channel::Receiver;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The servers; usually one.
#[derive(Debug, Default)]
pub struct Servers {
    list: Vec<ConfiguredServer>,
    is_one_monitor: bool,
    /// The one that took a heartbeat last.
    used: usize,
    checks: Checks,
}

#[derive(Debug)]
struct ConfiguredServer {
    /// For people.
    name: String,
    sender: HeartbeatSender,
    outage: Outage,
}

impl Servers {
    /// `credentials` are those of [`Credentials::load_each`]. Addresses that are known already are published for probes.
    pub fn new(
        config: &HeartbeatConfig,
        credentials: Vec<Credentials>,
        names: &Arc<NameResolver>,
        dialer: &Arc<Dialer>,
    ) -> Servers {
        let server = |(config, credentials): (HeartbeatConfig, Credentials)| {
            let sender = HeartbeatSender::new(&config, credentials, names.clone(), dialer.clone())?;
            Some(ConfiguredServer { name: server_name(&config), sender, outage: Outage::default() })
        };
        let list: Vec<ConfiguredServer> =
            config.servers().into_iter().zip(credentials).filter_map(server).collect();
        for (place, server) in list.iter().enumerate() {
            // Requested in any case: an address must be known when DNS fails together with the first server.
            let addresses = server.sender.known_addresses();
            if let Some(addresses) = addresses.filter(|_| place == 0) {
                dialer.expect_server(addresses);
            }
        }
        Servers { list, is_one_monitor: config.is_one_monitor, used: 0, checks: Checks::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Replaces the servers after a reload; a check in flight counts no more.
    pub fn replace(&mut self, new: Servers) {
        let checks = std::mem::take(&mut self.checks);
        *self = Servers { checks, ..new };
        self.checks.restart();
    }

    pub fn sender(&self, place: usize) -> Option<&HeartbeatSender> {
        self.list.get(place).map(|server| &server.sender)
    }

    /// The server's name for people.
    pub fn name(&self, place: usize) -> &str {
        self.list.get(place).map_or("no server", |server| &server.name)
    }

    /// What the server at `place` is while the one at `current` is in use; `None` without any other monitor.
    pub fn role(&self, place: usize, current: usize) -> Option<ServerRole> {
        if self.list.len() < 2 || self.is_one_monitor {
            return None;
        }
        Some(match place {
            0 => ServerRole::First,
            _ if place <= current => ServerRole::Backup,
            _ => ServerRole::Standby,
        })
    }

    /// Logs the first failure of a server and its recovery, and each change of the server in use.
    pub fn log(&mut self, place: usize, outcome: &Outcome, now: Instant) {
        let Some(server) = self.list.get_mut(place) else { return };
        if let Some(line) = server.outage.update(&server.name, outcome, now) {
            line.log();
        }
        if !matches!(outcome, Outcome::Accepted { .. }) || place == self.used {
            return;
        }
        let before = std::mem::replace(&mut self.used, place);
        match place < before {
            true => log::info!("heartbeats go to {} again", self.name(place)),
            false => log::warn!(
                "heartbeats go to {} until {} takes them again",
                self.name(place),
                self.name(before)
            ),
        }
    }

    pub fn check_results(&self) -> &Receiver<Box<CheckResult>> {
        self.checks.results()
    }

    /// Whether a check may be started.
    pub fn may_check(&self) -> bool {
        self.list.len() > 1 && !self.checks.is_in_flight()
    }

    pub fn start_check(&mut self, place: usize, body: Vec<u8>, timeout: Duration) {
        if let Some(server) = self.list.get(place) {
            log::debug!("checking {}", server.name);
            self.checks.start(place, &server.sender, body, timeout);
        }
    }

    /// The result of a check, which is logged like that of a heartbeat. `current` is the server in use.
    pub fn check_ended(
        &mut self,
        result: CheckResult,
        current: usize,
        now: Instant,
    ) -> Option<(usize, Outcome)> {
        let (place, outcome) = self.checks.ended(result)?;
        if place > current {
            self.checks.forget();
        }
        log::debug!("check of {}: {outcome:?}", self.name(place));
        let server = self.list.get_mut(place)?;
        if let Some(line) = server.outage.update(&server.name, &outcome, now) {
            line.log();
        }
        Some((place, outcome))
    }

    /// For the API; empty with fewer than two servers.
    pub fn reports(&self, current: usize, works: impl Fn(usize) -> Option<bool>) -> Vec<ServerReport> {
        if self.list.len() < 2 {
            return Vec::new();
        }
        let report = |(place, server): (usize, &ConfiguredServer)| ServerReport {
            name: server.name.clone(),
            in_use: place == current,
            works: works(place),
        };
        self.list.iter().enumerate().map(report).collect()
    }
}

/// The result before the first heartbeat.
pub fn waiting_for(config: &HeartbeatConfig) -> String {
    match &config.url {
        Some(_) => format!("no heartbeat to {} yet", server_name(config)),
        None if config.enrolment.is_of_other_board() => {
            "no heartbeat is sent: this board waits for approval".to_owned()
        }
        None => "no server configured: set url in [heartbeat], or run \"heartbeat-daemon enroll\"".to_owned(),
    }
}

/// The name for people of the first server: without path and query, which may contain a token or a device key.
pub fn server_name(config: &HeartbeatConfig) -> String {
    let authority = config.url.as_ref().and_then(|url| url.authority());
    authority.map_or_else(|| "no server".to_owned(), ToString::to_string)
}

/// The names of all servers: "a.example, then b.example".
pub fn server_names(config: &HeartbeatConfig) -> String {
    match config.servers() {
        servers if servers.is_empty() => server_name(config),
        servers => servers.iter().map(server_name).collect::<Vec<_>>().join(", then "),
    }
}
