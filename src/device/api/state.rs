//! Dependencies of the handlers: the states that other threads publish, and the configuration.

use crate::config::ConfigError;
use crate::device::camera_settings::CameraSettings;
use crate::device::cameras::CamerasHandle;
use crate::device::config::{self, Config};
use crate::device::failover::handle::Failover;
use crate::device::failover::status::{FailoverStatus, PublishedStatus};
use crate::device::heartbeat::status::HeartbeatStatus;
use crate::device::metrics::Reading;
use crate::device::port::Port;
use crate::device::token::Token;
use crate::device::trigger::Trigger;
use crate::latest::Latest;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The credential's name under `$CREDENTIALS_DIRECTORY`.
const CREDENTIAL: &str = "heartbeat-api-token";

/// A loop that comes around once an interval is well; this much beyond it stands still, as for the unit's watchdog.
const STANDSTILL: Duration = Duration::from_secs(30);

/// The other threads' ends.
#[derive(Debug)]
pub struct ApiContext {
    pub heartbeat_status: Arc<HeartbeatStatus>,
    pub failover: Failover,
    /// `None` inside: failover is off.
    pub failover_status: Arc<Latest<Option<PublishedStatus>>>,
    pub metrics: Arc<Latest<Reading>>,
    pub cameras: CamerasHandle,
    pub trigger: Trigger,
    pub port: Arc<Port>,
}

impl ApiContext {
    /// Read each time: a renamed machine answers to its new name at once.
    pub fn hostname(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    /// `None`: failover is off.
    pub fn failover_status(&self, now: Instant) -> Option<FailoverStatus> {
        self.failover_status.get().as_ref().as_ref().map(|published| published.at(now))
    }
}

/// What the configuration says; replaced as a whole at a reload.
#[derive(Debug)]
pub struct ApiSettings {
    pub api: config::Api,
    pub heartbeat: config::HeartbeatConfig,
    /// Whether there is a token for the server.
    pub has_server_token: bool,
    /// What a changing request from another machine must show.
    pub token: Option<Token>,
    /// One for the life of the daemon: its lock puts changes by the API and reloads in an order.
    cameras: Arc<Mutex<CameraSettings>>,
}

impl ApiSettings {
    pub fn load(
        config: &Config,
        has_server_token: bool,
        cameras: CameraSettings,
    ) -> Result<ApiSettings, ConfigError> {
        Ok(ApiSettings {
            api: config.api.clone(),
            heartbeat: config.heartbeat.clone(),
            has_server_token,
            token: Token::load("api", config.api.token_file.as_deref(), CREDENTIAL)?,
            cameras: Arc::new(Mutex::new(cameras)),
        })
    }

    /// The camera settings, locked.
    pub fn cameras(&self) -> MutexGuard<'_, CameraSettings> {
        self.cameras.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Merges the camera settings into those that `running` uses, and shares them from now on.
    pub fn share_cameras(&mut self, running: Arc<Mutex<CameraSettings>>) {
        let newer = std::mem::replace(&mut self.cameras, running);
        self.cameras().reload(&newer.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn shared_cameras(&self) -> Arc<Mutex<CameraSettings>> {
        self.cameras.clone()
    }

    /// Whether a loop whose last iteration was this long ago still runs.
    pub fn is_loop_alive(&self, stalled_for: Duration) -> bool {
        stalled_for < self.heartbeat.interval + STANDSTILL
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    #[test]
    fn a_loop_moves_while_it_comes_around_within_an_interval_and_half_a_minute() {
        for (interval, well, still) in [("5s", 34, 35), ("1h", 3629, 3630)] {
            let text = format!("[heartbeat]\ninterval = \"{interval}\"\n");
            let source = Source::new("test", text);
            let config = Config::from_source(&source, &|_| None).expect("good");
            let cameras = CameraSettings::load(&source, &config);
            let settings = ApiSettings::load(&config, false, cameras).expect("no token");
            assert!(settings.is_loop_alive(Duration::from_secs(well)), "{interval}");
            assert!(!settings.is_loop_alive(Duration::from_secs(still)), "{interval}");
        }
    }
}
