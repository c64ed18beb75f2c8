//! The daemon's configuration: as written in the file, and as used by the threads.
//!
//! The environment names of the systems that this program replaces override the file: `HEARTBEAT_URL`,
//! `HEARTBEAT_INTERVAL`, `REQUEST_TIMEOUT` (seconds there, or with a unit), `PIDFILE`.

use crate::config::{ConfigError, Period, Source, outside};
use log::LevelFilter;
use serde::Deserialize;
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use ureq::http::Uri;

/// Where the installed program looks.
pub const DEFAULT_PATH: &str = "/etc/heartbeat-daemon/config.toml";

/// Below 1 s a fleet is a load test; above 1 h nobody is told within a useful time.
const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// The watchdog of the unit waits 30 s for the loop that sends; a later answer would be history anyway.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(10);

/// Longer than anybody waits for a network that works.
const CONNECTIVITY_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(10);
/// More than 5 minutes is what flapping makes of it anyway.
const FAILBACK_HOLD: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(300);
/// `IFNAMSIZ` with the zero byte.
const INTERFACE_NAME: usize = 16;

/// The configuration as the threads use it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub heartbeat: Heartbeat,
    pub network: Network,
    pub metrics: Metrics,
    pub activity: Activity,
    pub daemon: Daemon,
    pub log: LevelFilter,
}

/// Where, how often and in which form heartbeats are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Heartbeat {
    /// Absent: the daemon does its local work and sends nothing.
    pub url: Option<Uri>,
    pub interval: Duration,
    /// For everything together: resolve, connect, TLS, send, answer.
    pub timeout: Duration,
    pub method: Method,
    pub format: Format,
    pub token_file: Option<PathBuf>,
    /// Replaces the built-in roots.
    pub ca_file: Option<PathBuf>,
    pub client_certificate: Option<ClientCertificate>,
    /// `meeting` only: the device's name at the Meeting API. As good as a secret there.
    pub device_key: Option<String>,
    /// `meeting` only.
    pub note: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Method {
    #[serde(rename = "POST")]
    Post,
    /// The legacy form: `?params=<url-encoded JSON>`.
    #[serde(rename = "GET")]
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
    /// As `observe`, and NetworkManager is asked to connect what is down.
    NetworkManager,
    /// No failover at all.
    Off,
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
}

/// What shows that an activity is going on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sign {
    /// A pid file whose process is alive.
    Pidfile(PathBuf),
    /// A process of this name (`/proc/PID/comm`, at most 15 bytes).
    Process(String),
    /// An active systemd unit of the system manager.
    Unit(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    pub pidfile: PathBuf,
    /// Survives a reboot: the chosen hardware id.
    pub state_dir: PathBuf,
    /// On tmpfs: the latest snapshot.
    pub runtime_dir: PathBuf,
}

impl Config {
    /// The environment wins over the file at `path`, the file over the defaults.
    ///
    /// # Errors
    /// The first fault, as one sentence.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        Config::from_source(&Source::read(path)?, &|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
    }

    /// [`Config::load`] with the text and the environment as arguments.
    ///
    /// # Errors
    /// The first fault, as one sentence.
    pub fn from_source(source: &Source, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        let written: written::File = source.parse()?;
        let check = Check { source, env };
        let heartbeat = check.heartbeat(written.heartbeat)?;
        let daemon = check.daemon(written.daemon)?;
        Ok(Config {
            heartbeat,
            network: check.network(written.network, &daemon.runtime_dir)?,
            metrics: check.metrics(written.metrics)?,
            activity: check.activity(written.activity)?,
            daemon,
            log: written.log.level.unwrap_or(written::Level::Info).into(),
        })
    }
}

/// Where a value came from, for the sentence about it.
enum Origin {
    File(Range<usize>),
    Environment(&'static str, String),
    Default,
}

/// Turns written values into used ones.
struct Check<'a> {
    source: &'a Source,
    env: &'a dyn Fn(&str) -> Option<String>,
}

impl Check<'_> {
    fn fault(&self, origin: &Origin, problem: &str) -> ConfigError {
        match origin {
            Origin::File(span) => self.source.fault(span.clone(), problem),
            Origin::Environment(name, value) => {
                ConfigError::new(format!("environment variable {name}={value}: {problem}"))
            }
            Origin::Default => ConfigError::new(format!("{}: {problem}", self.source.path().display())),
        }
    }

    fn heartbeat(&self, written: written::Heartbeat) -> Result<Heartbeat, ConfigError> {
        let format = written.format.unwrap_or(Format::Native);
        let method = self.method(written.method, format)?;
        let interval = self.period("HEARTBEAT_INTERVAL", written.interval, "5s", &INTERVAL)?;
        let timeout = self.period("REQUEST_TIMEOUT", written.timeout, "2s", &TIMEOUT)?;
        if timeout.0 > interval.0 {
            let problem = format!(
                "must not be longer than the interval ({}), or heartbeats pile up",
                Period(interval.0)
            );
            return Err(self.fault(&timeout.1, &problem));
        }
        let device_key = written.device_key.map(|key| self.device_key(key)).transpose()?;
        if format == Format::Meeting && device_key.is_none() {
            return Err(self.fault(&Origin::Default, "[heartbeat] format = \"meeting\" needs device_key"));
        }
        Ok(Heartbeat {
            url: self.url(written.url)?,
            interval: interval.0,
            timeout: timeout.0,
            method,
            format,
            token_file: self.optional_path(written.token_file)?,
            ca_file: self.optional_path(written.ca_file)?,
            client_certificate: self
                .client_certificate(written.client_certificate_file, written.client_key_file)?,
            device_key,
            note: written.note,
        })
    }

    fn url(&self, written: Option<Spanned<String>>) -> Result<Option<Uri>, ConfigError> {
        let (text, origin) = match ((self.env)("HEARTBEAT_URL"), written) {
            (Some(text), _) => {
                let shown = without_user(&without_query(&text));
                (text, Origin::Environment("HEARTBEAT_URL", shown))
            }
            (None, Some(written)) => (written.get_ref().clone(), Origin::File(written.span())),
            (None, None) => return Ok(None),
        };
        let url: Uri = text
            .parse()
            .map_err(|_| self.fault(&origin, "is not a URL such as \"https://example.org/heartbeat\""))?;
        if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none_or(str::is_empty) {
            return Err(self.fault(&origin, "must start with http:// or https:// and name a host"));
        }
        if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(
                self.fault(&origin, "must not hold a user or a password; put the token into token_file")
            );
        }
        // The parser takes any text behind the colon, and nothing could be connected to.
        if url.authority().is_some_and(|authority| authority.as_str() != authority.host())
            && url.port_u16().is_none()
        {
            return Err(self.fault(&origin, "the port must be a number up to 65535"));
        }
        Ok(Some(url))
    }

    fn method(&self, written: Option<Spanned<Method>>, format: Format) -> Result<Method, ConfigError> {
        match written {
            Some(method) if *method.get_ref() == Method::Get && format == Format::Meeting => {
                Err(self.source.fault(method.span(), "the Meeting API takes POST only"))
            }
            Some(method) => Ok(method.into_inner()),
            None => Ok(Method::Post),
        }
    }

    fn period(
        &self,
        name: &'static str,
        written: Option<Spanned<Period>>,
        default: &str,
        allowed: &RangeInclusive<Duration>,
    ) -> Result<(Duration, Origin), ConfigError> {
        let (period, origin) = match ((self.env)(name), written) {
            (Some(text), _) => {
                let origin = Origin::Environment(name, text.clone());
                (seconds_or_period(&text).map_err(|problem| self.fault(&origin, &problem))?, origin)
            }
            (None, Some(written)) => (*written.get_ref(), Origin::File(written.span())),
            (None, None) => (default.parse().map_err(ConfigError::new)?, Origin::Default),
        };
        match outside(period, allowed) {
            Some(problem) => Err(self.fault(&origin, &problem)),
            None => Ok((period.0, origin)),
        }
    }

    fn device_key(&self, written: Spanned<String>) -> Result<String, ConfigError> {
        let key = written.get_ref();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if key.is_empty() || key.len() > 128 || !key.chars().all(allowed) {
            let problem = "must be 1 to 128 letters, digits, '-', '_' or '.'";
            return Err(self.source.fault(written.span(), problem));
        }
        Ok(written.into_inner())
    }

    fn client_certificate(
        &self,
        certificate: Option<Spanned<PathBuf>>,
        key: Option<Spanned<PathBuf>>,
    ) -> Result<Option<ClientCertificate>, ConfigError> {
        match (certificate, key) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(ClientCertificate {
                certificate_file: self.path(certificate)?,
                key_file: self.path(key)?,
            })),
            (Some(alone), None) => Err(self.source.fault(alone.span(), "needs client_key_file beside it")),
            (None, Some(alone)) => {
                Err(self.source.fault(alone.span(), "needs client_certificate_file beside it"))
            }
        }
    }

    fn network(&self, written: written::Network, runtime_dir: &Path) -> Result<Network, ConfigError> {
        const NAME: &str = "expected an address with a port, such as \"8.8.8.8:53\", or \"\" for none";
        let check = written.connectivity_check.unwrap_or_else(|| Spanned::new(0..0, "8.8.8.8:53".into()));
        let connectivity_check = match check.get_ref().as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| self.source.fault(check.span(), NAME))?),
        };
        let timeout = self.plain_period(written.connectivity_timeout, "2s", &CONNECTIVITY_TIMEOUT)?;
        Ok(Network {
            mode: written.mode.unwrap_or(Mode::Auto),
            interfaces: self.interfaces(written.interfaces, &["eth0", "wlan1", "wlan0"], true)?,
            connectivity_check,
            connectivity_timeout: timeout,
            gateway_probe: written.gateway_probe.unwrap_or(true),
            captive_portal_check: self.portal_check(written.captive_portal_check)?,
            failback_hold: self.plain_period(written.failback_hold, "5s", &FAILBACK_HOLD)?,
            ap_interfaces: self.interfaces(written.ap_interfaces, &[], false)?,
            lock_file: match written.lock_file {
                Some(path) => self.path(path)?,
                None => runtime_dir.join("failover.lock"),
            },
        })
    }

    /// A period that no environment variable overrides.
    fn plain_period(
        &self,
        written: Option<Spanned<Period>>,
        default: &str,
        allowed: &RangeInclusive<Duration>,
    ) -> Result<Duration, ConfigError> {
        let Some(written) = written else {
            return default.parse().map(|period: Period| period.0).map_err(ConfigError::new);
        };
        match outside(*written.get_ref(), allowed) {
            Some(problem) => Err(self.source.fault(written.span(), &problem)),
            None => Ok(written.get_ref().0),
        }
    }

    fn interfaces(
        &self,
        written: Option<Spanned<Vec<String>>>,
        default: &[&str],
        needed: bool,
    ) -> Result<Vec<String>, ConfigError> {
        let Some(written) = written else { return Ok(default.iter().map(ToString::to_string).collect()) };
        let is_name = |name: &String| {
            let bare = name.strip_suffix('*').unwrap_or(name);
            !bare.is_empty()
                && bare.len() < INTERFACE_NAME
                && bare.bytes().all(|c| c.is_ascii_graphic() && !b"/*:".contains(&c))
        };
        let problem = match written.get_ref() {
            names if names.is_empty() && needed => {
                "needs at least one interface; mode = \"off\" turns failover off"
            }
            names if names.len() > 16 => "must not have more than 16 interfaces",
            names if !names.iter().all(is_name) => {
                "an interface has a name of 1 to 15 characters, such as \"eth0\", or a beginning such as \"enx*\""
            }
            _ => return Ok(written.into_inner()),
        };
        Err(self.source.fault(written.span(), problem))
    }

    fn portal_check(&self, written: Option<Spanned<String>>) -> Result<Option<Uri>, ConfigError> {
        let Some(written) = written.filter(|written| !written.get_ref().is_empty()) else { return Ok(None) };
        let url: Option<Uri> = written.get_ref().parse().ok();
        let plain =
            |url: &Uri| url.scheme_str() == Some("http") && url.host().is_some_and(|host| !host.is_empty());
        match url.filter(plain) {
            Some(url) => Ok(Some(url)),
            None => Err(self.source.fault(
                written.span(),
                "must be an http:// URL (a portal cannot answer for https), or \"\" for none",
            )),
        }
    }

    fn metrics(&self, written: written::Metrics) -> Result<Metrics, ConfigError> {
        Ok(Metrics {
            disk: self.optional_path(written.disk)?.unwrap_or_else(|| PathBuf::from("/")),
            app_version_file: self.optional_path(written.app_version_file)?,
            modem: written.modem.unwrap_or(true),
            gps: written.gps.unwrap_or(true),
            gps_position: written.gps_position.unwrap_or(false),
        })
    }

    fn activity(&self, written: written::Activity) -> Result<Activity, ConfigError> {
        Ok(Activity {
            streaming: self.sign(written.streaming)?,
            tracking: self.sign(written.tracking)?,
            recording: self.sign(written.recording)?,
            recording_dir: self.optional_path(written.recording_dir)?,
            recording_path_file: self.optional_path(written.recording_path_file)?,
        })
    }

    fn sign(&self, written: Option<Spanned<Sign>>) -> Result<Option<Sign>, ConfigError> {
        let Some(sign) = written else { return Ok(None) };
        let problem = match sign.get_ref() {
            Sign::Pidfile(path) if !path.is_absolute() => "the pid file's path must start with /",
            Sign::Process(name) if name.is_empty() || name.len() > 15 || name.contains('/') => {
                "a process name has 1 to 15 bytes and no /, as `ps -o comm` shows it"
            }
            Sign::Unit(name) if !name.contains('.') || name.contains('/') => {
                "a unit's name has its type at the end, such as \"mediamtx.service\""
            }
            _ => return Ok(Some(sign.into_inner())),
        };
        Err(self.source.fault(sign.span(), problem))
    }

    fn daemon(&self, written: written::Daemon) -> Result<Daemon, ConfigError> {
        let runtime_dir = match written.runtime_dir {
            Some(path) => self.path(path)?,
            None => PathBuf::from("/run/heartbeat-daemon"),
        };
        let pidfile = match ((self.env)("PIDFILE"), written.pidfile) {
            (Some(path), _) if Path::new(&path).is_absolute() => PathBuf::from(path),
            (Some(path), _) => {
                let origin = Origin::Environment("PIDFILE", path);
                return Err(self.fault(&origin, "the path must start with /"));
            }
            (None, Some(path)) => self.path(path)?,
            (None, None) => runtime_dir.join("heartbeat-daemon.pid"),
        };
        Ok(Daemon {
            pidfile,
            state_dir: self
                .optional_path(written.state_dir)?
                .unwrap_or_else(|| PathBuf::from("/var/lib/heartbeat-daemon")),
            runtime_dir,
        })
    }

    fn path(&self, written: Spanned<PathBuf>) -> Result<PathBuf, ConfigError> {
        if written.get_ref().is_absolute() {
            return Ok(written.into_inner());
        }
        Err(self.source.fault(written.span(), "the path must start with /"))
    }

    fn optional_path(&self, written: Option<Spanned<PathBuf>>) -> Result<Option<PathBuf>, ConfigError> {
        written.map(|path| self.path(path)).transpose()
    }
}

/// The originals wrote plain seconds: `HEARTBEAT_INTERVAL=5`, `REQUEST_TIMEOUT=2.0`.
fn seconds_or_period(text: &str) -> Result<Period, String> {
    match text.trim().parse::<f64>() {
        Ok(seconds) => {
            Duration::try_from_secs_f64(seconds).map(Period).map_err(|_| "is no length of time".into())
        }
        Err(_) => text.trim().parse(),
    }
}

/// A URL without the part in which a token may stand.
pub fn without_query(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// A URL without user and password, for the sentence that refuses them.
fn without_user(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => url.to_owned(),
    }
}

/// The file as written: every key optional, none unknown.
mod written {
    use super::{Format, Method, Mode, PathBuf, Period, Sign, Spanned};
    use log::LevelFilter;
    use serde::Deserialize;

    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct File {
        pub heartbeat: Heartbeat,
        pub network: Network,
        pub metrics: Metrics,
        pub activity: Activity,
        pub daemon: Daemon,
        pub log: Log,
    }

    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct Heartbeat {
        pub url: Option<Spanned<String>>,
        pub interval: Option<Spanned<Period>>,
        pub timeout: Option<Spanned<Period>>,
        pub method: Option<Spanned<Method>>,
        pub format: Option<Format>,
        pub token_file: Option<Spanned<PathBuf>>,
        pub ca_file: Option<Spanned<PathBuf>>,
        pub client_certificate_file: Option<Spanned<PathBuf>>,
        pub client_key_file: Option<Spanned<PathBuf>>,
        pub device_key: Option<Spanned<String>>,
        pub note: Option<String>,
    }

    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct Network {
        pub mode: Option<Mode>,
        pub interfaces: Option<Spanned<Vec<String>>>,
        pub connectivity_check: Option<Spanned<String>>,
        pub connectivity_timeout: Option<Spanned<Period>>,
        pub gateway_probe: Option<bool>,
        pub captive_portal_check: Option<Spanned<String>>,
        pub failback_hold: Option<Spanned<Period>>,
        pub ap_interfaces: Option<Spanned<Vec<String>>>,
        pub lock_file: Option<Spanned<PathBuf>>,
    }

    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct Metrics {
        pub disk: Option<Spanned<PathBuf>>,
        pub app_version_file: Option<Spanned<PathBuf>>,
        pub modem: Option<bool>,
        pub gps: Option<bool>,
        pub gps_position: Option<bool>,
    }

    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct Activity {
        pub streaming: Option<Spanned<Sign>>,
        pub tracking: Option<Spanned<Sign>>,
        pub recording: Option<Spanned<Sign>>,
        pub recording_dir: Option<Spanned<PathBuf>>,
        pub recording_path_file: Option<Spanned<PathBuf>>,
    }

    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct Daemon {
        pub pidfile: Option<Spanned<PathBuf>>,
        pub state_dir: Option<Spanned<PathBuf>>,
        pub runtime_dir: Option<Spanned<PathBuf>>,
    }

    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct Log {
        pub level: Option<Level>,
    }

    #[derive(Clone, Copy, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Level {
        Error,
        Warn,
        Info,
        Debug,
    }

    impl From<Level> for LevelFilter {
        fn from(level: Level) -> LevelFilter {
            match level {
                Level::Error => LevelFilter::Error,
                Level::Warn => LevelFilter::Warn,
                Level::Info => LevelFilter::Info,
                Level::Debug => LevelFilter::Debug,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project_file(name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn shipped() -> String {
        project_file("packaging/config.toml")
    }

    fn load(text: &str) -> Result<Config, ConfigError> {
        load_with(text, &[])
    }

    fn load_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let env = |name: &str| {
            let value = environment.iter().find(|(key, _)| *key == name);
            value.map(|(_, value)| (*value).to_owned())
        };
        Config::from_source(&Source::new("c.toml", text), &env)
    }

    fn fault(text: &str) -> String {
        load(text).expect_err(text).to_string()
    }

    /// What the code knows, in its own words: it lists them to whoever misspells one.
    fn names_known_in(section: &str) -> Vec<String> {
        let sentence = fault(&format!("{section}\nno_such_key = 1"));
        let (_, list) = sentence.split_once("expected").expect("a list of what is known");
        list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// Every section with every key.
    fn known_keys() -> Vec<(String, String)> {
        let sections = names_known_in("");
        let keys = |section: &String| {
            let section = section.clone();
            names_known_in(&format!("[{section}]")).into_iter().map(move |key| (section.clone(), key))
        };
        sections.iter().flat_map(keys).collect()
    }

    /// `(section, key, is it active)` of each line of a file that is a key or a commented one.
    fn written_keys(text: &str) -> Vec<(String, String, bool)> {
        let (mut section, mut keys) = (String::new(), Vec::new());
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = name.to_owned();
            }
            let bare = line.strip_prefix('#').unwrap_or(line);
            let key = bare.split(" = ").next().unwrap_or_default();
            let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            if is_key && bare.contains(" = ") {
                keys.push((section.clone(), key.to_owned(), bare == line));
            }
        }
        keys
    }

    #[test]
    fn the_shipped_file_is_the_defaults() {
        let shipped = load(&shipped()).expect("the shipped file is right");
        assert_eq!(shipped, load("").expect("an empty file is right"));
        assert_eq!(shipped.heartbeat.interval, Duration::from_secs(5));
        assert_eq!(shipped.heartbeat.timeout, Duration::from_secs(2));
        assert_eq!(shipped.daemon.pidfile, Path::new("/run/heartbeat-daemon/heartbeat-daemon.pid"));
        assert_eq!(shipped.log, LevelFilter::Info);
    }

    #[test]
    fn every_key_stands_in_the_shipped_file_exactly_once() {
        let mut written: Vec<_> =
            written_keys(&shipped()).into_iter().map(|(section, key, _)| (section, key)).collect();
        let mut known = known_keys();
        assert!(known.len() >= 34, "{known:?}");
        written.sort();
        known.sort();
        assert_eq!(written, known);
    }

    #[test]
    fn readme_lists_every_key() {
        let readme = project_file("README.md");
        for (section, key) in known_keys() {
            let cell = format!("| `{section}.{key}` |");
            let rows = readme.lines().filter(|line| line.starts_with(&cell)).count();
            assert_eq!(rows, 1, "rows of README.md that begin with {cell}");
        }
    }

    #[test]
    fn each_example_in_the_shipped_file_is_right_when_it_is_made_active() {
        for (section, key, active) in written_keys(&shipped()) {
            if active {
                continue;
            }
            // The two halves of a client certificate are one setting.
            let together = if key.starts_with("client_") { "client_" } else { key.as_str() };
            let commented = format!("#{together}");
            let text: Vec<String> = shipped()
                .lines()
                .map(|line| {
                    line.strip_prefix('#').filter(|_| line.starts_with(&commented)).unwrap_or(line).to_owned()
                })
                .collect();
            let config = load(&text.join("\n")).unwrap_or_else(|error| panic!("[{section}] {key}: {error}"));
            assert_ne!(config, load("").expect("the defaults"), "[{section}] {key} changes nothing");
        }
    }

    #[test]
    fn the_environment_names_of_the_originals_win_over_the_file() {
        let text =
            "[heartbeat]\nurl = \"http://file/\"\ninterval = \"7s\"\n[daemon]\npidfile = \"/file.pid\"\n";
        let config = load_with(
            text,
            &[
                ("HEARTBEAT_URL", "https://env.example/heartbeat.php?token=x"),
                ("HEARTBEAT_INTERVAL", "30"),
                ("REQUEST_TIMEOUT", "2.5"),
                ("PIDFILE", "/tmp/heartbeat_daemon.pid"),
            ],
        )
        .expect("the originals' forms");
        let url = config.heartbeat.url.expect("a URL").to_string();
        assert_eq!(url, "https://env.example/heartbeat.php?token=x");
        assert_eq!(config.heartbeat.interval, Duration::from_secs(30));
        assert_eq!(config.heartbeat.timeout, Duration::from_millis(2500));
        assert_eq!(config.daemon.pidfile, Path::new("/tmp/heartbeat_daemon.pid"));
        let with_unit = load_with(text, &[("HEARTBEAT_INTERVAL", "2m")]).expect("a unit is fine too");
        assert_eq!(with_unit.heartbeat.interval, Duration::from_secs(120));
    }

    #[test]
    fn a_wrong_environment_is_named_and_refused_like_a_wrong_file() {
        for (name, value, problem) in [
            ("HEARTBEAT_URL", "ftp://x/", "must start with http:// or https:// and name a host"),
            ("HEARTBEAT_INTERVAL", "0", "must be from \"1s\" to \"1h\""),
            ("HEARTBEAT_INTERVAL", "-5", "is no length of time"),
            ("HEARTBEAT_INTERVAL", "NaN", "is no length of time"),
            ("REQUEST_TIMEOUT", "soon", "expected a duration such as"),
            ("PIDFILE", "heartbeat.pid", "the path must start with /"),
        ] {
            let sentence = load_with("", &[(name, value)]).expect_err(value).to_string();
            assert!(
                sentence.starts_with(&format!("environment variable {name}={value}: {problem}")),
                "{sentence}"
            );
        }
    }

    #[test]
    fn each_fault_is_one_sentence_with_its_place_and_what_is_allowed() {
        for (text, sentence) in [
            (
                "[heartbeat]\nurl = \"barn\"",
                "c.toml:2: [heartbeat] url = \"barn\": must start with http:// or https:// and name a host",
            ),
            (
                "[heartbeat]\nurl = \"http://a b/\"",
                "c.toml:2: [heartbeat] url = \"http://a b/\": is not a URL such as \"https://example.org/heartbeat\"",
            ),
            (
                "[heartbeat]\nurl = \"http://barn:80000/\"",
                "c.toml:2: [heartbeat] url = \"http://barn:80000/\": the port must be a number up to 65535",
            ),
            (
                "[heartbeat]\n\ninterval = \"500ms\"",
                "c.toml:3: [heartbeat] interval = \"500ms\": must be from \"1s\" to \"1h\"",
            ),
            (
                "[heartbeat]\ninterval = \"2h\"",
                "c.toml:2: [heartbeat] interval = \"2h\": must be from \"1s\" to \"1h\"",
            ),
            (
                "[heartbeat]\ntimeout = \"99ms\"",
                "c.toml:2: [heartbeat] timeout = \"99ms\": must be from \"100ms\" to \"10s\"",
            ),
            (
                "[heartbeat]\ninterval = \"1s\"\ntimeout = \"2s\"",
                "c.toml:3: [heartbeat] timeout = \"2s\": must not be longer than the interval (1s), or heartbeats pile up",
            ),
            (
                "[heartbeat]\ntoken_file = \"barn\"",
                "c.toml:2: [heartbeat] token_file = \"barn\": the path must start with /",
            ),
            (
                "[heartbeat]\nclient_certificate_file = \"/c.pem\"",
                "c.toml:2: [heartbeat] client_certificate_file = \"/c.pem\": needs client_key_file beside it",
            ),
            (
                "[heartbeat]\nclient_key_file = \"/c.key\"",
                "c.toml:2: [heartbeat] client_key_file = \"/c.key\": needs client_certificate_file beside it",
            ),
            (
                "[heartbeat]\nformat = \"meeting\"",
                "c.toml: [heartbeat] format = \"meeting\" needs device_key",
            ),
            (
                "[heartbeat]\nformat = \"meeting\"\ndevice_key = \"k\"\nmethod = \"GET\"",
                "c.toml:4: [heartbeat] method = \"GET\": the Meeting API takes POST only",
            ),
            (
                "[network]\ninterfaces = []",
                "c.toml:2: [network] interfaces = []: needs at least one interface; mode = \"off\" turns failover off",
            ),
            (
                "[network]\ninterfaces = [\"eth0\", \"a/b\"]",
                "c.toml:2: [network] interfaces = [\"eth0\", \"a/b\"]: an interface has a name of 1 to 15 characters, \
                 such as \"eth0\", or a beginning such as \"enx*\"",
            ),
            (
                "[network]\nconnectivity_check = \"dns.google:53\"",
                "c.toml:2: [network] connectivity_check = \"dns.google:53\": expected an address with a port, such as \
                 \"8.8.8.8:53\", or \"\" for none",
            ),
            (
                "[network]\nfailback_hold = \"6m\"",
                "c.toml:2: [network] failback_hold = \"6m\": must be from \"0s\" to \"5m\"",
            ),
            (
                "[network]\nconnectivity_timeout = \"1m\"",
                "c.toml:2: [network] connectivity_timeout = \"1m\": must be from \"100ms\" to \"10s\"",
            ),
            (
                "[network]\ncaptive_portal_check = \"https://x/\"",
                "c.toml:2: [network] captive_portal_check = \"https://x/\": must be an http:// URL (a portal cannot \
                 answer for https), or \"\" for none",
            ),
            (
                "[network]\nlock_file = \"l\"",
                "c.toml:2: [network] lock_file = \"l\": the path must start with /",
            ),
            ("[metrics]\ndisk = \".\"", "c.toml:2: [metrics] disk = \".\": the path must start with /"),
            (
                "[activity]\nstreaming = { pidfile = \"x.pid\" }",
                "c.toml:2: [activity] streaming = { pidfile = \"x.pid\" }: the pid file's path must start with /",
            ),
            (
                "[activity]\ntracking = { process = \"a-name-of-16-byt\" }",
                "c.toml:2: [activity] tracking = { process = \"a-name-of-16-byt\" }: \
                 a process name has 1 to 15 bytes and no /, as `ps -o comm` shows it",
            ),
            (
                "[activity]\nrecording = { unit = \"recorder\" }",
                "c.toml:2: [activity] recording = { unit = \"recorder\" }: \
                 a unit's name has its type at the end, such as \"mediamtx.service\"",
            ),
            (
                "[daemon]\nstate_dir = \"state\"",
                "c.toml:2: [daemon] state_dir = \"state\": the path must start with /",
            ),
        ] {
            assert_eq!(fault(text), sentence);
        }
    }

    #[test]
    fn a_word_outside_its_list_is_answered_with_the_list() {
        for (text, allowed) in [
            ("[heartbeat]\nmethod = \"PUT\"", "`POST` or `GET`"),
            ("[network]\nmode = \"bridge\"", "`auto`, `observe`, `routes`, `networkmanager`, `off`"),
            ("[heartbeat]\nformat = \"xml\"", "`native`, `streamer`, `meeting`"),
            ("[log]\nlevel = \"loud\"", "`error`, `warn`, `info`, `debug`"),
            ("[activity]\nstreaming = { port = 554 }", "`pidfile`, `process`, `unit`"),
        ] {
            let sentence = fault(text);
            assert!(sentence.starts_with("c.toml:2: ") && sentence.contains(allowed), "{sentence}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        for text in [
            "[heartbeat]\ninterval = 5",
            "[heartbeat]\nurl = 1",
            "[metrics]\nmodem = \"yes\"",
            "[activity]\nstreaming = true",
            "heartbeat = 1",
            "[heartbeat]\n[heartbeat]",
            "[heartbeat]\nnote = \"a\"\nnote = \"b\"",
        ] {
            assert!(fault(text).starts_with("c.toml:"), "{text}");
        }
    }

    #[test]
    fn no_sentence_shows_a_secret() {
        let secret = "hunter2/hunter2";
        for text in [
            format!("[heartbeat]\ndevice_key = \"{secret}\""),
            "[heartbeat]\ndevice_key = 0x0dedbeefcafe".to_owned(),
            "heartbeat = { device_key = 0x0dedbeefcafe }".to_owned(),
            format!("[heartbeat]\ndevice_key = \"\"\"\n{secret}\\x=\"\"\""),
            format!("[heartbeat]\ndevice_key = [\"{secret}\"]"),
            format!("[heartbeat]\ntoken = \"{secret}\""),
            format!("[heartbeat]\npassword = \"{secret}\""),
            format!("[heartbeat]\ntokn = \"{secret}\""),
            format!("token = \"{secret}\""),
            format!("[heartbeat]\ndevice_key = \"{secret}"),
            format!("[heartbeat]\ndevice_key = {secret}"),
            format!("[heartbeat]\n\"device_key\" = \"{secret}\""),
            format!("heartbeat = {{ device_key = \"{secret}\" }}"),
            format!("heartbeat.device_key = \"{secret}\""),
            format!("[heartbeat]\nurl = \"https://user:{secret}@example.org/\""),
            format!("[heartbeat]\nurl = \"ftp://example.org/?token={secret}\""),
        ] {
            let sentence = fault(&text);
            let shown = sentence.contains("hunter2") || sentence.contains("0x0ded");
            assert!(!shown && !sentence.contains(&0x0ded_beef_cafe_u64.to_string()), "{text}\n{sentence}");
        }
        let sentence = load_with("", &[("HEARTBEAT_URL", "ftp://example.org/?token=hunter2")]);
        assert!(!sentence.expect_err("not http").to_string().contains("hunter2"));
        let sentence = load_with("", &[("HEARTBEAT_URL", "https://user:hunter2/hunter2@example.org/")]);
        assert!(!sentence.expect_err("a password").to_string().contains("hunter2"));
    }
}
