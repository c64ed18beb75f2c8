//! Which interfaces are uplinks: the configured names, in their order.

use crate::device::config;

/// Place in the configured order; `None` is no uplink.
pub fn rank(config: &config::Network, name: &str) -> Option<usize> {
    if config.ap_interfaces.iter().any(|pattern| matches(pattern, name)) {
        return None;
    }
    config.interfaces.iter().position(|pattern| matches(pattern, name))
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
