//! Which interfaces are uplinks: the configured names, in their order.

use crate::device::config;

/// Place in the configured order; `None` is no uplink.
pub fn rank(config: &config::Network, name: &str) -> Option<usize> {
    if config.ap_interfaces.iter().any(|pattern| matches(pattern, name)) {
        return None;
    }
    config.interfaces.iter().position(|pattern| matches(pattern, name))
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
