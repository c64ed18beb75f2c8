//! Why a command of heartbeat-monitor failed.

use super::store::{OpenError, Refused, StoreError};
use crate::config::ConfigError;

/// Why a command failed, or the monitor did not start or keep running.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another process uses the database or the address.
    #[error("{0}")]
    InUse(String),
    /// No monitor responds.
    #[error("{0}")]
    NoResponse(String),
    #[error("{0}")]
    Other(String),
}

impl From<String> for CommandError {
    fn from(sentence: String) -> CommandError {
        CommandError::Other(sentence)
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> CommandError {
        CommandError::Other(error.to_string())
    }
}

impl From<OpenError> for CommandError {
    fn from(error: OpenError) -> CommandError {
        match error.error {
            StoreError::Held { .. } | StoreError::Busy => CommandError::InUse(error.to_string()),
            _ => CommandError::Other(error.to_string()),
        }
    }
}

impl From<Refused> for CommandError {
    fn from(refused: Refused) -> CommandError {
        match refused {
            Refused::Open(error) => error.into(),
            refused => CommandError::Other(refused.to_string()),
        }
    }
}
