//! The daemon's configuration: as written in the file, and as used by the threads.
//!
//! The environment names of the systems that this program replaces override the file: `HEARTBEAT_URL`,
//! `HEARTBEAT_INTERVAL`, `REQUEST_TIMEOUT` (seconds there, or with a unit), `PIDFILE`.

use crate::config::{ConfigError, Period, Source, outside};
use log::LevelFilter;
use serde::Deserialize;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use ureq::http::Uri;

/// Where the installed program looks.
pub const DEFAULT_PATH: &str = "/etc/heartbeat-daemon/config.toml";

/// Below 1 s a fleet is a load test; above 1 h nobody is told within a useful time.
const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);

/// The configuration as the threads use it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub heartbeat: Heartbeat,
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
        Ok(Config {
            heartbeat: check.heartbeat(written.heartbeat)?,
            metrics: check.metrics(written.metrics)?,
            activity: check.activity(written.activity)?,
            daemon: check.daemon(written.daemon)?,
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
            (Some(text), _) => (text.clone(), Origin::Environment("HEARTBEAT_URL", without_query(&text))),
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

/// The file as written: every key optional, none unknown.
mod written {
    use super::{Format, Method, PathBuf, Period, Sign, Spanned};
    use log::LevelFilter;
    use serde::Deserialize;

    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct File {
        pub heartbeat: Heartbeat,
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
