//! The daemon's configuration: as written in the file, and as used by the threads.
//!
//! The environment names of the systems that this program replaces override the file: `HEARTBEAT_URL`,
//! `HEARTBEAT_INTERVAL`, `REQUEST_TIMEOUT` (seconds there, or with a unit), `PIDFILE`.

pub mod advice;
mod api;
mod cameras;
mod check;
mod renamed;
mod servers;
mod used;
mod written;

use crate::config::{ConfigError, Level, Source};
pub use api::AUTO;
use check::Check;
pub use servers::server_url;
use std::path::Path;
pub use used::*;

/// Where the installed program looks.
pub const DEFAULT_PATH: &str = "/etc/heartbeat-daemon/config.toml";

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
        Config::from_source(source, &environment)
    }

    /// [`Config::load`], or the defaults if `path` is the default file and this user may not read it: enough to ask the
    /// running daemon.
    ///
    /// # Errors
    /// The first fault, as one sentence.
    pub fn load_for_client(path: &Path) -> Result<Config, ConfigError> {
        match Config::load(path) {
            Err(error) if error.is_unreadable() && path == Path::new(DEFAULT_PATH) => {
                Config::from_file(&Source::new(path, ""))
            }
            result => result,
        }
    }

    /// The cameras of `source`, with the keys of `overlay`'s `[cameras]` in place of the file's.
    ///
    /// # Errors
    /// The first fault, as one sentence; a fault of the overlay names that.
    pub fn cameras_with(source: &Source, overlay: &Source) -> Result<Cameras, ConfigError> {
        let none = |_: &str| None;
        let over = overlay.parse::<written::File>(|_| None)?.cameras;
        // Checked alone first: spans of the overlay mean nothing in the file.
        Check { source: overlay, env: &none }.cameras(over.clone())?;
        let file: written::File = source.parse(renamed::new_name)?;
        let cameras = file.cameras.overlaid(over);
        Check { source, env: &none }.cameras(cameras)
    }

    /// [`Config::load`] with the text and the environment as arguments.
    ///
    /// # Errors
    /// The first fault, as one sentence.
    pub fn from_source(source: &Source, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        let written: written::File = source.parse(renamed::new_name)?;
        let check = Check { source, env };
        let heartbeat = check.heartbeat(written.heartbeat)?;
        let daemon = check.daemon(written.daemon)?;
        Ok(Config {
            heartbeat,
            network: check.network(written.network, &daemon.runtime_dir)?,
            cameras: check.cameras(written.cameras)?,
            metrics: check.metrics(written.metrics)?,
            activity: check.activity(written.activity)?,
            api: check.api(written.api, &daemon.runtime_dir)?,
            daemon,
            log: written.log.level.unwrap_or(Level::Info).into(),
        })
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
