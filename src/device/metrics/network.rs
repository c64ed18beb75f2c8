//! How the device is connected: its uplinks, their states, addresses and bytes, and which one is in use.
//!
//! [`NetworkSource`] reads the machine; [`describe`] is the pure function from that to the heartbeat's `connection`.

use super::doctor::SourceReport;
use super::firmware::Firmware;
use super::reading::Reading;
use super::routes::Routes;
use super::source::{Absent, Place, Source, Turn};
use super::wifi::{Radio, Radios};
use crate::device::os::links::{Address, Link, Links};
use crate::wire::{self, LinkKind, LinkState};
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What one heartbeat has room for; a device with more has its uplinks among the first.
const INTERFACES: usize = 16;
const ADDRESSES: usize = 32;

/// Beginnings of the names that uplinks have, for virtual links: a container's `eth0` is a veth.
const UPLINK_NAMES: [&str; 6] = ["eth", "en", "wl", "ww", "usb", "ppp"];

/// A link that is reported.
#[derive(Debug, Clone)]
pub struct Interface {
    pub link: Link,
    pub kind: LinkKind,
    /// Of Wi-Fi with carrier.
    pub radio: Radio,
}

/// Reads the network of the machine under a root.
#[derive(Debug)]
pub struct NetworkSource {
    root: PathBuf,
    /// Absent under the root of a test: netlink would report this machine.
    links: Option<Links>,
    routes: Routes,
    radios: Radios,
    /// By index, with the name that it was found out for.
    kinds: HashMap<u32, (String, LinkKind)>,
}

impl NetworkSource {
    pub fn new(root: &Path) -> NetworkSource {
        NetworkSource {
            root: root.to_owned(),
            links: (root == Path::new("/")).then(Links::default),
            routes: Routes::new(root),
            radios: Radios::new(root),
            kinds: HashMap::new(),
        }
    }

    /// The connection as it is now, without modem and GPS. `reports` has the reasons for missing values.
    pub fn sample(&mut self, now: Instant) -> wire::Connection {
        let active = self.routes.default_interface().ok().flatten();
        let links = self.links().unwrap_or_default();
        let interfaces = self.interfaces(uplinks(links, active.as_deref()), now);
        describe(&interfaces, active)
    }

    /// The sources one by one, for `doctor`.
    pub fn reports(&mut self, now: Instant) -> Vec<SourceReport> {
        let tables = format!("{0}proc/net/route, {0}proc/net/ipv6_route", self.root.join("").display());
        let route = SourceReport::read("default_route", tables, || {
            let interface = self.routes.default_interface().map_err(|error| error.to_string())?;
            interface.ok_or_else(|| "no default route".into())
        });
        let network = SourceReport::read("network", "route netlink", || {
            let links = uplinks(self.links()?, route.value.as_deref().ok());
            let states = links.iter().map(|link| format!("{} {}", link.name, state(link).as_str()));
            Ok(states.collect::<Vec<_>>().join(", "))
        });
        let wifi = SourceReport::read("wifi", "nl80211, proc/net/wireless", || self.inspect_wifi(now));
        vec![route, network, wifi]
    }

    fn inspect_wifi(&mut self, now: Instant) -> Result<String, String> {
        let links = uplinks(self.links()?, None);
        let wireless = links.into_iter().find(|link| self.kind(link) == LinkKind::Wifi);
        let link = wireless.ok_or("no wireless interface")?;
        if state(&link) == LinkState::Down {
            return Err(format!("{} is not associated", link.name));
        }
        let radio = self.radios.radio(link.index, &link.name, now);
        let signal = radio.signal_dbm.map_or("signal unknown".into(), |dbm| format!("{dbm} dBm"));
        match (radio.ssid, self.radios.association(link.index, now)) {
            (Some(ssid), _) => Ok(format!("{} {ssid}, {signal}", link.name)),
            (None, Ok(_)) => Err(format!("{}: no SSID, {signal}", link.name)),
            (None, Err(reason)) => Err(format!("{}: {reason}, {signal}", link.name)),
        }
    }

    fn links(&mut self) -> Result<Vec<Link>, String> {
        let links = self.links.as_mut().ok_or("not read under another root")?;
        links.dump().map_err(|error| format!("route netlink: {error}"))
    }

    fn interfaces(&mut self, links: Vec<Link>, now: Instant) -> Vec<Interface> {
        self.kinds.retain(|index, _| links.iter().any(|link| link.index == *index));
        let interfaces: Vec<Interface> = links
            .into_iter()
            .map(|link| {
                let kind = self.kind(&link);
                let heard = kind == LinkKind::Wifi && link.carrier;
                let radio = match heard {
                    true => self.radios.radio(link.index, &link.name, now),
                    false => Radio::default(),
                };
                Interface { link, kind, radio }
            })
            .collect();
        let with_carrier = interfaces.iter().filter(|interface| interface.link.carrier);
        self.radios.keep(&with_carrier.map(|interface| interface.link.index).collect::<Vec<_>>());
        interfaces
    }

    /// Looked up in sysfs once, and after a renaming.
    fn kind(&mut self, link: &Link) -> LinkKind {
        match self.kinds.get(&link.index) {
            Some((name, kind)) if *name == link.name => *kind,
            _ => {
                let kind = find_kind(&self.root, link);
                self.kinds.insert(link.index, (link.name.clone(), kind));
                kind
            }
        }
    }
}

impl Source for NetworkSource {
    type Value = wire::Connection;

    fn name(&self) -> &'static str {
        "network"
    }

    fn place(&self, _firmware: &Firmware) -> Place {
        Place::words("route netlink")
    }

    fn read(&mut self, turn: &mut Turn<'_>) -> Result<Self::Value, Absent> {
        Ok(self.sample(turn.now))
    }

    /// Modem and GPS write into the same connection; they come after this one.
    fn put(&self, value: &Self::Value, reading: &mut Reading) {
        reading.connection.clone_from(value);
    }

    fn show(&self, value: &Self::Value) -> String {
        value.active.clone().unwrap_or_else(|| "no default route".to_owned())
    }

    fn inspect(&mut self, turn: &mut Turn<'_>) -> Vec<SourceReport> {
        self.reports(turn.now)
    }
}

/// The links that may lead out, the active one first, then by index; at most 16.
pub fn uplinks(links: Vec<Link>, active: Option<&str>) -> Vec<Link> {
    let is_active = |link: &Link| Some(link.name.as_str()) == active;
    let mut uplinks: Vec<Link> = links
        .into_iter()
        .filter(|link| link.name != "lo")
        .filter(|link| link.virtual_kind.is_none() || is_active(link) || named_as_uplink(&link.name))
        .collect();
    uplinks.sort_by_key(|link| !is_active(link));
    uplinks.truncate(INTERFACES);
    uplinks
}

/// `eth0.5`, a VLAN on top of one, is not an uplink's name.
fn named_as_uplink(name: &str) -> bool {
    UPLINK_NAMES.iter().any(|begin| name.starts_with(begin))
        && name.bytes().all(|c| c.is_ascii_alphanumeric())
}

/// What the kernel's device model says of the interface, and its name where it says nothing.
fn find_kind(root: &Path, link: &Link) -> LinkKind {
    let device = root.join("sys/class/net").join(&link.name);
    let uevent = std::fs::read_to_string(device.join("uevent")).unwrap_or_default();
    let devtype = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE="));
    let wireless = || ["wireless", "phy80211"].iter().any(|entry| device.join(entry).exists());
    let begins = |names: &[&str]| names.iter().any(|begin| link.name.starts_with(begin));
    match devtype {
        Some("wlan") => LinkKind::Wifi,
        Some("wwan") => LinkKind::Cellular,
        _ if wireless() => LinkKind::Wifi,
        // A modem's network card is not always marked; ppp on such a device is a modem's too.
        _ if begins(&["ww", "ppp"]) => LinkKind::Cellular,
        _ if begins(&["wl"]) => LinkKind::Wifi,
        _ if link.ethernet_frames && (link.virtual_kind.is_none() || named_as_uplink(&link.name)) => {
            LinkKind::Ethernet
        }
        _ => LinkKind::Other,
    }
}

/// The `connection` of a heartbeat. `active` is the interface of the default route; it is reported even if nothing else is
/// known about it.
pub fn describe(interfaces: &[Interface], active: Option<String>) -> wire::Connection {
    let ethernet = choose(interfaces, LinkKind::Ethernet, active.as_deref());
    let wifi = choose(interfaces, LinkKind::Wifi, active.as_deref());
    wire::Connection {
        ethernet: ethernet.map(|Interface { link, .. }| wire::Ethernet {
            interface: link.name.clone(),
            state: state(link),
        }),
        wifi: wifi.map(|Interface { link, radio, .. }| wire::Wifi {
            interface: link.name.clone(),
            state: state(link),
            ssid: radio.ssid.clone(),
            signal_dbm: radio.signal_dbm,
            signal_percent: radio.signal_percent,
        }),
        ip_addresses: interfaces.iter().flat_map(addresses).take(ADDRESSES).collect(),
        traffic: interfaces.iter().filter_map(traffic).collect(),
        active,
        ..wire::Connection::default()
    }
}

/// The reported one of several interfaces of a kind: the active one, else the one in the best state, else the first by name.
fn choose<'a>(interfaces: &'a [Interface], kind: LinkKind, active: Option<&str>) -> Option<&'a Interface> {
    let rank = |interface: &Interface| {
        let distance = match state(&interface.link) {
            state if state.is_connected() => 0,
            LinkState::NoAddress => 1,
            _ => 2,
        };
        (Some(interface.link.name.as_str()) != active, distance)
    };
    let candidates = interfaces.iter().filter(|interface| interface.kind == kind);
    candidates.min_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.link.name.cmp(&b.link.name)))
}

/// The state of a link, by its carrier and its addresses.
pub fn state(link: &Link) -> LinkState {
    match link {
        link if !link.carrier => LinkState::Down,
        link if link.addresses.iter().any(usable) => LinkState::Up,
        _ => LinkState::NoAddress,
    }
}

/// Whether the address is valid beyond its link: not link-local, not loopback, not tentative.
fn usable(address: &Address) -> bool {
    let local = match address.ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_loopback() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_loopback() || ip.is_unspecified(),
    };
    !local && !address.tentative
}

/// The interface's usable addresses, or all of them if none is usable. A link that is down has no addresses here: the kernel
/// keeps them, but they do not reach the device.
fn addresses(interface: &Interface) -> impl Iterator<Item = wire::Address> + '_ {
    let link = &interface.link;
    let state = state(link);
    let is_reported = move |address: &&Address| match state {
        LinkState::NoAddress => true,
        state => state.is_connected() && usable(address),
    };
    // An address with two prefixes is reported once.
    let first = |(place, address): &(usize, &Address)| {
        link.addresses[..*place].iter().all(|earlier| earlier.ip != address.ip)
    };
    let listed = link.addresses.iter().enumerate().filter(first).map(|(_, address)| address);
    listed.filter(is_reported).map(|address| wire::Address {
        interface: link.name.clone(),
        ip: address.ip,
        kind: interface.kind,
    })
}

fn traffic(interface: &Interface) -> Option<(String, wire::Traffic)> {
    let bytes = interface.link.bytes?;
    let traffic = wire::Traffic { rx_bytes: bytes.received, tx_bytes: bytes.sent };
    Some((interface.link.name.clone(), traffic))
}

#[cfg(test)]
mod tests;
