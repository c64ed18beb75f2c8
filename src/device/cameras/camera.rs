//! A camera as others see it, and what others tell of cameras.

use crate::clock::Moment;
pub use crate::device::config::CameraMethod as Method;
use crate::device::host::{Mac, address, hostname as host_name};
pub use crate::wire::CameraStatus as Status;
use std::net::IpAddr;
use std::time::Duration;

/// What is known of a camera.
#[derive(Debug, Clone, PartialEq)]
pub struct Camera {
    pub mac: Mac,
    pub hostname: Option<String>,
    /// Absent until somebody tells it: the configuration, DHCP, the kernel's neighbour table.
    pub ip: Option<IpAddr>,
    /// Unknown before the first check, and where it cannot be checked; outward it is said so too, since either other
    /// word would be a guess.
    pub status: Status,
    /// Whether it answered when it was checked last; absent before, and where that check failed for a reason of this
    /// machine's own.
    pub reachable: Option<bool>,
    /// Moved by a check that succeeded and by a DHCP event that says it is there; by nothing else.
    pub last_seen: Option<Moment>,
    /// When it took its status.
    pub since: Option<Moment>,
    /// From the first packet of the last check to the answer.
    pub latency: Option<Duration>,
    /// Percent of the last 24 hours in which it was connected. Time in which nobody looked is not counted.
    pub uptime_24h: Option<f64>,
    pub method: Method,
    pub port: u16,
    pub origin: Origin,
    /// Why it did not answer, or cannot be asked.
    pub problem: Option<String>,
}

/// Who told of a camera first; the configuration comes before others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Config,
    Api,
    Dhcp,
}

impl Origin {
    pub fn as_str(self) -> &'static str {
        match self {
            Origin::Config => "config",
            Origin::Api => "api",
            Origin::Dhcp => "dhcp",
        }
    }
}

/// A camera that somebody adds, or of which they know something new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCamera {
    pub mac: Mac,
    pub hostname: Option<String>,
    pub ip: Option<IpAddr>,
}

impl NewCamera {
    /// From texts of anybody; what is empty is absent.
    ///
    /// # Errors
    /// A sentence about the first one that is not what it should be.
    pub fn new(mac: &str, hostname: Option<&str>, ip: Option<&str>) -> Result<NewCamera, String> {
        Ok(NewCamera { mac: mac.parse()?, hostname: read_hostname(hostname)?, ip: read_ip(ip)? })
    }
}

/// What dnsmasq's `dhcp-script` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpEvent {
    pub action: DhcpAction,
    pub mac: Mac,
    pub ip: Option<IpAddr>,
    pub hostname: Option<String>,
}

impl DhcpEvent {
    /// As [`NewCamera::new`]; `action` is dnsmasq's word.
    ///
    /// # Errors
    /// A sentence about the first one that is not what it should be.
    pub fn new(
        action: &str,
        mac: &str,
        ip: Option<&str>,
        hostname: Option<&str>,
    ) -> Result<DhcpEvent, String> {
        let action = match action {
            "add" => DhcpAction::Add,
            "old" => DhcpAction::Old,
            "del" => DhcpAction::Del,
            _ => return Err("expected action \"add\", \"old\" or \"del\"".into()),
        };
        Ok(DhcpEvent { action, mac: mac.parse()?, ip: read_ip(ip)?, hostname: read_hostname(hostname)? })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DhcpAction {
    /// A new lease.
    Add,
    /// A lease that went on: also each one when dnsmasq starts.
    Old,
    /// A lease that ended.
    Del,
}

/// Placeholders for a client without a name: dnsmasq's, and PumaGuard's.
const NO_NAME: [&str; 3] = ["", "*", "unknown"];

fn read_hostname(text: Option<&str>) -> Result<Option<String>, String> {
    text.filter(|text| !NO_NAME.contains(text)).map(host_name).transpose()
}

fn read_ip(text: Option<&str>) -> Result<Option<IpAddr>, String> {
    text.filter(|text| !text.is_empty()).map(address).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: &str = "b8:27:eb:12:34:56";

    #[test]
    fn a_camera_needs_a_mac_and_may_have_a_name_and_an_address() {
        let bare = NewCamera::new(MAC, None, Some("")).expect("a MAC is enough");
        assert_eq!((bare.hostname, bare.ip), (None, None));
        let full = NewCamera::new(MAC, Some("gate-1.lan"), Some("fd00::5")).expect("a camera");
        assert_eq!(full.hostname.as_deref(), Some("gate-1.lan"));
        assert_eq!(full.ip, Some("fd00::5".parse().expect("an address")));
    }

    #[test]
    fn a_placeholder_is_not_a_name() {
        for placeholder in ["", "*", "unknown"] {
            let camera = NewCamera::new(MAC, Some(placeholder), None).expect("a camera");
            assert_eq!(camera.hostname, None, "{placeholder:?}");
            let event = DhcpEvent::new("add", MAC, None, Some(placeholder)).expect("an event");
            assert_eq!(event.hostname, None, "{placeholder:?}");
        }
    }

    #[test]
    fn hostile_texts_are_refused_with_a_sentence() {
        let long = "x".repeat(64);
        for (mac, hostname, ip) in [
            ("", None, None),
            (MAC, Some("<script>"), None),
            (MAC, Some("\u{1b}[2J"), None),
            (MAC, Some(long.as_str()), None),
            (MAC, Some("gate"), Some("192.168.1")),
            (MAC, Some("gate"), Some("fe80::1%eth0")),
        ] {
            let sentence = NewCamera::new(mac, hostname, ip).expect_err("refused");
            assert!(sentence.starts_with("expected "), "{sentence}");
        }
        DhcpEvent::new("tftp", MAC, None, None).expect_err("an action of dnsmasq's that is none of a lease");
    }
}
