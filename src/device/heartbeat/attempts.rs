//! Dial attempts: each server address over each interface that is permitted for it.

use super::server_routes::{Egress, ServerRoutes, UplinkOverride};
use crate::device::os::egress::Lookup;
use crate::device::os::neighbours::hardware_address;
use crate::device::os::netlink::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Servers on the own LAN whose hardware address is remembered.
const HOSTS: usize = 8;

/// A link that leads out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    pub index: u32,
    pub name: String,
    /// It has a carrier and an address. One that has none is known so that a server behind it is recognised as such.
    pub usable: bool,
}

/// One way to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialAttempt {
    pub address: SocketAddr,
    /// Bound to it; without one the kernel decides.
    pub uplink: Option<Uplink>,
    /// Without an uplink: the interface that the kernel chooses.
    pub kernels: Option<u32>,
    pub host: Host,
}

/// The hosts that may answer at the server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    Any,
    /// The server, by the kernel's own choice: its hardware address is remembered.
    Server,
    /// Only the host with this hardware address.
    Same(Vec<u8>),
}

/// Hardware addresses of servers on the own LAN, the newest first.
#[derive(Debug, Default, Clone)]
pub struct Hosts(VecDeque<(IpAddr, Vec<u8>)>);

impl Hosts {
    pub fn remember(&mut self, ip: IpAddr, hardware: Vec<u8>) {
        self.0.retain(|(known, _)| *known != ip);
        self.0.truncate(HOSTS - 1);
        self.0.push_front((ip, hardware));
    }

    fn of(&self, ip: IpAddr) -> Option<&Vec<u8>> {
        self.0.iter().find(|(known, _)| *known == ip).map(|(_, hardware)| hardware)
    }
}

impl Host {
    /// Whether this host answered a connection over an interface. Returns the hardware address to remember, if any.
    ///
    /// # Errors
    /// Another host answered, or netlink failed.
    pub fn check(&self, index: u32, ip: IpAddr) -> io::Result<Option<Vec<u8>>> {
        let found = || hardware_address(&mut Socket::open(NETLINK_ROUTE)?, index, ip);
        match self {
            Host::Any => Ok(None),
            Host::Server => Ok(found().ok().flatten()),
            Host::Same(expected) if found()?.as_ref() == Some(expected) => Ok(None),
            Host::Same(_) => {
                Err(io::Error::other(format!("another host has the address {ip} on that uplink")))
            }
        }
    }
}

/// The attempts that the kernel's routes permit now. Without an answer of netlink the kernel decides.
pub fn permitted(
    addresses: &[SocketAddr],
    uplinks: &[Uplink],
    secure: bool,
    uplink_override: UplinkOverride,
    hosts: &Hosts,
) -> Vec<DialAttempt> {
    let mut lookup = if uplinks.is_empty() { None } else { Lookup::open().ok() };
    let routes = |ip| {
        let indexes = uplinks.iter().map(|uplink| uplink.index);
        let routes = lookup.as_mut().map(|lookup| ServerRoutes::read(lookup, ip, indexes));
        match routes {
            Some(Ok(routes)) => routes,
            Some(Err(error)) => {
                log::debug!("no route lookup for {ip}: {error}");
                lookup = None;
                ServerRoutes::default()
            }
            None => ServerRoutes::default(),
        }
    };
    attempts(addresses, uplinks, secure, uplink_override, hosts, routes)
}

/// Each address over each permitted egress, the best first for each address. `routes` returns the kernel's routes to an
/// address, and `secure` means HTTPS, which proves who answers.
fn attempts(
    addresses: &[SocketAddr],
    uplinks: &[Uplink],
    secure: bool,
    uplink_override: UplinkOverride,
    hosts: &Hosts,
    mut routes: impl FnMut(IpAddr) -> ServerRoutes,
) -> Vec<DialAttempt> {
    let mut attempts = Vec::new();
    for &address in addresses {
        let routes = if uplinks.is_empty() { ServerRoutes::default() } else { routes(address.ip()) };
        let egresses = routes.permitted(uplink_override);
        let shared = egresses.iter().any(|egress| egress.same_host);
        let attempt = |egress: &Egress| {
            let host = match (egress.same_host, shared) {
                _ if secure => Host::Any,
                (true, _) => Host::Same(hosts.of(address.ip())?.clone()),
                (false, true) => Host::Server,
                (false, false) => Host::Any,
            };
            let uplink = uplinks.iter().find(|uplink| Some(uplink.index) == egress.over).cloned();
            let kernels = routes.kernels.filter(|_| uplink.is_none()).map(|way| way.index);
            Some(DialAttempt { address, uplink, kernels, host })
        };
        let permitted: Vec<DialAttempt> = egresses.iter().filter_map(attempt).collect();
        // Without any usable one, whichever comes back first.
        let is_usable = |attempt: &DialAttempt| attempt.uplink.as_ref().is_none_or(|uplink| uplink.usable);
        let any_usable = permitted.iter().any(is_usable);
        attempts.extend(permitted.into_iter().filter(|attempt| is_usable(attempt) || !any_usable));
    }
    attempts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::os::egress::{KernelRoute, RouteKind};

    const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7)), 443);

    fn uplink(index: u32, name: &str) -> Uplink {
        Uplink { index, name: name.to_owned(), usable: true }
    }

    fn down(uplink: Uplink) -> Uplink {
        Uplink { usable: false, ..uplink }
    }

    /// All uplinks have such a route, and the kernel uses the one of `kernels`.
    fn all(uplinks: &[Uplink], kernels: Option<u32>, kind: RouteKind) -> Vec<DialAttempt> {
        let routes = |_| ServerRoutes {
            kernels: kernels.map(|index| KernelRoute { index, kind }),
            over: uplinks.iter().map(|uplink| (uplink.index, Some(kind))).collect(),
        };
        attempts(&[SERVER], uplinks, false, UplinkOverride::No, &Hosts::default(), routes)
    }

    fn names(attempts: &[DialAttempt]) -> Vec<&str> {
        attempts.iter().map(|attempt| attempt.uplink.as_ref().map_or("-", |uplink| &uplink.name)).collect()
    }

    #[test]
    fn each_address_is_tried_over_the_best_uplink_first() {
        let uplinks = [uplink(2, "eth0"), uplink(3, "wlan0")];
        // The kernel's own route leads over an uplink, over another one than the best, or nowhere.
        for kernels in [Some(2), Some(3), None] {
            assert_eq!(names(&all(&uplinks, kernels, RouteKind::Default)), ["eth0", "wlan0"]);
        }
        let attempts = all(&uplinks, Some(9), RouteKind::Default);
        assert_eq!((names(&attempts), attempts[0].kernels), (vec!["-"], Some(9)), "a VPN");
        assert_eq!(names(&all(&[], Some(2), RouteKind::Default)), ["-"], "no uplinks: the kernel decides");
    }

    #[test]
    fn an_uplink_that_is_down_gets_no_slot_unless_all_are_down() {
        let uplinks = [uplink(2, "eth0"), down(uplink(3, "wlan1")), uplink(4, "wlan0")];
        assert_eq!(names(&all(&uplinks, None, RouteKind::Default)), ["eth0", "wlan0"]);
        // The kernel's way leads over a dead uplink, not over a VPN.
        assert_eq!(names(&all(&uplinks, Some(3), RouteKind::Default)), ["eth0", "wlan0"]);
        assert_eq!(names(&all(&uplinks.clone().map(down), None, RouteKind::Default)).len(), 3);
        assert_eq!(names(&all(&uplinks, Some(3), RouteKind::Specific)), ["wlan1"], "the only way");
    }

    #[test]
    fn a_server_of_the_own_lan_is_dialled_over_another_uplink_only_where_the_same_host_answers() {
        let uplinks = [uplink(2, "eth0"), uplink(3, "wlan0")];
        let lan = RouteKind::Connected { network: [203, 0, 113, 0].into(), prefix: 24 };
        let hosts = |secure, hosts: &Hosts| -> Vec<Host> {
            let routes = |_| ServerRoutes {
                kernels: Some(KernelRoute { index: 2, kind: lan }),
                over: vec![(2, Some(lan)), (3, Some(lan))],
            };
            let attempts = attempts(&[SERVER], &uplinks, secure, UplinkOverride::No, hosts, routes);
            attempts.into_iter().map(|attempt| attempt.host).collect()
        };
        let mut known = Hosts::default();
        assert_eq!(hosts(false, &known), [Host::Server], "the host behind wlan0 is unknown");
        assert_eq!(hosts(true, &known), [Host::Any, Host::Any], "its certificate tells");
        known.remember(SERVER.ip(), vec![2, 0, 0, 0, 0, 9]);
        assert_eq!(hosts(false, &known), [Host::Server, Host::Same(vec![2, 0, 0, 0, 0, 9])]);
    }

    #[test]
    fn remembered_hosts_are_bounded_and_the_newest_address_wins() {
        let mut hosts = Hosts::default();
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        (0..=255).for_each(|n| hosts.remember(ip(n), vec![n]));
        hosts.remember(ip(255), vec![1, 1]);
        assert_eq!((hosts.0.len(), hosts.of(ip(255)), hosts.of(ip(0))), (HOSTS, Some(&vec![1, 1]), None));
    }
}
