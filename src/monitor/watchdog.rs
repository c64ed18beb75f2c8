//! Pings whoever watches the monitor (a service, or another monitor), as long as the monitor does all of its work. A
//! ping that does not come is the alarm.
//!
//! The proof is a request to the own `/healthz`: it is accepted, answered, and says that heartbeats are written, late
//! machines detected and the outbox read and marked. Besides, the couriers must have looked at the outbox lately.

use super::config::{Config, WatchdogConfig};
use super::notify::NotifySettings;
use super::notify::channel::secret_in;
use super::notify::couriers::DeliveryCounters;
use super::notify::http::PostClient;
use super::own_health::OwnListener;
use crate::config::ConfigError;
use crate::duration::go_seconds;
use crate::latest::Latest;
use crate::resolver::{self, NameResolver, ResolverLimits};
use crate::startup::{cannot, spawn};
use crate::tls_client::trust::Trust;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time limit of a ping.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The couriers read the outbox once a minute if nothing is due; later than this, they hang.
const COURIERS_HANG: Duration = Duration::from_secs(90);

/// One server at a time.
const RESOLVER: ResolverLimits =
    ResolverLimits { threads: 1, names: 4, refresh_wait: Duration::from_secs(3) };

/// The shortest heartbeat: another monitor takes it for a sign of life, a service ignores it.
const BODY: &[u8] = b"{}";

/// Whom to ping, and how the connection is verified.
#[derive(Debug, Clone)]
pub struct WatchdogSettings {
    config: WatchdogConfig,
    trust: Trust,
}

impl WatchdogSettings {
    /// `None`: no watchdog is configured.
    ///
    /// # Errors
    /// `ca_file` cannot be read.
    pub fn load(config: &Config) -> Result<Option<WatchdogSettings>, ConfigError> {
        let Some(config) = config.watchdog.clone() else { return Ok(None) };
        let trust = match config.ca_file.as_deref() {
            Some(file) => {
                Trust::only_file(file).map(Trust::and_public).map_err(|problem| fault("ca_file", &problem))?
            }
            None => Trust::public(),
        };
        Ok(Some(WatchdogSettings { config, trust }))
    }

    /// Also reads the token.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn check(config: &Config) -> Result<(), ConfigError> {
        match WatchdogSettings::load(config)? {
            Some(settings) => settings.token().map(drop).map_err(|problem| fault("token_file", &problem)),
            None => Ok(()),
        }
    }

    fn token(&self) -> Result<Option<String>, String> {
        self.config.token_file.as_ref().map(|file| secret_in(&file.display().to_string())).transpose()
    }
}

fn fault(key: &str, problem: &str) -> ConfigError {
    ConfigError::new(format!("[watchdog] {key}: {problem}"))
}

/// The thread `watchdog`; it ends when this is dropped.
pub struct WatchdogThread {
    settings: Arc<Latest<WatchdogSettings>>,
    _stop: Sender<()>,
}

impl WatchdogThread {
    /// # Errors
    /// A thread cannot be started.
    pub fn start(
        settings: WatchdogSettings,
        own: OwnListener,
        couriers: Arc<DeliveryCounters>,
    ) -> Result<WatchdogThread, String> {
        let names = NameResolver::start(RESOLVER, resolver::lookup).map(Arc::new);
        let names = names.map_err(cannot("start the watchdog's resolver"))?;
        let settings = Arc::new(Latest::new(settings));
        let (stop, stopped) = bounded(0);
        let pinger = Pinger { settings: settings.clone(), own, couriers, names };
        drop(spawn("watchdog", move || pinger.run(&stopped))?);
        Ok(WatchdogThread { settings, _stop: stop })
    }

    /// Takes effect with the next ping.
    pub fn reload(&self, settings: WatchdogSettings) {
        self.settings.put(settings);
    }
}

struct Pinger {
    settings: Arc<Latest<WatchdogSettings>>,
    own: OwnListener,
    couriers: Arc<DeliveryCounters>,
    names: Arc<NameResolver>,
}

impl Pinger {
    /// The first ping comes after a whole interval: a monitor that crashes again and again must not look alive.
    fn run(self, stop: &Receiver<()>) {
        let mut rounds = Rounds::new(self.couriers.reading.successes(), Instant::now());
        let mut log = PingLog::default();
        while stop.recv_timeout(self.settings.get().config.interval) == Err(RecvTimeoutError::Timeout) {
            log.note(self.ping_if_healthy(&mut rounds));
        }
    }

    /// # Errors
    /// Why nobody was pinged, without the URL, which may contain a secret.
    fn ping_if_healthy(&self, rounds: &mut Rounds) -> Result<(), String> {
        let idle = rounds.idle_for(self.couriers.reading.successes(), Instant::now());
        if idle > COURIERS_HANG {
            return Err(format!(
                "not pinged: the couriers have not looked at the outbox for {}",
                go_seconds(idle)
            ));
        }
        self.own.health().map_err(|unhealthy| format!("not pinged: {unhealthy}"))?;
        self.ping().map_err(|problem| format!("the ping failed: {problem}"))
    }

    fn ping(&self) -> Result<(), String> {
        let settings = self.settings.get();
        let mut headers = vec![("Content-Type", "application/json".to_owned())];
        headers.extend(settings.token()?.map(|token| ("Authorization", format!("Bearer {token}"))));
        let delivery =
            NotifySettings { trust: settings.trust.clone(), timeout: TIMEOUT, ..NotifySettings::default() };
        let client = PostClient::unrestricted(&delivery, &self.names);
        let sent =
            client.post(&settings.config.url, &headers, BODY).map_err(|error| error.why().to_owned())?;
        if sent.is_success() { Ok(()) } else { Err(sent.error().why().to_owned()) }
    }
}

/// When the couriers were last seen to have looked at the outbox.
struct Rounds {
    count: u64,
    changed: Instant,
}

impl Rounds {
    fn new(count: u64, now: Instant) -> Rounds {
        Rounds { count, changed: now }
    }

    fn idle_for(&mut self, count: u64, now: Instant) -> Duration {
        if count != self.count {
            *self = Rounds::new(count, now);
        }
        now.saturating_duration_since(self.changed)
    }
}

/// Logs the first failure and the end of failures.
#[derive(Default)]
struct PingLog {
    is_failing: bool,
}

impl PingLog {
    fn note(&mut self, result: Result<(), String>) {
        let was_failing = std::mem::replace(&mut self.is_failing, result.is_err());
        match result {
            Err(problem) if was_failing => log::debug!("watchdog: {problem}"),
            Err(problem) => log::warn!("watchdog: {problem}; it will raise the alarm unless that ends soon"),
            Ok(()) if was_failing => log::info!("watchdog: pinged again"),
            Ok(()) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn couriers_that_do_nothing_are_idle_until_their_next_look_at_the_outbox() {
        let begin = Instant::now();
        let mut rounds = Rounds::new(7, begin);
        assert_eq!(rounds.idle_for(7, begin + SECOND * 90), SECOND * 90);
        assert_eq!(rounds.idle_for(8, begin + SECOND * 91), Duration::ZERO);
        assert_eq!(rounds.idle_for(8, begin + SECOND * 95), SECOND * 4);
        let hang = COURIERS_HANG + SECOND;
        assert!(rounds.idle_for(8, begin + SECOND * 91 + hang) > COURIERS_HANG);
    }
}
