//! Which interface the kernel would use for an address.

use super::netlink::{Socket, attribute, family_of, number, push_ip};
use super::routes::{ROUTE_HEADER, RTA_OIF, RTM_GETROUTE, RTM_NEWROUTE};
use netlink_sys::protocols::NETLINK_ROUTE;
use std::io;
use std::net::IpAddr;

/// Attribute of `linux/rtnetlink.h`.
const RTA_DST: u16 = 1;

/// The index of the interface over which a packet to `destination` would leave now; `None` if there is no route.
///
/// # Errors
/// Netlink does not answer.
pub fn egress(destination: IpAddr) -> io::Result<Option<u32>> {
    let mut found = None;
    let mut socket = Socket::open(NETLINK_ROUTE)?;
    let answered = socket.request(RTM_GETROUTE, 0, &question(destination), |kind, body| {
        if kind == RTM_NEWROUTE {
            found = body.get(ROUTE_HEADER..).and_then(interface);
        }
    });
    match answered {
        Ok(()) => Ok(found),
        Err(error) if is_no_route(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_no_route(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable)
}

fn interface(attributes: &[u8]) -> Option<u32> {
    attribute(attributes, RTA_OIF).and_then(number)
}

/// `struct rtmsg` with the destination as its only attribute.
fn question(destination: IpAddr) -> Vec<u8> {
    let mut message = vec![0; ROUTE_HEADER];
    message[0] = family_of(destination.is_ipv6());
    // `rtm_dst_len`: one address.
    message[1] = if destination.is_ipv6() { 128 } else { 32 };
    push_ip(&mut message, RTA_DST, destination);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_itself_is_reached_over_the_loopback_interface() {
        let loopback = std::fs::read_to_string("/sys/class/net/lo/ifindex").expect("every machine has lo");
        let loopback: u32 = loopback.trim().parse().expect("a number");
        for ip in ["127.0.0.1", "127.5.6.7"] {
            let found = egress(ip.parse().expect("an address")).expect("netlink answers");
            assert_eq!(found, Some(loopback), "{ip}");
        }
    }

    #[test]
    fn an_address_that_no_route_leads_to_is_not_an_error() {
        // 0.0.0.0/8 other than 0.0.0.0 is never routed.
        assert!(egress("::ffff:0:0".parse().expect("an address")).is_ok());
    }
}
