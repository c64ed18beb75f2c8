//! The monitor's configuration: as written in the file, and as used by the threads.
//!
//! The environment names of LunaSentri override the file: `MACHINE_HEARTBEAT_CHECK_INTERVAL` and
//! `MACHINE_OFFLINE_THRESHOLD`, in the form that it takes them in ("30s", "2m0s").

mod check;
mod used;
mod written;

use crate::config::{ConfigError, Level, Source};
use check::Check;
use std::path::Path;
pub use used::*;

/// Where the installed program looks.
pub const DEFAULT_PATH: &str = "/etc/heartbeat-monitor/config.toml";

impl Config {
    /// The environment wins over the file at `path`, the file over the defaults.
    ///
    /// # Errors
    /// The first fault, as one sentence.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        Config::from_file(&Source::read(path)?)
    }

    /// [`Config::load`] of a file that was read already.
    ///
    /// # Errors
    /// The first fault, as one sentence.
    pub fn from_file(source: &Source) -> Result<Config, ConfigError> {
        Config::from_source(source, &|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
    }

    /// [`Config::load`] with the text and the environment as arguments.
    ///
    /// # Errors
    /// The first fault, as one sentence.
    pub fn from_source(source: &Source, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        let written: written::File = source.parse()?;
        let check = Check { source, env };
        Ok(Config {
            http: check.http(written.http)?,
            store: check.store(written.store)?,
            detection: check.detection(&written.detection)?,
            notify: check.notify(written.notify)?,
            smtp: check.smtp(written.smtp)?,
            retention: check.retention(written.retention)?,
            limits: check.limits(written.limits)?,
            log: written.log.level.unwrap_or(Level::Info).into(),
        })
    }
}

#[cfg(test)]
mod tests;
