//! Why a command ended without success, and the exit status that says so.

use crate::config::ConfigError;
use std::fmt;
use std::process::ExitCode;

/// sysexits.h: the daemon is not running.
const EX_UNAVAILABLE: u8 = 69;

/// sysexits.h: the configuration has a fault.
const EX_CONFIG: u8 = 78;

/// The one error of every command.
#[derive(Debug)]
pub enum Failure {
    Config(ConfigError),
    /// The command needs the running daemon and cannot reach it.
    NotRunning(String),
    Other(String),
}

impl Failure {
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Config(_) => ExitCode::from(EX_CONFIG),
            Failure::NotRunning(_) => ExitCode::from(EX_UNAVAILABLE),
            Failure::Other(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Config(error) => error.fmt(f),
            Failure::NotRunning(why) | Failure::Other(why) => f.write_str(why),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::Config(error)
    }
}

impl From<String> for Failure {
    fn from(sentence: String) -> Failure {
        Failure::Other(sentence)
    }
}
