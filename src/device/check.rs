//! `check-config`: everything that a start would refuse, and probable mistakes.

use super::config::advice::advice;
use super::config::{Config, DEFAULT_PATH};
use super::daemon;
use super::failure::Failure;
use super::heartbeat::servers::server_names;
use crate::config::{ConfigError, Source};
use crate::service_user;
use std::path::{Path, PathBuf};

/// The unit's name, and its user's if systemd is not reachable.
const SERVICE: &str = "heartbeat-daemon";
const USER: &str = "heartbeat";

/// Reads the configuration and every file that it names. As root it does so as the service's user, or as `user`; only a
/// configuration that is not the service's own is read as root first.
pub fn check_config(path: &Path, user: Option<&str>) -> Result<(), Failure> {
    let is_own = path == Path::new(DEFAULT_PATH);
    let read = if is_own { None } else { Some(Source::read(path)?) };
    let user = service_user::become_user(SERVICE, USER, user)?;
    let named = |error: ConfigError| service_user::name_user(error, user.as_deref(), path);
    let source = read.map_or_else(|| Source::read(path), Ok).map_err(named)?;
    let (config, credentials, settings) = daemon::load_source(&source).map_err(named)?;
    let servers = config.heartbeat.servers();
    let each = servers.iter().zip(&credentials);
    let mut warnings: Vec<String> =
        each.flat_map(|(server, credentials)| advice(server, credentials.token.is_some())).collect();
    if user.is_some() {
        warnings.extend(service_user::hidden_files(files(&config)));
    }
    warnings.iter().for_each(|sentence| eprintln!("heartbeat-daemon: warning: {sentence}"));
    let place = match config.heartbeat.url {
        Some(_) => format!("heartbeats go to {}", server_names(&config.heartbeat)),
        None => "no server is configured (url in [heartbeat])".to_owned(),
    };
    let reader = user.map(|user| format!(" (read as the service's user {user})")).unwrap_or_default();
    println!("{}: good; {place}{reader}", path.display());
    let cameras = settings.cameras();
    cameras.differences().iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// The files that the service reads at each start and reload.
fn files(config: &Config) -> Vec<&PathBuf> {
    let heartbeat = &config.heartbeat;
    let certificate = heartbeat.client_certificate.as_ref();
    let backups = heartbeat.backups.iter().flat_map(|server| [&server.token_file, &server.ca_file]);
    [&heartbeat.token_file, &heartbeat.ca_file, &config.api.token_file]
        .into_iter()
        .chain(backups)
        .flatten()
        .chain(certificate.into_iter().flat_map(|client| [&client.certificate_file, &client.key_file]))
        .collect()
}
