//! `heartbeat-monitor check-config`: checks everything that a start would refuse, except the database and the address, and
//! every file that is read later.

use crate::clock::Moment;
use crate::config::{ConfigError, Source};
use crate::monitor::command_error::CommandError;
use crate::monitor::config::{Config, DEFAULT_PATH};
use crate::monitor::listen;
use crate::monitor::mqtt::MqttSettings;
use crate::monitor::notify::NotifySettings;
use crate::monitor::notify::channel::{Channel, secret_in};
use crate::monitor::packages::offer::Offer;
use crate::monitor::store::{DatabaseLocation, Refused, Store};
use crate::monitor::watchdog::WatchdogSettings;
use crate::service_user;
use std::path::{Path, PathBuf};

/// Name of the unit; also of its user, if systemd is not there to ask.
const SERVICE: &str = "heartbeat-monitor";

/// Run by root, reads as the service's user or as `user`; reads the file itself as root unless it is the installed one.
pub fn run(path: &Path, user: Option<&str>, now: Moment) -> Result<String, CommandError> {
    let is_own = path == Path::new(DEFAULT_PATH);
    let read = if is_own { None } else { Some(Source::read(path)?) };
    let user = service_user::become_user(SERVICE, SERVICE, user)?;
    let named = |error: ConfigError| service_user::name_user(error, user.as_deref(), path);
    let source = read.map_or_else(|| Source::read(path), Ok).map_err(named)?;
    let config = Config::from_file(&source).map_err(named)?;
    listen::certificate(&config).map_err(named)?;
    mail(&config).map_err(named)?;
    NotifySettings::load(&config).map_err(named)?;
    Offer::load(&config).map_err(named)?;
    WatchdogSettings::check(&config).map_err(named)?;
    MqttSettings::check(&config).map_err(named)?;
    channels(&config, now).map_err(named)?;
    if user.is_some() {
        for sentence in service_user::hidden_files(files(&config)) {
            eprintln!("heartbeat-monitor: warning: {sentence}");
        }
    }
    let listen = config.http.listen.map(|address| address.to_string());
    let socket = config.http.socket.as_ref().map(|path| path.display().to_string());
    let places: Vec<String> = listen.into_iter().chain(socket).collect();
    let reader = user.map(|user| format!(" (read as the service's user {user})")).unwrap_or_default();
    Ok(format!("{}: good; would listen on {}{reader}", path.display(), places.join(" and ")))
}

fn mail(config: &Config) -> Result<(), ConfigError> {
    let Some(settings) = &config.smtp else { return Ok(()) };
    let fault = |problem: String| ConfigError::new(format!("[smtp] {problem}"));
    if let Some(login) = &settings.login {
        secret_in(&login.password_file.display().to_string()).map_err(fault)?;
    }
    Ok(())
}

/// Checks the token files of the channels in the database. A database that cannot be opened is only a warning: the start
/// reports it.
fn channels(config: &Config, now: Moment) -> Result<(), ConfigError> {
    if config.store.database.file().is_some_and(|file| !file.exists()) {
        return Ok(());
    }
    let channels = match enabled_channels(&config.store.database, now) {
        Ok(channels) => channels,
        Err(error) => {
            eprintln!("heartbeat-monitor: warning: cannot check the token files of the channels: {error}");
            return Ok(());
        }
    };
    for channel in channels {
        if let Some(file) = &channel.secret_file {
            secret_in(file).map_err(|problem| ConfigError::new(format!("{}: {problem}", channel.name())))?;
        }
    }
    Ok(())
}

fn enabled_channels(database: &DatabaseLocation, now: Moment) -> Result<Vec<Channel>, Refused> {
    let store = Store::open_existing(database, now)?;
    let listed = store.channels()?;
    listed.iter().filter(|listed| listed.enabled).map(|listed| store.channel(listed.id)).collect()
}

/// All files that the service reads.
fn files(config: &Config) -> Vec<&PathBuf> {
    let tls = config.http.tls.iter().flat_map(|tls| [&tls.certificate_file, &tls.key_file]);
    let smtp = config.smtp.as_ref();
    let login = smtp.and_then(|smtp| smtp.login.as_ref()).map(|login| &login.password_file);
    let authorities = smtp.and_then(|smtp| smtp.ca_file.as_ref()).into_iter().chain(&config.notify.ca_file);
    let offered = config.packages.iter().chain(&config.web.ca_file);
    let watchdog =
        config.watchdog.iter().flat_map(|watchdog| watchdog.token_file.iter().chain(&watchdog.ca_file));
    let mqtt = config
        .mqtt
        .iter()
        .flat_map(|mqtt| mqtt.login.iter().map(|login| &login.password_file).chain(&mqtt.ca_file));
    tls.chain(login).chain(authorities).chain(offered).chain(watchdog).chain(mqtt).collect()
}
