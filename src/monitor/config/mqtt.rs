//! Checks the section `[mqtt]`.

use super::check::Check;
use super::used::{MqttConfig, MqttSecurity};
use super::written;
use crate::config::ConfigError;
use rustls::pki_types::ServerName;
use toml::Spanned;

/// In bytes; a topic may have 65,535.
const LONGEST_TOPIC: usize = 100;

impl Check<'_> {
    pub fn mqtt(&self, written: written::Mqtt) -> Result<Option<MqttConfig>, ConfigError> {
        let login = self.login(written.user, written.password_file)?;
        let topic = self.topic(written.topic, "heartbeat")?;
        let discovery = match written.discovery {
            Some(discovery) if discovery.get_ref().is_empty() => None,
            discovery => Some(self.topic(discovery, "homeassistant")?),
        };
        let ca_file = self.source.optional_path(written.ca_file)?;
        let Some(host) = written.host.filter(|host| !host.get_ref().is_empty()) else { return Ok(None) };
        if ServerName::try_from(host.get_ref().as_str()).is_err() {
            let problem =
                "must be the name of a host, such as \"broker.example.org\"; its port is a key of its own";
            return Err(self.source.fault(host.span(), problem));
        }
        let security = written.security.unwrap_or(MqttSecurity::Tls);
        let usual = match security {
            MqttSecurity::Tls => 8883,
            MqttSecurity::None => 1883,
        };
        Ok(Some(MqttConfig {
            host: host.into_inner(),
            port: written.port.map_or(usual, Spanned::into_inner),
            security,
            login,
            ca_file,
            topic,
            discovery,
        }))
    }

    /// The name of a topic, without wildcards.
    fn topic(&self, written: Option<Spanned<String>>, default: &str) -> Result<String, ConfigError> {
        let Some(written) = written else { return Ok(default.to_owned()) };
        let text = written.get_ref();
        let is_plain = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        if text.len() > LONGEST_TOPIC || !text.split('/').all(is_plain) {
            let problem = "expected the name of a topic, such as \"heartbeat\" or \"barn/heartbeat\": letters, digits, - _ . and /";
            return Err(self.source.fault(written.span(), problem));
        }
        Ok(written.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Source;
    use crate::monitor::config::{Config, MqttSecurity};

    fn config(text: &str) -> Result<Config, String> {
        let source = Source::new("c.toml", format!("[mqtt]\n{text}\n"));
        Config::from_source(&source, &|_| None).map_err(|error| error.to_string())
    }

    #[test]
    fn a_host_is_enough_and_tls_is_the_default() {
        assert_eq!(config("topic = \"x\"").expect("good").mqtt, None, "without a host nothing is published");
        let mqtt = config("host = \"broker.lan\"").expect("good").mqtt.expect("a broker");
        assert_eq!((mqtt.port, mqtt.security), (8883, MqttSecurity::Tls));
        assert_eq!((mqtt.topic.as_str(), mqtt.discovery.as_deref()), ("heartbeat", Some("homeassistant")));
        let plain = config("host = \"10.0.0.2\"\nsecurity = \"none\"\ndiscovery = \"\"\ntopic = \"a/b\"");
        let mqtt = plain.expect("good").mqtt.expect("a broker");
        assert_eq!((mqtt.port, mqtt.topic.as_str(), mqtt.discovery), (1883, "a/b", None));
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_line() {
        for (text, problem) in [
            ("host = \"mqtt://broker\"", "must be the name of a host"),
            ("host = \"b\"\ntopic = \"heart/#\"", "expected the name of a topic"),
            ("host = \"b\"\ntopic = \"/heart\"", "expected the name of a topic"),
            ("host = \"b\"\ntopic = \"$SYS\"", "expected the name of a topic"),
            ("host = \"b\"\ndiscovery = \"a b\"", "expected the name of a topic"),
            ("host = \"b\"\nuser = \"u\"", "needs password_file beside it"),
            ("host = \"b\"\nsecurity = \"starttls\"", "security"),
        ] {
            let error = config(text).expect_err(text);
            assert!(error.contains(problem) && error.starts_with("c.toml:"), "{error}");
        }
    }
}
