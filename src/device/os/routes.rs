//! The kernel's default routes: which gateway an interface has, and at which metric.
//!
//! No privilege is needed.

use crate::device::os::netlink::{
    AF_INET, AF_INET6, Socket, attribute, attributes, ip_address, number, push,
};
use netlink_packet_core::NLM_F_DUMP;
use std::io;
use std::net::IpAddr;

pub(super) const RTM_NEWROUTE: u16 = 24;
pub(super) const RTM_DELROUTE: u16 = 25;
pub(super) const RTM_GETROUTE: u16 = 26;
/// Sizes of `struct rtmsg` and `rtnexthop`.
pub(super) const ROUTE_HEADER: usize = 12;
const HOP_HEADER: usize = 8;
/// `RT_TABLE_MAIN`: tables of a policy (a VPN's, for example) are for some packets only.
pub(super) const MAIN: u8 = 254;
pub(super) const RTN_UNICAST: u8 = 1;
/// Attributes and flags of `linux/rtnetlink.h`.
pub(super) const RTA_OIF: u16 = 4;
pub(super) const RTA_GATEWAY: u16 = 5;
pub(super) const RTA_PRIORITY: u16 = 6;
pub(super) const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
pub(super) const RTA_VIA: u16 = 18;
pub(super) const RTNH_F_ONLINK: u8 = 4;
const RTNH_F_LINKDOWN: u8 = 16;
/// Further attributes that a copy of a route needs: `RTA_PREFSRC` (`src`), `RTA_METRICS` (`mtu`, `advmss`, `initcwnd` ...), `RTA_FLOW`
/// (realms), `RTA_PREF` (a router's preference in IPv6), `RTA_ENCAP_TYPE` and `RTA_ENCAP`.
const COPIED: [u16; 6] = [7, 8, 11, 20, 21, 22];
/// Default routes that are kept; a device has one or two for each uplink.
const LIMIT: usize = 256;

/// One way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultRoute {
    /// The interface's.
    pub index: u32,
    /// It is for IPv6 packets.
    pub ipv6: bool,
    /// `None` if the other end needs no address: ppp, many modems, tunnels.
    pub gateway: Option<IpAddr>,
    /// The lowest wins. 0 is the highest rank.
    pub metric: u32,
    /// Its origin, `RTPROT_*`: 2 the kernel, 3 boot, 4 static, 9 router advertisement, 16 DHCP.
    pub protocol: u8,
    /// The interface has no carrier. IPv4 packets are sent into it all the same, unless the sysctl
    /// `ignore_routes_with_linkdown` is on.
    pub linkdown: bool,
    /// The gateway is a neighbour on the interface although no route leads to it: `onlink`.
    pub onlink: bool,
    /// The attributes of [`COPIED`], as the kernel encodes them.
    pub copied: Vec<u8>,
}

/// All default routes of the main table, both families, the best first.
pub fn default_routes(socket: &mut Socket) -> io::Result<Vec<DefaultRoute>> {
    let mut routes = Vec::new();
    for family in [AF_INET, AF_INET6] {
        let mut header = [0; ROUTE_HEADER];
        header[0] = family;
        socket.request(RTM_GETROUTE, NLM_F_DUMP, &header, |kind, body| {
            if kind == RTM_NEWROUTE {
                parse(body, &mut routes);
            }
        })?;
    }
    routes.sort_by_key(|route| route.metric);
    Ok(routes)
}

/// The gateway to ask whether an uplink works: of its best route that has one, IPv4's first.
pub fn gateway(routes: &[DefaultRoute], index: u32) -> Option<IpAddr> {
    let has_gateway = |route: &&DefaultRoute| route.index == index && route.gateway.is_some();
    routes.iter().filter(has_gateway).min_by_key(|route| (route.ipv6, route.metric))?.gateway
}

/// Body of an `RTM_NEWROUTE`; adds it if it is a default route that leads somewhere.
fn parse(body: &[u8], routes: &mut Vec<DefaultRoute>) {
    let Some((header, rest)) = body.split_first_chunk::<ROUTE_HEADER>() else { return };
    let [family, prefix, source_prefix, tos, table, protocol, _, kind, flags @ ..] = *header;
    let known = family == AF_INET || family == AF_INET6;
    let table = attribute(rest, RTA_TABLE).and_then(number).unwrap_or(u32::from(table));
    // One with a source prefix or a TOS is for some packets only.
    let for_all = prefix == 0 && source_prefix == 0 && tos == 0;
    if !known || !for_all || kind != RTN_UNICAST || table != u32::from(MAIN) {
        return;
    }
    let metric = attribute(rest, RTA_PRIORITY).and_then(number).unwrap_or(0);
    let copied = copied(rest);
    let mut add = |index: u32, gateway: Option<IpAddr>, flags: u8, of_the_hop: &[u8]| {
        if routes.len() < LIMIT {
            let (linkdown, onlink) = (flags & RTNH_F_LINKDOWN != 0, flags & RTNH_F_ONLINK != 0);
            let copied = [&copied, of_the_hop].concat();
            let ipv6 = family == AF_INET6;
            routes.push(DefaultRoute { index, ipv6, gateway, metric, protocol, linkdown, onlink, copied });
        }
    };
    if let Some(index) = attribute(rest, RTA_OIF).and_then(number) {
        // The flags that are used are in the lowest byte.
        return add(index, next_hop(rest), u32::from_ne_bytes(flags) as u8, &[]);
    }
    let mut hops = attribute(rest, RTA_MULTIPATH).unwrap_or_default();
    while let Some((length, flags, index)) = hop(hops) {
        let (this, others) = hops.split_at(length);
        let attributes = &this[HOP_HEADER..];
        add(index, next_hop(attributes), flags, &self::copied(attributes));
        // Each begins at a multiple of 4.
        hops = others.get(length.next_multiple_of(4) - length..).unwrap_or_default();
    }
}

/// The attributes of [`COPIED`] among these.
fn copied(bytes: &[u8]) -> Vec<u8> {
    let mut copied = Vec::new();
    for (kind, value) in attributes(bytes).filter(|(kind, _)| COPIED.contains(kind)) {
        push(&mut copied, kind, value);
    }
    copied
}

/// Length, flags and interface of a `struct rtnexthop`; `None` at the end and for a length that lies.
fn hop(bytes: &[u8]) -> Option<(usize, u8, u32)> {
    let [low, high, flags, _, index @ ..] = *bytes.first_chunk::<HOP_HEADER>()?;
    let length = usize::from(u16::from_ne_bytes([low, high]));
    (HOP_HEADER..=bytes.len()).contains(&length).then_some((length, flags, u32::from_ne_bytes(index)))
}

fn next_hop(bytes: &[u8]) -> Option<IpAddr> {
    attributes(bytes).find_map(|(kind, value)| match kind {
        RTA_GATEWAY => address(value),
        // An IPv6 gateway of an IPv4 route: the family, then the address.
        RTA_VIA => address(value.get(2..)?),
        _ => None,
    })
}

/// An address by its length; the unspecified one is how the kernel sometimes says "none".
pub fn address(value: &[u8]) -> Option<IpAddr> {
    ip_address(value).filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::os::netlink::{mangled, nla};
    use netlink_sys::protocols::NETLINK_ROUTE;
    use std::slice;

    fn body(header: [u8; ROUTE_HEADER], attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let attributes = attributes.iter().flat_map(|(kind, value)| nla(*kind, value));
        header.into_iter().chain(attributes).collect()
    }

    /// An IPv4 default route of DHCP's in the main table.
    const DEFAULT: [u8; ROUTE_HEADER] = [AF_INET, 0, 0, 0, 254, 16, 0, RTN_UNICAST, 0, 0, 0, 0];
    const VIA: [u8; 4] = [192, 168, 1, 1];

    fn parsed(body: &[u8]) -> Vec<DefaultRoute> {
        let mut routes = Vec::new();
        parse(body, &mut routes);
        routes
    }

    #[test]
    fn a_default_route_has_its_interface_gateway_metric_and_protocol() {
        let oif = 3_u32.to_ne_bytes();
        let mut header = DEFAULT;
        header[8] = RTNH_F_LINKDOWN;
        let metric = 600_u32.to_ne_bytes();
        let route = body(header, &[(RTA_OIF, &oif), (RTA_GATEWAY, &VIA), (RTA_PRIORITY, &metric)]);
        let expected = DefaultRoute {
            index: 3,
            ipv6: false,
            gateway: Some(VIA.into()),
            metric: 600,
            protocol: 16,
            linkdown: true,
            onlink: false,
            copied: Vec::new(),
        };
        assert_eq!(parsed(&route), slice::from_ref(&expected));
        // A modem's: neither gateway nor metric.
        let route = body(DEFAULT, &[(RTA_OIF, &oif)]);
        let bare = DefaultRoute { gateway: None, metric: 0, linkdown: false, ..expected };
        assert_eq!(parsed(&route), [bare]);
        // IPv4 over an IPv6 gateway.
        let via = [&10_u16.to_ne_bytes()[..], &[0xfe; 16]].concat();
        assert_eq!(
            parsed(&body(DEFAULT, &[(RTA_OIF, &oif), (RTA_VIA, &via)]))[0].gateway,
            Some([0xfe; 16].into())
        );
    }

    #[test]
    fn what_is_no_way_out_for_all_packets_is_left_out() {
        let oif = 3_u32.to_ne_bytes();
        let with = |place: usize, value: u8| {
            let mut header = DEFAULT;
            header[place] = value;
            body(header, &[(RTA_OIF, &oif)])
        };
        for (place, value) in [(0, 7), (1, 24), (2, 64), (3, 16), (4, 100), (7, 7)] {
            assert_eq!(parsed(&with(place, value)), [], "byte {place} = {value}");
        }
        let table = 51820_u32.to_ne_bytes();
        assert_eq!(parsed(&body(DEFAULT, &[(RTA_OIF, &oif), (RTA_TABLE, &table)])), []);
    }

    #[test]
    fn a_route_over_several_interfaces_is_one_for_each() {
        let hop = |index: u32, last: u8| {
            let attribute = nla(RTA_GATEWAY, &[10, 0, 0, last]);
            let mut bytes = ((HOP_HEADER + attribute.len()) as u16).to_ne_bytes().to_vec();
            bytes.extend([0, 0]);
            bytes.extend(index.to_ne_bytes());
            bytes.extend(attribute);
            bytes
        };
        let hops = [hop(2, 1), hop(5, 2)].concat();
        let routes = parsed(&body(DEFAULT, &[(RTA_MULTIPATH, &hops)]));
        let found: Vec<_> = routes.iter().map(|route| (route.index, route.gateway)).collect();
        assert_eq!(found, [(2, Some([10, 0, 0, 1].into())), (5, Some([10, 0, 0, 2].into()))]);
    }

    #[test]
    fn what_a_copy_needs_is_kept_of_the_route_and_of_its_hop() {
        const CACHE_INFO: u16 = 12;
        let (oif, mtu) = (3_u32.to_ne_bytes(), nla(2, &1400_u32.to_ne_bytes()));
        let mut header = DEFAULT;
        header[8..].copy_from_slice(&u32::from(RTNH_F_ONLINK).to_ne_bytes());
        let route = body(header, &[(RTA_OIF, &oif), (7, &VIA), (CACHE_INFO, &[0; 32]), (8, &mtu)]);
        let expected = [nla(7, &VIA), nla(8, &mtu)].concat();
        let found = &parsed(&route)[0];
        assert!(found.onlink);
        assert_eq!(found.copied, expected);

        let realm = nla(11, &9_u32.to_ne_bytes());
        let mut hop = ((HOP_HEADER + realm.len()) as u16).to_ne_bytes().to_vec();
        hop.extend([RTNH_F_ONLINK, 0]);
        hop.extend(oif);
        hop.extend(&realm);
        let found = &parsed(&body(DEFAULT, &[(8, &mtu), (RTA_MULTIPATH, &hop)]))[0];
        assert!(found.onlink);
        assert_eq!(found.copied, [nla(8, &mtu), realm].concat());
    }

    #[test]
    fn the_gateway_of_an_interface_is_its_best_one_and_ipv4s_first() {
        let route = |index, gateway: Option<IpAddr>, metric| DefaultRoute {
            index,
            ipv6: gateway.is_some_and(|gateway| gateway.is_ipv6()),
            gateway,
            metric,
            protocol: 16,
            linkdown: false,
            onlink: false,
            copied: Vec::new(),
        };
        let ip = |last| Some(IpAddr::from([10, 0, 0, last]));
        let routes = [
            route(2, None, 0),
            route(2, Some([0xfe; 16].into()), 1),
            route(2, ip(9), 200),
            route(2, ip(1), 100),
            route(3, Some([0xfd; 16].into()), 1024),
        ];
        assert_eq!(gateway(&routes, 2), ip(1));
        assert_eq!(gateway(&routes, 3), Some([0xfd; 16].into()));
        assert_eq!(gateway(&routes, 4), None);
    }

    #[test]
    fn a_mangled_route_never_panics_and_never_loops() {
        let mut random = fastrand::Rng::with_seed(4711);
        let hops = [16, 0, 0, 0, 1, 0, 0, 0, 8, 0, 5, 0, 10, 0, 0, 1].repeat(3);
        let good = body(DEFAULT, &[(RTA_MULTIPATH, &hops), (RTA_PRIORITY, &[1, 0, 0, 0])]);
        for _ in 0..20_000 {
            let mangled = mangled(&good, &mut random);
            parsed(&mangled);
        }
    }

    #[test]
    fn the_kernel_lists_them_without_privilege() {
        let mut socket = Socket::open(NETLINK_ROUTE).expect("a socket");
        let routes = default_routes(&mut socket).expect("a dump");
        assert!(routes.iter().all(|route| route.index > 0), "{routes:?}");
    }
}
