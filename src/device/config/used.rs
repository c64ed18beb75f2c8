//! The daemon's configuration as the threads use it: every value checked.

use crate::device::enrolment::stored::StoredEnrolment;
use crate::mac::Mac;
use crate::wire::ActivityName;
use log::LevelFilter;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::Uri;

/// The configuration as the threads use it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub heartbeat: HeartbeatConfig,
    pub network: Network,
    pub cameras: Cameras,
    pub metrics: Metrics,
    pub activity: Activity,
    pub api: Api,
    pub daemon: Daemon,
    pub log: LevelFilter,
}

/// Where, how often and in which form heartbeats are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct HeartbeatConfig {
    /// Of the first server. Absent: the daemon does its local work and sends nothing.
    pub url: Option<Uri>,
    pub interval: Duration,
    /// For everything together: resolve, connect, TLS, send, answer.
    pub timeout: Duration,
    pub method: Method,
    pub format: Format,
    /// For the first server.
    pub token_file: Option<PathBuf>,
    /// Replaces the built-in roots, for the first server.
    pub ca_file: Option<PathBuf>,
    /// The servers that are used while the first one does not answer, in order of preference.
    pub backups: Vec<BackupServer>,
    /// All servers are addresses of one monitor (`url` is a list): none of them is told that it is a backup.
    pub is_one_monitor: bool,
    pub client_certificate: Option<ClientCertificate>,
    /// `meeting` only: the device's name at the Meeting API. As good as a secret there.
    pub device_key: Option<String>,
    /// `meeting` only.
    pub note: Option<String>,
    /// From the state directory: `enrolment::apply` reads it.
    pub enrolment: StoredEnrolment,
}

/// A server that is used while the ones before it do not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupServer {
    pub url: Uri,
    pub token_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Post,
    /// The legacy form: `?params=<url-encoded JSON>`.
    Get,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// [`crate::wire::Heartbeat`].
    Native,
    /// RPI Streamer's strings: "48.8°C", "1.90 W".
    Streamer,
    /// The Meeting API: `POST {url}/api/devices/{device_key}/online`.
    Meeting,
}

/// Which uplinks there are, and how they are looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub mode: Mode,
    /// The best first; names, or beginnings of names that end with `*`.
    pub interfaces: Vec<String>,
    /// Probed where the server cannot be.
    pub connectivity_check: Option<SocketAddr>,
    pub connectivity_timeout: Duration,
    pub gateway_probe: bool,
    /// `http://`; absent: captive portals are not looked for.
    pub captive_portal_check: Option<Uri>,
    pub failback_hold: Duration,
    /// Never uplinks.
    pub ap_interfaces: Vec<String>,
    /// While another process holds a lock (flock) on it, nothing is switched.
    pub lock_file: PathBuf,
}

/// What failover may do to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// `routes` where it is allowed, else `observe`.
    Auto,
    /// Nothing: only the heartbeat itself takes the best uplink.
    Observe,
    /// A default route of our own while the kernel would send elsewhere.
    Routes,
    /// As `observe`, and NetworkManager is requested to connect uplinks that are down.
    NetworkManager,
    /// No failover at all.
    Off,
}

/// Cameras in all. Most LANs have 254 addresses.
pub const MOST_CAMERAS: usize = 4096;

/// Which cameras are watched, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cameras {
    /// False: the daemon checks no camera; statuses that the API receives still count.
    pub enabled: bool,
    /// How a camera is checked of which the configuration says nothing.
    pub plan: Arc<CameraPlan>,
    /// Which DHCP clients are cameras: `*` stands for any text, and case does not matter.
    pub hostname_patterns: Vec<String>,
    /// dnsmasq's.
    pub lease_file: Option<PathBuf>,
    pub cameras: Vec<ConfiguredCamera>,
}

/// A camera of the configuration. One of `mac` and `address` is there, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredCamera {
    pub mac: Option<Mac>,
    pub address: Option<IpAddr>,
    pub hostname: Option<String>,
    /// Shared by all that have the same: there may be thousands.
    pub plan: Arc<CameraPlan>,
}

/// How and how often a camera is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CameraPlan {
    pub interval: Duration,
    pub method: CameraMethod,
    /// Of every method but `icmp`.
    pub port: u16,
    /// From the first packet to the end of the answer.
    pub tcp_timeout: Duration,
    pub icmp_timeout: Duration,
    /// Checks that fail in a row before a camera is disconnected.
    pub failures: u32,
}

/// What a camera has to do to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CameraMethod {
    /// Answer a ping.
    Icmp,
    /// Accept a connection.
    Tcp,
    /// Answer a ping or, if it does not, accept a connection.
    Both,
    /// Answer a request, with any status.
    Http,
    /// Answer a greeting of TLS.
    Https,
    /// Answer a request, with any status.
    Rtsp,
}

impl CameraMethod {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            CameraMethod::Icmp => "icmp",
            CameraMethod::Tcp => "tcp",
            CameraMethod::Both => "both",
            CameraMethod::Http => "http",
            CameraMethod::Https => "https",
            CameraMethod::Rtsp => "rtsp",
        }
    }
}

/// What the metrics thread reads beyond what every Linux has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// The mount point whose fill is reported.
    pub disk: PathBuf,
    /// First line: the version of the application that the device exists for.
    pub app_version_file: Option<PathBuf>,
    /// Ask ModemManager (`mmcli`) for 4G.
    pub modem: bool,
    /// Ask gpsd on this machine for the fix.
    pub gps: bool,
    /// Send the position too, not only whether there is a fix.
    pub gps_position: bool,
}

/// How the device's activities are recognised; absent means unknown, and is sent as `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    pub streaming: Option<Sign>,
    pub tracking: Option<Sign>,
    pub recording: Option<Sign>,
    /// The newest file in it is the recording.
    pub recording_dir: Option<PathBuf>,
    /// A file whose first line is the path of the recording, as RPI Streamer writes it.
    pub recording_path_file: Option<PathBuf>,
    /// Activities that should always go on; each has its sign above.
    pub expected: Vec<ActivityName>,
}

/// What shows that an activity is going on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// A pid file whose process is alive.
    Pidfile(PathBuf),
    /// A process of this name (`/proc/PID/comm`, at most 15 bytes).
    Process(String),
    /// An active systemd unit of the system manager.
    Unit(String),
}

/// Where the local HTTP API listens, and who may change something through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// `Nowhere` also if `enabled` is false.
    pub listen: Listen,
    /// Always there, for the command line.
    pub socket: PathBuf,
    /// Who may connect to the socket file: at most `0o777`.
    pub socket_mode: u32,
    /// The socket file's group; absent: the daemon's own.
    pub socket_group: Option<String>,
    /// What a changing request from another machine must show.
    pub token_file: Option<PathBuf>,
}

/// Where the API listens over TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// Through the socket file only.
    Nowhere,
    /// On port 5000 of loopback, unless another program needs it: see [`crate::device::port`].
    Auto,
    At(SocketAddr),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    pub pidfile: PathBuf,
    /// Survives a reboot: the chosen hardware id.
    pub state_dir: PathBuf,
    /// On tmpfs: the latest snapshot.
    pub runtime_dir: PathBuf,
}

/// Servers at most: a fifth one would be tried 8 s after the first did not answer.
pub const MOST_SERVERS: usize = 4;

impl HeartbeatConfig {
    /// The configuration of each server alone, in order of preference; empty without any. The enrolment counts only for the
    /// server that granted it, or for all addresses of one monitor.
    pub fn servers(&self) -> Vec<HeartbeatConfig> {
        let Some(url) = &self.url else { return Vec::new() };
        let first = BackupServer {
            url: url.clone(),
            token_file: self.token_file.clone(),
            ca_file: self.ca_file.clone(),
        };
        std::iter::once(&first).chain(&self.backups).map(|server| self.only(server)).collect()
    }

    fn only(&self, server: &BackupServer) -> HeartbeatConfig {
        let BackupServer { url, token_file, ca_file } = server.clone();
        let granted = self.enrolment.record().and_then(|record| record.url.parse::<Uri>().ok());
        let is_enrolled = self.is_one_monitor || granted.is_none_or(|granted| is_same_server(&granted, &url));
        HeartbeatConfig {
            url: Some(url),
            token_file,
            ca_file,
            backups: Vec::new(),
            enrolment: if is_enrolled { self.enrolment.clone() } else { StoredEnrolment::default() },
            ..self.clone()
        }
    }
}

/// Whether both lead to the same host and port, over the same protocol.
pub fn is_same_server(one: &Uri, other: &Uri) -> bool {
    let port = |url: &Uri| url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
    let host = |url: &Uri| url.host().unwrap_or_default().to_ascii_lowercase();
    (one.scheme_str(), host(one), port(one)) == (other.scheme_str(), host(other), port(other))
}

/// A URL without the part in which a token may stand.
pub fn without_query(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_scheme_host_and_port() {
        let same = |one: &str, other: &str| {
            is_same_server(&one.parse().expect("a URL"), &other.parse().expect("a URL"))
        };
        assert!(same("https://m.example.org/a", "https://M.example.org:443/b?c"));
        for other in ["http://m.example.org/", "https://m.example.org:8443/", "https://n.example.org/"] {
            assert!(!same("https://m.example.org/", other), "{other}");
        }
    }
}
