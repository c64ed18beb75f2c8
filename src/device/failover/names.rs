//! Which interfaces are uplinks: the configured names, in their order.

use super::decision::UplinkState;
use crate::device::config;
use crate::wire::LinkState;

/// Place in the configured order; `None` is no uplink.
pub fn rank(config: &config::Network, name: &str) -> Option<usize> {
    if config.ap_interfaces.iter().any(|pattern| matches(pattern, name)) {
        return None;
    }
    config.interfaces.iter().position(|pattern| matches(pattern, name))
}

/// The uplinks in the configured order; an interface that has never been there is absent. `seen` are the others, in any
/// order.
pub fn configured(config: &config::Network, seen: &[UplinkState]) -> Vec<UplinkState> {
    let mut all = Vec::with_capacity(config.interfaces.len());
    for (place, pattern) in config.interfaces.iter().enumerate() {
        let before = all.len();
        all.extend(seen.iter().filter(|uplink| rank(config, &uplink.interface) == Some(place)).cloned());
        let is_name = !pattern.ends_with('*') && rank(config, pattern) == Some(place);
        if all.len() == before && is_name {
            all.push(UplinkState { interface: pattern.clone(), state: LinkState::Absent });
        }
    }
    all
}

/// Beginnings of names that an uplink may have and other things too: a USB or LTE stick, a LAN of cameras. They are
/// proposed and never used unasked.
const PATTERNS: [&str; 3] = ["enx*", "wwan*", "usb*"];

/// The text to add to `interfaces` so that failover uses an interface.
pub fn proposal(name: &str) -> String {
    match PATTERNS.into_iter().find(|pattern| matches(pattern, name)) {
        Some(pattern) => format!("\"{name}\" or the pattern \"{pattern}\""),
        None => format!("\"{name}\""),
    }
}

/// Whether a configured name, or beginning of names, means this interface.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_proposed_only_for_names_that_come_with_a_device() {
        for (name, expected) in [
            ("end0", "\"end0\""),
            ("wg0", "\"wg0\""),
            ("enx00e04c680001", "\"enx00e04c680001\" or the pattern \"enx*\""),
            ("wwan0", "\"wwan0\" or the pattern \"wwan*\""),
            ("usb1", "\"usb1\" or the pattern \"usb*\""),
        ] {
            assert_eq!(proposal(name), expected);
        }
    }

    #[test]
    fn all_configured_uplinks_are_listed_in_their_order_and_what_was_never_there_is_absent() {
        let text = "[network]\ninterfaces = [\"eth0\", \"enx*\", \"wlan1\", \"usb*\", \"ap0\", \"wlan0\", \"eth0\"]\n\
                    ap_interfaces = [\"ap0\"]";
        let source = crate::config::Source::new("c.toml", text);
        let network = config::Config::from_source(&source, &|_| None).expect("good").network;
        let uplink = |interface: &str, state| UplinkState { interface: interface.into(), state };
        let seen = ["wlan0", "enx1", "enx2", "eth0"].map(|name| uplink(name, LinkState::Valid));
        let absent = uplink("wlan1", LinkState::Absent);
        let [wlan0, enx1, enx2, eth0] = seen.clone();
        assert_eq!(configured(&network, &seen), [eth0, enx1, enx2, absent, wlan0]);
    }

    #[test]
    fn an_interface_is_ranked_by_its_name_or_the_beginning_of_it() {
        let text =
            "[network]\ninterfaces = [\"eth0\", \"enx*\", \"wlan0\"]\nap_interfaces = [\"wlan0\", \"ap*\"]";
        let source = crate::config::Source::new("c.toml", text);
        let network = config::Config::from_source(&source, &|_| None).expect("good").network;
        for (name, expected) in [
            ("eth0", Some(0)),
            ("enx0011", Some(1)),
            ("eth0.5", None),
            ("wlan0", None),
            ("ap0", None),
            ("lo", None),
        ] {
            assert_eq!(rank(&network, name), expected, "{name}");
        }
    }
}
