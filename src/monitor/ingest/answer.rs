//! Responses of ingest: the acknowledgement of a heartbeat, and refusals.

use super::malformed::Malformed;
use crate::clock::Moment;
use crate::http::Response;
use crate::monitor::registry::lookup::Denied;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The interval answered to a device that does not send its own.
const INTERVAL: Duration = Duration::from_secs(5);

/// Seconds, random for each response: devices that are refused together must not retry together.
const RETRY_AFTER_S: RangeInclusive<u32> = 5..=15;

const NO_TOKEN: &str =
    "missing token: use Authorization: Bearer TOKEN (Meeting API: X-Token-Code; LunaSentri: X-API-Key)";
/// The reason of [`IngestRefusal::Unwritten`].
pub const UNWRITTEN: &str = "the database cannot be written; retry later";

/// Why a request is refused.
pub enum IngestRefusal {
    NoToken,
    Denied(Denied),
    /// The token belongs to another device than the path.
    OtherDevice,
    Malformed(Malformed),
    /// The HTTP server's own response: 411.
    Front(Response),
    Method(&'static str),
    /// The recorder's queue is full.
    Busy,
    /// The last flush is too long ago. `elsewhere`: another monitor of the database takes heartbeats.
    Unwritten {
        elsewhere: bool,
    },
}

impl IngestRefusal {
    /// The response, with `authenticated` set so that the connection keeps its priority.
    pub fn into_response(self) -> Response {
        let authenticated = self.is_authenticated();
        let response = uncached(self.explain());
        if authenticated { response.authenticated() } else { response }
    }

    fn explain(self) -> Response {
        match self {
            IngestRefusal::Denied(Denied::Disabled) => Response::error(403, &Denied::Disabled.to_string()),
            IngestRefusal::Denied(denied) => unauthorized(&denied.to_string()),
            IngestRefusal::NoToken => unauthorized(NO_TOKEN),
            IngestRefusal::OtherDevice => unauthorized("the token belongs to another device"),
            IngestRefusal::Malformed(reason) => Response::error(reason.status(), &reason.to_string()),
            IngestRefusal::Front(response) => response,
            IngestRefusal::Method(allowed) => {
                Response::error(405, "method not allowed here (see Allow)").header("Allow", allowed)
            }
            IngestRefusal::Busy => unavailable("too many machines are coming back at once; retry later"),
            IngestRefusal::Unwritten { elsewhere: false } => unavailable(UNWRITTEN),
            IngestRefusal::Unwritten { elsewhere: true } => unavailable(UNWRITTEN).last(),
        }
    }

    /// Whether the request had a valid token.
    fn is_authenticated(&self) -> bool {
        match self {
            IngestRefusal::NoToken
            | IngestRefusal::Denied(_)
            | IngestRefusal::OtherDevice
            | IngestRefusal::Method(_) => false,
            IngestRefusal::Malformed(_)
            | IngestRefusal::Front(_)
            | IngestRefusal::Busy
            | IngestRefusal::Unwritten { .. } => true,
        }
    }
}

impl From<Malformed> for IngestRefusal {
    fn from(reason: Malformed) -> IngestRefusal {
        IngestRefusal::Malformed(reason)
    }
}

fn unauthorized(reason: &str) -> Response {
    Response::error(401, reason).header("WWW-Authenticate", "Bearer realm=\"heartbeat\"")
}

/// The response to a heartbeat: `wire::HeartbeatResponse` in the fewest bytes.
pub fn acknowledgement(interval: Option<Duration>, now: Moment) -> Response {
    let interval = interval.unwrap_or(INTERVAL).as_secs_f64();
    let server_time = now.0.div_euclid(1000);
    Response::bare(200, format!("{{\"interval_s\":{interval},\"server_time\":{server_time}}}").into_bytes())
}

/// Forbids caching: a cached response would hide that a device is gone.
pub fn uncached(response: Response) -> Response {
    response.header("Cache-Control", "no-store")
}

/// 503 with a random `Retry-After`.
pub fn unavailable(reason: &str) -> Response {
    Response::error(503, reason).header("Retry-After", fastrand::u32(RETRY_AFTER_S).to_string())
}
