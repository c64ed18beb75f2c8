//! Probe targets of each uplink: the heartbeat's server, then `connectivity_check`, then the portal's page.

use super::decision::Pin;
use super::links::{Link, LinkTable};
use super::portal::Page;
use super::routes::PROTOCOL;
use crate::device::config;
use crate::device::heartbeat::dial::Dialer;
use crate::device::heartbeat::server_routes::{ServerRoutes, UplinkOverride};
use crate::device::os::egress::{Lookup, RouteKind};
use crate::device::os::routes::DefaultRoute;
use crate::resolver::NameResolver;
use std::net::SocketAddr;
use std::sync::Arc;

/// Where probes go.
#[derive(Debug)]
pub struct Targets {
    dialer: Arc<Dialer>,
    names: Arc<NameResolver>,
    /// The addresses that were dialled last, and the one that was connected to.
    dialled: (Vec<SocketAddr>, Option<SocketAddr>),
    /// The servers among them that are not this machine.
    servers: Vec<Server>,
    check: Option<SocketAddr>,
    page: Option<ureq::http::Uri>,
}

/// A server address, and the kernel's routes to it.
#[derive(Debug)]
struct Server {
    address: SocketAddr,
    routes: ServerRoutes,
    /// Indexes of the uplinks that lead there.
    over: Vec<u32>,
}

impl Server {
    fn new(address: SocketAddr, routes: ServerRoutes) -> Server {
        let over = routes.permitted(UplinkOverride::No).iter().filter_map(|egress| egress.over).collect();
        Server { address, routes, over }
    }
}

impl Targets {
    pub fn new(config: &config::Network, dialer: Arc<Dialer>, names: Arc<NameResolver>) -> Targets {
        Targets {
            dialer,
            names,
            dialled: (Vec::new(), None),
            servers: Vec::new(),
            check: config.connectivity_check,
            page: config.captive_portal_check.clone(),
        }
    }

    /// Whether the heartbeat dials other addresses than before.
    pub fn have_moved(&mut self) -> bool {
        let dialled = (self.dialer.server(), self.dialer.peer());
        let moved = dialled != self.dialled;
        self.dialled = dialled;
        moved
    }

    /// Reads the kernel's routes to the server. A server on this machine says nothing about uplinks, and one that is
    /// reached over another interface (a VPN) or over one uplink only says nothing about the others.
    pub fn sort_out(&mut self, table: &LinkTable, is_uplink: impl Fn(&str) -> bool) {
        self.have_moved();
        let own = |address: &SocketAddr| table.links().any(|link| link.has_address(address.ip()));
        let (dialled, _) = &self.dialled;
        let remote = dialled.iter().filter(|address| !address.ip().is_loopback() && !own(address));
        let uplinks = || table.links().filter(|link| is_uplink(&link.name)).map(|link| link.index);
        let lookup = if dialled.is_empty() { None } else { Lookup::open().ok() };
        self.servers = lookup.map_or_else(Vec::new, |mut lookup| {
            let read = |address: &SocketAddr| {
                Some(Server::new(*address, ServerRoutes::read(&mut lookup, address.ip(), uplinks()).ok()?))
            };
            remote.filter_map(read).collect()
        });
    }

    /// The interface that heartbeats take whatever uplink is chosen; before the server is known, the one of the
    /// kernel's default route unless that is an uplink.
    pub fn pin(&self, table: &LinkTable, is_uplink: impl Fn(&str) -> bool) -> Option<Pin> {
        let name = |index| table.links().find(|link| link.index == index).map(|link| link.name.clone());
        let peer = |server: &&Server| self.dialled.1 == Some(server.address);
        let (index, by_default) = match self.servers.iter().find(peer).or(self.servers.first()) {
            Some(server) => {
                let by_default = server.routes.kernels.is_some_and(|way| way.kind == RouteKind::Default);
                (server.routes.pinned()?, by_default)
            }
            None => {
                let not_ours = |route: &&DefaultRoute| route.protocol != PROTOCOL;
                let best =
                    table.routes().iter().filter(not_ours).min_by_key(|route| (route.ipv6, route.metric));
                (best?.index, true)
            }
        };
        let name = name(index)?;
        // The best default route may lead over an uplink.
        (!by_default || !is_uplink(&name)).then_some(Pin { interface: name, by_default })
    }

    /// Targets to probe over this link, of its address families: at most two.
    pub fn over(&self, link: &Link) -> Vec<SocketAddr> {
        let reachable = |address: &SocketAddr| link.has_family(address.is_ipv6());
        let leads_there = |server: &&Server| server.over.contains(&link.index) && reachable(&server.address);
        let server = self.servers.iter().find(leads_there).map(|server| server.address);
        let check = self.check.filter(reachable);
        let mut targets: Vec<SocketAddr> = server.into_iter().chain(check).collect();
        targets.dedup();
        targets
    }

    pub fn is_check(&self, address: SocketAddr) -> bool {
        self.check == Some(address) && self.servers.iter().all(|server| server.address != address)
    }

    /// The portal's page, once its name has been looked up. Never waits.
    pub fn page(&self, link: &Link) -> Option<Page> {
        let url = self.page.as_ref()?;
        let host = url.host()?;
        let addresses = self.names.known(host, url.port_u16().unwrap_or(80))?;
        let address = addresses.into_iter().find(|address| link.has_family(address.is_ipv6()))?;
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        Some(Page { address, host: url.authority()?.to_string(), path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use crate::device::heartbeat::RESOLVER_LIMITS;
    use crate::resolver::lookup;

    fn targets(text: &str) -> Targets {
        let config = config::Config::from_source(&Source::new("c.toml", text), &|_| None).expect("good");
        Targets::new(
            &config.network,
            Arc::default(),
            Arc::new(NameResolver::start(RESOLVER_LIMITS, lookup).expect("started")),
        )
    }

    fn link(addresses: &[&str]) -> Link {
        Link::with_addresses(2, addresses)
    }

    #[test]
    fn the_server_comes_first_and_only_families_that_the_link_has() {
        let mut targets = targets("");
        let check = targets.check.expect("the default");
        let four = "192.0.2.7:443".parse().expect("an address");
        let six = "[2001:db8::7]:443".parse().expect("an address");
        let over = vec![2];
        targets.servers = [six, four]
            .map(|address| Server { address, routes: ServerRoutes::default(), over: over.clone() })
            .into();
        assert_eq!(targets.over(&link(&["10.0.0.2"])), [four, check]);
        assert_eq!(targets.over(&link(&["2001:db8::9"])), [six]);
        assert_eq!(targets.over(&link(&[])), []);
        assert!(targets.is_check(check) && !targets.is_check(four));
        let other = Link::with_addresses(3, &["10.0.0.2"]);
        assert_eq!(targets.over(&other), [check], "the server is not behind that link");
    }

    #[test]
    fn a_server_on_this_machine_is_not_probed() {
        let mut targets = targets("[network]\nconnectivity_check = \"\"");
        targets.dialer.expect_server(vec!["127.0.0.1:80".parse().expect("an address")]);
        targets.sort_out(&LinkTable::default(), |_| true);
        assert_eq!(targets.over(&link(&["10.0.0.2"])), []);
    }

    #[test]
    fn the_page_of_a_portal_is_requested_by_address_with_its_name() {
        let targets = targets("[network]\ncaptive_portal_check = \"http://192.0.2.1:8080/generate_204?x=1\"");
        let page = targets.page(&link(&["10.0.0.2"])).expect("a literal needs no lookup");
        assert_eq!(page.address.to_string(), "192.0.2.1:8080");
        assert_eq!((page.host.as_str(), page.path.as_str()), ("192.0.2.1:8080", "/generate_204?x=1"));
    }
}
