//! The command `enroll`: asks a monitor until it answers, then stores the token where the daemon finds it.

use super::apply::apply;
use super::client::{EnrolmentAnswer, EnrolmentClient};
use super::order::{self, EnrolmentOrder};
use super::pace::EnrolmentPace;
use super::record::EnrolmentRecord;
use super::server::MonitorAddress;
use super::state_dir::EnrolmentDirectory;
use crate::device::config::Config;
use crate::device::failure::Failure;
use crate::device::metrics::{Identity, identify};
use crate::logging;
use crate::tls_client::trust::Trust;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Between two looks for an interface.
const INTERFACE_POLL: Duration = Duration::from_secs(2);

/// The command's arguments.
#[derive(Debug, clap::Args)]
pub struct EnrollArguments {
    /// The monitor's address, such as https://monitor.example.org
    #[arg(value_name = "URL", required_unless_present = "boot")]
    url: Option<String>,
    /// Read the enrolment key from FILE; default: ask for it on the terminal
    #[arg(long, value_name = "FILE", conflicts_with = "boot")]
    key_file: Option<PathBuf>,
    /// Verify the monitor with the certificates in FILE (PEM); the daemon will do the same
    #[arg(long, value_name = "FILE", conflicts_with = "boot")]
    ca_file: Option<PathBuf>,
    /// Take the key from /etc/heartbeat-daemon/enroll.key or /boot/firmware/heartbeat.toml, and delete these files after
    /// success (used by heartbeat-daemon-enroll.service)
    #[arg(long, conflicts_with = "url")]
    boot: bool,
    /// With --boot: look for these files below DIR
    #[arg(long, value_name = "DIR", default_value = "/", requires = "boot")]
    root: PathBuf,
}

/// The machine that this device became.
struct EnrolledMachine {
    name: String,
    number: i64,
}

/// Enrols this device. Returns once the monitor has granted or refused it.
///
/// # Errors
/// The key is refused, or something on this device is missing or wrong; the key files stay then.
pub fn enroll(config_file: &Path, arguments: &EnrollArguments) -> Result<String, Failure> {
    let config = Config::load(config_file)?;
    logging::init(config.log);
    let files = if arguments.boot { order::key_files(&arguments.root) } else { Vec::new() };
    let order = match &arguments.url {
        Some(url) => typed(url, arguments)?,
        None => order::from_files(&files, &config.heartbeat)?,
    };
    let server = MonitorAddress::parse(&order.url)?;
    if let Some(ca) = &order.ca {
        Trust::only(ca.as_bytes()).map_err(|problem| format!("the CA {problem}"))?;
    }
    let machine = run(&config, &order, &server)?;
    for file in &files {
        order::destroy(file).map_err(|error| {
            format!("enrolled, but {} still holds the key: {error}; delete it", file.display())
        })?;
        log::info!("deleted {}", file.display());
    }
    let mut config = config;
    apply(&mut config)?;
    // Says so if the configuration has a token of its own, which wins.
    config.heartbeat.enrolment.announce();
    let EnrolledMachine { name, number } = machine;
    Ok(format!("enrolled at {} as {name} (machine {number})", order.url))
}

/// The order of a person.
fn typed(url: &str, arguments: &EnrollArguments) -> Result<EnrolmentOrder, Failure> {
    // Before a person types the key.
    MonitorAddress::parse(url)?;
    let ca = arguments.ca_file.as_deref().map(order::read).transpose()?;
    let key = match &arguments.key_file {
        Some(file) => order::key_file(file)?,
        None => order::prompt_for_key()?,
    };
    Ok(EnrolmentOrder { url: url.to_owned(), key, ca, name: None })
}

/// Asks until the monitor grants or refuses it. The token is on the disk before the first request.
fn run(config: &Config, order: &EnrolmentOrder, server: &MonitorAddress) -> Result<EnrolledMachine, Failure> {
    let state_dir = config.daemon.state_dir.as_path();
    let cannot_store = |error: io::Error| {
        let hint = if error.kind() == io::ErrorKind::PermissionDenied { "; run it with sudo" } else { "" };
        format!("cannot store the token in {}: {error}{hint}", state_dir.display())
    };
    let Some(directory) = EnrolmentDirectory::lock(state_dir).map_err(cannot_store)? else {
        return Err("another enrolment is running (heartbeat-daemon-enroll.service?)".to_owned().into());
    };
    let (identity, hardware_id) = identity(state_dir);
    // Created as root above if it was missing.
    directory.give(crate::device::metrics::REMEMBERED).map_err(cannot_store)?;
    let (ca, key) = (order.ca.as_deref(), order.key.expose());
    let new = EnrolmentRecord::new(&server.heartbeat, &hardware_id, ca, key).map_err(cannot_store)?;
    let record = directory.pending(new).map_err(cannot_store)?;
    let client = EnrolmentClient::new(&config.heartbeat, server, &record)?;
    let hostname = order.name.as_deref().or(identity.hostname.as_deref());
    let machine = request_until_decided(&client, key, &record, hostname)?;
    directory.grant(&record).map_err(cannot_store)?;
    Ok(machine)
}

/// This device, and its hardware id. Waits for one: at boot, an interface may appear late.
fn identity(state_dir: &Path) -> (Identity, String) {
    let mut is_waiting = false;
    loop {
        let identity = identify(Path::new("/"), state_dir);
        if let Some(warning) = &identity.warning {
            log::warn!("{warning}");
        }
        if let Some(found) = &identity.hardware_id {
            let hardware_id = found.id.clone();
            return (identity, hardware_id);
        }
        if !std::mem::replace(&mut is_waiting, true) {
            log::warn!(
                "this device has neither a serial number nor an interface with a MAC address; waiting for an interface"
            );
        }
        thread::sleep(INTERFACE_POLL);
    }
}

/// Repeats the request until it is granted or refused.
fn request_until_decided(
    client: &EnrolmentClient,
    key: &str,
    record: &EnrolmentRecord,
    hostname: Option<&str>,
) -> Result<EnrolledMachine, Failure> {
    let mut pace = EnrolmentPace::default();
    loop {
        let answer = client.send(key, record, hostname);
        match &answer {
            EnrolmentAnswer::Granted { name, machine } => {
                return Ok(EnrolledMachine { name: name.clone(), number: *machine });
            }
            EnrolmentAnswer::Refused(reason) => {
                return Err(format!("{} refuses: {reason}", record.url).into());
            }
            EnrolmentAnswer::Waiting(reason) if pace.is_news(reason) => {
                log::info!(
                    "{} waits for approval: {reason} (heartbeat-monitor enroll list)",
                    record.hardware_id
                );
            }
            EnrolmentAnswer::Failed { problem, .. } if pace.is_news(problem) => {
                log::warn!("not enrolled at {} yet: {problem}; trying again", record.url);
            }
            EnrolmentAnswer::Waiting(_) | EnrolmentAnswer::Failed { .. } => {}
        }
        thread::sleep(pace.delay(&answer, fastrand::f64()));
    }
}
