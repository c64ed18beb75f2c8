//! The monitor's configuration: `written` is the file, `used` are the checked values, `check` converts.
//!
//! LunaSentri's environment variables `MACHINE_HEARTBEAT_CHECK_INTERVAL` and `MACHINE_OFFLINE_THRESHOLD` override the
//! file, in the syntax that it accepts ("30s", "2m0s"). `HEARTBEAT_MONITOR_SECTION_KEY` overrides any key.

mod check;
mod mqtt;
mod used;
mod watchdog;
mod web;
mod written;

use crate::config::{ConfigError, Level, Source, Variables};
use check::Check;
use std::ffi::OsString;
use std::path::Path;
pub use used::*;

/// Path of the installed configuration.
pub const DEFAULT_PATH: &str = "/etc/heartbeat-monitor/config.toml";

/// Begins the names of variables that override a key.
const PREFIX: &str = "HEARTBEAT_MONITOR_";

/// Keys that end in `_file`: their variables hold the path, not the name of a file with the path.
const FILE_KEYS: [&str; 6] =
    ["certificate_file", "key_file", "ticket_keys_file", "ca_file", "password_file", "token_file"];

impl Config {
    /// Reads `path`; the environment overrides the file, the file overrides the defaults.
    ///
    /// # Errors
    /// The first fault in the file or the environment.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        Config::from_file(&Source::read(path)?)
    }

    /// [`Config::load`] for a file that is already read.
    ///
    /// # Errors
    /// The first fault in the file or the environment.
    pub fn from_file(source: &Source) -> Result<Config, ConfigError> {
        let text =
            |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Config::with_variables(source, std::env::vars_os().filter_map(text))
    }

    /// [`Config::load`] with the text and the whole environment as arguments.
    fn with_variables(
        source: &Source,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let variables = Variables::read(PREFIX, &FILE_KEYS, environment).map_err(ConfigError::new)?;
        let source = source.clone().with_variables(variables);
        Config::from_source(&source, &|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
    }

    /// [`Config::load`] with the text and the environment as arguments.
    ///
    /// # Errors
    /// The first fault in the file or the environment.
    pub fn from_source(source: &Source, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        let written: written::File = source.parse(|_| None)?;
        let check = Check { source, env };
        Ok(Config {
            http: check.http(written.http)?,
            store: check.store(written.store)?,
            detection: check.detection(written.detection)?,
            notify: check.notify(written.notify)?,
            smtp: check.smtp(written.smtp)?,
            retention: check.retention(written.retention)?,
            limits: check.limits(written.limits)?,
            metrics_machines: check.metrics_machines(written.metrics)?,
            web: check.web(written.web)?,
            packages: source.optional_path(written.packages.directory)?,
            watchdog: check.watchdog(written.watchdog)?,
            mqtt: check.mqtt(written.mqtt)?,
            log: written.log.level.unwrap_or(Level::Info).into(),
        })
    }
}

#[cfg(test)]
mod tests;
