//! Settings that are valid and probably not meant: a sentence for each, for the log and for `check-config`.

use super::used::{Format, HeartbeatConfig, without_query};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use ureq::http::Uri;

/// The path at which heartbeat-monitor takes heartbeats of our own format.
const PATH: &str = "/api/v1/heartbeat";

/// Names that no public DNS server answers.
const PRIVATE_SUFFIXES: [&str; 6] = ["local", "localhost", "lan", "internal", "localdomain", "home.arpa"];

/// What is probably not meant in `[heartbeat]`; `has_token` if a token is sent in a header.
pub fn advice(config: &HeartbeatConfig, has_token: bool) -> Vec<String> {
    let url = config.url.as_ref().filter(|_| config.format == Format::Native);
    url.and_then(missing_path).into_iter().chain(readable_token(config, has_token)).collect()
}

/// A token that leaves the local network over plain HTTP.
pub fn readable_token(config: &HeartbeatConfig, has_token: bool) -> Option<String> {
    let url = config.url.as_ref()?;
    // The device key is as good as a secret at the Meeting API.
    let has_secret = has_token || config.device_key.is_some() || has_token_in_query(url);
    let host = url.host()?;
    (has_secret && url.scheme_str() == Some("http") && is_public(host)).then(|| {
        format!(
            "the token is sent over plain HTTP to {host}: anyone on the way can read it; use https:// ({})",
            without_query(&url.to_string()).replacen("http://", "https://", 1)
        )
    })
}

/// A URL that ends with the host: heartbeat-monitor answers 404 there, and another server may mean it.
pub fn missing_path(url: &Uri) -> Option<String> {
    if !matches!(url.path(), "" | "/") {
        return None;
    }
    let (scheme, authority) = (url.scheme_str()?, url.authority()?);
    Some(format!(
        "url has no path; a heartbeat-monitor there takes heartbeats at {scheme}://{authority}{PATH}"
    ))
}

/// `?token=...`, for clients that can only change a URL.
pub fn has_token_in_query(url: &Uri) -> bool {
    url.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("token=")))
}

/// Whether a connection to `host` may leave the local network.
fn is_public(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return match address.to_canonical() {
            IpAddr::V4(v4) => is_public_v4(v4),
            IpAddr::V6(v6) => is_public_v6(v6),
        };
    }
    let name = bare.trim_end_matches('.').to_ascii_lowercase();
    let is_below = |suffix: &&str| name.strip_suffix(*suffix).is_some_and(|rest| rest.ends_with('.'));
    name.contains('.') && !PRIVATE_SUFFIXES.iter().any(is_below)
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    // RFC 6598: providers' own networks, and the addresses of Tailscale, which encrypts.
    let [first, second, ..] = address.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    !(address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_unspecified()
        || is_shared)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    !(address.is_loopback()
        || address.is_unspecified()
        || address.is_unique_local()
        || address.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use crate::device::config::Config;

    fn said(text: &str, has_token: bool) -> Vec<String> {
        let source = Source::new("c.toml", format!("[heartbeat]\n{text}\n"));
        let config = Config::from_source(&source, &|_| None).expect("valid");
        advice(&config.heartbeat, has_token)
    }

    #[test]
    fn a_url_without_a_path_gets_the_monitors_proposed() {
        for url in ["https://m.example.org", "https://m.example.org/", "https://m.example.org?x=1"] {
            let said = said(&format!("url = {url:?}"), false);
            assert_eq!(said.len(), 1, "{url}");
            assert!(said[0].ends_with("at https://m.example.org/api/v1/heartbeat"), "{said:?}");
        }
        assert!(
            said("url = \"http://10.0.0.2:8080\"", true)[0]
                .ends_with("http://10.0.0.2:8080/api/v1/heartbeat")
        );
        assert_eq!(said("url = \"https://m.example.org/heartbeat.php\"", false), [""; 0]);
        let meeting = "url = \"https://m.example.org\"\nformat = \"meeting\"\ndevice_key = \"k\"";
        assert_eq!(said(meeting, true), [""; 0]);
    }

    #[test]
    fn a_token_over_plain_http_is_warned_of_where_it_leaves_the_local_network() {
        for (host, public) in [
            ("m.example.org", true),
            ("8.8.8.8", true),
            ("172.32.0.1", true),
            ("[2001:db8::1]", true),
            ("local.example.org", true),
            ("notlocal", false),
            ("server", false),
            ("localhost", false),
            ("barn.local", false),
            ("Barn.LAN.", false),
            ("nas.home.arpa", false),
            ("127.0.0.1", false),
            ("10.1.2.3", false),
            ("172.16.0.1", false),
            ("192.168.0.1", false),
            ("169.254.1.1", false),
            ("100.64.0.1", false),
            ("[::1]", false),
            ("[fd00::1]", false),
            ("[fe80::1]", false),
            ("[::ffff:192.168.0.1]", false),
        ] {
            assert_eq!(
                said(&format!("url = \"http://{host}/x\""), true).len(),
                usize::from(public),
                "{host}"
            );
            assert_eq!(said(&format!("url = \"https://{host}/x\""), true), [""; 0], "{host}");
            assert_eq!(said(&format!("url = \"http://{host}/x\""), false), [""; 0], "{host}");
        }
        let said = said("url = \"http://m.example.org/x?token=hunter2\"", false);
        assert!(said[0].ends_with("(https://m.example.org/x)"), "{said:?}");
    }
}
