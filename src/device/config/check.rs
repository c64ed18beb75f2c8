//! From written values to used ones; every fault as one sentence.

use super::servers::Servers;
use super::used::{
    Activity, ClientCertificate, Daemon, Format, HeartbeatConfig, Method, Metrics, Mode, Network, Sign,
};
use super::written;
use crate::config::{ConfigError, Origin, Period, Source};
use crate::device::enrolment::stored::StoredEnrolment;
use crate::wire::ActivityName;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use ureq::http::Uri;

/// Below 1 s a fleet is a load test; above 1 h a notification comes too late.
const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// The watchdog of the unit waits 30 s for the loop that sends; a later answer would be history anyway.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(10);

/// Longer than anybody waits for a network that works.
const CONNECTIVITY_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(10);
/// More than 5 minutes is what flapping makes of it anyway.
const FAILBACK_HOLD: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(300);
/// `IFNAMSIZ` with the zero byte.
const INTERFACE_NAME: usize = 16;

/// Turns written values into used ones.
pub struct Check<'a> {
    pub source: &'a Source,
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

impl Check<'_> {
    pub fn heartbeat(&self, mut written: written::Heartbeat) -> Result<HeartbeatConfig, ConfigError> {
        let servers = Servers::check(self.source, self.env, &mut written)?;
        let format = written.format.unwrap_or(Format::Native);
        let method = self.method(written.method, format)?;
        let interval = self.period("HEARTBEAT_INTERVAL", written.interval, "5s", &INTERVAL)?;
        let timeout = self.period("REQUEST_TIMEOUT", written.timeout, "2s", &TIMEOUT)?;
        if timeout.0 > interval.0 {
            // The sentence locates a value that was written; one that was not has to be named.
            let subject = match timeout.1 {
                Origin::Default => format!("[heartbeat] timeout ({} unless it is set) ", Period(timeout.0)),
                Origin::File(_) | Origin::Environment(..) => String::new(),
            };
            let problem = format!(
                "{subject}must not be longer than the interval ({}), or heartbeats pile up",
                Period(interval.0)
            );
            return Err(self.source.fault_of(&timeout.1, &problem));
        }
        let device_key = written.device_key.map(|key| self.device_key(key)).transpose()?;
        if format == Format::Meeting && device_key.is_none() {
            return Err(self
                .source
                .fault_of(&Origin::Default, "[heartbeat] format = \"meeting\" needs device_key"));
        }
        if format == Format::Meeting && !servers.backups.is_empty() {
            let problem =
                "[heartbeat] format = \"meeting\" cannot say which server is a backup: name one server";
            return Err(self.source.fault_of(&Origin::Default, problem));
        }
        Ok(HeartbeatConfig {
            url: servers.url,
            interval: interval.0,
            timeout: timeout.0,
            method,
            format,
            token_file: servers.token_file,
            ca_file: servers.ca_file,
            backups: servers.backups,
            is_one_monitor: servers.is_one_monitor,
            client_certificate: self
                .client_certificate([written.client_certificate_file, written.client_key_file])?,
            device_key,
            note: written.note.map(Spanned::into_inner),
            enrolment: StoredEnrolment::default(),
        })
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
        let variable =
            (self.env)(name).map(|text| (seconds_or_period(&text), Origin::Environment(name, text)));
        self.source.period_or(variable, written, default, allowed)
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
        files: [Option<Spanned<String>>; 2],
    ) -> Result<Option<ClientCertificate>, ConfigError> {
        let keys = ["client_certificate_file", "client_key_file"];
        let Some([certificate, key]) = self.source.pair(keys, files)? else { return Ok(None) };
        Ok(Some(ClientCertificate {
            certificate_file: self.source.absolute(certificate)?,
            key_file: self.source.absolute(key)?,
        }))
    }

    pub fn network(&self, written: written::Network, runtime_dir: &Path) -> Result<Network, ConfigError> {
        const NAME: &str = "expected an address with a port, such as \"8.8.8.8:53\", or \"\" for none";
        let check = written.connectivity_check.unwrap_or_else(|| Spanned::new(0..0, "8.8.8.8:53".into()));
        let connectivity_check = match check.get_ref().as_str() {
            "" => None,
            text => Some(text.parse().map_err(|_| self.source.fault(check.span(), NAME))?),
        };
        let timeout = self.source.period(written.connectivity_timeout, "2s", &CONNECTIVITY_TIMEOUT)?;
        Ok(Network {
            mode: written.mode.unwrap_or(Mode::Auto),
            interfaces: self.interfaces(written.interfaces, &["eth0", "end0", "wlan1", "wlan0"], true)?,
            connectivity_check,
            connectivity_timeout: timeout,
            gateway_probe: written.gateway_probe.unwrap_or(true),
            captive_portal_check: self.portal_check(written.captive_portal_check)?,
            failback_hold: self.source.period(written.failback_hold, "5s", &FAILBACK_HOLD)?,
            ap_interfaces: self.interfaces(written.ap_interfaces, &[], false)?,
            lock_file: match written.lock_file {
                Some(path) => self.source.absolute(path)?,
                None => runtime_dir.join("failover.lock"),
            },
        })
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

    pub fn metrics(&self, written: written::Metrics) -> Result<Metrics, ConfigError> {
        Ok(Metrics {
            disk: self.source.optional_path(written.disk)?.unwrap_or_else(|| PathBuf::from("/")),
            app_version_file: self.source.optional_path(written.app_version_file)?,
            modem: written.modem.unwrap_or(true),
            gps: written.gps.unwrap_or(true),
            gps_position: written.gps_position.unwrap_or(false),
        })
    }

    pub fn activity(&self, written: written::Activity) -> Result<Activity, ConfigError> {
        let mut activity = Activity {
            streaming: self.sign(written.streaming)?,
            tracking: self.sign(written.tracking)?,
            recording: self.sign(written.recording)?,
            recording_dir: self.source.optional_path(written.recording_dir)?,
            recording_path_file: self.source.optional_path(written.recording_path_file)?,
            expected: Vec::new(),
        };
        for expected in written.expected {
            let name = *expected.get_ref();
            let sign = match name {
                ActivityName::Streaming => &activity.streaming,
                ActivityName::Tracking => &activity.tracking,
                ActivityName::Recording => &activity.recording,
            };
            let problem = match sign {
                None => format!("{} is never known without a sign for it in [activity]", name.as_str()),
                Some(_) if activity.expected.contains(&name) => format!("{} is listed twice", name.as_str()),
                Some(_) => {
                    activity.expected.push(name);
                    continue;
                }
            };
            return Err(self.source.fault(expected.span(), &problem));
        }
        Ok(activity)
    }

    fn sign(&self, written: Option<Spanned<written::Sign>>) -> Result<Option<Sign>, ConfigError> {
        let Some(written) = written else { return Ok(None) };
        let span = written.span();
        let written::Sign { pidfile, process, unit } = written.into_inner();
        let problem = match (pidfile, process, unit) {
            (Some(path), None, None) if path.starts_with('/') => return Ok(Some(Sign::Pidfile(path.into()))),
            (Some(_), None, None) => "the pid file's path must start with /",
            (None, Some(name), None) if (1..=15).contains(&name.len()) && !name.contains('/') => {
                return Ok(Some(Sign::Process(name)));
            }
            (None, Some(_), None) => "a process name has 1 to 15 bytes and no /, as `ps -o comm` shows it",
            (None, None, Some(name)) if name.contains('.') && !name.contains('/') => {
                return Ok(Some(Sign::Unit(name)));
            }
            (None, None, Some(_)) => "a unit's name has its type at the end, such as \"mediamtx.service\"",
            _ => "expected one sign, such as { unit = \"mediamtx.service\" }",
        };
        Err(self.source.fault(span, problem))
    }

    pub fn daemon(&self, written: written::Daemon) -> Result<Daemon, ConfigError> {
        let runtime_dir = match written.runtime_dir {
            Some(path) => self.source.absolute(path)?,
            None => PathBuf::from("/run/heartbeat-daemon"),
        };
        let pidfile = match ((self.env)("PIDFILE"), written.pidfile) {
            (Some(path), _) if Path::new(&path).is_absolute() => PathBuf::from(path),
            (Some(path), _) => {
                let origin = Origin::Environment("PIDFILE", path);
                return Err(self.source.fault_of(&origin, "the path must start with /"));
            }
            (None, Some(path)) => self.source.absolute(path)?,
            (None, None) => runtime_dir.join("heartbeat-daemon.pid"),
        };
        Ok(Daemon {
            pidfile,
            state_dir: self
                .source
                .optional_path(written.state_dir)?
                .unwrap_or_else(|| PathBuf::from("/var/lib/heartbeat-daemon")),
            runtime_dir,
        })
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
