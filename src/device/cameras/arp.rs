//! The kernel's table of IPv4 neighbours: which MAC address belongs to which address on this device's own networks.

use crate::device::host;
use crate::mac::Mac;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// The kernel keeps 1,024 entries at most by default, 80 bytes each.
const LIMIT: u64 = 1024 * 1024;

/// `ATF_COM` of linux/if_arp.h: the neighbour has answered.
const COMPLETE: u32 = 2;

/// The table at one moment; empty where it cannot be read.
#[derive(Debug, Default)]
pub struct Neighbours(Vec<(Ipv4Addr, Mac)>);

impl Neighbours {
    pub fn read(root: &Path) -> Neighbours {
        let mut text = String::new();
        let read =
            File::open(root.join("proc/net/arp")).and_then(|file| file.take(LIMIT).read_to_string(&mut text));
        match read {
            Ok(_) => parse(&text),
            Err(_) => Neighbours::default(),
        }
    }

    pub fn mac_of(&self, ip: IpAddr) -> Option<Mac> {
        self.0.iter().find(|(known, _)| IpAddr::V4(*known) == ip).map(|(_, mac)| *mac)
    }

    pub fn address_of(&self, mac: Mac) -> Option<IpAddr> {
        self.0.iter().find(|(_, known)| *known == mac).map(|(ip, _)| IpAddr::V4(*ip))
    }
}

/// Columns: address, hardware type, flags, hardware address, mask, device.
fn parse(text: &str) -> Neighbours {
    let entry = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let ip = fields.next()?.parse().ok()?;
        let flags = u32::from_str_radix(fields.nth(1)?.strip_prefix("0x")?, 16).ok()?;
        let mac = host::mac(fields.next()?).ok()?;
        (flags & COMPLETE != 0).then_some((ip, mac))
    };
    Neighbours(text.lines().skip(1).filter_map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
        IP address       HW type     Flags       HW address            Mask     Device\n\
        192.168.1.64     0x1         0x2         b8:27:eb:12:34:56     *        eth0\n\
        192.168.1.65     0x1         0x0         00:00:00:00:00:00     *        eth0\n\
        192.168.1.66     0x1         0x0         b8:27:eb:12:34:57     *        eth0\n\
        192.168.1.67     0x1         0x6         b8:27:eb:12:34:58     *        wlan0\n";

    #[test]
    fn neighbours_that_have_answered_are_found_both_ways() {
        let table = parse(TABLE);
        let ip = |last| IpAddr::from([192, 168, 1, last]);
        let mac = Mac::parse("b8:27:eb:12:34:56").expect("a MAC");
        assert_eq!((table.mac_of(ip(64)), table.address_of(mac)), (Some(mac), Some(ip(64))));
        assert!(table.mac_of(ip(67)).is_some());
        assert_eq!((table.mac_of(ip(65)), table.mac_of(ip(66))), (None, None));
    }

    #[test]
    fn a_missing_or_malformed_table_gives_no_neighbours() {
        assert!(Neighbours::read(Path::new("/nowhere")).0.is_empty());
        assert!(parse("\n1.2.3.4\n1.2.3.4 0x1 2 x\n\u{fffd}").0.is_empty());
    }
}
