//! The kernel's links, with their addresses.

use super::netlink::{Socket, attribute, attributes, ip_address, text};
use netlink_packet_core::NLM_F_DUMP;
use netlink_sys::protocols::NETLINK_ROUTE;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

/// Dumps until one is consistent. Even a machine that starts containers is quiet for 100 µs in between.
const ATTEMPTS: usize = 5;
/// Links, and addresses in all, that are kept; the kernel lists the oldest first, and the rest is dropped.
const LINKS: usize = 512;
const ADDRESSES: usize = 2048;
/// `RTNLGRP_IPV4_IFADDR` and `RTNLGRP_IPV6_IFADDR`.
const GROUPS: [u32; 2] = [5, 9];
/// More events than a socket holds.
const BURST: usize = 4096;

pub(super) const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
pub(super) const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
/// Sizes of `struct ifinfomsg` and `ifaddrmsg`.
pub(super) const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;

/// `linux/if.h`: the driver signals that something is at the other end.
const IFF_LOWER_UP: libc::c_int = 1 << 16;

/// Attributes of `linux/if_link.h` and `linux/if_addr.h`.
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
pub(super) const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_STATS64: u16 = 23;
const IFLA_EXT_MASK: u16 = 29;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
const IFLA_INFO_KIND: u16 = 1;
/// Operational states of RFC 2863, in `linux/if.h`: a driver that does not say reports unknown.
const IF_OPER_UNKNOWN: u8 = 0;
const IF_OPER_UP: u8 = 6;
/// Offsets of `rx_bytes` and `tx_bytes` in `struct rtnl_link_stats64`.
const RX_BYTES: usize = 16;
const TX_BYTES: usize = 24;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// A network interface as the kernel sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// Switched on (`IFF_UP`).
    pub up: bool,
    /// Something is at the other end: `IFF_LOWER_UP`, and operstate up or, from drivers that do not say,
    /// unknown.
    pub carrier: bool,
    /// Frames are Ethernet's (`ARPHRD_ETHER`), as on Ethernet, Wi-Fi, bridges and veth; not on ppp and tun.
    pub ethernet_frames: bool,
    /// The hardware address, where it has 6 bytes.
    pub mac: Option<[u8; 6]>,
    /// `veth`, `bridge`, `tun` ...; `None` for hardware.
    pub virtual_kind: Option<String>,
    /// Since the interface appeared; absent if the kernel does not report it.
    pub bytes: Option<Bytes>,
    pub addresses: Vec<Address>,
}

/// Bytes received and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes {
    pub received: u64,
    pub sent: u64,
}

/// An address of an interface. The same `ip` may be there several times, with different prefixes or peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    pub ip: IpAddr,
    /// Length of the subnet's prefix.
    pub prefix: u8,
    /// The other end of a point-to-point link; elsewhere the same as `ip`.
    pub peer: IpAddr,
    /// Not to be used (yet): IPv6 is still looking for, or has found, another owner.
    pub tentative: bool,
}

impl Address {
    /// Whether both are one entry of the kernel's list, whatever state it is in.
    pub fn is_same_entry(&self, other: &Address) -> bool {
        (self.ip, self.prefix, self.peer) == (other.ip, other.prefix, other.peer)
    }
}

/// Reads all links over a socket that stays open.
#[derive(Debug, Default)]
pub struct Links {
    socket: Option<Socket>,
    addresses: Addresses,
}

impl Links {
    /// All links with their addresses, by index: 1 send and 3 receives on a machine with few links whose addresses
    /// stay as they were, 2 and 6 or more where they do not.
    ///
    /// # Errors
    /// As [`Socket::request`]; a dump that something disturbed is repeated up to 5 times first.
    pub fn dump(&mut self) -> io::Result<Vec<Link>> {
        for _ in 1..ATTEMPTS {
            match self.dump_once() {
                Err(error) if disturbed(&error) => {}
                result => return result,
            }
        }
        self.dump_once()
    }

    fn dump_once(&mut self) -> io::Result<Vec<Link>> {
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => Socket::open(NETLINK_ROUTE)?,
        };
        let mut links = BTreeMap::new();
        socket
            .request(RTM_GETLINK, NLM_F_DUMP, &all_links(), |kind, body| add_link(&mut links, kind, body))?;
        for (index, address) in self.addresses.all(&mut socket)? {
            // One of a link that went, or came, in between is left out.
            links.get_mut(index).into_iter().for_each(|link: &mut Link| link.addresses.push(*address));
        }
        // Kept only after a success: see Socket.
        self.socket = Some(socket);
        Ok(links.into_values().collect())
    }
}

fn add_link(links: &mut BTreeMap<u32, Link>, kind: u16, body: &[u8]) {
    if kind == RTM_NEWLINK && links.len() < LINKS {
        links.extend(parse_link(body).map(|link| (link.index, link)));
    }
}

/// All addresses, with the index of their interface. Most of the time they stay as they are: they are dumped again
/// only after an event that one came, went or changed.
#[derive(Debug, Default)]
struct Addresses {
    /// Absent where the process has no descriptor left: then each reading is a dump.
    news: Option<netlink_sys::Socket>,
    known: Option<Vec<(u32, Address)>>,
}

impl Addresses {
    fn all(&mut self, socket: &mut Socket) -> io::Result<&[(u32, Address)]> {
        if self.news.is_none() {
            // Before the first dump, so that nothing is missed in between.
            self.news = subscribe().ok();
            self.known = None;
        }
        if self.news.as_ref().is_none_or(has_news) {
            self.known = None;
        }
        let known = match self.known.take() {
            Some(known) => known,
            None => dump_addresses(socket)?,
        };
        Ok(self.known.insert(known))
    }
}

/// A socket for address events; no thread waits for it.
fn subscribe() -> io::Result<netlink_sys::Socket> {
    let mut socket = netlink_sys::Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.set_non_blocking(true)?;
    GROUPS.into_iter().try_for_each(|group| socket.add_membership(group))?;
    Ok(socket)
}

/// Whether there were events since the last call; their content, and lost ones, do not matter.
/// A forged event costs one dump, no more.
fn has_news(socket: &netlink_sys::Socket) -> bool {
    let mut any = false;
    for _ in 0..BURST {
        match socket.recv(&mut &mut [0_u8; 16][..], 0) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return any,
            // ENOBUFS: there was more than the socket holds.
            Ok(_) | Err(_) => any = true,
        }
    }
    any
}

fn dump_addresses(socket: &mut Socket) -> io::Result<Vec<(u32, Address)>> {
    let mut all = Vec::new();
    socket.request(RTM_GETADDR, NLM_F_DUMP, &[0; ADDRESS_HEADER], |kind, body| {
        if kind == RTM_NEWADDR && all.len() < ADDRESSES {
            all.extend(parse_address(body));
        }
    })?;
    Ok(all)
}

/// `struct ifinfomsg` for all links, without the counters of IPv6's protocols, which the kernel would add up over
/// all processors for each link. The byte counters are others, and stay.
fn all_links() -> [u8; LINK_HEADER + 8] {
    let mut body = [0; LINK_HEADER + 8];
    body[LINK_HEADER..LINK_HEADER + 2].copy_from_slice(&8_u16.to_ne_bytes());
    body[LINK_HEADER + 2..LINK_HEADER + 4].copy_from_slice(&IFLA_EXT_MASK.to_ne_bytes());
    body[LINK_HEADER + 4..].copy_from_slice(&RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    body
}

/// An inconsistent dump, or the kernel had no room for its reply: worth another try.
fn disturbed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
        || error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error())
}

/// Body of an `RTM_NEWLINK`. Only the few attributes that are used are looked at: a kernel of next year may
/// change any other without making a link unreadable.
pub(super) fn parse_link(body: &[u8]) -> Option<Link> {
    // struct ifinfomsg: family, padding, layer type, index, flags, mask of changes.
    let &[family, _, t0, t1, i0, i1, i2, i3, f0, f1, f2, f3, ..] = body else { return None };
    // With strict checking there are no others; a bridge's ports are also listed as AF_BRIDGE without it.
    if i32::from(family) != libc::AF_UNSPEC {
        return None;
    }
    let has = |flag: libc::c_int| u32::from_ne_bytes([f0, f1, f2, f3]) & flag.unsigned_abs() != 0;
    let up = has(libc::IFF_UP);
    let mut link = Link {
        index: u32::from_ne_bytes([i0, i1, i2, i3]),
        up,
        carrier: up && has(IFF_LOWER_UP),
        ethernet_frames: u16::from_ne_bytes([t0, t1]) == libc::ARPHRD_ETHER,
        ..Link::default()
    };
    for (kind, value) in attributes(body.get(LINK_HEADER..)?) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_ADDRESS => link.mac = value.try_into().ok(),
            IFLA_OPERSTATE => link.carrier &= matches!(value.first(), Some(&(IF_OPER_UP | IF_OPER_UNKNOWN))),
            IFLA_LINKINFO => link.virtual_kind = attribute(value, IFLA_INFO_KIND).map(text),
            IFLA_STATS64 => link.bytes = parse_bytes(value),
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

/// From `struct rtnl_link_stats64`.
fn parse_bytes(stats: &[u8]) -> Option<Bytes> {
    let counter = |offset: usize| Some(u64::from_ne_bytes(stats.get(offset..offset + 8)?.try_into().ok()?));
    Some(Bytes { received: counter(RX_BYTES)?, sent: counter(TX_BYTES)? })
}

/// Body of an `RTM_NEWADDR`: the interface's index and the address.
pub(super) fn parse_address(body: &[u8]) -> Option<(u32, Address)> {
    // struct ifaddrmsg: family, length of the prefix, flags, scope, index.
    let &[_, prefix, flags, _, i0, i1, i2, i3, ref attributes @ ..] = body else { return None };
    // On a point-to-point link IFA_ADDRESS is the other end.
    let address = attribute(attributes, IFA_ADDRESS);
    let ip = ip_address(attribute(attributes, IFA_LOCAL).or(address)?)?;
    let peer = address.and_then(ip_address).unwrap_or(ip);
    let has = |flag: u32| u32::from(flags) & flag != 0;
    let waits = has(libc::IFA_F_TENTATIVE) && !has(libc::IFA_F_OPTIMISTIC);
    let tentative = waits || has(libc::IFA_F_DADFAILED);
    Some((u32::from_ne_bytes([i0, i1, i2, i3]), Address { ip, prefix, peer, tentative }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::os::netlink::{message, messages, nla};

    fn link_body(flags: u32, operstate: u8) -> Vec<u8> {
        let mut body = vec![0, 0];
        body.extend(1_u16.to_ne_bytes());
        body.extend(7_u32.to_ne_bytes());
        body.extend(flags.to_ne_bytes());
        body.extend([0; 4]);
        body.extend(nla(IFLA_IFNAME, b"eth0\0"));
        body.extend(nla(IFLA_OPERSTATE, &[operstate]));
        body.extend(nla(IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1]));
        body.extend(nla(IFLA_LINKINFO, &nla(IFLA_INFO_KIND, b"veth\0")));
        let mut stats = [0; 192];
        stats[16..24].copy_from_slice(&5000_u64.to_ne_bytes());
        stats[24..32].copy_from_slice(&700_u64.to_ne_bytes());
        body.extend(nla(IFLA_STATS64, &stats));
        body
    }

    #[test]
    fn carrier_needs_iff_up_lower_up_and_an_operstate_of_up_or_unknown() {
        const UP: u32 = 1;
        const LOWER_UP: u32 = 1 << 16;
        for (flags, operstate, carrier) in [
            (UP | LOWER_UP, 6, true),
            (UP | LOWER_UP, 0, true),
            (UP | LOWER_UP, 5, false),
            (UP | LOWER_UP, 2, false),
            (UP, 6, false),
            (LOWER_UP, 6, false),
        ] {
            let link = parse_link(&link_body(flags, operstate)).expect("a link");
            assert_eq!(link.carrier, carrier, "flags {flags:#x}, operstate {operstate}");
        }
    }

    #[test]
    fn a_link_has_its_name_kind_mac_and_bytes() {
        let link = parse_link(&link_body(0x10001, 6)).expect("a link");
        assert_eq!((link.index, link.name.as_str()), (7, "eth0"));
        assert_eq!(link.virtual_kind.as_deref(), Some("veth"));
        assert_eq!(link.mac, Some([2, 0, 0, 0, 0, 1]));
        assert_eq!(link.bytes, Some(Bytes { received: 5000, sent: 700 }));
        assert!(link.ethernet_frames);
    }

    #[test]
    fn the_local_address_is_used_on_a_point_to_point_link() {
        let mut body = vec![2, 32, 0, 0];
        body.extend(4_u32.to_ne_bytes());
        body.extend(nla(IFA_ADDRESS, &[10, 0, 0, 2]));
        body.extend(nla(IFA_LOCAL, &[10, 0, 0, 1]));
        let (index, address) = parse_address(&body).expect("an address");
        assert_eq!((index, address.ip, address.prefix), (4, IpAddr::from([10, 0, 0, 1]), 32));
        assert_eq!(address.peer, IpAddr::from([10, 0, 0, 2]));
    }

    #[test]
    fn a_tentative_address_is_marked_and_an_optimistic_one_is_not() {
        for (flags, tentative) in [(0x40, true), (0x44, false), (0x08, true), (0x80, false)] {
            let mut body = vec![10, 64, flags, 0, 4, 0, 0, 0];
            body.extend(nla(IFA_ADDRESS, &[0x20; 16]));
            assert_eq!(parse_address(&body).expect("an address").1.tentative, tentative, "{flags:#x}");
        }
    }

    #[test]
    fn a_cut_off_or_mangled_reply_never_panics() {
        let mut random = fastrand::Rng::with_seed(4711);
        let link = link_body(0x10001, 6);
        let datagram = message(RTM_NEWLINK, 0, 1, &link);
        for length in 0..=datagram.len() {
            let cut = &datagram[..length];
            messages(cut).flatten().for_each(|part| _ = parse_link(part.body));
            parse_link(&link[..length.min(link.len())]);
            parse_address(&cut[..length]);
        }
        for _ in 0..20_000 {
            let mut mangled = datagram.clone();
            for _ in 0..random.usize(1..8) {
                let place = random.usize(..mangled.len());
                mangled[place] = random.u8(..);
            }
            messages(&mangled)
                .flatten()
                .for_each(|part| _ = (parse_link(part.body), parse_address(part.body)));
        }
    }

    #[test]
    fn links_over_the_bound_are_dropped() {
        let mut links = BTreeMap::new();
        for index in 0..(LINKS as u32 + 10) {
            let mut body = link_body(0x10001, 6);
            body[4..8].copy_from_slice(&index.to_ne_bytes());
            add_link(&mut links, RTM_NEWLINK, &body);
        }
        assert_eq!(links.len(), LINKS);
    }

    #[test]
    fn addresses_are_dumped_only_after_an_event() {
        let mut socket = Socket::open(NETLINK_ROUTE).expect("a socket");
        let mut addresses = Addresses { news: subscribe().ok(), known: Some(Vec::new()) };
        // Stands for the kernel, whose addresses other tests leave alone for so long that one look succeeds.
        let kept = (0..50).any(|_| {
            addresses.known = Some(Vec::new());
            addresses.all(&mut socket).expect("kept or read").is_empty()
        });
        assert!(kept, "nothing happened, and so nothing was read");
        addresses.news = None;
        assert!(!addresses.all(&mut socket).expect("read").is_empty(), "without news all is read");
    }

    #[test]
    fn the_kernel_lists_lo_with_its_address_repeatedly() {
        let mut links = Links::default();
        for _ in 0..3 {
            let all = links.dump().expect("route netlink needs no privilege");
            let lo = all.iter().find(|link| link.name == "lo").expect("every machine has lo");
            assert!(lo.addresses.iter().any(|address| address.ip == IpAddr::from([127, 0, 0, 1])), "{lo:?}");
            assert!(lo.bytes.is_some() && lo.virtual_kind.is_none());
        }
    }
}
