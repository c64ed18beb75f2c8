//! `doctor`: each thing that the daemon needs, where it is, and what came of trying it.

use super::api::client::{self, FAILOVER};
use super::camera_settings::{self, CameraSettings};
use super::cameras;
use super::certificate;
use super::config::{AUTO, Config, HeartbeatConfig, Listen};
use super::daemon;
use super::enrolment;
use super::failover;
use super::failover::status::FailoverStatus;
use super::failure::Failure;
use super::heartbeat::credentials::Credentials;
use super::heartbeat::sender::HeartbeatSender;
use super::heartbeat::{self, server_name};
use super::metrics::{self, Sampler, SourceReport, read_identity};
use super::port;
use crate::config::Source;
use crate::duration::span;
use crate::resolver::{NameResolver, lookup};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Between the two readings that CPU usage needs.
const CPU_WINDOW: Duration = Duration::from_millis(200);

/// A certificate that ends sooner is worth a word: what renews it does so a month before.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// A table of everything, as text.
pub fn examine(path: &Path) -> Result<String, Failure> {
    let source = Source::read(path)?;
    let mut config = Config::from_file(&source)?;
    enrolment::apply::apply(&mut config)?;
    let state_dir = &config.daemon.state_dir;
    let mut sampler = Sampler::new(Path::new("/"), &config.metrics, &config.activity);
    sampler.sample(Instant::now());
    thread::sleep(CPU_WINDOW);
    let mut reports = vec![hardware_id(state_dir)];
    reports.extend(sampler.inspect());
    reports.push(SourceReport::read("cameras", state_dir.join(cameras::STATE).to_string_lossy(), || {
        cameras::examine(&config.cameras, state_dir)
    }));
    let place = config.heartbeat.enrolment.path.to_string_lossy();
    reports.push(SourceReport::read("enrolment", place, || enrolment::apply::examine(&config)));
    reports.extend(servers(&config.heartbeat));
    let runtime_dir = &config.daemon.runtime_dir;
    reports.push(SourceReport::read("interfaces", "route netlink", || failover::examine(&config.network)));
    reports.push(SourceReport::read("uplinks", "the running daemon", || uplinks(&config)));
    reports.push(SourceReport::read("api", "listen in [api]", || api(&config)));
    reports.push(camera_settings(&source, &config));
    reports.push(snapshot(&runtime_dir.join(daemon::SNAPSHOT)));
    Ok(metrics::render(&reports))
}

fn hardware_id(state_dir: &Path) -> SourceReport {
    SourceReport::read("hardware_id", state_dir.to_string_lossy(), || {
        let found = read_identity(Path::new("/"), state_dir).hardware_id;
        let found = found.ok_or("no serial number, nothing remembered, no interface with a MAC address")?;
        Ok(format!("{} (from {})", found.id, found.origin.as_str()))
    })
}

fn camera_settings(source: &Source, config: &Config) -> SourceReport {
    let place = config.daemon.state_dir.join(camera_settings::NAME);
    SourceReport::read("settings", place.to_string_lossy(), || {
        let changed = CameraSettings::load(source, config).differences();
        Ok(if changed.is_empty() { "as the file says".to_owned() } else { changed.join("; ") })
    })
}

/// How old the values are that the running daemon sends.
fn snapshot(path: &Path) -> SourceReport {
    SourceReport::read("snapshot", path.to_string_lossy(), || {
        let written = fs::metadata(path).and_then(|metadata| metadata.modified());
        let written = written.map_err(|error| format!("{error}: the daemon is not running"))?;
        let age = SystemTime::now().duration_since(written).unwrap_or_default();
        Ok(format!("written {} ago", span(age)))
    })
}

/// Each server alone; without any, that there is none.
fn servers(config: &HeartbeatConfig) -> Vec<SourceReport> {
    let mut servers = config.servers();
    if servers.is_empty() {
        servers.push(config.clone());
    }
    servers.iter().flat_map(one_server).collect()
}

fn one_server(config: &HeartbeatConfig) -> Vec<SourceReport> {
    let place = server_name(config);
    let mut reports = vec![
        SourceReport::read("token", token_place(config), || token(config)),
        SourceReport::read("server", place.clone(), || server(config)),
    ];
    if config.url.as_ref().is_some_and(|url| url.scheme_str() == Some("https")) {
        reports.push(SourceReport::read("certificate", place, || server_certificate(config)));
    }
    reports
}

fn token_place(config: &HeartbeatConfig) -> String {
    let HeartbeatConfig { token_file, enrolment, .. } = config;
    let file = token_file.as_ref().or_else(|| enrolment.record().map(|_| &enrolment.path));
    file.map_or_else(|| "credential heartbeat-token".to_owned(), |file| file.display().to_string())
}

fn token(config: &HeartbeatConfig) -> Result<String, String> {
    let credentials = Credentials::load(config).map_err(|error| error.to_string())?;
    match credentials.token {
        Some(token) => Ok(format!("{} characters", token.expose().len())),
        None => {
            Err("none is configured (token_file in [heartbeat]); a heartbeat-monitor needs one".to_owned())
        }
    }
}

/// Sends no heartbeat: a request with the method HEAD changes nothing.
fn server(config: &HeartbeatConfig) -> Result<String, String> {
    let credentials = Credentials::load(config).map_err(|error| error.to_string())?;
    let with_token = if credentials.token.is_some() { "with our token" } else { "without a token" };
    let names = NameResolver::start(heartbeat::RESOLVER_LIMITS, lookup).map_err(|error| error.to_string())?;
    let sender = HeartbeatSender::new(config, credentials, Arc::new(names), Arc::default());
    let sender = sender.ok_or("no server is configured: set url in [heartbeat]")?;
    let begin = Instant::now();
    match sender.probe()? {
        status @ (401 | 403) => Err(format!("it refuses a request {with_token} (status {status})")),
        status => Ok(format!("answers in {} (status {status} to HEAD)", span(begin.elapsed()))),
    }
}

fn server_certificate(config: &HeartbeatConfig) -> Result<String, String> {
    let url = config.url.as_ref().ok_or("no server is configured")?;
    let host = url.host().ok_or("the URL names no host")?;
    let addresses = lookup(host.trim_matches(['[', ']']), url.port_u16().unwrap_or(443));
    let address = *addresses.map_err(|error| error.to_string())?.first().ok_or("it has no address")?;
    let end = certificate::expiry(host, address, config.timeout)?;
    let left = end.duration_since(SystemTime::now()).map_err(|_| "it has expired, or this clock is wrong")?;
    let text = format!("valid for {} more days", left.as_secs() / 86_400);
    if left < SOON { Err(format!("{text}: renew it")) } else { Ok(text) }
}

fn uplinks(config: &Config) -> Result<String, String> {
    let status = client::fetch(&config.api, &FAILOVER).map_err(|failure| failure.to_string())?;
    let FailoverStatus { active, state, uplinks, .. } = status;
    let each = uplinks.iter().map(|uplink| {
        let used = if Some(&uplink.interface) == active.as_ref() { " in use" } else { "" };
        format!("{} {}{used}", uplink.interface, uplink.state.as_str())
    });
    Ok(format!("{state}: {}", each.collect::<Vec<_>>().join(", ")))
}

/// Where the API listens over TCP, and whether it is our daemon that answers there.
fn api(config: &Config) -> Result<String, String> {
    let address = match config.api.listen {
        Listen::Nowhere => return Ok("socket file only".to_owned()),
        Listen::At(address) => address,
        Listen::Auto => match port::read(&config.daemon.state_dir) {
            Some(choice @ port::Choice::Leave(_)) => return Ok(choice.to_string()),
            _ => AUTO,
        },
    };
    match client::identify(address) {
        Ok(()) => Ok(address.to_string()),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(format!(
            "another program listens on {address}; \"heartbeat-daemon port leave\" leaves port 5000 to it"
        )),
        Err(error) => Err(format!("{address}: {error}")),
    }
}
