//! How many connections there are, and of whom.

use super::limits::Limits;
use super::message::Peer;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Debug, Default)]
pub(super) struct Admission {
    all: usize,
    by_network: HashMap<Network, usize>,
}

/// Whom one client can be expected to be. A host has a whole IPv6 /64 to draw addresses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Network {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Admitted,
    /// Too many in all: one that is idle may give way.
    Full,
    /// Too many from this address.
    TooMany,
}

impl Admission {
    pub(super) fn admit(&mut self, peer: Peer, limits: &Limits) -> Verdict {
        let network = network(peer);
        let here = network.and_then(|network| self.by_network.get(&network)).copied().unwrap_or(0);
        if here >= limits.connections_per_address && !is_unlimited(peer, limits) {
            return Verdict::TooMany;
        }
        if self.all >= limits.connections {
            return Verdict::Full;
        }
        self.all += 1;
        if let Some(network) = network {
            self.by_network.insert(network, here + 1);
        }
        Verdict::Admitted
    }

    pub(super) fn leave(&mut self, peer: Peer) {
        self.all = self.all.saturating_sub(1);
        let Some(network) = network(peer) else { return };
        match self.by_network.get_mut(&network) {
            Some(here) if *here > 1 => *here -= 1,
            _ => drop(self.by_network.remove(&network)),
        }
    }
}

fn is_unlimited(peer: Peer, limits: &Limits) -> bool {
    let Peer::Tcp(address) = peer else { return true };
    limits.unlimited.iter().any(|network| network.contains(address.ip()))
}

fn network(peer: Peer) -> Option<Network> {
    let Peer::Tcp(address) = peer else { return None };
    Some(match address.ip().to_canonical() {
        IpAddr::V4(ip) => Network::V4(ip),
        IpAddr::V6(ip) => Network::V6(prefix(ip)),
    })
}

fn prefix(ip: Ipv6Addr) -> [u16; 4] {
    let [a, b, c, d, ..] = ip.segments();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Peer {
        Peer::Tcp(format!("{address}:1").parse().expect("an address"))
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let limits = Limits { connections: 4, connections_per_address: 2, ..Limits::default() };
        let mut admission = Admission::default();
        let mut admit = |peer: &str| admission.admit(from(peer), &limits);
        assert_eq!(admit("192.0.2.1"), Verdict::Admitted);
        assert_eq!(admit("[::ffff:192.0.2.1]"), Verdict::Admitted);
        assert_eq!(admit("192.0.2.1"), Verdict::TooMany, "mapped or not, it is one address");
        assert_eq!(admit("[2001:db8::1]"), Verdict::Admitted);
        assert_eq!(admit("[2001:db8::2]"), Verdict::Admitted);
        assert_eq!(admit("[2001:db8:0:0:ffff::1]"), Verdict::TooMany, "a /64 is one client");
        assert_eq!(admit("[2001:db8:0:1::1]"), Verdict::Full);
        assert_eq!(admission.admit(Peer::Unix, &limits), Verdict::Full);
        admission.leave(from("192.0.2.1"));
        assert_eq!(admission.admit(Peer::Unix, &limits), Verdict::Admitted, "no share for the socket file");
        admission.leave(Peer::Unix);
        assert_eq!(admission.admit(from("192.0.2.1"), &limits), Verdict::Admitted);
        assert_eq!(admission.by_network.len(), 2);
    }

    #[test]
    fn a_trusted_proxy_has_no_share() {
        let unlimited = vec!["192.0.2.0/24".parse().expect("a network")];
        let limits = Limits { connections: 4, connections_per_address: 1, unlimited, ..Limits::default() };
        let mut admission = Admission::default();
        for _ in 0..4 {
            assert_eq!(admission.admit(from("192.0.2.1"), &limits), Verdict::Admitted);
        }
        assert_eq!(
            admission.admit(from("192.0.2.1"), &limits),
            Verdict::Full,
            "of all there are, a share or not"
        );
    }
}
