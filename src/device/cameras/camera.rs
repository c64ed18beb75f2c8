//! The public view of a camera, and the messages about cameras from the API and DHCP.

use crate::clock::Moment;
pub use crate::device::config::CameraMethod as Method;
use crate::device::host::{address, hostname as host_name, mac as host_mac};
use crate::mac::Mac;
pub use crate::wire::CameraStatus as Status;
use std::net::IpAddr;
use std::time::Duration;

/// The public view of a camera.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraInfo {
    pub mac: Mac,
    pub hostname: Option<String>,
    /// From the configuration, the API, DHCP, or the kernel's neighbour table.
    pub ip: Option<IpAddr>,
    /// Unknown before the first check, and while it cannot be checked.
    pub status: Status,
    /// It answered the last check; `None` before the first, and if that check failed because of this machine.
    pub reachable: Option<bool>,
    /// Consecutive failed checks; `None` before the first check of this run.
    pub failed_checks: Option<u32>,
    /// Time of the last successful check or DHCP event `add` or `old`.
    pub last_seen: Option<Moment>,
    /// When the status last changed.
    pub since: Option<Moment>,
    /// From the first packet of the last check to the response.
    pub latency: Option<Duration>,
    /// Percent of the last 24 hours during which it was connected; time without checks is not counted.
    pub uptime_24h: Option<f64>,
    pub method: Method,
    pub port: u16,
    pub origin: CameraOrigin,
    /// Why the last check failed.
    pub problem: Option<String>,
}

/// The source that added a camera; the configuration wins over the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CameraOrigin {
    Config,
    Api,
    Dhcp,
}

impl CameraOrigin {
    pub fn as_str(self) -> &'static str {
        match self {
            CameraOrigin::Config => "config",
            CameraOrigin::Api => "api",
            CameraOrigin::Dhcp => "dhcp",
        }
    }
}

/// A camera to add, or new facts about a known one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCamera {
    pub mac: Mac,
    pub hostname: Option<String>,
    pub ip: Option<IpAddr>,
}

impl NewCamera {
    /// From untrusted text; an empty text is absent.
    pub fn new(mac: &str, hostname: Option<&str>, ip: Option<&str>) -> Result<NewCamera, String> {
        Ok(NewCamera { mac: host_mac(mac)?, hostname: read_hostname(hostname)?, ip: read_ip(ip)? })
    }
}

/// An event of dnsmasq's `dhcp-script`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpEvent {
    pub action: DhcpAction,
    pub mac: Mac,
    pub ip: Option<IpAddr>,
    pub hostname: Option<String>,
}

impl DhcpEvent {
    /// As [`NewCamera::new`]; `action` is dnsmasq's word.
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
        Ok(DhcpEvent { action, mac: host_mac(mac)?, ip: read_ip(ip)?, hostname: read_hostname(hostname)? })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DhcpAction {
    /// A new lease.
    Add,
    /// A renewed lease; dnsmasq also reports every lease like this when it starts.
    Old,
    /// A lease that ended.
    Del,
}

/// Placeholders of dnsmasq and PumaGuard for a client without a name.
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
        DhcpEvent::new("tftp", MAC, None, None).expect_err("an action of dnsmasq that is not about a lease");
    }
}
