//! Access to the read API: clients with a read token. The metrics are also open to this machine, `/healthz`
//! to everyone.

use super::context::ApiContext;
use super::refusal::ApiRefusal;
use super::route::ApiRoute;
use crate::clock::Moment;
use crate::http::client::address;
use crate::http::{Request, Response};
use crate::monitor::transport::is_local;

/// Why a request was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    WithToken,
    /// From this machine, for metrics only.
    Local,
}

pub fn admit(
    context: &ApiContext,
    request: &Request,
    route: ApiRoute,
    now: Moment,
) -> Result<Reader, ApiRefusal> {
    let settings = context.settings.get();
    let local = || is_local(request, &settings.trusted_proxies);
    let Some(token) = request.bearer() else {
        if matches!(route, ApiRoute::Metrics | ApiRoute::MachineMetrics) && local() {
            return Ok(Reader::Local);
        }
        return Err(unauthorized("missing read token: use Authorization: Bearer TOKEN"));
    };
    let registry = context.shared.registry.get();
    if registry.reader(token).is_some() {
        return Ok(Reader::WithToken);
    }
    let from = address(request, &settings.trusted_proxies);
    let from = from.map_or_else(|| "the socket file".to_owned(), |address| address.to_string());
    if registry.authenticate(token, now).is_ok() {
        log::debug!("{from} requested {} with a machine's token", request.path());
        let sentence = "this is a machine's token; reading needs a read token (heartbeat-monitor token add)";
        return Err(ApiRefusal::Access(Response::error(403, sentence)));
    }
    log::debug!("{from} requested {} with an unknown token", request.path());
    Err(unauthorized("unknown token"))
}

fn unauthorized(sentence: &str) -> ApiRefusal {
    ApiRefusal::Access(Response::error(401, sentence).header("WWW-Authenticate", "Bearer"))
}
