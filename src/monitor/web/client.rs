//! Whether a request began on this machine: `/metrics` is open to it.

use crate::http::client::address;
use crate::http::networks::IpNetwork;
use crate::http::{Peer, Request};

/// Whether the request began on this machine: by a connection of its own, not one of a proxy that says nothing.
pub fn is_local(request: &Request, trusted: &[IpNetwork]) -> bool {
    let address = address(request, trusted);
    let said = request.is_forwarded();
    match request.peer() {
        Peer::Unix if !said => true,
        Peer::Tcp(peer) if said && Some(peer.ip().to_canonical()) == address => false,
        _ => address.is_some_and(|address| address.is_loopback()),
    }
}
