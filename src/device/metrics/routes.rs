//! Which interface the kernel sends through when it knows nothing better: the default route with the lowest
//! metric, IPv4's first.

use crate::device::os::file::KeptFile;
use procfs::FromBufRead;
use procfs::net::RouteEntries;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// `linux/route.h`, `linux/ipv6_route.h`.
const RTF_UP: u32 = 0x1;
const RTF_REJECT: u32 = 0x200;
/// Far more than any device's table; a router with 100,000 routes is not read to its end.
const LIMIT: u64 = 256 * 1024;

/// The routing tables of /proc.
#[derive(Debug)]
pub struct Routes {
    ipv4: KeptFile,
    ipv6: PathBuf,
}

impl Routes {
    pub fn new(root: &Path) -> Routes {
        Routes { ipv4: KeptFile::new(root.join("proc/net/route")), ipv6: root.join("proc/net/ipv6_route") }
    }

    /// Name of the interface; `None` without a default route.
    ///
    /// # Errors
    /// Neither table can be read: the IPv4 table's error.
    pub fn default_interface(&mut self) -> io::Result<Option<String>> {
        // The kernel gives one page, 31 routes, for one read, and default routes come first.
        let ipv4 = self.ipv4.read().and_then(parse_ipv4);
        if let Ok(Some(interface)) = ipv4 {
            return Ok(Some(interface));
        }
        // Here they come late, so the table has to be read to its end. Only where there is no IPv4.
        match (read_whole(&self.ipv6), ipv4) {
            (Ok(table), _) => Ok(parse_ipv6(&table)),
            (Err(_), ipv4) => ipv4,
        }
    }
}

fn read_whole(path: &Path) -> io::Result<String> {
    let mut table = String::new();
    File::open(path)?.take(LIMIT).read_to_string(&mut table)?;
    Ok(table)
}

fn parse_ipv4(table: &[u8]) -> io::Result<Option<String>> {
    let RouteEntries(routes) =
        RouteEntries::from_buf_read(table).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    let default = routes
        .into_iter()
        .filter(|route| route.destination.is_unspecified() && route.mask.is_unspecified())
        .filter(|route| usable(u32::from(route.flags)))
        .min_by_key(|route| route.metrics);
    Ok(default.map(|route| route.iface))
}

/// A line has ten fields: destination, its prefix length, source, its prefix length, next hop, metric,
/// reference count, use, flags (all hexadecimal) and the interface. A line that does not is left out.
fn parse_ipv6(table: &str) -> Option<String> {
    let routes = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let &[destination, prefix, _, _, _, metric, _, _, flags, interface] = fields.as_slice() else {
            return None;
        };
        let default = prefix == "00" && destination.bytes().all(|digit| digit == b'0');
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let metric = u32::from_str_radix(metric, 16).ok()?;
        // The kernel's own entry for "no route" is a default route through lo that rejects.
        (default && usable(flags) && interface != "lo").then_some((metric, interface))
    });
    routes.min_by_key(|(metric, _)| *metric).map(|(_, interface)| interface.to_owned())
}

fn usable(flags: u32) -> bool {
    flags & RTF_UP != 0 && flags & RTF_REJECT == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    fn ipv4(lines: &[&str]) -> Option<String> {
        parse_ipv4(format!("{HEAD}{}\n", lines.join("\n")).as_bytes()).expect("a table")
    }

    #[test]
    fn the_ipv4_default_route_with_the_lowest_metric_wins() {
        let eth0 = "eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0";
        let wlan0 = "wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0";
        let network = "wlan0\t0001A8C0\t00000000\t0001\t0\t0\t50\t00FFFFFF\t0\t0\t0";
        assert_eq!(ipv4(&[wlan0, eth0, network]).as_deref(), Some("eth0"));
        assert_eq!(ipv4(&[wlan0, network]).as_deref(), Some("wlan0"));
        assert_eq!(ipv4(&[network]), None);
    }

    #[test]
    fn half_of_the_internet_and_a_rejecting_route_are_no_default_routes() {
        let half = "tun0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000080\t0\t0\t0";
        let reject = "*\t00000000\t00000000\t0200\t0\t0\t4278198272\t00000000\t0\t0\t0";
        assert_eq!(ipv4(&[half, reject]), None);
    }

    #[test]
    fn the_ipv6_default_route_is_found_behind_others_and_without_the_kernels_own_entry() {
        let zero = "00000000000000000000000000000000";
        let network =
            format!("20010db8000000000000000000000000 40 {zero} 00 {zero} 00000100 1 0 00000001 eth0");
        let wlan0 =
            format!("{zero} 00 {zero} 00 fe80000000000000000000000000ff01 00000258 1 0 00000003 wlan0");
        let eth0 = format!("{zero} 00 {zero} 00 fe80000000000000000000000000ff02 00000064 1 0 00000003 eth0");
        let none = format!("{zero} 00 {zero} 00 {zero} ffffffff 1 0 00200200 lo");
        let table = [network, none.clone(), wlan0, eth0].join("\n");
        assert_eq!(parse_ipv6(&table).as_deref(), Some("eth0"));
        assert_eq!(parse_ipv6(&none), None);
    }

    #[test]
    fn a_mangled_table_is_an_error_or_nothing_and_never_a_panic() {
        assert!(parse_ipv4(format!("{HEAD}eth0\tzero").as_bytes()).is_err());
        assert_eq!(parse_ipv4(b"").expect("an empty table"), None);
        assert_eq!(parse_ipv6("0 0 0\n\u{fffd}\n00 00 0 0 0 zz 0 0 1 eth0"), None);
    }

    #[test]
    fn a_root_without_tables_is_an_error() {
        let mut routes = Routes::new(Path::new("/nowhere"));
        assert_eq!(routes.default_interface().expect_err("absent").kind(), io::ErrorKind::NotFound);
    }
}
