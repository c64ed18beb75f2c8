//! The sections as the threads use them: checked values, defaults filled in.

use crate::http::networks::IpNetwork;
use crate::monitor::store::DatabaseLocation;
use log::LevelFilter;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub http: HttpConfig,
    pub store: StoreConfig,
    pub detection: DetectionConfig,
    pub notify: NotifyConfig,
    /// `None`: mail cannot be sent, and email channels fail with that reason.
    pub smtp: Option<SmtpConfig>,
    pub retention: RetentionConfig,
    pub limits: LimitsConfig,
    /// Machines up to which `/metrics/machines` responds.
    pub metrics_machines: usize,
    pub web: WebConfig,
    /// Directory of the packages for devices.
    pub packages: Option<PathBuf>,
    /// `None`: nobody is pinged.
    pub watchdog: Option<WatchdogConfig>,
    /// `None`: nothing is published over MQTT.
    pub mqtt: Option<MqttConfig>,
    pub log: LevelFilter,
}

/// Where the monitor listens: `listen`, `socket` or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    pub listen: Option<SocketAddr>,
    /// Socket file for a reverse proxy on the same machine.
    pub socket: Option<PathBuf>,
    /// `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Proxies whose `X-Forwarded-For` is trusted and whose connections are not limited.
    /// Keys of TLS session tickets; `None`: in the state directory.
    pub ticket_keys_file: Option<PathBuf>,
    pub trusted_proxies: Vec<IpNetwork>,
}

impl HttpConfig {
    /// Whether a change from one to the other needs no new listener.
    pub fn same_place(&self, other: &HttpConfig) -> bool {
        let place = |http: &HttpConfig| {
            (http.listen, http.socket.clone(), http.ticket_keys_file.clone(), http.tls.is_some())
        };
        place(self) == place(other)
    }
}

/// PEM files; reloaded at SIGHUP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Directory of the database, its lock and the backups made before migrations.
    pub state_dir: PathBuf,
    pub database: DatabaseLocation,
}

/// When a machine counts as offline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DetectionConfig {
    pub check_interval: Duration,
    /// Threshold of machines without their own.
    pub offline_threshold: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyConfig {
    /// Allows URLs of channels with loopback and private addresses.
    pub allow_private_webhooks: bool,
    /// Base URL of the Bot API, without a trailing slash.
    pub telegram_api: String,
    /// PEM; trusted in addition to the public CAs.
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpConfig {
    pub host: String,
    pub port: u16,
    pub security: SmtpSecurity,
    pub login: Option<PasswordLogin>,
    /// `address` or `Name <address>`.
    pub from: String,
    /// With which the monitor introduces itself to the mail server; `None`: the address of its connection.
    pub helo: Option<String>,
    /// PEM; trusted instead of the public CAs.
    pub ca_file: Option<PathBuf>,
}

/// Encryption of the connection to the mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpSecurity {
    /// TLS from the first byte; port 465.
    Tls,
    /// STARTTLS, required; port 587.
    StartTls,
    /// Unencrypted, for a mail server on the same machine; port 25.
    None,
}

/// The broker to which the states of machines are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttConfig {
    pub host: String,
    pub port: u16,
    pub security: MqttSecurity,
    pub login: Option<PasswordLogin>,
    /// PEM; trusted in addition to the public CAs.
    pub ca_file: Option<PathBuf>,
    /// All topics are below it, except those of the discovery.
    pub topic: String,
    /// Home Assistant's prefix; `None`: no discovery.
    pub discovery: Option<String>,
}

/// Encryption of the connection to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MqttSecurity {
    /// TLS from the first byte; port 8883.
    Tls,
    /// Unencrypted, for a network of your own; port 1883.
    None,
}

/// User name and password for a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordLogin {
    pub user: String,
    pub password_file: PathBuf,
}

/// The pages for people.
#[derive(Debug, Clone, PartialEq)]
pub struct WebConfig {
    /// False: no page is served, only the read API.
    pub enabled: bool,
    /// `None`: messages carry no links, and cookies are not limited to HTTPS.
    pub public_url: Option<PublicUrl>,
    /// Certificate of the private CA behind `public_url`, for devices.
    pub ca_file: Option<PathBuf>,
    pub proxy_login: Option<ProxyLogin>,
}

impl WebConfig {
    /// Where links in messages lead: the address of the pages, with a slash at its end.
    pub fn site(&self) -> Option<String> {
        let public = self.public_url.as_ref().filter(|_| self.enabled)?;
        Some(format!("{}{}", public.origin, public.path))
    }
}

/// The address under which people reach the monitor. It alone decides about absolute links, the cookie's `Secure` and
/// `Path`, and the origin from which forms are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    /// `https://host:port`, as browsers write it in `Origin`.
    pub origin: String,
    /// Begins and ends with a slash.
    pub path: String,
}

impl PublicUrl {
    pub fn is_https(&self) -> bool {
        self.origin.starts_with("https:")
    }

    /// A link to a path below the root, to be sent to a person; without an address, that is to be filled in.
    pub fn link(public_url: Option<&PublicUrl>, path: &str) -> String {
        match public_url {
            Some(url) => format!("{}{}{path}", url.origin, url.path),
            None => format!("http://ADDRESS/{path}"),
        }
    }
}

/// Proxies that authenticate people and name them in a header.
#[derive(Debug, Clone, PartialEq)]
pub struct ProxyLogin {
    pub header: String,
    /// Compared with the other end of the connection, never with a forwarded address.
    pub proxies: Vec<IpNetwork>,
}

/// Who watches the monitor, and is pinged while it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchdogConfig {
    /// May contain a secret.
    pub url: String,
    pub interval: Duration,
    /// Sent as `Authorization: Bearer`; read at each ping.
    pub token_file: Option<PathBuf>,
    /// PEM; trusted in addition to the public CAs.
    pub ca_file: Option<PathBuf>,
}

/// How long records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionConfig {
    /// Events and ended outages.
    pub events: Duration,
    /// Delivered, expired and skipped notifications.
    pub deliveries: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsConfig {
    pub connections: usize,
    /// Per address that is not a trusted proxy.
    pub connections_per_address: usize,
    /// Complete requests waiting for a worker; further ones get 503.
    pub queue: usize,
    pub workers: usize,
}
