//! Limits of a server.

use super::networks::IpNetwork;
use crate::wire;
use std::time::Duration;

/// Bounds of a server. Every deadline but `progress` is absolute: a client cannot extend one by sending single bytes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of request line and headers.
    pub head: usize,
    /// Bytes of a body.
    pub body: usize,
    /// Bytes of unfinished requests, unread responses and TLS handshakes of all connections. At the bound,
    /// connections of the network that holds most are closed.
    pub unfinished: usize,
    /// The same for one network: an IPv4 address or an IPv6 /56.
    pub unfinished_per_network: usize,
    /// Open connections. One more replaces an idle or unfinished one, or is answered 503: see `kept`.
    pub connections: usize,
    /// Open connections from one IPv4 address or IPv6 /64; a Unix socket is exempt.
    pub connections_per_address: usize,
    /// Trusted reverse proxies. They forward for many clients, so `connections_per_address` does not apply; their
    /// input counts for the client that they name.
    pub unlimited: Vec<IpNetwork>,
    /// Time for a whole request from its first byte; for the first one, from the accept.
    pub request: Duration,
    /// Time between two requests.
    pub idle: Duration,
    /// An authenticated client that has been idle for less than this keeps its connection when there is no room for a new
    /// one. Otherwise the clients of a fleet that is larger than `connections` would take each other's at every heartbeat,
    /// and each would have to connect again.
    pub kept: Duration,
    /// Time for the client to read a response.
    pub write: Duration,
    /// The same for a response that is read from a file: in each such interval the client must read 1,000 bytes for each
    /// of its seconds. A package takes a device on GPRS ten minutes.
    pub progress: Duration,
    /// Time for the handler to respond; then 503.
    pub answer: Duration,
    /// Time for the client to read a refusal before its connection is reset.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head: 8 * 1024,
            body: wire::MAX_BODY,
            unfinished: 32 * 1024 * 1024,
            unfinished_per_network: 1024 * 1024,
            connections: 1_024,
            connections_per_address: 128,
            unlimited: Vec::new(),
            request: Duration::from_secs(10),
            // Longer than nginx's 60 s for an upstream connection: the proxy should be the one to close.
            idle: Duration::from_secs(75),
            // Three heartbeats of a device.
            kept: Duration::from_secs(15),
            write: Duration::from_secs(10),
            // The kernel accepts bytes in lumps of up to 32 KiB: see `TrackedSocket::bound_unsent`.
            progress: Duration::from_secs(60),
            answer: Duration::from_secs(30),
            linger: Duration::from_secs(2),
        }
    }
}
