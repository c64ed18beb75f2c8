//! The monitor's two addresses, and whether a key may be sent there.

use crate::device::config::{server_url, without_query};
use std::net::IpAddr;
use ureq::http::Uri;

const HEARTBEAT: &str = "/api/v1/heartbeat";
const ENROLL: &str = "/api/v1/enroll";

/// Where a monitor that a person names may be said to be, beside its root.
const PATHS: [&str; 3] = [HEARTBEAT, ENROLL, "/heartbeat.php"];

/// The addresses of a heartbeat-monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorAddress {
    pub enroll: Uri,
    /// Where heartbeats go.
    pub heartbeat: String,
}

impl MonitorAddress {
    /// From the monitor's root (with the prefix of a proxy), or from one of its paths.
    ///
    /// # Errors
    /// It is no URL, or a key would travel in the open there.
    pub fn parse(url: &str) -> Result<MonitorAddress, String> {
        let url = without_query(url);
        let root = PATHS.iter().find_map(|path| url.strip_suffix(path)).unwrap_or(&url).trim_end_matches('/');
        let parse =
            |path: &str| server_url(&format!("{root}{path}")).map_err(|problem| format!("{url}: {problem}"));
        let enroll = parse(ENROLL)?;
        if !is_private(&enroll) {
            return Err(format!(
                "{url}: the key and the token would be sent over plain HTTP, where anyone on the way can read them; \
                 use https://"
            ));
        }
        Ok(MonitorAddress { enroll, heartbeat: parse(HEARTBEAT)?.to_string() })
    }
}

/// HTTPS, or this machine.
fn is_private(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    url.scheme_str() == Some("https") || is_loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_name_a_monitor_leads_to_its_two_paths() {
        for (url, root) in [
            ("https://m.example.org", "https://m.example.org"),
            ("https://m.example.org/", "https://m.example.org"),
            ("https://m.example.org/api/v1/heartbeat", "https://m.example.org"),
            ("https://m.example.org/api/v1/enroll", "https://m.example.org"),
            ("https://m.example.org/heartbeat.php?token=x", "https://m.example.org"),
            ("https://example.org/monitor/", "https://example.org/monitor"),
            ("https://example.org/monitor/api/v1/heartbeat", "https://example.org/monitor"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:8080/", "http://[::1]:8080"),
            ("http://localhost/", "http://localhost"),
        ] {
            let address = MonitorAddress::parse(url).expect(url);
            assert_eq!(address.enroll.to_string(), format!("{root}/api/v1/enroll"));
            assert_eq!(address.heartbeat, format!("{root}/api/v1/heartbeat"));
        }
    }

    #[test]
    fn no_url_and_plain_http_to_another_machine_are_refused() {
        for url in
            ["", "m.example.org", "ftp://m.example.org", "https://", "https://a:b@c", "https://a:99999"]
        {
            MonitorAddress::parse(url).expect_err(url);
        }
        for url in ["http://m.example.org", "http://192.168.1.5:8080", "http://localhost.example.org"] {
            let problem = MonitorAddress::parse(url).expect_err(url);
            assert!(problem.contains("use https://"), "{problem}");
        }
    }
}
