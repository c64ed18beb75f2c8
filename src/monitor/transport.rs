//! How a request came here: from this machine, and over a connection that others on the way cannot read.

use super::config::Config;
use crate::http::client::address;
use crate::http::networks::IpNetwork;
use crate::http::{Peer, Request, Response};

/// Whether a request comes from this machine: directly connected, or named by a trusted proxy.
pub fn is_local(request: &Request, trusted: &[IpNetwork]) -> bool {
    let address = address(request, trusted);
    let said = request.is_forwarded();
    match request.peer() {
        Peer::Unix if !said => true,
        Peer::Tcp(peer) if said && Some(peer.ip().to_canonical()) == address => false,
        _ => address.is_some_and(|address| address.is_loopback()),
    }
}

/// The settings that decide whether a secret may be sent here.
#[derive(Debug, Clone)]
pub struct Transport {
    /// The listener speaks TLS only.
    is_tls: bool,
    /// `[web] public_url` is https: what a proxy forwards came over HTTPS.
    is_public_https: bool,
    trusted: Vec<IpNetwork>,
}

impl Transport {
    pub fn of(config: &Config) -> Transport {
        Transport {
            is_tls: config.http.tls.is_some(),
            is_public_https: config.web.public_url.as_ref().is_some_and(|url| url.is_https()),
            trusted: config.http.trusted_proxies.clone(),
        }
    }

    /// Whether the request came over HTTPS or from this machine. A client that forges a header exposes its own secret only.
    pub fn is_confidential(&self, request: &Request) -> bool {
        let is_tls = self.is_tls && matches!(request.peer(), Peer::Tcp(_));
        is_tls || is_local(request, &self.trusted) || self.is_forwarded_https(request)
    }

    fn is_forwarded_https(&self, request: &Request) -> bool {
        let is_proxy = match request.peer() {
            Peer::Unix => true,
            Peer::Tcp(peer) => self.trusted.iter().any(|network| network.contains(peer.ip())),
        };
        let is_forwarded = is_proxy || request.is_forwarded();
        let names_https = || request.header("X-Forwarded-Proto") == Some("https");
        is_forwarded && (self.is_public_https || names_https())
    }
}

/// The response to a request that came in the clear. `what` is the subject of the sentence.
pub fn refuse_plain_http(what: &str) -> Response {
    let sentence = format!(
        "{what} needs HTTPS, because others on the way can read and change plain HTTP: use the https:// address (behind a \
         proxy, set [web] public_url to it)"
    );
    Response::error(403, &sentence).header("Cache-Control", "no-store")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::in_memory::request_from;

    fn transport(is_tls: bool, is_public_https: bool) -> Transport {
        let trusted = vec!["10.0.0.1".parse().expect("a network")];
        Transport { is_tls, is_public_https, trusted }
    }

    #[test]
    fn a_secret_may_be_sent_over_https_or_from_this_machine() {
        const FORWARDED: &str = "X-Forwarded-For: 203.0.113.9\r\n";
        const HTTPS: &str = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n";
        const VIA: &str = "Via: 1.1 proxy\r\n";
        for (peer, headers, plain, public_https, tls) in [
            (Some("127.0.0.1:9"), "", true, true, true),
            (Some("[::1]:9"), "", true, true, true),
            (Some("203.0.113.9:9"), "", false, false, true),
            (Some("203.0.113.9:9"), HTTPS, true, true, true),
            (Some("127.0.0.1:9"), FORWARDED, false, true, true),
            (Some("127.0.0.1:9"), HTTPS, true, true, true),
            (Some("10.0.0.1:9"), "", false, true, true),
            (Some("10.0.0.1:9"), FORWARDED, false, true, true),
            (Some("10.0.0.1:9"), "X-Forwarded-For: 127.0.0.1\r\n", true, true, true),
            (Some("10.0.0.2:9"), VIA, false, true, true),
            // The socket file never speaks TLS; its clients are on this machine.
            (None, "", true, true, true),
            (None, FORWARDED, false, true, false),
        ] {
            let request = request_from(peer, &format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n"));
            let found = [(false, false), (false, true), (true, false)].map(|(is_tls, is_public_https)| {
                transport(is_tls, is_public_https).is_confidential(&request)
            });
            assert_eq!(found, [plain, public_https, tls], "{peer:?} {headers}");
        }
    }
}
