//! `doctor`: the uplinks, without the running daemon.

use super::links::{Kernel, Link, LinkTable};
use super::names::{proposal, rank};
use super::routes::{is_skipped, kernels_best};
use crate::device::config;
use std::path::Path;
use std::time::Instant;

/// The configured uplinks that exist, each with its carrier and whether it has an address.
///
/// # Errors
/// The kernel's default route leads over an interface that is not an uplink, no uplink exists, or links cannot be read.
pub fn examine(config: &config::Network) -> Result<String, String> {
    let read = || {
        let mut kernel = Kernel::open(false)?;
        kernel.read_if_due(Instant::now())?;
        Ok(kernel)
    };
    let kernel = read().map_err(|error: std::io::Error| format!("route netlink: {error}"))?;
    describe(config, kernel.table())
}

fn describe(config: &config::Network, table: &LinkTable) -> Result<String, String> {
    if let Some(name) = unlisted(config, table).first() {
        return Err(not_named(name));
    }
    let mut uplinks: Vec<(usize, &Link)> =
        table.links().filter_map(|link| Some((rank(config, &link.name)?, link))).collect();
    uplinks.sort_by_key(|(rank, link)| (*rank, &link.name));
    let state = |link: &Link| match (link.carrier, link.addresses.is_empty()) {
        (false, _) => "down",
        (true, true) => "no address",
        (true, false) => "up",
    };
    let shown: Vec<String> =
        uplinks.iter().map(|(_, link)| format!("{} {}", link.name, state(link))).collect();
    match shown.is_empty() {
        true => Err(format!("none of {} exists", config.interfaces.join(", "))),
        false => Ok(shown.join(", ")),
    }
}

/// The interfaces of the kernel's best default routes, IPv4's first, that are not uplinks.
pub fn unlisted(config: &config::Network, table: &LinkTable) -> Vec<String> {
    let best = |ipv6| {
        let best = kernels_best(table.routes(), ipv6, |route| is_skipped(Path::new("/"), route, table))?;
        table.links().find(|link| link.index == best.index)
    };
    let mut names: Vec<String> =
        [best(false), best(true)].into_iter().flatten().map(|link| link.name.clone()).collect();
    names.retain(|name| rank(config, name).is_none());
    names.dedup();
    names
}

/// For the log: the kernel's route to the server leads over an interface that is not an uplink.
pub fn server_not_named(interface: &str) -> String {
    format!(
        "the kernel's route to the server leads over {interface}, which [network] interfaces does not name: heartbeats \
         follow the kernel; if {interface} is an uplink, add {}",
        proposal(interface)
    )
}

/// For the log and for `doctor`: the kernel's default route leads over an interface that is not an uplink.
pub fn not_named(interface: &str) -> String {
    format!(
        "the kernel's default route leads over {interface}, which [network] interfaces does not name: routes stay as \
         they are, and heartbeats follow the kernel; if {interface} is an uplink, add {}",
        proposal(interface)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use crate::device::os::routes::DefaultRoute;

    fn config(text: &str) -> config::Network {
        config::Config::from_source(&Source::new("c.toml", text), &|_| None).expect("good").network
    }

    fn table(links: &[(&str, &[&str])], best: u32) -> LinkTable {
        let link = |(place, (name, addresses)): (usize, &(&str, &[&str]))| {
            let link = Link::with_addresses(place as u32 + 2, addresses);
            Link { name: (*name).to_owned(), ..link }
        };
        let route = DefaultRoute {
            index: best,
            ipv6: false,
            gateway: None,
            metric: 100,
            protocol: 16,
            linkdown: false,
            onlink: false,
            copied: Vec::new(),
        };
        LinkTable::with(links.iter().enumerate().map(link), vec![route])
    }

    #[test]
    fn uplinks_are_shown_in_their_order_and_an_unlisted_default_route_is_explained() {
        let links: [(&str, &[&str]); 3] =
            [("wlan0", &["10.0.0.2"]), ("eth0", &[]), ("enx00e04c680001", &["10.0.1.2"])];
        let default = config("");
        assert_eq!(describe(&default, &table(&links, 2)).as_deref(), Ok("eth0 no address, wlan0 up"));
        let error = describe(&default, &table(&links, 4)).expect_err("unlisted");
        assert!(error.contains("over enx00e04c680001") && error.contains("the pattern \"enx*\""), "{error}");
        let listed = config("[network]\ninterfaces = [\"enx*\"]");
        assert_eq!(describe(&listed, &table(&links, 4)).as_deref(), Ok("enx00e04c680001 up"));
        assert_eq!(
            describe(&config("[network]\ninterfaces = [\"wwan*\"]"), &LinkTable::default()),
            Err("none of wwan* exists".to_owned())
        );
    }
}
