//! Sign-in by a proxy that authenticates people and names them in a header: `[web] login_header` and `login_proxies`.
//!
//! The header counts only on a connection of a listed proxy. A forwarded address is never compared, because a client can
//! send one; a client of the socket file has no address, so it does not count either.

use heartbeat_daemon::clock::Now;
use heartbeat_daemon::http::{Peer, Request};
use heartbeat_daemon::monitor::accounts::visitor::Visitor;
use heartbeat_daemon::monitor::config::ProxyLogin;
use heartbeat_daemon::monitor::log_limit::LogLimit;
use heartbeat_daemon::monitor::store::{Store, StoreError};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Each reason is logged once in this time.
const LOGGED: Duration = Duration::from_secs(3600);

/// Why a header does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum IgnoredLogin {
    /// `None`: the socket file.
    Elsewhere(Option<IpAddr>),
    /// A proxy that does not delete the client's header adds its own as a second one.
    Duplicate,
    NotText,
    UnknownUser,
}

/// Sign-ins by header, with the limit of what is logged about them.
#[derive(Debug)]
pub struct ProxyLogins {
    logged: Mutex<LogLimit<&'static str>>,
}

impl Default for ProxyLogins {
    fn default() -> ProxyLogins {
        ProxyLogins { logged: Mutex::new(LogLimit::new(LOGGED)) }
    }
}

impl ProxyLogins {
    /// The user whom the proxy names; `None` if there is no header, or it does not count.
    pub fn visitor(
        &self,
        store: &Store,
        request: &Request,
        login: &ProxyLogin,
        now: Now,
    ) -> Result<Option<Visitor>, StoreError> {
        let name = match named(request, login) {
            Ok(Some(name)) => name,
            Ok(None) => return Ok(None),
            Err(ignored) => {
                self.log(ignored, login, now);
                return Ok(None);
            }
        };
        let visitor = store.visitor_named(name)?;
        if visitor.is_none() {
            self.log(IgnoredLogin::UnknownUser, login, now);
        }
        Ok(visitor)
    }

    fn log(&self, ignored: IgnoredLogin, login: &ProxyLogin, now: Now) {
        let key = match ignored {
            IgnoredLogin::Elsewhere(_) => "elsewhere",
            IgnoredLogin::Duplicate => "duplicate",
            IgnoredLogin::NotText => "not text",
            IgnoredLogin::UnknownUser => "unknown user",
        };
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_due(key, now.monotonic) {
            log::warn!("ignored {} of a request: {}", login.header, ignored.reason());
        }
    }
}

impl IgnoredLogin {
    fn reason(self) -> String {
        match self {
            IgnoredLogin::Elsewhere(Some(address)) => {
                format!("{address} is not in [web] login_proxies")
            }
            IgnoredLogin::Elsewhere(None) => {
                "it came over the socket file, whose clients are not in [web] login_proxies".into()
            }
            IgnoredLogin::Duplicate => {
                "it was sent twice; the proxy must delete the header of clients before it adds its own".into()
            }
            IgnoredLogin::NotText => "its value is not UTF-8".into(),
            IgnoredLogin::UnknownUser => {
                "it names no user; add one with heartbeat-monitor user add NAME --role viewer".into()
            }
        }
    }
}

/// The name in the header; `None` without one.
fn named<'r>(request: &'r Request, login: &ProxyLogin) -> Result<Option<&'r str>, IgnoredLogin> {
    let mut lines = request.header_lines(&login.header);
    let Some(value) = lines.next() else { return Ok(None) };
    let peer = match request.peer() {
        Peer::Tcp(address) => Some(address.ip().to_canonical()),
        Peer::Unix => None,
    };
    let is_listed = peer.is_some_and(|peer| login.proxies.iter().any(|network| network.contains(peer)));
    if !is_listed {
        return Err(IgnoredLogin::Elsewhere(peer));
    }
    if lines.next().is_some() {
        return Err(IgnoredLogin::Duplicate);
    }
    let name = std::str::from_utf8(value).map_err(|_| IgnoredLogin::NotText)?.trim();
    // Some proxies send an empty header for people who are not signed in.
    Ok(Some(name).filter(|name| !name.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use heartbeat_daemon::http::in_memory::MemoryClient;

    #[test]
    fn a_client_of_the_socket_file_cannot_name_a_user() {
        let login = ProxyLogin {
            header: "Remote-User".into(),
            proxies: vec!["0.0.0.0/0".parse().expect("a network"), "::/0".parse().expect("a network")],
        };
        let client = MemoryClient::default();
        let request = |headers: &str| {
            let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
            client.exchange(text.as_bytes()).expect("a request").request
        };
        assert_eq!(named(&request(""), &login), Ok(None));
        let named = named(&request("Remote-User: ada\r\nX-Forwarded-For: 127.0.0.1\r\n"), &login).map(drop);
        assert_eq!(named, Err(IgnoredLogin::Elsewhere(None)));
    }
}
