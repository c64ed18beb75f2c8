//! Counts connections, in total and per client address.

use super::limits::Limits;
use super::message::Peer;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Debug, Default)]
pub(super) struct Admission {
    all: usize,
    by_address: HashMap<AddressKey, usize>,
}

/// The unit that the per-client limit counts: an IPv4 address or an IPv6 /64, within which one host can pick addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum AddressKey {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AdmissionResult {
    Admitted,
    /// Too many in total: an idle one may be evicted.
    Full,
    /// Too many from this address.
    TooMany,
}

impl Admission {
    pub(super) fn admit(&mut self, peer: Peer, limits: &Limits) -> AdmissionResult {
        let network = address_key(peer);
        let here = network.and_then(|network| self.by_address.get(&network)).copied().unwrap_or(0);
        if here >= limits.connections_per_address && !is_unlimited(peer, limits) {
            return AdmissionResult::TooMany;
        }
        if self.all >= limits.connections {
            return AdmissionResult::Full;
        }
        self.all += 1;
        if let Some(network) = network {
            self.by_address.insert(network, here + 1);
        }
        AdmissionResult::Admitted
    }

    pub(super) fn leave(&mut self, peer: Peer) {
        self.all = self.all.saturating_sub(1);
        let Some(network) = address_key(peer) else { return };
        match self.by_address.get_mut(&network) {
            Some(here) if *here > 1 => *here -= 1,
            _ => drop(self.by_address.remove(&network)),
        }
    }
}

fn is_unlimited(peer: Peer, limits: &Limits) -> bool {
    let Peer::Tcp(address) = peer else { return true };
    limits.unlimited.iter().any(|network| network.contains(address.ip()))
}

fn address_key(peer: Peer) -> Option<AddressKey> {
    let Peer::Tcp(address) = peer else { return None };
    Some(match address.ip().to_canonical() {
        IpAddr::V4(ip) => AddressKey::V4(ip),
        IpAddr::V6(ip) => AddressKey::V6(prefix(ip)),
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
        assert_eq!(admit("192.0.2.1"), AdmissionResult::Admitted);
        assert_eq!(admit("[::ffff:192.0.2.1]"), AdmissionResult::Admitted);
        assert_eq!(admit("192.0.2.1"), AdmissionResult::TooMany, "mapped or not, it is one address");
        assert_eq!(admit("[2001:db8::1]"), AdmissionResult::Admitted);
        assert_eq!(admit("[2001:db8::2]"), AdmissionResult::Admitted);
        assert_eq!(admit("[2001:db8:0:0:ffff::1]"), AdmissionResult::TooMany, "a /64 is one client");
        assert_eq!(admit("[2001:db8:0:1::1]"), AdmissionResult::Full);
        assert_eq!(admission.admit(Peer::Unix, &limits), AdmissionResult::Full);
        admission.leave(from("192.0.2.1"));
        assert_eq!(
            admission.admit(Peer::Unix, &limits),
            AdmissionResult::Admitted,
            "no share for the socket file"
        );
        admission.leave(Peer::Unix);
        assert_eq!(admission.admit(from("192.0.2.1"), &limits), AdmissionResult::Admitted);
        assert_eq!(admission.by_address.len(), 2);
    }

    #[test]
    fn a_trusted_proxy_has_no_share() {
        let unlimited = vec!["192.0.2.0/24".parse().expect("a network")];
        let limits = Limits { connections: 4, connections_per_address: 1, unlimited, ..Limits::default() };
        let mut admission = Admission::default();
        for _ in 0..4 {
            assert_eq!(admission.admit(from("192.0.2.1"), &limits), AdmissionResult::Admitted);
        }
        assert_eq!(
            admission.admit(from("192.0.2.1"), &limits),
            AdmissionResult::Full,
            "of all there are, a share or not"
        );
    }
}
