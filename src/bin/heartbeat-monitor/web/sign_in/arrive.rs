//! A user who has proved who they are: the session, its cookies, and the page to which they return.

use super::context::SignInContext;
use super::cookies;
use crate::web::page::see_other;
use crate::web::refusal::PageRefusal;
use crate::web::visit::{SESSION_COOKIE, cookie};
use heartbeat_daemon::clock::Now;
use heartbeat_daemon::http::{Request, Response};
use heartbeat_daemon::monitor::accounts::attempts::Attempter;
use heartbeat_daemon::monitor::accounts::audit::Actor;
use heartbeat_daemon::monitor::accounts::sessions::NewSession;
use heartbeat_daemon::monitor::accounts::visitor::UserId;

/// A user who has proved who they are.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    pub user: UserId,
    pub name: &'a str,
    /// The browser's time zone, if the user has not chosen one.
    pub zone: Option<&'a str>,
    /// How, for the audit log.
    pub detail: Option<&'a str>,
    pub now: Now,
}

/// Signs the browser in with a new session, and leads it to `next`.
pub fn arrive(
    context: &SignInContext,
    request: &Request,
    arrival: Arrival<'_>,
    next: &str,
) -> Result<Response, PageRefusal> {
    let response = with_session(context, request, arrival, see_other(format!("./{}", safe(next))))?;
    let address = context.address(request);
    let actor = Actor { name: arrival.name.to_owned(), address };
    context.store.record_audit(&actor, "login", Some(arrival.name), arrival.detail, arrival.now.wall)?;
    Ok(response)
}

/// `response` with the cookies of a new session. The browser's old session ends: its id may be known to others.
pub fn with_session(
    context: &SignInContext,
    request: &Request,
    arrival: Arrival<'_>,
    response: Response,
) -> Result<Response, PageRefusal> {
    let (store, now) = (&context.store, arrival.now.wall);
    if let Some(old) = cookie(request, SESSION_COOKIE) {
        store.end_session_of(old)?;
    }
    let (address, agent) = (context.address(request), request.header("User-Agent"));
    let token = store.add_session(&NewSession { user: arrival.user, address, agent }, now)?;
    if let Some(zone) = arrival.zone {
        // A zone that this server does not know: times are shown in UTC.
        let _ = store.set_time_zone(arrival.user, Some(zone));
    }
    let public_url = context.public_url();
    let response = response.header("Set-Cookie", cookies::session(token.as_str(), public_url.as_ref()));
    if let Attempter::Known(_) = context.attempter(request, Some(arrival.user)) {
        return Ok(response);
    }
    let device = context.device_key.issue(arrival.user);
    let device = device.map_err(|error| PageRefusal::Failed(format!("no random numbers: {error}")))?;
    Ok(response.header("Set-Cookie", cookies::device(&device, public_url.as_ref())))
}

/// A path below the root; anything else leads to the root.
fn safe(next: &str) -> &str {
    let is_path = next.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-'));
    if is_path && !next.starts_with('/') { next } else { "" }
}

#[cfg(test)]
mod tests {
    use super::safe;

    #[test]
    fn the_next_page_is_below_the_root() {
        for (next, expected) in [
            ("machines/7", "machines/7"),
            ("", ""),
            ("//evil.example", ""),
            ("/x", ""),
            ("https://evil.example", ""),
            ("..", ""),
            ("a\r\nSet-Cookie: x", ""),
        ] {
            assert_eq!(safe(next), expected, "{next}");
        }
    }
}
