//! What one client may cost.

use super::networks::Network;
use crate::wire;
use std::time::Duration;

/// Bounds of a server. Every deadline is absolute: a client cannot stretch one by sending a byte now and then.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of request line and headers.
    pub head: usize,
    /// Bytes of a body.
    pub body: usize,
    /// Bytes of unfinished requests, unread answers and TLS handshakes, all connections together. At the bound,
    /// connections of the network that holds most are closed.
    pub unfinished: usize,
    /// The same for one network: an IPv4 address or an IPv6 /56.
    pub unfinished_per_network: usize,
    /// Open connections. One more takes the place of one that is idle or unfinished, or is answered 503.
    pub connections: usize,
    /// Of them from one IPv4 address or one IPv6 /64; a Unix socket is exempt.
    pub connections_per_address: usize,
    /// Trusted reverse proxies. Their connections are those of all their clients, and not limited per address; what
    /// they send counts for the client that they name.
    pub unlimited: Vec<Network>,
    /// For a whole request, from its first byte, or from the connection's begin.
    pub request: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// For the client to take an answer.
    pub write: Duration,
    /// For the program to give one; then 503.
    pub answer: Duration,
    /// For the client to take note of a refusal before its connection is reset.
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
            // Longer than the 60 s for which nginx keeps an upstream connection: the proxy should be the one to close.
            idle: Duration::from_secs(75),
            write: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            linger: Duration::from_secs(2),
        }
    }
}
