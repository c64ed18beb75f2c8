//! Who may do what.
//!
//! | from | may |
//! |---|---|
//! | the socket file | everything: its mode and group say who may connect |
//! | loopback | everything but settings, unless a proxy passed it on or another site's page sent it |
//! | another machine | read, but not the GPS position and the path of a recording |
//! | anywhere, with the API token | everything but switching uplinks |

use crate::device::token::Token;
use crate::http::{Peer, Request, Response};
use std::net::IpAddr;

/// The client's level of trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Has shown the token, or is on this machine.
    Full,
    Reader,
}

/// What a route wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    Read,
    Change,
    /// Change a setting for good: not even a program on this machine may, unless over the socket file or with the token.
    Configure,
    /// Switch uplinks: on the socket file only.
    Switch,
}

/// `None` where the request itself must be refused whatever it wants; `hostname` is this machine's.
pub fn check(
    request: &Request,
    permission: Permission,
    token: Option<&Token>,
    hostname: &str,
) -> Result<Trust, Response> {
    let address = match request.peer() {
        Peer::Unix => return Ok(Trust::Full),
        Peer::Tcp(address) => address.ip().to_canonical(),
    };
    if permission == Permission::Switch {
        return Err(refuse("refused: uplinks are switched over the socket file only"));
    }
    let shown = request.bearer();
    if token.zip(shown).is_some_and(|(token, shown)| token.is(shown)) {
        // No page of another site can make a browser send it.
        return Ok(Trust::Full);
    }
    let host = request.header("Host").unwrap_or_default();
    if !is_this_machine(host, hostname) {
        return Err(refuse("Host must be an IP address, localhost or this machine's name"));
    }
    // What a proxy on this machine passes on is another machine's.
    let local = address.is_loopback() && !request.is_forwarded();
    match permission {
        Permission::Read if local => Ok(Trust::Full),
        Permission::Read => Ok(Trust::Reader),
        Permission::Change if is_cross_site(request, host) => {
            Err(refuse("refused: this request comes from a page of another site"))
        }
        Permission::Configure if token.is_none() => Err(refuse(
            "refused: settings are changed over the socket file, or with an API token (token_file in [api])",
        )),
        Permission::Change if local => Ok(Trust::Full),
        Permission::Change if token.is_none() => Err(refuse(
            "refused: changes from another machine need an API token, and token_file in [api] names none",
        )),
        Permission::Change | Permission::Configure | Permission::Switch => {
            Err(Response::error(401, "needs the header \"Authorization: Bearer <the API token>\"")
                .header("WWW-Authenticate", "Bearer"))
        }
    }
}

fn refuse(why: &str) -> Response {
    Response::error(403, why)
}

/// A page that has its own name point here (DNS rebinding) sends that name.
fn is_this_machine(host: &str, hostname: &str) -> bool {
    let name = without_port(host);
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if bare.parse::<IpAddr>().is_ok() || bare.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let first = hostname.split('.').next().unwrap_or_default();
    let known = |known: &str| !known.is_empty() && bare.eq_ignore_ascii_case(known);
    // .local is resolved by the machine itself (mDNS), never on the internet.
    known(hostname) || known(first) || known(&format!("{first}.local"))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

/// Browsers send the origin of a request; other clients do not.
fn is_cross_site(request: &Request, host: &str) -> bool {
    let other_site =
        request.header("Sec-Fetch-Site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let other_origin = request.header("Origin").is_some_and(|origin| {
        let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        !authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    });
    other_site || other_origin
}
