//! The monitor's configuration: `written` is the file, `used` are the checked values, `check` converts.
//!
//! LunaSentri's environment variables `MACHINE_HEARTBEAT_CHECK_INTERVAL` and `MACHINE_OFFLINE_THRESHOLD` override the
//! file, in the syntax that it accepts ("30s", "2m0s").

mod check;
mod used;
mod web;
mod written;

use crate::config::{ConfigError, Level, Source};
use check::Check;
use std::path::Path;
pub use used::*;

/// Path of the installed configuration.
pub const DEFAULT_PATH: &str = "/etc/heartbeat-monitor/config.toml";

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
        Config::from_source(source, &|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
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
            log: written.log.level.unwrap_or(Level::Info).into(),
        })
    }
}

#[cfg(test)]
mod tests;
