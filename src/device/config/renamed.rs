//! Keys of the systems that this one replaces, and the keys that took their place.

/// Old name, new name, section. Names are compared in lower case and with `_` for `-`, as PumaGuard writes them.
const RENAMED: [(&str, &str, &str); 16] = [
    // PumaGuard
    ("camera_heartbeat_enabled", "enabled", "cameras"),
    ("camera_heartbeat_interval", "interval", "cameras"),
    ("camera_heartbeat_method", "method", "cameras"),
    ("camera_heartbeat_tcp_port", "tcp_port", "cameras"),
    ("camera_heartbeat_tcp_timeout", "tcp_timeout", "cameras"),
    ("camera_heartbeat_icmp_timeout", "icmp_timeout", "cameras"),
    ("mac_address", "mac", "[cameras.camera]"),
    ("ip_address", "address", "[cameras.camera]"),
    // RPI Streamer
    ("heartbeat_url", "url", "heartbeat"),
    ("heartbeat_interval", "interval", "heartbeat"),
    ("request_timeout", "timeout", "heartbeat"),
    ("pidfile", "pidfile", "daemon"),
    // The web manager with the Meeting API
    ("api_url", "url", "heartbeat"),
    ("meeting_api_url", "url", "heartbeat"),
    ("token_code", "token_file", "heartbeat"),
    ("device_key", "device_key", "heartbeat"),
];

/// The key that took the place of `key`, and its section; `None` if no other system has such a key.
pub fn new_name(key: &str) -> Option<String> {
    let name = key.to_ascii_lowercase().replace('-', "_");
    let (_, new, section) = RENAMED.iter().find(|(old, ..)| *old == name)?;
    Some(format!("`{new}` in [{section}]"))
}

#[cfg(test)]
mod tests {
    use crate::config::Source;
    use crate::device::config::Config;

    fn fault(text: &str) -> String {
        let source = Source::new("/etc/x.toml", text);
        Config::from_source(&source, &|_| None).expect_err("a fault").to_string()
    }

    #[test]
    fn a_key_of_another_system_is_answered_with_its_new_name() {
        for (text, new) in [
            ("camera-heartbeat-interval = 60\n", "`interval` in [cameras]"),
            ("[cameras]\ncamera_heartbeat_tcp_timeout = 3\n", "`tcp_timeout` in [cameras]"),
            ("[[cameras.camera]]\nmac_address = \"x\"\n", "`mac` in [[cameras.camera]]"),
            ("HEARTBEAT_INTERVAL = 5\n", "`interval` in [heartbeat]"),
            ("[heartbeat]\napi_url = \"x\"\n", "`url` in [heartbeat]"),
        ] {
            let sentence = fault(text);
            assert!(sentence.ends_with(&format!("; here it is {new}")), "{sentence}");
            assert!(sentence.starts_with("/etc/x.toml:"), "{sentence}");
        }
    }

    #[test]
    fn another_unknown_key_is_answered_as_before() {
        assert!(fault("[cameras]\nintervall = 60\n").ends_with("did you mean `interval`?"));
    }
}
