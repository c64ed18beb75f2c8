//! Who may ask: whoever has a read token. Figures are open to this machine too, and health to everybody.

use super::client;
use super::route::Route;
use super::{Refusal, Web};
use crate::clock::Moment;
use crate::http::client::address;
use crate::http::{Request, Response};

/// Why somebody may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    WithToken,
    /// On this machine, and only figures.
    Local,
}

impl Web {
    pub(super) fn admit(&self, request: &Request, route: Route, now: Moment) -> Result<Reader, Refusal> {
        let settings = self.settings.get();
        let local = || client::is_local(request, &settings.trusted_proxies);
        let Some(token) = request.bearer() else {
            if route == Route::Metrics && local() {
                return Ok(Reader::Local);
            }
            return Err(unauthorized("a read token is needed: Authorization: Bearer TOKEN"));
        };
        let registry = self.shared.registry.get();
        if registry.reader(token).is_some() {
            return Ok(Reader::WithToken);
        }
        let from = address(request, &settings.trusted_proxies);
        let from = from.map_or_else(|| "the socket file".to_owned(), |address| address.to_string());
        if registry.authenticate(token, now).is_ok() {
            log::debug!("{from} asks for {} with a machine's token", request.path());
            let sentence =
                "this token is a machine's; what reads has one of its own (heartbeat-monitor token add)";
            return Err(Refusal::Access(Response::error(403, sentence)));
        }
        log::debug!("{from} asks for {} with a token that nobody knows", request.path());
        Err(unauthorized("nobody knows this token"))
    }
}

fn unauthorized(sentence: &str) -> Refusal {
    Refusal::Access(Response::error(401, sentence).header("WWW-Authenticate", "Bearer"))
}
