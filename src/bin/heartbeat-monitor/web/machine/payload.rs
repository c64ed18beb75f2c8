//! What the latest heartbeat says: its uplinks, and the whole of it for reading.

use serde_json::Value;

/// Uplinks that are listed; a device has three or four.
const MOST_UPLINKS: usize = 16;

/// An uplink as it is listed.
pub struct UplinkLine {
    pub interface: String,
    pub health: String,
    pub is_active: bool,
    /// "5 s ago"
    pub proven: Option<String>,
}

/// The uplinks of a payload, best first; empty if the format or the daemon does not say.
pub fn uplinks(payload: &str) -> Vec<UplinkLine> {
    let Ok(payload) = serde_json::from_str::<Value>(payload) else { return Vec::new() };
    let connection = &payload["connection"];
    let active = connection["active"].as_str();
    let uplinks = connection["uplinks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let line = |uplink: &Value| {
        let interface = uplink["interface"].as_str()?.to_owned();
        let proven = uplink["proven_s"].as_u64().map(std::time::Duration::from_secs);
        Some(UplinkLine {
            is_active: active == Some(&interface),
            health: health(uplink["health"].as_str().unwrap_or_default()).to_owned(),
            proven: proven.map(|age| format!("{} ago", heartbeat_daemon::duration::in_words(age))),
            interface,
        })
    };
    uplinks.iter().take(MOST_UPLINKS).filter_map(line).collect()
}

/// The word of the wire format, explained.
fn health(word: &str) -> &str {
    match word {
        "absent" => "not there",
        "down" => "no cable or no network",
        "no_address" => "no address",
        "unverified" => "has an address; not tried yet",
        "valid" => "works",
        "suspect" => "its gateway does not respond",
        "dead" => "nothing gets through",
        "portal" => "a captive portal answers",
        other => other,
    }
}

/// Indented JSON; text that is not JSON stays as it is.
pub fn pretty(payload: &str) -> String {
    let parsed: Option<Value> = serde_json::from_str(payload).ok();
    parsed.and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or_else(|| payload.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use heartbeat_daemon::wire::SAMPLE;

    #[test]
    fn the_uplinks_of_the_sample_are_explained() {
        let shown: Vec<_> = uplinks(SAMPLE)
            .into_iter()
            .map(|uplink| (uplink.interface, uplink.health, uplink.is_active, uplink.proven))
            .collect();
        let line = |name: &str, health: &str, is_active, proven: Option<&str>| {
            (name.to_owned(), health.to_owned(), is_active, proven.map(str::to_owned))
        };
        assert_eq!(
            shown,
            [
                line("eth0", "no cable or no network", false, Some("90 min ago")),
                line("wlan1", "not there", false, None),
                line("wlan0", "works", true, Some("5 s ago")),
            ]
        );
    }

    #[test]
    fn a_payload_of_another_format_has_no_uplinks_and_is_shown_as_it_is() {
        for payload in ["", "[]", "{\"connection\": 7}", "{\"connection\": {\"uplinks\": [1, {}]}}"] {
            assert!(uplinks(payload).is_empty(), "{payload}");
        }
        assert_eq!(pretty("not JSON"), "not JSON");
        assert_eq!(pretty("{\"a\":1}"), "{\n  \"a\": 1\n}");
    }
}
