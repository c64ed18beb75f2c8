//! The route that the kernel would use for an address.

use super::netlink::{
    AF_INET, AF_INET6, Socket, attribute, attributes, family_of, ip_address, number, push, push_ip,
};
use super::routes::{
    ROUTE_HEADER, RTA_GATEWAY, RTA_MULTIPATH, RTA_OIF, RTA_VIA, RTM_GETROUTE, RTM_NEWROUTE, RTN_UNICAST,
};
use netlink_sys::protocols::NETLINK_ROUTE;
use std::io;
use std::net::IpAddr;

/// Attribute, type and flags of `linux/rtnetlink.h`.
const RTA_DST: u16 = 1;
const RTN_LOCAL: u8 = 2;
const RTM_F_CLONED: u32 = 0x200;
const RTM_F_FIB_MATCH: u32 = 0x2000;

/// A route that leads to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelRoute {
    /// The interface's.
    pub index: u32,
    pub kind: RouteKind,
}

/// How specific the route is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteKind {
    /// The address is this machine's own.
    Local,
    /// A route to everywhere.
    Default,
    /// A subnet whose hosts are neighbours on the interface.
    Connected { network: IpAddr, prefix: u8 },
    /// A route to a part of the network only, over a gateway; half of the internet, as VPNs have it, is such a part.
    Specific,
}

/// Route queries over one socket.
#[derive(Debug)]
pub struct Lookup {
    socket: Socket,
}

impl Lookup {
    pub fn open() -> io::Result<Lookup> {
        Ok(Lookup { socket: Socket::open(NETLINK_ROUTE)? })
    }

    /// The route by which a packet to `destination` would leave now, over the interface `over` if there is one; `None`
    /// if there is no route. The kernel gives a socket that is bound to an interface without a route the subnet of that
    /// interface; here that is no route.
    ///
    /// # Errors
    pub fn route(&mut self, destination: IpAddr, over: Option<u32>) -> io::Result<Option<KernelRoute>> {
        let Some(found) = self.query(destination, over, RTM_F_FIB_MATCH)? else { return Ok(None) };
        let index = match (found.index, over) {
            (Some(index), _) | (None, Some(index)) => index,
            // Several next hops: the one that the kernel takes for this address.
            (None, None) => match self.query(destination, None, 0)?.and_then(|found| found.index) {
                Some(index) => index,
                None => return Ok(None),
            },
        };
        Ok(Some(KernelRoute { index, kind: found.kind }))
    }

    fn query(&mut self, destination: IpAddr, over: Option<u32>, flags: u32) -> io::Result<Option<Found>> {
        let mut found = None;
        let answered =
            self.socket.request(RTM_GETROUTE, 0, &question(destination, over, flags), |kind, body| {
                if kind == RTM_NEWROUTE {
                    found = parse(body, destination);
                }
            });
        match answered {
            Ok(()) => Ok(found),
            Err(error) if is_no_route(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    index: Option<u32>,
    kind: RouteKind,
}

/// Errors that mean: no route, or a route that forbids it.
fn is_no_route(error: &io::Error) -> bool {
    use io::ErrorKind::{HostUnreachable, InvalidInput, NetworkUnreachable, PermissionDenied};
    matches!(error.kind(), NetworkUnreachable | HostUnreachable | InvalidInput | PermissionDenied)
        // The interface has gone.
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

/// Body of an `RTM_NEWROUTE` that answers a [`question`].
fn parse(body: &[u8], destination: IpAddr) -> Option<Found> {
    let (header, rest) = body.split_first_chunk::<ROUTE_HEADER>()?;
    let [family, prefix, _, _, _, _, _, kind, flags @ ..] = *header;
    if !matches!(family, AF_INET | AF_INET6) {
        return None;
    }
    let has_gateway =
        attributes(rest).any(|(attribute, _)| matches!(attribute, RTA_GATEWAY | RTA_VIA | RTA_MULTIPATH));
    let network = attribute(rest, RTA_DST).and_then(ip_address).unwrap_or(destination);
    let kind = match kind {
        RTN_LOCAL => RouteKind::Local,
        RTN_UNICAST if prefix == 0 => RouteKind::Default,
        // A kernel before 4.13 does not report how specific the route is.
        RTN_UNICAST if u32::from_ne_bytes(flags) & RTM_F_CLONED != 0 => RouteKind::Specific,
        RTN_UNICAST if !has_gateway => RouteKind::Connected { network, prefix },
        RTN_UNICAST => RouteKind::Specific,
        // Broadcast, multicast, blackhole.
        _ => return None,
    };
    Some(Found { index: attribute(rest, RTA_OIF).and_then(number), kind })
}

/// `struct rtmsg`, the destination and, where it matters, the interface.
fn question(destination: IpAddr, over: Option<u32>, flags: u32) -> Vec<u8> {
    let mut message = vec![0; ROUTE_HEADER];
    message[0] = family_of(destination.is_ipv6());
    // `rtm_dst_len`: one address.
    message[1] = if destination.is_ipv6() { 128 } else { 32 };
    message[8..].copy_from_slice(&flags.to_ne_bytes());
    push_ip(&mut message, RTA_DST, destination);
    if let Some(index) = over {
        push(&mut message, RTA_OIF, &index.to_ne_bytes());
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::os::netlink::nla;

    #[test]
    fn this_machine_is_reached_over_the_loopback_interface() {
        let loopback = std::fs::read_to_string("/sys/class/net/lo/ifindex").expect("every machine has lo");
        let loopback: u32 = loopback.trim().parse().expect("a number");
        let mut lookup = Lookup::open().expect("a socket");
        for ip in ["127.0.0.1", "127.5.6.7"] {
            let found = lookup.route(ip.parse().expect("an address"), None).expect("netlink answers");
            assert_eq!(found, Some(KernelRoute { index: loopback, kind: RouteKind::Local }), "{ip}");
        }
    }

    #[test]
    fn an_address_that_no_route_leads_to_is_not_an_error() {
        let mut lookup = Lookup::open().expect("a socket");
        assert!(lookup.route("::ffff:0:0".parse().expect("an address"), None).is_ok());
        let nowhere = lookup.route("192.0.2.1".parse().expect("an address"), Some(0x7fff_0000));
        assert_eq!(nowhere.expect("an interface that has gone"), None);
    }

    #[test]
    fn how_specific_a_route_is_follows_from_its_prefix_and_its_gateway() {
        let server = IpAddr::from([10, 99, 0, 1]);
        let network = [10, 99, 0, 0];
        let route = |prefix: u8, kind: u8, flags: u32, attributes: &[(u16, &[u8])]| {
            let mut body = vec![AF_INET, prefix, 0, 0, 254, 3, 0, kind];
            body.extend(flags.to_ne_bytes());
            body.extend(nla(RTA_OIF, &3_u32.to_ne_bytes()));
            body.extend(attributes.iter().flat_map(|(kind, value)| nla(*kind, value)));
            parse(&body, server).map(|found| found.kind)
        };
        let gateway: (u16, &[u8]) = (RTA_GATEWAY, &[10, 2, 0, 1]);
        let to_network: (u16, &[u8]) = (RTA_DST, &network);
        let connected = RouteKind::Connected { network: network.into(), prefix: 24 };
        for (found, expected) in [
            (route(0, RTN_UNICAST, 0, &[gateway]), Some(RouteKind::Default)),
            // A modem's or a tunnel's.
            (route(0, RTN_UNICAST, 0, &[]), Some(RouteKind::Default)),
            (route(1, RTN_UNICAST, 0, &[gateway]), Some(RouteKind::Specific)),
            (route(24, RTN_UNICAST, 0, &[to_network, gateway]), Some(RouteKind::Specific)),
            (route(24, RTN_UNICAST, 0, &[to_network, (RTA_MULTIPATH, &[])]), Some(RouteKind::Specific)),
            (route(24, RTN_UNICAST, 0, &[to_network]), Some(connected)),
            (route(32, RTN_UNICAST, RTM_F_CLONED, &[]), Some(RouteKind::Specific)),
            (route(32, RTN_LOCAL, 0, &[]), Some(RouteKind::Local)),
            (route(0, 6, 0, &[]), None),
        ] {
            assert_eq!(found, expected);
        }
    }
}
