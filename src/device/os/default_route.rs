//! Adding and deleting one default route. Takes CAP_NET_ADMIN.

use super::netlink::{AF_INET6, Socket, family_of, push, push_ip};
use super::routes::{
    DefaultRoute, MAIN, RTA_GATEWAY, RTA_OIF, RTA_PRIORITY, RTA_VIA, RTM_DELROUTE, RTM_NEWROUTE, RTN_UNICAST,
    RTNH_F_ONLINK,
};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use std::io;
use std::net::IpAddr;

/// `RT_SCOPE_*`: anywhere; without a gateway everything is on the link; when deleting, any.
const UNIVERSE: u8 = 0;
const LINK: u8 = 253;
const NOWHERE: u8 = 255;

/// Adds this route with all its attributes.
///
/// Never with `NLM_F_REPLACE`, which ignores protocol and device: it has removed another program's route.
///
/// # Errors
/// EEXIST if there is one of this metric, ENETUNREACH if the gateway cannot be reached over the interface, EPERM.
pub fn add(socket: &mut Socket, route: &DefaultRoute) -> io::Result<()> {
    let scope = if route.gateway.is_some() || route.ipv6 { UNIVERSE } else { LINK };
    let mut body = body(route, scope);
    body.extend(&route.copied);
    socket.request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &body, |_, _| {})
}

/// Deletes this route and no other: interface, gateway, metric and protocol have to match.
///
/// # Errors
/// ESRCH if it is not there, EPERM.
pub fn delete(socket: &mut Socket, route: &DefaultRoute) -> io::Result<()> {
    socket.request(RTM_DELROUTE, 0, &body(route, NOWHERE), |_, _| {})
}

/// `struct rtmsg` and its attributes.
fn body(route: &DefaultRoute, scope: u8) -> Vec<u8> {
    let flags = if route.onlink { u32::from(RTNH_F_ONLINK) } else { 0 };
    let mut body = vec![family_of(route.ipv6), 0, 0, 0, MAIN, route.protocol, scope, RTN_UNICAST];
    body.extend(flags.to_ne_bytes());
    push(&mut body, RTA_OIF, &route.index.to_ne_bytes());
    push(&mut body, RTA_PRIORITY, &route.metric.to_ne_bytes());
    match route.gateway {
        // IPv4 packets over an IPv6 neighbour: the family stands before the address.
        Some(IpAddr::V6(ip)) if !route.ipv6 => {
            let via = [&u16::from(AF_INET6).to_ne_bytes()[..], &ip.octets()].concat();
            push(&mut body, RTA_VIA, &via);
        }
        Some(ip) => push_ip(&mut body, RTA_GATEWAY, ip),
        None => {}
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_routes_own_metric_protocol_interface_and_gateway() {
        let route = DefaultRoute {
            index: 3,
            ipv6: false,
            gateway: Some([192, 168, 1, 1].into()),
            metric: 50,
            protocol: 222,
            linkdown: false,
            onlink: true,
            copied: Vec::new(),
        };
        let body = body(&route, UNIVERSE);
        assert_eq!(body[..8], [2, 0, 0, 0, 254, 222, 0, 1]);
        assert_eq!(body[8..12], u32::from(RTNH_F_ONLINK).to_ne_bytes());
        assert_eq!(
            super::super::netlink::attribute(&body[12..], RTA_GATEWAY),
            Some([192, 168, 1, 1].as_slice())
        );
        assert_eq!(
            super::super::netlink::attribute(&body[12..], RTA_OIF),
            Some(3_u32.to_ne_bytes().as_slice())
        );
        let metric = super::super::netlink::attribute(&body[12..], RTA_PRIORITY);
        assert_eq!(metric, Some(50_u32.to_ne_bytes().as_slice()));
    }
}
