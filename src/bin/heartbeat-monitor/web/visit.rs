//! A request of a signed-in user.

use super::context::PageContext;
use super::refusal::PageRefusal;
use super::route::to_root;
use super::viewpoint::Viewpoint;
use heartbeat_daemon::clock::Now;
use heartbeat_daemon::http::Request;
use heartbeat_daemon::http::client::address;
use heartbeat_daemon::monitor::accounts::audit::Actor;
use heartbeat_daemon::monitor::accounts::sessions::SessionId;
use heartbeat_daemon::monitor::accounts::visitor::{Role, Visitor};
use std::net::IpAddr;
use std::ops::Deref;

/// Name of the session's cookie.
pub const SESSION_COOKIE: &str = "heartbeat_session";

/// A request of a signed-in user.
pub struct Visit<'a> {
    pub request: &'a Request,
    pub signed_in: SignedIn,
}

/// A visit without its request, which may move to another thread.
pub struct SignedIn {
    /// The moment at which the request is answered.
    pub now: Now,
    pub session: SessionId,
    /// The client's address; `None` for the socket file.
    pub address: Option<IpAddr>,
    pub viewpoint: Viewpoint,
}

impl Deref for Visit<'_> {
    type Target = SignedIn;

    fn deref(&self) -> &SignedIn {
        &self.signed_in
    }
}

impl<'a> Visit<'a> {
    /// # Errors
    /// [`PageRefusal::SignIn`] without a valid session.
    pub fn of(context: &PageContext, request: &'a Request, now: Now) -> Result<Visit<'a>, PageRefusal> {
        let (session, visitor) = match by_proxy(context, request, now)? {
            Some(found) => found,
            None => {
                let token = cookie(request, SESSION_COOKIE).ok_or(PageRefusal::SignIn)?;
                let found = context.shared.store.session_visitor(token, now.wall)?;
                found.ok_or(PageRefusal::SignIn)?
            }
        };
        let signed_in = SignedIn {
            now,
            session,
            address: address(request, &context.settings.get().trusted_proxies),
            viewpoint: Viewpoint::new(visitor, to_root(request.path()), now.wall),
        };
        Ok(Visit { request, signed_in })
    }
}

impl SignedIn {
    pub fn visitor(&self) -> &Visitor {
        &self.viewpoint.visitor
    }

    /// # Errors
    /// [`PageRefusal::Forbidden`] if the visitor's role is lower.
    pub fn require(&self, role: Role) -> Result<(), PageRefusal> {
        if self.visitor().may(role) { Ok(()) } else { Err(PageRefusal::Forbidden) }
    }

    /// For the audit log.
    pub fn actor(&self) -> Actor {
        Actor::of(self.visitor(), self.address)
    }
}

/// The user whom a proxy names. The session has a number that no stored one has.
fn by_proxy(
    context: &PageContext,
    request: &Request,
    now: Now,
) -> Result<Option<(SessionId, Visitor)>, PageRefusal> {
    let settings = context.settings.get();
    let Some(login) = &settings.web.proxy_login else { return Ok(None) };
    let found = context.proxy_logins.visitor(&context.shared.store, request, login, now)?;
    Ok(found.map(|visitor| (SessionId(-visitor.id.0), visitor)))
}

/// The value of a cookie, which the caller must not trust.
pub fn cookie<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let pairs = request.header("Cookie")?.split(';');
    let mut values = pairs.filter_map(|pair| pair.trim().split_once('='));
    values.find(|(found, _)| *found == name).map(|(_, value)| value)
}
