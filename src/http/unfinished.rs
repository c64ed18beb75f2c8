//! Connections that hold something unfinished, by the network of their client, and which one is closed at a bound.
//!
//! A half-sent request costs its sender nothing and this process memory. So all unfinished input together is bounded,
//! and that of one network. Networks are IPv4 addresses and IPv6 /56, which one customer has; within a /56, each /64 is
//! a host. At a bound, the oldest unfinished connection of the host that holds most, in the network that holds most,
//! is closed. Connections of authenticated clients are closed last.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

/// The network whose connections are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum NetworkKey {
    V4([u8; 4]),
    /// A /56.
    V6([u8; 7]),
    /// A trusted proxy before it has named its client, or the socket file: no bound of its own.
    Shared,
}

/// A host within a [`NetworkKey`]: the last byte of an IPv6 /64.
type Host = u8;

impl NetworkKey {
    fn of(address: Option<IpAddr>) -> (NetworkKey, Host) {
        match address.map(|address| address.to_canonical()) {
            None => (NetworkKey::Shared, 0),
            Some(IpAddr::V4(address)) => (NetworkKey::V4(address.octets()), 0),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, e, f, g, host, ..] = address.octets();
                (NetworkKey::V6([a, b, c, d, e, f, g]), host)
            }
        }
    }
}

/// Memory that a connection holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holding {
    /// `None`: shared by many clients.
    pub(super) client: Option<IpAddr>,
    pub(super) authenticated: bool,
    pub(super) bytes: usize,
}

/// Bounds of unfinished input, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) all: usize,
    pub(super) network: usize,
}

#[derive(Debug, Default)]
pub(super) struct Unfinished {
    bytes: usize,
    /// By index of the connection.
    entries: Vec<Option<Entry>>,
    anonymous: Group,
    authenticated: Group,
    /// Number of the next entry: the lowest is the oldest.
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    holding: Holding,
    since: u64,
}

/// Either all authenticated connections or all others.
#[derive(Debug, Default)]
struct Group {
    networks: HashMap<NetworkKey, Share>,
    /// All networks, in the order of their bytes.
    by_bytes: BTreeSet<(usize, NetworkKey)>,
    /// All networks, in the order of their number of connections.
    by_connections: BTreeSet<(usize, NetworkKey)>,
}

#[derive(Debug, Default)]
struct Share {
    bytes: usize,
    connections: usize,
    hosts: BTreeMap<Host, HostShare>,
}

#[derive(Debug, Default)]
struct HostShare {
    bytes: usize,
    /// Connections by the number of their entry.
    connections: BTreeMap<u64, u32>,
}

impl Unfinished {
    /// Sets what the connection holds now; `None` removes it.
    pub(super) fn set(&mut self, index: u32, holding: Option<Holding>) {
        let slot = index as usize;
        let before = self.entries.get(slot).copied().flatten();
        if before.map(|entry| entry.holding) == holding {
            return;
        }
        if let Some(entry) = before {
            self.bytes -= entry.holding.bytes;
            self.group(entry.holding.authenticated).remove(entry);
        }
        if self.entries.len() <= slot {
            self.entries.resize(slot + 1, None);
        }
        self.entries[slot] = holding.map(|holding| {
            let since = before.map_or(self.next, |entry| entry.since);
            self.next += u64::from(before.is_none());
            let entry = Entry { holding, since };
            self.bytes += holding.bytes;
            self.group(holding.authenticated).insert(entry, index);
            entry
        });
    }

    /// The connection to close, if `index` has just exceeded a bound.
    pub(super) fn excess(&self, index: u32, bounds: Bounds) -> Option<u32> {
        let entry = self.entries.get(index as usize).copied().flatten()?;
        let (network, _) = NetworkKey::of(entry.holding.client);
        if network != NetworkKey::Shared && self.bytes_of(network) > bounds.network {
            return self.anonymous.largest_in(network).or_else(|| self.authenticated.largest_in(network));
        }
        if self.bytes > bounds.all {
            return self.anonymous.largest().or_else(|| self.authenticated.largest());
        }
        None
    }

    /// The oldest connection of the network with the most unauthenticated connections.
    pub(super) fn most_connections_anonymous(&self) -> Option<u32> {
        self.anonymous.most_connections()
    }

    /// The same for authenticated connections.
    pub(super) fn most_connections_authenticated(&self) -> Option<u32> {
        self.authenticated.most_connections()
    }

    fn bytes_of(&self, network: NetworkKey) -> usize {
        [&self.anonymous, &self.authenticated].iter().map(|group| group.bytes_of(network)).sum()
    }

    fn group(&mut self, authenticated: bool) -> &mut Group {
        if authenticated { &mut self.authenticated } else { &mut self.anonymous }
    }
}

impl Group {
    fn insert(&mut self, entry: Entry, index: u32) {
        let Entry { holding: Holding { client, bytes, .. }, since } = entry;
        self.change(client, |share, host| {
            share.bytes += bytes;
            share.connections += 1;
            let host = share.hosts.entry(host).or_default();
            host.bytes += bytes;
            host.connections.insert(since, index);
        });
    }

    fn remove(&mut self, entry: Entry) {
        let Entry { holding: Holding { client, bytes, .. }, since } = entry;
        self.change(client, |share, host| {
            share.bytes -= bytes;
            share.connections -= 1;
            if let Some(its) = share.hosts.get_mut(&host) {
                its.bytes -= bytes;
                its.connections.remove(&since);
                if its.connections.is_empty() {
                    share.hosts.remove(&host);
                }
            }
        });
    }

    /// Changes one network's share, and its place in both orders.
    fn change(&mut self, client: Option<IpAddr>, change: impl FnOnce(&mut Share, Host)) {
        let (network, host) = NetworkKey::of(client);
        let share = self.networks.entry(network).or_default();
        let before = (share.bytes, share.connections);
        change(share, host);
        let after = (share.bytes, share.connections);
        if after.1 == 0 {
            self.networks.remove(&network);
        }
        self.by_bytes.remove(&(before.0, network));
        self.by_connections.remove(&(before.1, network));
        if after.1 > 0 {
            self.by_bytes.insert((after.0, network));
            self.by_connections.insert((after.1, network));
        }
    }

    fn bytes_of(&self, network: NetworkKey) -> usize {
        self.networks.get(&network).map_or(0, |share| share.bytes)
    }

    /// The oldest connection of the host that holds most bytes in the network that does.
    fn largest(&self) -> Option<u32> {
        self.by_bytes.last().and_then(|(_, network)| self.largest_in(*network))
    }

    fn largest_in(&self, network: NetworkKey) -> Option<u32> {
        let hosts = self.networks.get(&network)?.hosts.values();
        oldest(hosts.max_by_key(|host| host.bytes)?)
    }

    fn most_connections(&self) -> Option<u32> {
        let (_, network) = self.by_connections.last()?;
        let hosts = self.networks.get(network)?.hosts.values();
        oldest(hosts.max_by_key(|host| host.connections.len())?)
    }
}

fn oldest(host: &HostShare) -> Option<u32> {
    host.connections.first_key_value().map(|(_, index)| *index)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { all: 100, network: 40 };

    fn from(address: &str, bytes: usize) -> Holding {
        Holding { client: address.parse().ok(), authenticated: false, bytes }
    }

    fn authenticated(address: &str, bytes: usize) -> Holding {
        Holding { authenticated: true, ..from(address, bytes) }
    }

    /// One connection for each, by its place.
    fn all(holdings: &[Holding]) -> Unfinished {
        let mut unfinished = Unfinished::default();
        for (index, holding) in (0..).zip(holdings) {
            unfinished.set(index, Some(*holding));
        }
        unfinished
    }

    #[test]
    fn a_network_over_its_bound_loses_its_oldest_unauthenticated_connection_first() {
        let mut unfinished = all(&[
            authenticated("192.0.2.1", 10),
            from("192.0.2.1", 10),
            from("192.0.2.1", 20),
            from("192.0.2.2", 40),
        ]);
        assert_eq!(unfinished.excess(2, BOUNDS), None);
        unfinished.set(2, Some(from("192.0.2.1", 21)));
        assert_eq!(unfinished.excess(2, BOUNDS), Some(1));
        unfinished.set(1, None);
        assert_eq!(unfinished.excess(2, BOUNDS), None);
        unfinished.set(2, Some(authenticated("192.0.2.1", 31)));
        assert_eq!(unfinished.excess(2, BOUNDS), Some(0), "only authenticated ones are left");
    }

    #[test]
    fn over_the_bound_of_all_the_network_that_holds_most_loses_its_oldest() {
        let mut unfinished = all(&[
            authenticated("192.0.2.9", 35),
            from("192.0.2.1", 15),
            from("192.0.2.2", 10),
            from("192.0.2.2", 10),
            from("192.0.2.3", 15),
        ]);
        unfinished.set(5, Some(from("192.0.2.4", 16)));
        assert_eq!(unfinished.excess(5, BOUNDS), Some(2));
        unfinished.set(2, None);
        assert_eq!(unfinished.excess(5, BOUNDS), None);
    }

    #[test]
    fn an_ipv6_network_is_a_56_and_in_it_the_64_that_holds_most_loses() {
        let unfinished = all(&[
            from("2001:db8:0:100::1", 10),
            from("2001:db8:0:101::1", 9),
            from("2001:db8:0:101::2", 9),
            from("2001:db8:0:1ff::1", 13),
        ]);
        assert_eq!(unfinished.excess(3, BOUNDS), Some(1));
        let apart = all(&[from("2001:db8:0:100::1", 21), from("2001:db8:0:200::1", 21)]);
        assert_eq!(apart.excess(1, BOUNDS), None);
        let mapped = all(&[from("::ffff:192.0.2.1", 21), from("192.0.2.1", 21)]);
        assert_eq!(mapped.excess(1, BOUNDS), Some(0));
    }

    #[test]
    fn what_many_clients_share_has_no_bound_of_its_own() {
        let shared = |bytes| Holding { client: None, authenticated: false, bytes };
        let mut unfinished = all(&[shared(40), shared(40)]);
        assert_eq!(unfinished.excess(1, BOUNDS), None);
        unfinished.set(2, Some(from("192.0.2.1", 21)));
        assert_eq!(unfinished.excess(2, BOUNDS), Some(0));
    }

    #[test]
    fn the_crowd_is_counted_in_connections_and_a_newcomer_from_elsewhere_is_not_in_it() {
        let mut unfinished = all(&[
            authenticated("192.0.2.9", 0),
            from("192.0.2.1", 1),
            from("192.0.2.1", 1),
            from("192.0.2.2", 30),
        ]);
        assert_eq!(
            (unfinished.most_connections_anonymous(), unfinished.most_connections_authenticated()),
            (Some(1), Some(0))
        );
        unfinished.set(1, Some(from("192.0.2.1", 9)));
        assert_eq!(unfinished.most_connections_anonymous(), Some(1), "more bytes make it no younger");
        unfinished.set(1, None);
        unfinished.set(2, None);
        assert_eq!(unfinished.most_connections_anonymous(), Some(3));
    }

    #[test]
    fn closed_connections_leave_nothing() {
        let mut random = fastrand::Rng::with_seed(9);
        let mut unfinished = Unfinished::default();
        for _ in 0..20_000 {
            let address = format!("2001:db8:0:{:x}::1", random.u16(..1000));
            let holding = Holding { authenticated: random.bool(), ..from(&address, random.usize(..100)) };
            unfinished.set(random.u32(..200), random.bool().then_some(holding));
        }
        let held: usize = unfinished.entries.iter().flatten().map(|entry| entry.holding.bytes).sum();
        assert_eq!(unfinished.bytes, held);
        (0..200).for_each(|index| unfinished.set(index, None));
        assert_eq!(
            (
                unfinished.bytes,
                unfinished.most_connections_anonymous(),
                unfinished.most_connections_authenticated()
            ),
            (0, None, None)
        );
        for group in [&unfinished.anonymous, &unfinished.authenticated] {
            assert!(
                group.networks.is_empty() && group.by_bytes.is_empty() && group.by_connections.is_empty()
            );
        }
    }
}
