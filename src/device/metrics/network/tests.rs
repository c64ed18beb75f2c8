//! Tables of links and what is reported about them.

use super::*;
use crate::device::os::links::Bytes;

/// A link of hardware that is up, with these addresses.
fn link(index: u32, name: &str, addresses: &[&str]) -> Link {
    Link {
        index,
        name: name.into(),
        up: true,
        carrier: true,
        ethernet_frames: true,
        bytes: Some(Bytes { received: 1000, sent: 10 }),
        addresses: addresses.iter().map(|ip| address(ip)).collect(),
        ..Link::default()
    }
}

fn address(ip: &str) -> Address {
    let ip = ip.parse().expect("an address");
    Address { ip, prefix: 24, peer: ip, tentative: false }
}

fn without_carrier(link: Link) -> Link {
    Link { carrier: false, ..link }
}

fn virtual_link(kind: &str, link: Link) -> Link {
    Link { virtual_kind: Some(kind.into()), ..link }
}

fn interface(kind: LinkKind, link: Link) -> Interface {
    Interface { link, kind, radio: Radio::default() }
}

fn names(links: &[Link]) -> Vec<&str> {
    links.iter().map(|link| link.name.as_str()).collect()
}

#[test]
fn a_link_is_down_without_carrier_without_address_or_up() {
    use LinkState::{Down, NoAddress, Up};
    let tentative = Link {
        addresses: vec![Address { tentative: true, ..address("2001:db8::1") }],
        ..link(1, "eth0", &[])
    };
    for (link, expected) in [
        (without_carrier(link(1, "eth0", &["192.168.1.2"])), Down),
        (link(1, "eth0", &[]), NoAddress),
        (link(1, "eth0", &["169.254.3.4", "fe80::1"]), NoAddress),
        (tentative, NoAddress),
        (link(1, "eth0", &["fe80::1", "2001:db8::1"]), Up),
        (link(1, "eth0", &["10.0.0.1"]), Up),
    ] {
        assert_eq!(state(&link), expected, "{link:?}");
    }
}

#[test]
fn lo_and_what_containers_bring_are_left_out() {
    let all = vec![
        link(1, "lo", &["127.0.0.1"]),
        link(2, "eth0", &[]),
        virtual_link("bridge", link(3, "docker0", &["172.17.0.1"])),
        virtual_link("veth", link(4, "veth1a2b3c", &[])),
        link(5, "wlan0", &[]),
        virtual_link("wireguard", link(6, "wg0", &["10.9.0.1"])),
    ];
    assert_eq!(names(&uplinks(all, Some("eth0"))), ["eth0", "wlan0"]);
}

#[test]
fn a_virtual_link_counts_by_its_name_or_by_the_default_route() {
    let all = || {
        vec![
            virtual_link("veth", link(2, "eth0", &[])),
            virtual_link("bridge", link(3, "br0", &["10.0.0.1"])),
            virtual_link("wwan", link(4, "wwan0", &[])),
            virtual_link("vlan", link(5, "eth0.5", &[])),
        ]
    };
    assert_eq!(names(&uplinks(all(), None)), ["eth0", "wwan0"]);
    assert_eq!(names(&uplinks(all(), Some("br0"))), ["br0", "eth0", "wwan0"]);
}

#[test]
fn at_most_sixteen_links_are_reported_and_always_the_active_one() {
    let all = (1..100).map(|index| link(index, &format!("eth{index}"), &[])).collect();
    let reported = uplinks(all, Some("eth77"));
    assert_eq!((reported.len(), reported[0].name.as_str(), reported[1].name.as_str()), (16, "eth77", "eth1"));
}

#[test]
fn the_reported_ethernet_is_the_active_then_an_up_one_then_the_first_by_name() {
    let reported = |active: Option<&str>, links: Vec<Link>| {
        let interfaces: Vec<_> = links.into_iter().map(|link| interface(LinkKind::Ethernet, link)).collect();
        describe(&interfaces, active.map(String::from)).ethernet.expect("an Ethernet").interface
    };
    let up = |index, name| link(index, name, &["10.0.0.1"]);
    assert_eq!(reported(Some("eth1"), vec![up(1, "eth0"), without_carrier(link(2, "eth1", &[]))]), "eth1");
    assert_eq!(reported(Some("wlan0"), vec![link(1, "eth0", &[]), up(2, "eth1")]), "eth1");
    assert_eq!(reported(None, vec![without_carrier(link(1, "eth0", &[])), link(2, "eth1", &[])]), "eth1");
    assert_eq!(reported(None, vec![link(1, "eth1", &[]), link(2, "eth0", &[])]), "eth0");
}

#[test]
fn a_device_on_wifi_is_reported_as_in_the_wire_formats_sample() {
    let wlan0 = Interface {
        link: link(3, "wlan0", &["192.168.1.202", "fe80::ba27:ebff:fe00:1"]),
        kind: LinkKind::Wifi,
        radio: Radio { ssid: Some("barn".into()), signal_dbm: Some(-52), signal_percent: Some(80) },
    };
    let eth0 = interface(LinkKind::Ethernet, without_carrier(link(2, "eth0", &["192.168.1.9"])));
    let connection = describe(&[wlan0, eth0], Some("wlan0".into()));
    let expected = serde_json::json!({
        "active": "wlan0",
        "state": null,
        "ethernet": {"interface": "eth0", "state": "down"},
        "wifi": {"interface": "wlan0", "state": "up", "ssid": "barn", "signal_dbm": -52, "signal_percent": 80},
        "4g": null,
        "gps": null,
        "ip_addresses": [{"interface": "wlan0", "ip": "192.168.1.202", "type": "wifi"}],
        "traffic": {
            "eth0": {"rx_bytes": 1000, "tx_bytes": 10},
            "wlan0": {"rx_bytes": 1000, "tx_bytes": 10},
        },
    });
    assert_eq!(serde_json::to_value(connection).expect("serializable"), expected);
}

#[test]
fn a_link_local_address_is_reported_only_without_a_better_one() {
    let eth0 = interface(LinkKind::Ethernet, link(2, "eth0", &["169.254.7.7"]));
    let usb0 = interface(LinkKind::Ethernet, link(3, "usb0", &["fe80::2", "10.0.0.3"]));
    let reported = describe(&[eth0, usb0], None).ip_addresses;
    let reported: Vec<_> = reported.iter().map(|address| address.ip.to_string()).collect();
    assert_eq!(reported, ["169.254.7.7", "10.0.0.3"]);
}

#[test]
fn at_most_thirty_two_addresses_are_reported() {
    let many: Vec<String> = (1..100).map(|host| format!("10.0.0.{host}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let reported = describe(&[interface(LinkKind::Ethernet, link(2, "eth0", &many))], None);
    assert_eq!(reported.ip_addresses.len(), 32);
}

#[test]
fn without_links_the_default_route_is_still_reported() {
    let connection = describe(&[], Some("eth0".into()));
    assert_eq!(connection, wire::Connection { active: Some("eth0".into()), ..Default::default() });
}

#[test]
fn byte_counts_that_the_kernel_omits_are_absent() {
    let eth0 = Link { bytes: None, ..link(2, "eth0", &[]) };
    assert!(describe(&[interface(LinkKind::Ethernet, eth0)], None).traffic.is_empty());
}

#[test]
fn the_kind_comes_from_sysfs_and_else_from_the_name() {
    let root = std::env::temp_dir().join(format!("heartbeat-kinds-{}", std::process::id()));
    let file = |path: &str, text: &str| {
        let path = root.join("sys/class/net").join(path);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("created");
        std::fs::write(path, text).expect("written");
    };
    file("uplink0/uevent", "DEVTYPE=wlan\nINTERFACE=uplink0\nIFINDEX=3\n");
    file("rename3/wireless/status", "0\n");
    file("cdc0/uevent", "DEVTYPE=wwan\nINTERFACE=cdc0\n");
    file("eth0/uevent", "INTERFACE=eth0\n");
    let raw = |link: Link| Link { ethernet_frames: false, ..link };
    for (link, expected) in [
        (link(1, "uplink0", &[]), LinkKind::Wifi),
        (link(2, "rename3", &[]), LinkKind::Wifi),
        (raw(link(3, "cdc0", &[])), LinkKind::Cellular),
        (link(4, "eth0", &[]), LinkKind::Ethernet),
        (link(5, "wlan9", &[]), LinkKind::Wifi),
        (raw(link(6, "ppp0", &[])), LinkKind::Cellular),
        (virtual_link("veth", link(7, "end0", &[])), LinkKind::Ethernet),
        (virtual_link("bridge", link(8, "br0", &[])), LinkKind::Other),
        (raw(virtual_link("tun", link(9, "tun0", &[]))), LinkKind::Other),
    ] {
        assert_eq!(find_kind(&root, &link), expected, "{}", link.name);
    }
    std::fs::remove_dir_all(&root).expect("removed");
}

#[test]
fn under_another_root_no_links_of_this_machine_are_reported() {
    let mut network = NetworkSource::new(Path::new("/nowhere"));
    assert_eq!(network.sample(Instant::now()), wire::Connection::default());
    let links = network.reports(Instant::now()).swap_remove(1);
    assert_eq!(links.value, Err("not read under another root".into()));
}

#[test]
fn this_machine_is_described_repeatedly() {
    let mut network = NetworkSource::new(Path::new("/"));
    for _ in 0..3 {
        let connection = network.sample(Instant::now());
        assert!(connection.ip_addresses.iter().all(|address| address.interface != "lo"));
    }
    let sources = network.reports(Instant::now());
    assert_eq!(
        sources.iter().map(|source| source.name).collect::<Vec<_>>(),
        ["default_route", "network", "wifi"]
    );
}
