//! The backend `routes`: one default route of our own for each address family, and only while the kernel would send
//! elsewhere. Another program's packets follow it; no other route is touched.

use super::links::{Link, LinkTable};
use crate::device::os::default_route::{add, delete};
use crate::device::os::netlink::Socket;
use crate::device::os::routes::{DefaultRoute, default_routes};
use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::io::Errno;
use std::fs;
use std::io;
use std::path::Path;

/// Marks our routes: a number that no other program uses. NetworkManager leaves unknown ones alone since 1.36.
pub const PROTOCOL: u8 = 222;
/// Before NetworkManager's 100 (Ethernet) and 600 (Wi-Fi), and before dhcpcd's 200 and more.
const METRIC: u32 = 50;

/// Whether this process may change routes.
pub fn is_allowed(root: &Path) -> bool {
    const CAP_NET_ADMIN: u32 = 12;
    let status = fs::read_to_string(root.join("proc/self/status")).unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    effective.is_some_and(|bits| (bits >> CAP_NET_ADMIN) & 1 == 1)
}

/// The best default route of a family that is not ours and that the kernel does not skip.
pub fn kernels_best(
    routes: &[DefaultRoute],
    ipv6: bool,
    is_skipped: impl Fn(&DefaultRoute) -> bool,
) -> Option<&DefaultRoute> {
    let theirs = routes.iter().filter(|route| route.ipv6 == ipv6 && route.protocol != PROTOCOL);
    theirs.filter(|route| !is_skipped(route)).min_by_key(|route| route.metric)
}

/// The routes that there should be of ours: for each family in which the kernel prefers another uplink. What it prefers
/// that is not an uplink (a VPN, a bridge, a modem) is respected.
fn wanted(
    active: Option<&Link>,
    routes: &[DefaultRoute],
    is_uplink: impl Fn(u32) -> bool,
    is_skipped: impl Fn(&DefaultRoute) -> bool,
) -> Vec<DefaultRoute> {
    let Some(active) = active else { return Vec::new() };
    let wanted = |ipv6| {
        let kernels = kernels_best(routes, ipv6, &is_skipped)?;
        let own = kernels_best(routes, ipv6, |route| route.index != active.index)?;
        // Among routes of the same metric, such as those of IPv6 router advertisements, the kernel may take any.
        let is_respected = |route: &DefaultRoute| {
            let takes_part = route.ipv6 == ipv6 && route.protocol != PROTOCOL && !is_skipped(route);
            takes_part && route.metric <= kernels.metric && !is_uplink(route.index)
        };
        let may_overrule = !routes.iter().any(is_respected);
        let differs = kernels.index != active.index && may_overrule && active.has_family(ipv6);
        // A full copy: without its `onlink`, `src` or `mtu` the kernel refuses it, or packets do not arrive.
        differs.then(|| DefaultRoute { metric: METRIC, protocol: PROTOCOL, linkdown: false, ..own.clone() })
    };
    [false, true].into_iter().filter_map(wanted).collect()
}

/// Whether the kernel would take both for one route when it deletes one.
fn same(a: &DefaultRoute, b: &DefaultRoute) -> bool {
    let key = |route: &DefaultRoute| (route.index, route.ipv6, route.gateway, route.metric);
    key(a) == key(b)
}

/// Keeps our routes as they should be. All of them go when this is dropped.
#[derive(Debug)]
pub struct Keeper {
    socket: Socket,
    /// Our routes as they were requested. What the kernel lists may differ in attributes that it rounds or leaves out.
    requested: Vec<DefaultRoute>,
    /// Only the first of several failures is logged.
    complained: bool,
}

impl Keeper {
    /// Removes what a killed daemon has left behind.
    pub fn new() -> io::Result<Keeper> {
        match cleanup()? {
            0 => {}
            count => log::info!("failover: removed {count} routes of a daemon that was killed"),
        }
        Ok(Keeper { socket: Socket::open(NETLINK_ROUTE)?, requested: Vec::new(), complained: false })
    }

    /// Adds the routes that are missing and deletes those that are not wanted. True if anything was changed.
    pub fn keep(
        &mut self,
        active: Option<&str>,
        is_uplink: impl Fn(&str) -> bool,
        table: &LinkTable,
    ) -> bool {
        let routes = table.routes();
        let active = table.links().find(|link| Some(link.name.as_str()) == active);
        let link = |index| table.links().find(|link| link.index == index);
        let is_uplink = |index| link(index).is_some_and(|link| is_uplink(&link.name));
        let wanted = wanted(active, routes, is_uplink, |route| is_skipped(Path::new("/"), route, table));
        let ours = || routes.iter().filter(|route| route.protocol == PROTOCOL);
        let is_there = |route: &DefaultRoute| ours().any(|ours| same(ours, route));
        let (kept, missing): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|route| self.requested.contains(route) && is_there(route));
        let too_many = ours().filter(|ours| !kept.iter().any(|route| same(ours, route)));
        let mut changed = false;
        // The old one first: two of one metric cannot be.
        for route in too_many {
            changed |= self.change("remove", route, delete);
        }
        self.requested = kept;
        for route in missing {
            if self.change("add", &route, add) {
                changed = true;
                self.requested.push(route);
            }
        }
        changed
    }

    fn change(
        &mut self,
        what: &str,
        route: &DefaultRoute,
        request: fn(&mut Socket, &DefaultRoute) -> io::Result<()>,
    ) -> bool {
        match request(&mut self.socket, route) {
            Ok(()) => {
                self.complained = false;
                log::debug!("{what} default route {route:?}");
                return true;
            }
            // It has gone with its link or address, or is there: the next reading shows it.
            Err(error) if is_done(&error) => return true,
            Err(error) if !self.complained => {
                self.complained = true;
                log::warn!(
                    "failover: cannot {what} a default route: {error}; heartbeats still use the uplink"
                );
            }
            Err(_) => {}
        }
        self.renew();
        false
    }

    /// Answers may still be on their way after an error.
    fn renew(&mut self) {
        if let Ok(socket) = Socket::open(NETLINK_ROUTE) {
            self.socket = socket;
        }
    }
}

/// Whether the kernel skips this route because its interface has no carrier.
pub fn is_skipped(root: &Path, route: &DefaultRoute, table: &LinkTable) -> bool {
    let link = table.links().find(|link| link.index == route.index);
    link.is_some_and(|link| !link.carrier && ignores_linkdown(root, &link.name, route.ipv6))
}

/// `ignore_routes_with_linkdown`; for IPv6 only the interface's own value counts.
fn ignores_linkdown(root: &Path, interface: &str, ipv6: bool) -> bool {
    let is_on = |family: &str, name: &str| {
        let path = root.join("proc/sys/net").join(family).join("conf").join(name);
        let value = fs::read_to_string(path.join("ignore_routes_with_linkdown"));
        value.is_ok_and(|value| value.trim() == "1")
    };
    if ipv6 { is_on("ipv6", interface) } else { is_on("ipv4", "all") || is_on("ipv4", interface) }
}

fn is_done(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::SRCH | Errno::NODEV | Errno::EXIST))
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Err(error) = cleanup() {
            log::warn!("failover: cannot remove our default routes: {error}");
        }
    }
}

/// Removes all routes of ours; returns their number.
///
/// # Errors
/// Routes cannot be read, or (EPERM) not be deleted.
pub fn cleanup() -> io::Result<usize> {
    let mut socket = Socket::open(NETLINK_ROUTE)?;
    let mut count = 0;
    for route in default_routes(&mut socket)?.iter().filter(|route| route.protocol == PROTOCOL) {
        match delete(&mut socket, route) {
            Err(error) if !is_done(&error) => return Err(error),
            _ => count += 1,
        }
    }
    Ok(count)
}

/// The kernel's `rp_filter` for answers that come over `interface` although it is not the best way back; 1 drops them.
pub fn is_strict(root: &Path, interface: &str) -> bool {
    let value = |name: &str| {
        let path = root.join("proc/sys/net/ipv4/conf").join(name).join("rp_filter");
        fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u8>().ok()).unwrap_or(0)
    };
    // The kernel takes the larger one.
    value("all").max(value(interface)) == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice;

    fn link(index: u32) -> Link {
        Link::with_addresses(index, &["192.0.2.9", "2001:db8::9"])
    }

    fn route(index: u32, metric: u32) -> DefaultRoute {
        let gateway = Some([192, 0, 2, index as u8].into());
        let (ipv6, protocol, copied) = (false, 16, Vec::new());
        DefaultRoute { index, ipv6, gateway, metric, protocol, linkdown: false, onlink: false, copied }
    }

    /// Every interface is an uplink, and the kernel skips no route.
    fn all_listed(active: Option<&Link>, routes: &[DefaultRoute]) -> Vec<DefaultRoute> {
        wanted(active, routes, |_| true, |_| false)
    }

    #[test]
    fn what_the_kernel_prefers_and_is_not_an_uplink_is_never_overruled() {
        let (unlisted, eth0, wlan0) = (route(9, 50), route(2, 100), route(3, 600));
        let with = |routes: &[DefaultRoute], skipped: &[u32]| {
            let is_skipped = |route: &DefaultRoute| skipped.contains(&route.index);
            wanted(Some(&link(3)), routes, |index| index != 9, is_skipped).len()
        };
        let all = [unlisted.clone(), eth0.clone(), wlan0.clone()];
        assert_eq!(with(&all, &[]), 0, "a VPN is the kernel's choice");
        assert_eq!(with(&all, &[9]), 1, "the kernel skips it: it has no carrier");
        assert_eq!(with(&[unlisted, wlan0.clone()], &[]), 0);
        assert_eq!(with(&[eth0.clone(), route(9, 100), wlan0.clone()], &[]), 0, "the kernel may take either");
        let worse = DefaultRoute { metric: 900, ..route(9, 0) };
        assert_eq!(with(&[eth0.clone(), worse.clone(), wlan0.clone()], &[]), 1, "eth0 is preferred to it");
        assert_eq!(with(&[eth0, route(9, 200), wlan0], &[2]), 0, "it would be next");
    }

    #[test]
    fn a_route_without_carrier_is_skipped_only_if_a_sysctl_says_so() {
        let root = tempfile::tempdir().expect("a directory");
        let write = |family: &str, name: &str, value: &str| {
            let directory = root.path().join("proc/sys/net").join(family).join("conf").join(name);
            fs::create_dir_all(&directory).expect("created");
            fs::write(directory.join("ignore_routes_with_linkdown"), value).expect("written");
        };
        let ignores = |ipv6| ignores_linkdown(root.path(), "eth0", ipv6);
        assert!(!ignores(false) && !ignores(true), "nothing is known");
        write("ipv4", "all", "1\n");
        write("ipv6", "all", "1\n");
        assert!(ignores(false) && !ignores(true), "IPv6 looks at the interface");
        write("ipv4", "all", "0\n");
        write("ipv4", "eth0", "1\n");
        write("ipv6", "eth0", "1\n");
        assert!(ignores(false) && ignores(true));
    }

    #[test]
    fn a_route_of_ours_is_wanted_only_while_the_kernel_would_send_elsewhere() {
        let routes = [route(2, 100), route(3, 600)];
        assert_eq!(all_listed(Some(&link(2)), &routes), []);
        let ours = DefaultRoute { metric: METRIC, protocol: PROTOCOL, ..route(3, 600) };
        assert_eq!(all_listed(Some(&link(3)), &routes), slice::from_ref(&ours));
        let [first, second] = routes;
        let with_ours = [ours.clone(), first, second];
        assert_eq!(all_listed(Some(&link(3)), &with_ours), [ours], "our own is not the kernel's choice");
        assert_eq!(all_listed(Some(&link(2)), &with_ours), []);
        assert_eq!(all_listed(None, &with_ours), []);
    }

    #[test]
    fn a_route_of_ours_is_a_copy_with_everything_but_metric_protocol_and_link_state() {
        let own = DefaultRoute { onlink: true, linkdown: true, copied: vec![1, 2, 3, 4], ..route(3, 600) };
        let ours = DefaultRoute { metric: METRIC, protocol: PROTOCOL, linkdown: false, ..own.clone() };
        assert_eq!(all_listed(Some(&link(3)), &[route(2, 100), own]), [ours]);
    }

    #[test]
    fn without_a_gateway_known_for_the_uplink_nothing_is_wanted() {
        assert_eq!(all_listed(Some(&link(3)), &[route(2, 100)]), []);
        assert_eq!(all_listed(Some(&link(3)), &[]), []);
        let bare = Link { addresses: Vec::new(), ..link(3) };
        assert_eq!(all_listed(Some(&bare), &[route(2, 100), route(3, 600)]), [], "no address of that family");
    }

    #[test]
    fn each_family_has_its_own() {
        let six = |index, metric| DefaultRoute {
            ipv6: true,
            gateway: Some("fe80::1".parse().expect("an address")),
            ..route(index, metric)
        };
        let routes = [route(2, 100), six(3, 100), route(3, 600), six(2, 600)];
        let found = all_listed(Some(&link(3)), &routes);
        assert_eq!(found.iter().map(|route| route.ipv6).collect::<Vec<_>>(), [false]);
        let found = all_listed(Some(&link(2)), &routes);
        assert_eq!(found.iter().map(|route| route.ipv6).collect::<Vec<_>>(), [true]);
    }

    #[test]
    fn the_capability_is_read_from_the_process_status() {
        let root = tempfile::tempdir().expect("a directory");
        let status = root.path().join("proc/self");
        fs::create_dir_all(&status).expect("created");
        for (effective, allowed) in [
            ("0000000000001000", true),
            ("000001ffffffffff", true),
            ("0000000000000000", false),
            ("x", false),
        ] {
            fs::write(status.join("status"), format!("Name:\tx\nCapEff:\t{effective}\n")).expect("written");
            assert_eq!(is_allowed(root.path()), allowed, "{effective}");
        }
        assert!(!is_allowed(Path::new("/nowhere")));
    }

    #[test]
    fn the_stricter_of_the_two_filters_counts_and_loose_is_no_problem() {
        let root = tempfile::tempdir().expect("a directory");
        let write = |name: &str, value: &str| {
            let directory = root.path().join("proc/sys/net/ipv4/conf").join(name);
            fs::create_dir_all(&directory).expect("created");
            fs::write(directory.join("rp_filter"), value).expect("written");
        };
        for (all, own, strict) in
            [("0\n", "0\n", false), ("1\n", "0\n", true), ("0\n", "1\n", true), ("2\n", "1\n", false)]
        {
            write("all", all);
            write("wlan0", own);
            assert_eq!(is_strict(root.path(), "wlan0"), strict, "{all} {own}");
        }
        assert!(!is_strict(Path::new("/nowhere"), "wlan0"));
    }
}
