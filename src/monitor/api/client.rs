//! Whether a request comes from this machine, for which the metrics are open.

use crate::http::client::address;
use crate::http::networks::IpNetwork;
use crate::http::{Peer, Request};

/// Whether the client is on this machine: directly connected, or named by a trusted proxy.
pub fn is_local(request: &Request, trusted: &[IpNetwork]) -> bool {
    let address = address(request, trusted);
    let said = request.is_forwarded();
    match request.peer() {
        Peer::Unix if !said => true,
        Peer::Tcp(peer) if said && Some(peer.ip().to_canonical()) == address => false,
        _ => address.is_some_and(|address| address.is_loopback()),
    }
}
