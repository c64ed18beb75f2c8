//! Why a command ended without success, and the exit status that says so.

use crate::config::ConfigError;
use std::process::ExitCode;

/// sysexits.h: the daemon is not running.
const EX_UNAVAILABLE: u8 = 69;

/// sysexits.h: the configuration has a fault.
const EX_CONFIG: u8 = 78;

/// The one error of every command.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The command needs the running daemon and cannot reach it.
    #[error("{0}")]
    NotRunning(String),
    #[error("{0}")]
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

impl From<String> for Failure {
    fn from(sentence: String) -> Failure {
        Failure::Other(sentence)
    }
}
