//! Checks the written values and converts them; each fault is one sentence.

use super::used::{
    DetectionConfig, HttpConfig, LimitsConfig, NotifyConfig, PasswordLogin, RetentionConfig, SmtpConfig,
    SmtpSecurity, StoreConfig, TlsFiles,
};
use super::written;
use crate::config::{ConfigError, Origin, Period, Source};
use crate::http::networks::IpNetwork;
use crate::monitor::store::DatabaseLocation;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;
use toml::Spanned;
use ureq::http::Uri;

/// A sweep of a million machines takes 60 ms, too much below 1 s. Above 1 h, notifications come too late.
const CHECK_INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// Devices send at most once a second; a week covers devices that wake once a day.
const OFFLINE_THRESHOLD: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(7 * 86_400);
/// One day to ten years.
const KEPT: RangeInclusive<Duration> = Duration::from_secs(86_400)..=Duration::from_secs(3650 * 86_400);

/// Converts one section after the other.
pub struct Check<'a> {
    pub source: &'a Source,
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

impl Check<'_> {
    pub fn http(&self, written: written::Http) -> Result<HttpConfig, ConfigError> {
        let listen = written.listen.unwrap_or_else(|| Spanned::new(0..0, "127.0.0.1:8080".into()));
        let http = HttpConfig {
            listen: self.listen(&listen)?,
            socket: self.source.optional_path(written.socket)?,
            tls: self.tls([written.certificate_file, written.key_file])?,
            ticket_keys_file: self.source.optional_path(written.ticket_keys_file)?,
            trusted_proxies: self.networks(written.trusted_proxies)?,
        };
        if http.listen.is_none() && http.socket.is_none() {
            return Err(self.source.fault(listen.span(), "without an address there must be a socket"));
        }
        Ok(http)
    }

    fn listen(&self, written: &Spanned<String>) -> Result<Option<SocketAddr>, ConfigError> {
        const WANTED: &str = "expected an address with a port, such as \"127.0.0.1:8080\" or \"[::]:8443\", or \
                              \"\" for none";
        match written.get_ref().as_str() {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| self.source.fault(written.span(), WANTED)),
        }
    }

    fn tls(&self, files: [Option<Spanned<String>>; 2]) -> Result<Option<TlsFiles>, ConfigError> {
        let Some([certificate, key]) = self.source.pair(["certificate_file", "key_file"], files)? else {
            return Ok(None);
        };
        Ok(Some(TlsFiles {
            certificate_file: self.source.absolute(certificate)?,
            key_file: self.source.absolute(key)?,
        }))
    }

    pub(super) fn networks(
        &self,
        written: Option<Spanned<Vec<String>>>,
    ) -> Result<Vec<IpNetwork>, ConfigError> {
        const WANTED: &str = "expected addresses or networks, such as [\"127.0.0.1\", \"10.0.0.0/8\"]";
        let Some(written) = written else { return Ok(Vec::new()) };
        let parsed = written.get_ref().iter().map(|text| text.parse());
        parsed.collect::<Result<_, ()>>().map_err(|()| self.source.fault(written.span(), WANTED))
    }

    pub fn store(&self, written: written::Store) -> Result<StoreConfig, ConfigError> {
        let state_dir = self.source.optional_path(written.state_dir)?;
        let state_dir = state_dir.unwrap_or_else(|| PathBuf::from("/var/lib/heartbeat-monitor"));
        let database = match self.database(written.database)? {
            Some(location) => location,
            None => DatabaseLocation::File(state_dir.join("monitor.db")),
        };
        Ok(StoreConfig { state_dir, database })
    }

    fn database(&self, written: Option<Spanned<String>>) -> Result<Option<DatabaseLocation>, ConfigError> {
        let url = written.as_ref().and_then(|written| DatabaseLocation::of_url(written.get_ref()));
        match (url, written) {
            (Some(location), Some(written)) => {
                location.map(Some).map_err(|why| self.source.fault(written.span(), &why))
            }
            (_, written) => Ok(self.source.optional_path(written)?.map(DatabaseLocation::File)),
        }
    }

    pub fn detection(&self, written: written::Detection) -> Result<DetectionConfig, ConfigError> {
        let (interval, threshold) = ("MACHINE_HEARTBEAT_CHECK_INTERVAL", "MACHINE_OFFLINE_THRESHOLD");
        Ok(DetectionConfig {
            check_interval: self.period(interval, written.check_interval, "30s", &CHECK_INTERVAL)?,
            offline_threshold: self.period(threshold, written.offline_threshold, "2m", &OFFLINE_THRESHOLD)?,
        })
    }

    fn period(
        &self,
        name: &'static str,
        written: Option<Spanned<Period>>,
        default: &str,
        allowed: &RangeInclusive<Duration>,
    ) -> Result<Duration, ConfigError> {
        let parse = |text: &str| {
            go_duration(text).map(Period).ok_or("expected a duration such as \"30s\" or \"2m0s\"".to_owned())
        };
        let variable = (self.env)(name).map(|text| (parse(&text), Origin::Environment(name, text)));
        Ok(self.source.period_or(variable, written, default, allowed)?.0)
    }

    pub fn notify(&self, written: written::Notify) -> Result<NotifyConfig, ConfigError> {
        let api =
            written.telegram_api.unwrap_or_else(|| Spanned::new(0..0, "https://api.telegram.org".into()));
        let url: Option<Uri> = api.get_ref().parse().ok();
        let usable = |url: &Uri| {
            matches!(url.scheme_str(), Some("http" | "https"))
                && url.host().is_some_and(|host| !host.is_empty())
                && url.query().is_none()
        };
        if !url.as_ref().is_some_and(usable) {
            let problem = "must start with http:// or https:// and name a host";
            return Err(self.source.fault(api.span(), problem));
        }
        Ok(NotifyConfig {
            allow_private_webhooks: written.allow_private_webhooks.unwrap_or(false),
            telegram_api: api.get_ref().trim_end_matches('/').to_owned(),
            ca_file: self.source.optional_path(written.ca_file)?,
        })
    }

    pub fn smtp(&self, written: written::Smtp) -> Result<Option<SmtpConfig>, ConfigError> {
        let login = self.login(written.user, written.password_file)?;
        let security = written.security.unwrap_or(SmtpSecurity::StartTls);
        let usual = match security {
            SmtpSecurity::Tls => 465,
            SmtpSecurity::StartTls => 587,
            SmtpSecurity::None => 25,
        };
        let Some([host, from]) = self.source.pair(["host", "from"], [written.host, written.from])? else {
            return Ok(None);
        };
        if ServerName::try_from(host.get_ref().as_str()).is_err() {
            let problem =
                "must be the name of a host, such as \"mail.example.org\"; its port is a key of its own";
            return Err(self.source.fault(host.span(), problem));
        }
        if !is_mailbox(from.get_ref()) {
            let problem = "must be an address, such as \"Heartbeat <heartbeat@example.org>\"";
            return Err(self.source.fault(from.span(), problem));
        }
        Ok(Some(SmtpConfig {
            host: host.into_inner(),
            port: written.port.map_or(usual, Spanned::into_inner),
            security,
            login,
            from: from.into_inner(),
            helo: self.helo(written.helo)?,
            ca_file: self.source.optional_path(written.ca_file)?,
        }))
    }

    /// # Errors
    /// One of them is missing.
    pub(super) fn login(
        &self,
        user: Option<Spanned<String>>,
        password_file: Option<Spanned<String>>,
    ) -> Result<Option<PasswordLogin>, ConfigError> {
        let Some([user, file]) = self.source.pair(["user", "password_file"], [user, password_file])? else {
            return Ok(None);
        };
        Ok(Some(PasswordLogin { user: user.into_inner(), password_file: self.source.absolute(file)? }))
    }

    fn helo(&self, written: Option<Spanned<String>>) -> Result<Option<String>, ConfigError> {
        match written {
            Some(helo) if !is_helo(helo.get_ref()) => {
                let problem = "must be the full name of this server, such as \"monitor.example.org\"";
                Err(self.source.fault(helo.span(), problem))
            }
            helo => Ok(helo.map(Spanned::into_inner)),
        }
    }

    pub fn retention(&self, written: written::Retention) -> Result<RetentionConfig, ConfigError> {
        Ok(RetentionConfig {
            events: self.source.period(written.events, "8760h", &KEPT)?,
            deliveries: self.source.period(written.deliveries, "2160h", &KEPT)?,
        })
    }

    pub fn limits(&self, written: written::Limits) -> Result<LimitsConfig, ConfigError> {
        let number = |written, default, allowed| {
            self.source.number::<u32>(written, default, allowed).map(|number| number as usize)
        };
        Ok(LimitsConfig {
            // A million descriptors is the kernel's own limit (fs.nr_open).
            connections: number(written.connections, 16_384, 16..=1_000_000)?,
            connections_per_address: number(written.connections_per_address, 1_000, 1..=1_000_000)?,
            // At 64 KiB a request, a queue of 1024 holds at most 64 MiB; of heartbeats 1 MiB.
            queue: number(written.queue, 1_024, 16..=65_536)?,
            workers: number(written.workers, 2, 1..=64)?,
        })
    }

    pub fn metrics_machines(&self, written: written::FleetMetrics) -> Result<usize, ConfigError> {
        // A response has about 1 KB for each machine.
        Ok(self.source.number::<u32>(written.machines, 1_000, 0..=100_000)? as usize)
    }
}

/// A host's name, or an address in brackets (RFC 5321, 4.1.3).
fn is_helo(helo: &str) -> bool {
    match helo.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(literal) => literal.trim_start_matches("IPv6:").parse::<std::net::IpAddr>().is_ok(),
        None => matches!(ServerName::try_from(helo), Ok(ServerName::DnsName(_))),
    }
}

/// Whether `text` is `address` or `Name <address>` with an address that needs no quoting in SMTP.
fn is_mailbox(text: &str) -> bool {
    let address = match text.rsplit_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or_default(),
        None => text.trim(),
    };
    let is_plain = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic() && !"<>()[]\\,;:\"@".contains(c))
    };
    !text.contains(char::is_control)
        && address.split_once('@').is_some_and(|(user, domain)| is_plain(user) && is_plain(domain))
}

/// Parses a non-negative duration in Go's syntax (`time.ParseDuration`): numbers with units, in any order: `2m0s`,
/// `1h15m30.5s`, `300ms`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = behind;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::go_duration;
    use std::time::Duration;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, milliseconds) in [
            ("30s", 30_000),
            ("2m0s", 120_000),
            ("1m30s", 90_000),
            ("1h0m0s", 3_600_000),
            ("1.5h", 5_400_000),
            ("300ms", 300),
            ("1m0.5s", 60_500),
            ("2000us", 2),
            (" 2m ", 120_000),
        ] {
            assert_eq!(go_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in
            ["", "30", "s", "-5s", "2m0", "1d", "2 m", "1.2.3s", ".s", "1e9h", "99999999999999999999h"]
        {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }
}
