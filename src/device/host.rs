//! Parses the identifiers of a host on the LAN (MAC address, hostname, IP address) from untrusted text.

use crate::mac::Mac;
use std::net::IpAddr;

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

/// The MAC address of one device.
pub fn mac(text: &str) -> Result<Mac, String> {
    let mac = Mac::parse(text).filter(|mac| mac.is_of_one_device());
    mac.ok_or_else(|| "expected a MAC address of one device, such as \"b8:27:eb:12:34:56\"".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_read_in_any_case_with_colons_or_hyphens_and_written_in_one_way() {
        for text in ["B8:27:EB:12:34:5f", "b8:27:eb:12:34:5f", "b8-27-EB-12-34-5F"] {
            assert_eq!(mac(text).expect(text).to_string(), "b8:27:eb:12:34:5f");
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
            mac(text).expect_err(text);
        }
    }
}
