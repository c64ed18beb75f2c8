//! The monitor's configuration as the threads use it: every value checked.

use crate::config::written::Word;
use crate::http::networks::IpNetwork;
use log::LevelFilter;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The configuration as the threads use it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub http: Http,
    pub store: Store,
    pub detection: Detection,
    pub notify: Notify,
    /// Absent: no mail can be sent, and a channel of this kind says so.
    pub smtp: Option<Smtp>,
    pub retention: Retention,
    pub limits: Limits,
    pub log: LevelFilter,
}

/// Where the monitor listens; at least one of the two is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    pub listen: Option<SocketAddr>,
    /// A socket file, for a reverse proxy on the same machine.
    pub socket: Option<PathBuf>,
    /// Absent: plain HTTP.
    pub tls: Option<Tls>,
    /// Whose `X-Forwarded-For` is believed, and who may open any number of connections.
    pub trusted_proxies: Vec<IpNetwork>,
}

impl Http {
    /// Whether a listener for the one is a listener for the other.
    pub fn same_place(&self, other: &Http) -> bool {
        (self.listen, &self.socket, self.tls.is_some()) == (other.listen, &other.socket, other.tls.is_some())
    }
}

/// PEM files, read again at SIGHUP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Holds the database, its lock and the backups before migrations.
    pub state_dir: PathBuf,
    pub database: PathBuf,
}

/// When a machine counts as offline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detection {
    pub check_interval: Duration,
    /// For machines without one of their own.
    pub offline_threshold: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// Webhooks and ntfy may go to loopback and private addresses.
    pub allow_private_webhooks: bool,
    /// The Bot API, without a slash at the end.
    pub telegram_api: String,
    /// PEM: trusted in addition to the public authorities.
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    pub host: String,
    pub port: u16,
    pub security: Security,
    pub login: Option<Login>,
    /// `address` or `Name <address>`.
    pub from: String,
    /// PEM: trusted instead of the public authorities.
    pub ca_file: Option<PathBuf>,
}

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte; port 465.
    Tls,
    /// TLS after the greeting, refused without; port 587.
    StartTls,
    /// In the clear: for a mail server on the same machine.
    None,
}

impl Word for Security {
    const WORDS: &'static [(&'static str, Security)] =
        &[("tls", Security::Tls), ("starttls", Security::StartTls), ("none", Security::None)];
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub password_file: PathBuf,
}

/// How long what has happened is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Events and ended outages.
    pub events: Duration,
    /// Delivered, expired and skipped notifications.
    pub deliveries: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub connections: usize,
    /// Of one address that is no trusted proxy.
    pub connections_per_address: usize,
    /// Complete requests that wait for a worker; beyond them 503 is answered.
    pub queue: usize,
    pub workers: usize,
}
