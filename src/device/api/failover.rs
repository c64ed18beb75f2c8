//! `/api/failover`: the uplinks and the manual override.

use super::call::{Call, Handled};
use crate::device::failover::status::{FailoverCommand, FailoverStatus};
use crate::http::Response;
use serde::{Deserialize, Serialize};
use std::time::Duration;

pub fn show(call: &Call) -> Handled {
    match call.context.failover_status(call.now.monotonic) {
        Some(status) => Response::json(200, &status).into(),
        None => Response::error(409, "failover is off: [network] mode is \"off\"").into(),
    }
}

/// The body of `POST /api/failover/manual`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ManualOverride {
    pub interface: String,
    /// Seconds until the override ends; without it, it lasts until `auto` or a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<f64>,
}

pub fn manual(call: &Call) -> Handled {
    let ManualOverride { interface, duration_s } = match call.json() {
        Ok(body) => body,
        Err(refusal) => return refusal.into(),
    };
    match duration_s.map(Duration::try_from_secs_f64).transpose() {
        Ok(limit) => execute(FailoverCommand::Manual { interface, limit }),
        Err(error) => Response::error(400, &format!("duration_s: {error}")).into(),
    }
}

pub fn auto(_: &Call) -> Handled {
    execute(FailoverCommand::Auto)
}

/// The failover thread answers, with its status after the command.
fn execute(command: FailoverCommand) -> Handled {
    Handled::Deferred(Box::new(|context, pending| {
        let done = Box::new(|result: Result<FailoverStatus, String>| {
            pending.send(match result {
                Ok(status) => Response::json(200, &status),
                Err(refusal) => Response::error(409, &refusal),
            });
        });
        context.failover.command(command, done);
    }))
}
