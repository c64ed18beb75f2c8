//! What is offered to devices under the current configuration.

use super::index::PackageIndex;
use super::install::{InstallScript, SCRIPT_PATH};
use crate::config::ConfigError;
use crate::monitor::config::Config;

/// Beginning of the paths of all files.
pub const PREFIX: &str = "/apt/";

/// Files and script; a reload replaces both.
#[derive(Debug)]
pub struct Offer {
    /// `None`: no directory is configured.
    pub index: Option<PackageIndex>,
    pub script: InstallScript,
}

impl Offer {
    /// # Errors
    /// `[packages] directory` or `[web] ca_file` cannot be read.
    pub fn load(config: &Config) -> Result<Offer, ConfigError> {
        let index = config.packages.as_deref().map(PackageIndex::read).transpose()?;
        let script = InstallScript::of(config, index.as_ref())?;
        Ok(Offer { index, script })
    }
}

/// Whether a path is answered without a session or token, from the packages.
pub fn is_for_devices(path: &str) -> bool {
    path.starts_with(PREFIX) || path == SCRIPT_PATH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_is_for_devices() {
        for path in ["/apt/", "/apt/heartbeat.asc", "/install"] {
            assert!(is_for_devices(path), "{path}");
        }
        for path in ["/", "/apt", "/install/", "/installed", "/x/apt/", "/api/v1/enroll"] {
            assert!(!is_for_devices(path), "{path}");
        }
    }
}
