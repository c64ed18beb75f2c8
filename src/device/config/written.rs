//! The file as written: all keys are optional. Unknown keys are errors: `config::deserializer` refuses them.

use super::used::{CameraMethod, Format, Method, Mode};
use crate::config::{Level, Period};
use crate::wire::ActivityName;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use std::fmt;
use toml::Spanned;

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct File {
    pub heartbeat: Heartbeat,
    pub network: Network,
    pub cameras: Cameras,
    pub metrics: Metrics,
    pub activity: Activity,
    pub api: Api,
    pub daemon: Daemon,
    pub log: Log,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Heartbeat {
    pub url: Option<Spanned<Urls>>,
    pub interval: Option<Spanned<Period>>,
    pub timeout: Option<Spanned<Period>>,
    pub method: Option<Spanned<Method>>,
    pub format: Option<Format>,
    pub token_file: Option<Spanned<String>>,
    pub ca_file: Option<Spanned<String>>,
    pub client_certificate_file: Option<Spanned<String>>,
    pub client_key_file: Option<Spanned<String>>,
    pub device_key: Option<Spanned<String>>,
    pub note: Option<Spanned<String>>,
    pub server: Vec<Spanned<ServerEntry>>,
}

/// One server of several.
#[derive(Default, Deserialize)]
pub struct ServerEntry {
    pub url: Option<Spanned<String>>,
    pub token_file: Option<Spanned<String>>,
    pub ca_file: Option<Spanned<String>>,
}

/// One URL, or a list of them.
pub struct Urls(pub Vec<String>);

impl<'de> Deserialize<'de> for Urls {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Urls, D::Error> {
        from.deserialize_any(UrlsVisitor)
    }
}

struct UrlsVisitor;

impl<'de> Visitor<'de> for UrlsVisitor {
    type Value = Urls;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes")
    }

    fn visit_str<E: serde::de::Error>(self, url: &str) -> Result<Urls, E> {
        Ok(Urls(vec![url.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Urls, A::Error> {
        let mut urls = Vec::new();
        while let Some(url) = list.next_element::<String>()? {
            urls.push(url);
        }
        Ok(Urls(urls))
    }
}

#[derive(Default, Deserialize)]
pub struct Network {
    pub mode: Option<Mode>,
    pub interfaces: Option<Spanned<Vec<String>>>,
    pub connectivity_check: Option<Spanned<String>>,
    pub connectivity_timeout: Option<Spanned<Period>>,
    pub gateway_probe: Option<bool>,
    pub captive_portal_check: Option<Spanned<String>>,
    pub failback_hold: Option<Spanned<Period>>,
    pub ap_interfaces: Option<Spanned<Vec<String>>>,
    pub lock_file: Option<Spanned<String>>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Cameras {
    pub enabled: Option<bool>,
    #[serde(rename = "$flattened")]
    pub plan: Plan,
    pub hostname_patterns: Option<Spanned<Vec<String>>>,
    pub lease_file: Option<Spanned<String>>,
    pub camera: Vec<Spanned<Camera>>,
}

#[derive(Clone, Default, Deserialize)]
pub struct Camera {
    pub mac: Option<Spanned<String>>,
    pub address: Option<Spanned<String>>,
    pub hostname: Option<Spanned<String>>,
    #[serde(rename = "$flattened")]
    pub plan: Plan,
}

/// How cameras are checked: the keys of `[cameras]` for all of them, those of `[[cameras.camera]]` for one.
#[derive(Clone, Default, Deserialize)]
pub struct Plan {
    pub interval: Option<Spanned<Period>>,
    pub method: Option<CameraMethod>,
    pub tcp_port: Option<Spanned<u16>>,
    pub tcp_timeout: Option<Spanned<Period>>,
    pub icmp_timeout: Option<Spanned<Period>>,
    pub failures: Option<Spanned<u32>>,
}

#[derive(Default, Deserialize)]
pub struct Metrics {
    pub disk: Option<Spanned<String>>,
    pub app_version_file: Option<Spanned<String>>,
    pub modem: Option<bool>,
    pub gps: Option<bool>,
    pub gps_position: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Activity {
    pub streaming: Option<Spanned<Sign>>,
    pub tracking: Option<Spanned<Sign>>,
    pub recording: Option<Spanned<Sign>>,
    pub recording_dir: Option<Spanned<String>>,
    pub recording_path_file: Option<Spanned<String>>,
    pub expected: Vec<Spanned<ActivityName>>,
}

/// Exactly one of them.
#[derive(Default, Deserialize)]
pub struct Sign {
    pub pidfile: Option<String>,
    pub process: Option<String>,
    pub unit: Option<String>,
}

#[derive(Default, Deserialize)]
pub struct Api {
    pub enabled: Option<bool>,
    pub listen: Option<Spanned<String>>,
    pub socket: Option<Spanned<String>>,
    pub socket_mode: Option<Spanned<String>>,
    pub socket_group: Option<Spanned<String>>,
    pub token_file: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
pub struct Daemon {
    pub pidfile: Option<Spanned<String>>,
    pub state_dir: Option<Spanned<String>>,
    pub runtime_dir: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
pub struct Log {
    pub level: Option<Level>,
}

impl Cameras {
    /// The settings of `over` where it has them, otherwise those of `self`; the list of cameras is that of `self`.
    pub fn overlaid(self, over: Cameras) -> Cameras {
        Cameras { enabled: over.enabled.or(self.enabled), plan: self.plan.overlaid(over.plan), ..self }
    }
}

impl Plan {
    fn overlaid(self, over: Plan) -> Plan {
        Plan {
            interval: over.interval.or(self.interval),
            method: over.method.or(self.method),
            tcp_port: over.tcp_port.or(self.tcp_port),
            tcp_timeout: over.tcp_timeout.or(self.tcp_timeout),
            icmp_timeout: over.icmp_timeout.or(self.icmp_timeout),
            failures: over.failures.or(self.failures),
        }
    }
}
