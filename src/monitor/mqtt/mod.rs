//! Publishes the states of machines over MQTT 3.1.1, with configurations from which Home Assistant makes devices.
//!
//! | file | what it owns |
//! |---|---|
//! | `packet` | the packets of MQTT that a publisher needs |
//! | `session` | a connection to the broker |
//! | `entities` | topics and payloads (pure) |
//! | `reports` | the facts about all machines |
//! | `ledger` | the retained topics that the broker may have |
//! | `counters` | what the thread has done |
//! | `publisher` | the thread: what is published when |
//!
//! Our own publisher: it needs five packets of MQTT, and the common clients bring an async runtime or a C library.

pub mod counters;
mod entities;
mod ledger;
pub mod packet;
mod publisher;
mod reports;
mod session;

use super::config::{Config, MqttConfig};
use super::notify::channel::secret_in;
use super::recorder::RecorderContext;
use crate::config::ConfigError;
use crate::resolver::{self, NameResolver, ResolverLimits};
use crate::startup::{cannot, spawn};
use crate::tls_client::trust::Trust;
use counters::MqttCounters;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use publisher::Publisher;
use std::sync::Arc;
use std::time::Duration;

/// One broker.
const RESOLVER: ResolverLimits =
    ResolverLimits { threads: 1, names: 4, refresh_wait: Duration::from_secs(3) };

/// How long a stop waits for the last message; a broker that hangs publishes the last will.
const STOP: Duration = Duration::from_secs(1);

/// What is published where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttSettings {
    config: MqttConfig,
    /// Address of the pages, for links.
    site: Option<String>,
}

impl MqttSettings {
    /// `None`: no broker is configured.
    ///
    /// # Errors
    /// `ca_file` cannot be read; it is read again for each connection.
    pub fn load(config: &Config) -> Result<Option<MqttSettings>, ConfigError> {
        let Some(mqtt) = config.mqtt.clone() else { return Ok(None) };
        if let Some(file) = &mqtt.ca_file {
            Trust::only_file(file).map_err(|problem| fault("ca_file", &problem))?;
        }
        Ok(Some(MqttSettings { config: mqtt, site: config.web.site() }))
    }

    /// Also reads the password.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn check(config: &Config) -> Result<(), ConfigError> {
        let settings = MqttSettings::load(config)?;
        match settings.and_then(|settings| settings.config.login) {
            Some(login) => secret_in(&login.password_file.display().to_string())
                .map(drop)
                .map_err(|problem| fault("password_file", &problem)),
            None => Ok(()),
        }
    }
}

fn fault(key: &str, problem: &str) -> ConfigError {
    ConfigError::new(format!("[mqtt] {key}: {problem}"))
}

/// The thread `mqtt`; on drop it ends, and the broker publishes that the monitor is offline.
pub struct MqttThread {
    settings: MqttSettings,
    counters: Arc<MqttCounters>,
    stop: Option<Sender<()>>,
    ended: Receiver<()>,
}

impl MqttThread {
    /// `changed` receives after each transition.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(
        settings: MqttSettings,
        shared: RecorderContext,
        changed: Receiver<()>,
        counters: Arc<MqttCounters>,
    ) -> Result<MqttThread, String> {
        let names = NameResolver::start(RESOLVER, resolver::lookup).map(Arc::new);
        let names = names.map_err(cannot("start the resolver of the broker"))?;
        let (stop, stopped) = bounded(0);
        let MqttSettings { config, site } = settings.clone();
        let outside = (shared, names, counters.clone());
        let publisher = Publisher::new(outside, config, site, (changed, stopped));
        let ended = spawn("mqtt", move || publisher.run())?;
        counters.set_configured(true);
        Ok(MqttThread { settings, counters, stop: Some(stop), ended })
    }

    pub fn settings(&self) -> &MqttSettings {
        &self.settings
    }
}

impl Drop for MqttThread {
    fn drop(&mut self) {
        self.stop = None;
        if self.ended.recv_timeout(STOP) == Err(RecvTimeoutError::Timeout) {
            log::debug!("mqtt: the broker does not respond; stopping anyway");
        }
        self.counters.set_configured(false);
    }
}
