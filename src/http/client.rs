//! The client of a request, which a trusted proxy may forward, and of a connection.

use super::limits::Limits;
use super::message::{Peer, Request, Response};
use super::networks::IpNetwork;
use std::net::IpAddr;

/// The client of a connection, as the bounds of unfinished input count it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionClient {
    /// Client of the current request; `None` if a proxy has not named it yet, or the peer is on this machine.
    pub(super) address: Option<IpAddr>,
    /// The peer forwards for many clients: authentication of one does not count for the next.
    is_shared: bool,
    /// It has sent a valid token.
    pub(super) authenticated: bool,
}

impl ConnectionClient {
    pub(super) fn new(peer: Peer, limits: &Limits) -> ConnectionClient {
        let address = match peer {
            Peer::Tcp(address) => Some(address.ip()),
            Peer::Unix => None,
        };
        let is_proxy = |address: &IpAddr| limits.unlimited.iter().any(|network| network.contains(*address));
        let address = address.filter(|address| !is_proxy(address));
        ConnectionClient { address, is_shared: address.is_none(), authenticated: false }
    }

    /// The head of a request has arrived.
    pub(super) fn begin_request(&mut self, head: &Request, limits: &Limits) {
        if self.is_shared {
            self.address = address(head, &limits.unlimited);
            self.authenticated = false;
        }
    }

    /// The request is answered.
    pub(super) fn end_request(&mut self, response: &Response) {
        let refused = self.is_shared || response.status() == 401;
        self.authenticated = response.authenticated || (self.authenticated && !refused);
        if self.is_shared {
            self.address = None;
        }
    }
}

/// Address of the client: the nearest one in `X-Forwarded-For` that is not a trusted proxy's. `None` if no trusted
/// source names one.
pub fn address(request: &Request, trusted: &[IpNetwork]) -> Option<IpAddr> {
    let peer = match request.peer() {
        Peer::Tcp(address) => Some(address.ip().to_canonical()),
        // The socket file's mode restricts access to a proxy on this machine.
        Peer::Unix => None,
    };
    nearest(peer, request.header_lines("x-forwarded-for"), trusted)
}

fn nearest<'a>(
    peer: Option<IpAddr>,
    forwarded: impl DoubleEndedIterator<Item = &'a [u8]>,
    trusted: &[IpNetwork],
) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if peer.is_some_and(|peer| !is_trusted(peer)) {
        return peer;
    }
    let mut nearest = peer;
    let parts = forwarded.rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
    for part in parts.map(<[u8]>::trim_ascii).filter(|part| !part.is_empty()) {
        // Entries further left come from untrusted sources.
        let address = std::str::from_utf8(part).ok().and_then(|part| part.parse::<IpAddr>().ok());
        let Some(address) = address else { return nearest };
        nearest = Some(address.to_canonical());
        if !is_trusted(address) {
            break;
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `forwarded`: the lines, as they were sent.
    fn seen(peer: &str, forwarded: &str) -> String {
        let trusted = ["127.0.0.1", "10.0.0.0/8"].map(|text| text.parse().expect(text));
        let peer = (peer != "unix").then(|| peer.parse().expect(peer));
        let lines = forwarded.lines().map(str::as_bytes);
        nearest(peer, lines, &trusted).map_or("nobody".into(), |address| address.to_string())
    }

    #[test]
    fn only_trusted_proxies_may_name_the_client() {
        for (peer, forwarded, client) in [
            ("203.0.113.9", "", "203.0.113.9"),
            ("203.0.113.9", "127.0.0.1", "203.0.113.9"),
            ("127.0.0.1", "", "127.0.0.1"),
            ("127.0.0.1", "198.51.100.7", "198.51.100.7"),
            ("127.0.0.1", "127.0.0.1, 198.51.100.7", "198.51.100.7"),
            ("127.0.0.1", "198.51.100.7, 10.1.1.1", "198.51.100.7"),
            ("127.0.0.1", "198.51.100.7, nonsense, 10.1.1.1", "10.1.1.1"),
            ("127.0.0.1", "10.2.2.2,10.1.1.1", "10.2.2.2"),
            ("127.0.0.1", "\u{e4}, 198.51.100.7, 10.1.1.1", "198.51.100.7"),
            ("127.0.0.1", "127.0.0.2\n198.51.100.7", "198.51.100.7"),
            ("127.0.0.1", "198.51.100.7\n10.1.1.1", "198.51.100.7"),
            ("unix", "198.51.100.7", "198.51.100.7"),
            ("unix", "", "nobody"),
            ("unix", "2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(seen(peer, forwarded), client, "{peer} {forwarded}");
        }
    }
}
