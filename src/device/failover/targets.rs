//! What is probed over each uplink: the heartbeat's server, then `connectivity_check`, then the portal's page.

use super::links::{Link, Table};
use super::portal::Page;
use crate::device::config;
use crate::device::heartbeat::dial::Line;
use crate::device::os::egress::egress;
use crate::resolver::Names;
use std::net::SocketAddr;
use std::sync::Arc;

/// Where probes go.
#[derive(Debug)]
pub struct Targets {
    line: Arc<Line>,
    names: Arc<Names>,
    /// As they were dialled last.
    dialled: Vec<SocketAddr>,
    /// Of these, those that are reached over uplinks.
    server: Vec<SocketAddr>,
    check: Option<SocketAddr>,
    page: Option<ureq::http::Uri>,
}

impl Targets {
    pub fn new(config: &config::Network, line: Arc<Line>, names: Arc<Names>) -> Targets {
        Targets {
            line,
            names,
            dialled: Vec::new(),
            server: Vec::new(),
            check: config.connectivity_check,
            page: config.captive_portal_check.clone(),
        }
    }

    /// Whether the heartbeat dials other addresses than before.
    pub fn have_moved(&mut self) -> bool {
        let dialled = self.line.server();
        let moved = dialled != self.dialled;
        self.dialled = dialled;
        moved
    }

    /// A server on this machine, or behind a link that is no uplink (a VPN), says nothing of uplinks.
    pub fn sort_out(&mut self, table: &Table, is_uplink: impl Fn(&str) -> bool) {
        let own = |address: &SocketAddr| table.links().any(|link| link.has_address(address.ip()));
        let elsewhere = |address: &SocketAddr| {
            let index = egress(address.ip()).ok().flatten();
            table.links().any(|link| Some(link.index) == index && !is_uplink(&link.name))
        };
        let local = |address: &SocketAddr| address.ip().is_loopback() || own(address) || elsewhere(address);
        self.server = self.dialled.iter().filter(|address| !local(address)).copied().collect();
    }

    /// Of the families that the link has addresses of: at most two.
    pub fn over(&self, link: &Link) -> Vec<SocketAddr> {
        let reachable = |address: &&SocketAddr| link.has_family(address.is_ipv6());
        let server = self.server.iter().find(reachable);
        let mut targets: Vec<SocketAddr> =
            server.into_iter().chain(self.check.iter().filter(reachable)).copied().collect();
        targets.dedup();
        targets
    }

    pub fn is_check(&self, address: SocketAddr) -> bool {
        self.check == Some(address) && !self.server.contains(&address)
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
    use crate::device::heartbeat::NAMES;
    use crate::resolver::lookup;

    fn targets(text: &str) -> Targets {
        let config = config::Config::from_source(&Source::new("c.toml", text), &|_| None).expect("good");
        Targets::new(&config.network, Arc::default(), Arc::new(Names::start(NAMES, lookup).expect("started")))
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
        targets.server = vec![six, four];
        assert_eq!(targets.over(&link(&["10.0.0.2"])), [four, check]);
        assert_eq!(targets.over(&link(&["2001:db8::9"])), [six]);
        assert_eq!(targets.over(&link(&[])), []);
        assert!(targets.is_check(check) && !targets.is_check(four));
    }

    #[test]
    fn a_server_on_this_machine_is_not_probed() {
        let mut targets = targets("[network]\nconnectivity_check = \"\"");
        targets.dialled = vec!["127.0.0.1:80".parse().expect("an address")];
        targets.sort_out(&Table::default(), |_| true);
        assert_eq!(targets.over(&link(&["10.0.0.2"])), []);
    }

    #[test]
    fn the_page_of_a_portal_is_asked_by_address_with_its_name() {
        let targets = targets("[network]\ncaptive_portal_check = \"http://192.0.2.1:8080/generate_204?x=1\"");
        let page = targets.page(&link(&["10.0.0.2"])).expect("a literal needs no lookup");
        assert_eq!(page.address.to_string(), "192.0.2.1:8080");
        assert_eq!((page.host.as_str(), page.path.as_str()), ("192.0.2.1:8080", "/generate_204?x=1"));
    }
}
