//! The access point of a wireless interface, from the kernel's nl80211 over generic netlink.

use super::netlink::{Socket, attribute, attributes, push};
use netlink_packet_core::NLM_F_DUMP;
use netlink_sys::protocols::NETLINK_GENERIC;
use std::io;

/// `linux/genetlink.h`.
const GENL_ID_CTRL: u16 = 16;
const GENL_HEADER: usize = 4;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

/// `linux/nl80211.h`.
const NL80211_CMD_GET_INTERFACE: u8 = 5;
const NL80211_CMD_GET_STATION: u8 = 17;
const NL80211_CMD_GET_SCAN: u8 = 32;
const NL80211_ATTR_IFINDEX: u16 = 3;
const NL80211_ATTR_IFTYPE: u16 = 5;
const NL80211_ATTR_STA_INFO: u16 = 21;
const NL80211_ATTR_BSS: u16 = 47;
const NL80211_ATTR_SSID: u16 = 52;
const NL80211_BSS_INFORMATION_ELEMENTS: u16 = 6;
const NL80211_BSS_STATUS: u16 = 9;
const NL80211_BSS_STATUS_ASSOCIATED: u32 = 1;
const NL80211_STA_INFO_SIGNAL: u16 = 7;
/// Client of an access point.
const NL80211_IFTYPE_STATION: u32 = 2;

/// Dumps of the scan's results until one is consistent.
const SCAN_ATTEMPTS: usize = 3;

/// Connection of a wireless interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Association {
    /// Also set if the interface itself is an access point. Bytes that are not UTF-8 are replaced.
    pub ssid: Option<String>,
    /// The access point's signal as it arrives here, dBm; absent if the interface is not a client.
    pub signal_dbm: Option<i32>,
}

/// The kernel's nl80211, over a socket that stays open.
#[derive(Debug)]
pub struct Nl80211 {
    socket: Socket,
    family: u16,
}

impl Nl80211 {
    /// # Errors
    /// `NotFound`, with a sentence, where the kernel has no wireless support; otherwise what the kernel says.
    pub fn open() -> io::Result<Nl80211> {
        let mut socket = Socket::open(NETLINK_GENERIC)?;
        let body = request(CTRL_CMD_GETFAMILY, 1, CTRL_ATTR_FAMILY_NAME, b"nl80211\0");
        let mut family = None;
        let result =
            socket.request(GENL_ID_CTRL, 0, &body, |_, reply| family = family.or(parse_family(reply)));
        match (result, family) {
            (Ok(()), Some(family)) => Ok(Nl80211 { socket, family }),
            (Err(error), _) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "no nl80211 in this kernel")),
        }
    }

    /// Queries the interface with this index. It makes 5 system calls, and dumps the scan's results too if the driver leaves
    /// the association to the supplicant (mac80211; not the Raspberry Pi's own chip).
    ///
    /// # Errors
    /// `ENODEV` if it is not wireless. After any error this socket is to be dropped.
    pub fn association(&mut self, index: u32) -> io::Result<Association> {
        let mut interface = Interface::default();
        self.query(NL80211_CMD_GET_INTERFACE, 0, index, |reply| interface = parse_interface(reply))?;
        let mut association = Association { ssid: interface.ssid, signal_dbm: None };
        let mut associated = false;
        if interface.is_client {
            self.query(NL80211_CMD_GET_STATION, NLM_F_DUMP, index, |reply| {
                associated = true;
                association.signal_dbm = association.signal_dbm.or(parse_signal(reply));
            })?;
        }
        if associated && association.ssid.is_none() {
            association.ssid = self.scanned_ssid(index)?;
        }
        Ok(association)
    }

    /// SSID of the associated network by the last scan.
    fn scanned_ssid(&mut self, index: u32) -> io::Result<Option<String>> {
        let mut ssid = None;
        for _ in 0..SCAN_ATTEMPTS {
            let result = self.query(NL80211_CMD_GET_SCAN, NLM_F_DUMP, index, |reply| {
                ssid = ssid.take().or(parse_bss(reply))
            });
            match result {
                // A scan is going on: the list changed while it was read.
                Err(error) if error.kind() == io::ErrorKind::Interrupted && ssid.is_none() => {}
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => break,
            }
        }
        Ok(ssid)
    }

    fn query(&mut self, command: u8, flags: u16, index: u32, mut reply: impl FnMut(&[u8])) -> io::Result<()> {
        let body = request(command, 0, NL80211_ATTR_IFINDEX, &index.to_ne_bytes());
        self.socket.request(self.family, flags, &body, |_, body| reply(body))
    }
}

/// A generic netlink request with one attribute.
fn request(command: u8, version: u8, kind: u16, value: &[u8]) -> Vec<u8> {
    let mut body = vec![command, version, 0, 0];
    push(&mut body, kind, value);
    body
}

fn parse_family(reply: &[u8]) -> Option<u16> {
    let value = attribute(reply.get(GENL_HEADER..)?, CTRL_ATTR_FAMILY_ID)?;
    Some(u16::from_ne_bytes(value.try_into().ok()?))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Interface {
    ssid: Option<String>,
    is_client: bool,
}

fn parse_interface(reply: &[u8]) -> Interface {
    let mut interface = Interface::default();
    for (kind, value) in attributes(reply.get(GENL_HEADER..).unwrap_or_default()) {
        match kind {
            NL80211_ATTR_SSID => interface.ssid = ssid(value),
            NL80211_ATTR_IFTYPE => interface.is_client = value == NL80211_IFTYPE_STATION.to_ne_bytes(),
            _ => {}
        }
    }
    interface
}

/// 1 to 32 bytes; a hidden network sends zeros instead.
fn ssid(bytes: &[u8]) -> Option<String> {
    let sensible = (1..=32).contains(&bytes.len()) && bytes.iter().any(|&byte| byte != 0);
    sensible.then(|| String::from_utf8_lossy(bytes).into_owned())
}

/// SSID of a scan's result, if it is the associated network.
fn parse_bss(reply: &[u8]) -> Option<String> {
    let bss = attribute(reply.get(GENL_HEADER..)?, NL80211_ATTR_BSS)?;
    if attribute(bss, NL80211_BSS_STATUS)? != NL80211_BSS_STATUS_ASSOCIATED.to_ne_bytes() {
        return None;
    }
    // Elements of IEEE 802.11: number, length, value. The SSID has number 0.
    let mut elements = attribute(bss, NL80211_BSS_INFORMATION_ELEMENTS)?;
    while let [number, length, rest @ ..] = elements {
        let (value, next) = rest.split_at_checked(usize::from(*length))?;
        if *number == 0 {
            return ssid(value);
        }
        elements = next;
    }
    None
}

/// dBm below 0; drivers that measure otherwise do not fill this attribute.
fn parse_signal(reply: &[u8]) -> Option<i32> {
    let station = attribute(reply.get(GENL_HEADER..)?, NL80211_ATTR_STA_INFO)?;
    let &[signal] = attribute(station, NL80211_STA_INFO_SIGNAL)? else { return None };
    let dbm = i32::from(i8::from_ne_bytes([signal]));
    (dbm < 0).then_some(dbm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::os::netlink::nla;

    fn interface_reply(kind: u32, ssid: &[u8]) -> Vec<u8> {
        let mut reply = request(7, 1, NL80211_ATTR_IFINDEX, &3_u32.to_ne_bytes());
        reply.extend(nla(4, b"wlan0\0"));
        reply.extend(nla(NL80211_ATTR_IFTYPE, &kind.to_ne_bytes()));
        reply.extend(nla(NL80211_ATTR_SSID, ssid));
        reply
    }

    /// `NL80211_ATTR_STA_INFO` with the nested flag, as kernels since 5.3 set it.
    fn station_reply(signal: u8) -> Vec<u8> {
        let mut info = nla(1, &250_u32.to_ne_bytes());
        info.extend(nla(NL80211_STA_INFO_SIGNAL, &[signal]));
        let mut reply = request(19, 1, NL80211_ATTR_IFINDEX, &3_u32.to_ne_bytes());
        reply.extend(nla(NL80211_ATTR_STA_INFO | 0x8000, &info));
        reply
    }

    #[test]
    fn a_client_has_its_ssid_and_the_access_points_signal() {
        let interface = parse_interface(&interface_reply(2, b"barn"));
        assert_eq!(interface, Interface { ssid: Some("barn".into()), is_client: true });
        assert_eq!(parse_signal(&station_reply(0xcc)), Some(-52));
    }

    fn bss_reply(status: u32, elements: &[u8]) -> Vec<u8> {
        let mut bss = nla(NL80211_BSS_INFORMATION_ELEMENTS, elements);
        bss.extend(nla(NL80211_BSS_STATUS, &status.to_ne_bytes()));
        let mut reply = request(34, 1, NL80211_ATTR_IFINDEX, &3_u32.to_ne_bytes());
        reply.extend(nla(NL80211_ATTR_BSS | 0x8000, &bss));
        reply
    }

    #[test]
    fn the_scan_reports_the_ssid_of_the_associated_network_only() {
        let elements = b"\x01\x02\x82\x84\x00\x04barn\x03\x01\x06";
        assert_eq!(parse_bss(&bss_reply(1, elements)).as_deref(), Some("barn"));
        assert_eq!(parse_bss(&bss_reply(0, elements)), None);
        assert_eq!(parse_bss(&bss_reply(1, b"\x00\x04\0\0\0\0")), None, "a hidden network");
        assert_eq!(parse_bss(&bss_reply(1, b"\x00\xffbarn")), None, "a length that lies");
    }

    #[test]
    fn the_stations_of_an_access_point_are_not_its_signal() {
        assert!(!parse_interface(&interface_reply(3, b"barn")).is_client);
    }

    #[test]
    fn an_ssid_that_cannot_be_is_absent_and_odd_bytes_are_replaced() {
        assert_eq!(parse_interface(&interface_reply(2, b"")).ssid, None);
        assert_eq!(parse_interface(&interface_reply(2, &[b'a'; 33])).ssid, None);
        assert_eq!(parse_interface(&interface_reply(2, b"caf\xe9")).ssid.as_deref(), Some("caf\u{fffd}"));
    }

    #[test]
    fn a_signal_of_zero_or_more_is_no_measurement() {
        assert_eq!(parse_signal(&station_reply(0)), None);
        assert_eq!(parse_signal(&station_reply(60)), None);
    }

    #[test]
    fn a_cut_off_or_mangled_reply_never_panics() {
        let mut random = fastrand::Rng::with_seed(4711);
        let parse = |reply: &[u8]| _ = (parse_interface(reply), parse_signal(reply), parse_bss(reply));
        for whole in
            [interface_reply(2, b"barn"), station_reply(0xcc), bss_reply(1, b"\x01\x01\x82\x00\x04barn")]
        {
            (0..=whole.len()).for_each(|length| parse(&whole[..length]));
            for _ in 0..20_000 {
                let mut mangled = whole.clone();
                for _ in 0..random.usize(1..6) {
                    let place = random.usize(..mangled.len());
                    mangled[place] = random.u8(..);
                }
                parse(&mangled);
            }
        }
    }

    /// With wireless support it opens, without it the reason is a sentence: either way it does not hang.
    #[test]
    fn a_kernel_without_wireless_support_is_reported_in_a_sentence() {
        if let Err(error) = Nl80211::open() {
            assert_eq!(error.to_string(), "no nl80211 in this kernel");
        }
    }
}
