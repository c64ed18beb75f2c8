//! The cameras of the configuration, from written values to used ones.

use super::check::Check;
use super::used::{CameraMethod, CameraPlan, Cameras, ConfiguredCamera, MOST_CAMERAS};
use super::written;
use crate::config::{ConfigError, Period};
use crate::device::host;
use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;

/// More than once a second is a load test; above 1 h a notification comes too late.
const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// A camera on the same LAN that needs longer is of no use.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(30);
const FAILURES: RangeInclusive<u32> = 1..=100;
const PATTERNS: usize = 64;
/// As long as the names that they are for.
const PATTERN: usize = 63;

/// The default of `tcp_port`.
fn usual_port(method: CameraMethod) -> u16 {
    match method {
        CameraMethod::Https => 443,
        CameraMethod::Rtsp => 554,
        _ => 80,
    }
}

impl Check<'_> {
    pub fn cameras(&self, written: written::Cameras) -> Result<Cameras, ConfigError> {
        let defaults = CameraPlan {
            interval: Duration::from_secs(60),
            method: CameraMethod::Tcp,
            port: 80,
            tcp_timeout: Duration::from_secs(3),
            icmp_timeout: Duration::from_secs(2),
            failures: 1,
        };
        let plan = Arc::new(self.plan(written.plan, defaults)?);
        Ok(Cameras {
            enabled: written.enabled.unwrap_or(true),
            hostname_patterns: self.patterns(written.hostname_patterns)?,
            lease_file: self.source.optional_path(written.lease_file)?,
            cameras: self.each_camera(written.camera, &plan)?,
            plan,
        })
    }

    /// The settings of `wanted` where it has them, otherwise those of `general`.
    fn plan(&self, wanted: written::Plan, general: CameraPlan) -> Result<CameraPlan, ConfigError> {
        let period = |written: Option<Spanned<Period>>, general: Duration, allowed| {
            self.source.period(written, &Period(general).to_string(), allowed)
        };
        let method = wanted.method.unwrap_or(general.method);
        let port = match wanted.tcp_port {
            // A camera with its own method has the usual port of that method.
            None if wanted.method.is_some() && usual_port(method) != usual_port(general.method) => {
                usual_port(method)
            }
            port => self.source.number(port, general.port, 1..=u16::MAX)?,
        };
        Ok(CameraPlan {
            interval: period(wanted.interval, general.interval, &INTERVAL)?,
            method,
            port,
            tcp_timeout: period(wanted.tcp_timeout, general.tcp_timeout, &TIMEOUT)?,
            icmp_timeout: period(wanted.icmp_timeout, general.icmp_timeout, &TIMEOUT)?,
            failures: self.source.number(wanted.failures, general.failures, FAILURES)?,
        })
    }

    fn patterns(&self, written: Option<Spanned<Vec<String>>>) -> Result<Vec<String>, ConfigError> {
        let Some(written) = written else { return Ok(Vec::new()) };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.*".contains(c);
        let is_pattern = |text: &String| (1..=PATTERN).contains(&text.len()) && text.chars().all(allowed);
        let problem = match written.get_ref() {
            patterns if patterns.len() > PATTERNS => "must not have more than 64 patterns",
            patterns if !patterns.iter().all(is_pattern) => {
                "a pattern has 1 to 63 letters, digits, '-', '_', '.', and '*' for any text, such as \"cam-*\""
            }
            _ => return Ok(written.into_inner()),
        };
        Err(self.source.fault(written.span(), problem))
    }

    fn each_camera(
        &self,
        written: Vec<Spanned<written::Camera>>,
        general: &Arc<CameraPlan>,
    ) -> Result<Vec<ConfiguredCamera>, ConfigError> {
        if let Some(beyond) = written.get(MOST_CAMERAS) {
            return Err(self.source.fault(beyond.span(), &format!("more than {MOST_CAMERAS} cameras")));
        }
        let (mut macs, mut addresses) = (HashSet::new(), HashSet::new());
        let mut cameras = Vec::with_capacity(written.len());
        for written in written {
            let span = written.span();
            let camera = self.camera(written, general)?;
            let again = camera.mac.is_some_and(|mac| !macs.insert(mac))
                || camera.mac.is_none() && camera.address.is_some_and(|address| !addresses.insert(address));
            if again {
                return Err(self.source.fault(span, "this camera stands above already"));
            }
            cameras.push(camera);
        }
        Ok(cameras)
    }

    fn camera(
        &self,
        written: Spanned<written::Camera>,
        general: &Arc<CameraPlan>,
    ) -> Result<ConfiguredCamera, ConfigError> {
        let span = written.span();
        let written = written.into_inner();
        let mac = self.read(written.mac, host::mac)?;
        let address = self.read(written.address, host::address)?;
        let hostname = self.read(written.hostname, host::hostname)?;
        if mac.is_none() && address.is_none() {
            return Err(self.source.fault(span, "a camera needs a mac or an address"));
        }
        let plan = self.plan(written.plan, **general)?;
        let plan = if plan == **general { general.clone() } else { Arc::new(plan) };
        Ok(ConfiguredCamera { mac, address, hostname, plan })
    }

    fn read<T>(
        &self,
        written: Option<Spanned<String>>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(written) = written else { return Ok(None) };
        read(written.get_ref()).map(Some).map_err(|problem| self.source.fault(written.span(), &problem))
    }
}
