//! `heartbeat-monitor health`: requests `/healthz` of the monitor that runs with the same configuration, for health
//! checks of containers, which have no curl.

use crate::monitor::command_error::CommandError;
use crate::monitor::config::HttpConfig;
use crate::monitor::own_health::{OwnListener, Unhealthy};

/// The body of a good response.
///
/// # Errors
/// The monitor does not respond in time, or reports trouble.
pub fn run(http: &HttpConfig) -> Result<String, CommandError> {
    OwnListener::of(http).health().map_err(|unhealthy| match unhealthy {
        Unhealthy::NoResponse { .. } => CommandError::NoResponse(unhealthy.to_string()),
        Unhealthy::Trouble(_) | Unhealthy::Unexpected { .. } => CommandError::Other(unhealthy.to_string()),
    })
}
