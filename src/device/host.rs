//! Parses the identifiers of a host on the LAN (MAC address, hostname, IP address) from untrusted text.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The longest label in DNS.
const HOSTNAME: usize = 63;

/// A hostname, free of characters that could control a terminal or a page.
pub fn hostname(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=HOSTNAME).contains(&text.len()) && text.chars().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(format!("expected a hostname of 1 to {HOSTNAME} letters, digits, '-', '_' and '.'"))
}

/// The unicast address of a host; not link-local, because that needs an interface.
pub fn address(text: &str) -> Result<IpAddr, String> {
    let problem = match text.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() || ip.is_multicast() || is_broadcast(ip) => {
            "expected the IP address of one device"
        }
        Ok(IpAddr::V6(ip)) if ip.is_unicast_link_local() => {
            "expected an address that is not link-local, which does not say on which link"
        }
        Ok(ip) => return Ok(ip),
        Err(_) => "expected an IP address, such as \"192.168.1.64\"",
    };
    Err(problem.to_owned())
}

fn is_broadcast(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.is_broadcast())
}

/// Six bytes. Written in lower case with colons; read in any case, with colons or hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

/// Error text for anything else.
const EXPECTED: &str = "expected a MAC address of one device, such as \"b8:27:eb:12:34:56\"";

impl FromStr for Mac {
    type Err = String;

    /// Refuses what no single device has: all zeros, and addresses of groups.
    fn from_str(text: &str) -> Result<Mac, String> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut bytes = [0; 6];
        let mut parts = text.split(separator);
        for byte in &mut bytes {
            let part = parts.next().ok_or(EXPECTED)?;
            // from_str_radix takes a sign.
            if part.len() != 2 || !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(EXPECTED.into());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| EXPECTED)?;
        }
        let of_a_group = bytes[0] & 1 == 1;
        if parts.next().is_some() || bytes == [0; 6] || of_a_group {
            return Err(EXPECTED.into());
        }
        Ok(Mac(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_read_in_any_case_with_colons_or_hyphens_and_written_in_one_way() {
        for text in ["B8:27:EB:12:34:5f", "b8:27:eb:12:34:5f", "b8-27-EB-12-34-5F"] {
            assert_eq!(text.parse::<Mac>().expect(text).to_string(), "b8:27:eb:12:34:5f");
        }
    }

    #[test]
    fn the_name_and_the_address_of_one_host_are_accepted() {
        assert_eq!(hostname("gate-1.lan").as_deref(), Ok("gate-1.lan"));
        for text in ["", "<script>", "\u{1b}[2J", "gate 1", "é", &"x".repeat(64)] {
            hostname(text).expect_err(text);
        }
        assert!(address("192.168.1.64").is_ok() && address("fd00::5").is_ok());
        for text in [
            "",
            "192.168.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "ff02::1",
            "fe80::1",
            "fd00::1%eth0",
        ] {
            address(text).expect_err(text);
        }
    }

    #[test]
    fn what_no_single_device_has_is_refused() {
        for text in [
            "",
            "b8:27:eb:12:34",
            "b8:27:eb:12:34:56:78",
            "b8:27:eb:12:34:5",
            "b8:27-eb:12:34:56",
            "b8:27:eb:12:34:+6",
            "b8:27:eb:12:34:é",
            "b827eb123456",
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:01",
        ] {
            text.parse::<Mac>().expect_err(text);
        }
    }
}
