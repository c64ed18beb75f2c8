//! The kernel's links, addresses and default routes, kept up to date.
//!
//! Events are applied as they come, so that a lost carrier acts within microseconds; each of them that changes
//! something is a hint as well: everything is read again and compared. At most one reading a second, at least one in 30 s.

use crate::device::os::link_events::{Change, Events};
use crate::device::os::links::{self as kernel, Address};
use crate::device::os::neighbours::Neighbour;
use crate::device::os::netlink::Socket;
use crate::device::os::routes::{DefaultRoute, default_routes};
use crate::device::os::rules::{Rule, unusual_rules};
use netlink_sys::protocols::NETLINK_ROUTE;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Whatever happens, the truth is read so often.
const AUDIT: Duration = Duration::from_secs(30);
/// A machine that starts containers makes hundreds of events a second.
const READING: Duration = Duration::from_secs(1);
/// Addresses of one link that are kept; the kernel's oldest win.
const ADDRESSES: usize = 32;

/// The properties of a link that failover needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub carrier: bool,
    /// The usable ones that reach further than the link.
    pub addresses: Vec<Address>,
}

impl Link {
    fn of(link: &kernel::Link) -> Link {
        let usable = link.addresses.iter().filter(|address| !address.tentative && reaches_out(address.ip));
        // One kernel entry each: an address with two prefixes is there twice, and stays when one entry goes.
        Link {
            index: link.index,
            name: link.name.clone(),
            carrier: link.carrier,
            addresses: usable.take(ADDRESSES).copied().collect(),
        }
    }

    /// A link with carrier and these addresses, each with a prefix of 24 bits.
    #[cfg(test)]
    pub fn with_addresses(index: u32, addresses: &[&str]) -> Link {
        let address = |ip: &&str| {
            let ip = ip.parse().expect("an address");
            Address { ip, prefix: 24, peer: ip, tentative: false }
        };
        let addresses = addresses.iter().map(address).collect();
        Link { index, name: format!("link{index}"), carrier: true, addresses }
    }

    pub fn has_address(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|address| address.ip == ip)
    }

    pub fn has_family(&self, ipv6: bool) -> bool {
        self.addresses.iter().any(|address| address.ip.is_ipv6() == ipv6)
    }
}

/// Neither link-local nor loopback.
fn reaches_out(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_loopback() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_unicast_link_local() && !ip.is_loopback() && !ip.is_unspecified(),
    }
}

/// Links, addresses and routes by events and readings, without the sockets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LinkTable {
    links: BTreeMap<u32, Link>,
    routes: Vec<DefaultRoute>,
    rules: Vec<Rule>,
}

impl LinkTable {
    #[cfg(test)]
    pub fn with(links: impl Iterator<Item = Link>, routes: Vec<DefaultRoute>) -> LinkTable {
        LinkTable { links: links.map(|link| (link.index, link)).collect(), routes, rules: Vec::new() }
    }

    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// All default routes, the best first.
    pub fn routes(&self) -> &[DefaultRoute] {
        &self.routes
    }

    /// Rules by which some packets do not follow these routes.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// True if that changed anything.
    fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Link { link, whole } => self.apply_link(&link, whole),
            Change::LinkGone { index } => self.links.remove(&index).is_some(),
            Change::Address { index, address, gone } => {
                let Some(link) = self.links.get_mut(&index) else { return false };
                let place = link.addresses.iter().position(|known| known.is_same_entry(&address));
                let usable = !gone && !address.tentative && reaches_out(address.ip);
                match (place, usable) {
                    (Some(place), false) => _ = link.addresses.remove(place),
                    (None, true) if link.addresses.len() < ADDRESSES => link.addresses.push(address),
                    _ => return false,
                }
                true
            }
            Change::DefaultRoute | Change::Rule => true,
            Change::Route | Change::Neighbour(_) => false,
        }
    }

    fn apply_link(&mut self, link: &kernel::Link, whole: bool) -> bool {
        let Some(known) = self.links.get_mut(&link.index) else {
            self.links.insert(link.index, Link::of(link));
            return true;
        };
        // Without the operational state only a loss can be recognised.
        let carrier = link.carrier && (whole || known.carrier);
        let same = known.carrier == carrier && known.name == link.name;
        known.carrier = carrier;
        known.name.clone_from(&link.name);
        !same
    }

    /// True if that changed anything.
    fn replace(&mut self, links: &[kernel::Link], routes: Vec<DefaultRoute>, rules: Vec<Rule>) -> bool {
        let links = links.iter().map(|link| (link.index, Link::of(link))).collect();
        let newer = LinkTable { links, routes, rules };
        let same = *self == newer;
        *self = newer;
        !same
    }
}

/// The table and the sockets that it comes from.
#[derive(Debug)]
pub struct Kernel {
    table: LinkTable,
    events: Events,
    links: kernel::Links,
    /// For routes and rules; opened again after an error.
    routes: Option<Socket>,
    last_read: Option<Instant>,
    /// Something happened since.
    stale: bool,
    /// Among it, a change of a route that is not in the table.
    rerouted: bool,
}

impl Kernel {
    pub fn open(neighbours: bool) -> io::Result<Kernel> {
        Ok(Kernel {
            table: LinkTable::default(),
            events: Events::open(neighbours)?,
            links: kernel::Links::default(),
            routes: None,
            last_read: None,
            stale: true,
            rerouted: false,
        })
    }

    pub fn table(&self) -> &LinkTable {
        &self.table
    }

    /// Applies the kernel's events. True if links, addresses or default routes changed.
    pub fn receive(&mut self, mut neighbour: impl FnMut(&Neighbour)) -> io::Result<bool> {
        let (mut changed, mut rerouted, table) = (false, false, &mut self.table);
        let lost = self.events.receive(|change| {
            // An answer of a gateway comes alone; what happens to links comes in a crowd.
            let more = !matches!(change, Change::Neighbour(_));
            if let Change::Neighbour(event) = &change {
                neighbour(event);
            }
            rerouted |= matches!(change, Change::Route);
            changed |= table.apply(change);
            more
        })?;
        self.rerouted |= rerouted || lost;
        self.stale |= changed || self.rerouted;
        Ok(changed)
    }

    /// Next full reading.
    pub fn due(&self) -> Option<Instant> {
        self.last_read.map(|last| last + if self.stale { READING } else { AUDIT })
    }

    /// Wants a reading soon: something did not go as the table says.
    pub fn doubt(&mut self) {
        self.stale = true;
    }

    /// Reads everything again if that is due; the half-minute's reading comes a little early where something else woke the
    /// thread. True if something changed without an event, or a route that is not in the table.
    ///
    /// # Errors
    /// As the kernel says; the table stays as it is, and the next reading is due in a second.
    pub fn read_if_due(&mut self, now: Instant) -> io::Result<bool> {
        let early = if self.stale { Duration::ZERO } else { AUDIT / 10 };
        if self.due().is_some_and(|due| now + early < due) {
            return Ok(false);
        }
        self.last_read = Some(now);
        self.stale = true;
        let links = self.links.dump()?;
        let (routes, rules) = self.read_routes()?;
        self.stale = false;
        let rerouted = std::mem::take(&mut self.rerouted);
        Ok(self.table.replace(&links, routes, rules) || rerouted)
    }

    fn read_routes(&mut self) -> io::Result<(Vec<DefaultRoute>, Vec<Rule>)> {
        let mut socket = match self.routes.take() {
            Some(socket) => socket,
            None => Socket::open(NETLINK_ROUTE)?,
        };
        let routes = default_routes(&mut socket)?;
        let rules = match unusual_rules(&mut socket) {
            // A kernel without policy routing.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Vec::new(),
            rules => rules?,
        };
        self.routes = Some(socket);
        Ok((routes, rules))
    }
}

impl AsFd for Kernel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn eth0(carrier: bool) -> kernel::Link {
        kernel::Link { index: 2, name: "eth0".into(), up: true, carrier, ..Default::default() }
    }

    fn address(ip: &str, tentative: bool, gone: bool) -> Change {
        let ip = ip.parse().expect("an address");
        Change::Address { index: 2, address: Address { ip, prefix: 24, peer: ip, tentative }, gone }
    }

    #[test]
    fn an_address_with_two_prefixes_or_two_peers_stays_until_its_last_entry_goes() {
        let ip = "192.0.2.1".parse().expect("an address");
        let peer = "192.0.2.9".parse().expect("an address");
        let entries = [(24, ip), (32, ip), (32, peer)];
        let change = |(prefix, peer), gone| {
            let address = Address { ip, prefix, peer, tentative: false };
            Change::Address { index: 2, address, gone }
        };
        let mut table = LinkTable::default();
        table.apply(Change::Link { link: eth0(true), whole: true });
        entries.iter().for_each(|entry| assert!(table.apply(change(*entry, false)), "{entry:?}"));
        for entry in entries {
            assert!(table.links[&2].has_family(false), "before {entry:?} goes");
            assert!(table.apply(change(entry, true)), "{entry:?}");
        }
        assert!(table.links[&2].addresses.is_empty());
    }

    #[test]
    fn only_differences_are_reported() {
        let mut table = LinkTable::default();
        let event = |carrier, whole| Change::Link { link: eth0(carrier), whole };
        assert!(table.apply(event(true, true)), "new");
        assert!(!table.apply(event(true, true)), "the same");
        assert!(table.apply(address("192.0.2.1", false, false)));
        assert!(!table.apply(address("192.0.2.1", false, false)), "a lease renewed");
        assert!(table.apply(event(false, true)), "carrier lost");
        assert!(!table.apply(event(true, false)), "flags alone do not bring it back");
        assert!(table.apply(event(true, true)));
        assert!(table.apply(event(false, false)), "but tell a loss");
        assert_eq!(table.links[&2].addresses.len(), 1, "an address outlives its carrier");
        assert!(table.apply(Change::LinkGone { index: 2 }));
        assert!(!table.apply(Change::LinkGone { index: 2 }));
    }

    #[test]
    fn only_addresses_that_reach_further_than_the_link_count() {
        let mut table = LinkTable::default();
        table.apply(Change::Link { link: eth0(true), whole: true });
        for ip in ["169.254.1.1", "fe80::1", "127.0.0.1", "::1"] {
            assert!(!table.apply(address(ip, false, false)), "{ip}");
        }
        assert!(!table.apply(address("2001:db8::1", true, false)), "still being checked");
        assert!(table.apply(address("2001:db8::1", false, false)));
        assert!(table.links[&2].has_family(true) && !table.links[&2].has_family(false));
        assert!(table.apply(address("2001:db8::1", true, false)), "found to be somebody else's");
        assert!(table.links[&2].addresses.is_empty());
    }

    #[test]
    fn addresses_beyond_the_bound_are_dropped() {
        let mut table = LinkTable::default();
        table.apply(Change::Link { link: eth0(true), whole: true });
        (0..200).for_each(|n| _ = table.apply(address(&format!("192.0.2.{n}"), false, false)));
        assert_eq!(table.links[&2].addresses.len(), ADDRESSES);
    }

    #[test]
    fn readings_are_a_second_apart_when_something_happens_and_half_a_minute_when_nothing_does() {
        let mut kernel = Kernel::open(false).expect("no privilege needed");
        assert_eq!(kernel.due(), None, "at once");
        let now = Instant::now();
        assert!(kernel.read_if_due(now).expect("readable"));
        assert!(kernel.table().links().any(|link| link.name == "lo"));
        assert_eq!(kernel.due(), Some(now + AUDIT));
        kernel.doubt();
        assert_eq!(kernel.due(), Some(now + READING));
        assert!(!kernel.read_if_due(now + READING / 2).expect("not read"));
        assert!(kernel.last_read == Some(now));
    }
}
