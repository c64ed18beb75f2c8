//! The command line, and what each command does.

use super::api::client::{self, ApiRequest, read};
use super::api::failover::ManualOverride;
use super::api::table::{self, Paint};
use super::check;
use super::config::{Config, DEFAULT_PATH};
use super::daemon;
use super::doctor;
use super::enrolment::{self, command::EnrollArguments};
use super::failover::status::FailoverStatus;
use super::failover::{gateway_probe, routes};
use super::failure::Failure;
use super::heartbeat;
use super::heartbeat::credentials::Credentials;
use super::heartbeat::formats;
use super::heartbeat::outcome::Outcome;
use super::heartbeat::payload::{self, Snapshot, Stamp};
use super::heartbeat::servers::Servers;
use super::metrics::{Sampler, read_identity};
use super::port;
use super::receive;
use crate::config::Period;
use crate::duration::span;
use crate::resolver::{NameResolver, lookup};
use crate::service_user;
use crate::wire::{self, Reason};
use clap::{CommandFactory, Parser, Subcommand};
use serde::Deserialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Between the two readings that CPU usage needs, where only one sample is wanted.
const CPU_WINDOW: Duration = Duration::from_millis(200);

/// Reports that this machine is alive, its state, and its uplink.
#[derive(Debug, Parser)]
#[command(
    name = "heartbeat-daemon",
    version,
    after_help = "Signals: TERM and INT stop, HUP reloads the \
    configuration, USR1 sends a heartbeat at once.\nExit status: 0 success, 1 failure, 2 usage, 69 the daemon is not running, 78 configuration."
)]
struct Arguments {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run in the foreground (the default; the service runs the same)
    Run,
    /// Check the configuration and report faults; as root, files are read as the service's user
    CheckConfig {
        /// Check as this user instead (root only)
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Check as this process would: its user, environment, credentials and file system (root only; for ExecReload=)
        #[arg(long, value_name = "PID", conflicts_with = "user")]
        process: Option<u32>,
    },
    /// Print one heartbeat and send nothing
    Print,
    /// Send one heartbeat and show the response
    Send,
    /// Enrol this device at a heartbeat-monitor: with an enrolment key, it gets a token of its own
    Enroll(EnrollArguments),
    /// Show each source of a heartbeat (its path, and its value or why that is missing), and check server, token,
    /// certificate, uplinks and API
    Doctor,
    /// Show the state of the running daemon
    Status {
        /// Print the API's JSON
        #[arg(long)]
        json: bool,
    },
    /// Make the running daemon send a heartbeat at once
    Trigger,
    /// Show the cameras that the running daemon checks
    Cameras {
        /// Check all cameras now and wait for the results
        #[arg(long)]
        check: bool,
        /// Print the API's JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the uplinks of the running daemon, or choose one
    #[command(subcommand)]
    Failover(FailoverCommand),
    /// Show which program has port 5000, which the web manager and PumaGuard need too; take it, or leave it
    #[command(subcommand)]
    Port(PortCommand),
    /// Remove the default routes that a killed daemon left behind (the service does this when it stops)
    Cleanup,
    /// Receive heartbeats and print a line for each: a test without a server
    Receive {
        /// Address and port; a port alone accepts connections from this machine only
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000", value_parser = receive::listen_address)]
        listen: String,
        /// Stop after this many heartbeats
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
}

/// For `listen = "auto"` in `[api]`; a change takes effect at the daemon's next start.
#[derive(Debug, Subcommand)]
enum PortCommand {
    /// Show which program has port 5000
    Status,
    /// Listen on it, whatever else is installed
    Use,
    /// Leave it to another program
    Leave,
    /// Leave it if the web manager, PumaGuard or another listener is found; an earlier choice stays (used by install.sh)
    Check {
        /// The root directory of the machine to examine
        #[arg(long, value_name = "DIR", default_value = "/")]
        root: PathBuf,
    },
    /// Delete the choice and decide again, like "check"
    Auto,
}

#[derive(Debug, Subcommand)]
enum FailoverCommand {
    /// Show the uplinks, and which one is in use
    Status,
    /// Use this uplink, even if it fails, until "auto" or the end of the given time
    Manual {
        /// One of the configured uplinks
        #[arg(value_name = "IFACE")]
        interface: String,
        /// Duration, such as "10m"; default: until "auto" or a restart
        #[arg(long = "for", value_name = "TIME")]
        limit: Option<Period>,
    },
    /// Choose the uplink automatically again
    Auto,
}

/// The definition of the command line, for man page and completions.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the command.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = arguments.config.as_path();
    let result = match arguments.command.unwrap_or(Command::Run) {
        Command::Run => daemon::run(config),
        Command::CheckConfig { process: Some(pid), .. } => {
            Err(service_user::run_as_process(pid, config, "check-config").into())
        }
        Command::CheckConfig { user, .. } => check::check_config(config, user.as_deref()),
        Command::Print => print(config),
        Command::Send => send(config),
        Command::Enroll(arguments) => {
            enrolment::command::enroll(config, &arguments).and_then(|done| print_line(&done))
        }
        Command::Doctor => doctor::examine(config).and_then(|table| print_line(table.trim_end())),
        Command::Status { json } => status(config, json),
        Command::Trigger => trigger(config),
        Command::Cameras { check, json } => cameras(config, check, json),
        Command::Failover(command) => control_failover(config, command),
        Command::Port(command) => port_command(config, command),
        Command::Cleanup => cleanup(),
        Command::Receive { listen, count } => receive::receive(&listen, &mut io::stdout(), count)
            .map_err(|error| Failure::Other(format!("cannot receive on {listen}: {error}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("heartbeat-daemon: {failure}");
            failure.exit_code()
        }
    }
}

/// A heartbeat with current values, slow sources included.
fn one_heartbeat(config: &Config, reason: Reason) -> wire::Heartbeat {
    let root = Path::new("/");
    let mut sampler = Sampler::new(root, &config.metrics, &config.activity);
    sampler.sample(Instant::now());
    while sampler.read_one_slow(Instant::now()) {}
    thread::sleep(CPU_WINDOW);
    let metrics = sampler.sample(Instant::now());
    let identity = read_identity(root, &config.daemon.state_dir);
    let stamp = Stamp { id: format!("{:016x}", fastrand::u64(..)), seq: 1, reason, now: SystemTime::now() };
    let snapshot = Snapshot {
        identity: &identity,
        interval: config.heartbeat.interval,
        metrics: &metrics,
        failover: None,
        uplinks: &[],
        cameras: &[],
    };
    payload::heartbeat(&snapshot, stamp)
}

fn print(path: &Path) -> Result<(), Failure> {
    let config = Config::load(path)?;
    let heartbeat = one_heartbeat(&config, Reason::Trigger);
    let body = formats::to_send(&heartbeat, &config.heartbeat, Path::new("/"));
    print_line(&String::from_utf8_lossy(&body))
}

fn send(path: &Path) -> Result<(), Failure> {
    let mut config = Config::load(path)?;
    enrolment::apply::apply(&mut config)?;
    let credentials = Credentials::load_each(&config.heartbeat)?;
    let names = NameResolver::start(heartbeat::resolver_limits(&config.heartbeat), lookup)
        .map_err(|error| Failure::Other(error.to_string()))?;
    let servers = Servers::new(&config.heartbeat, credentials, &Arc::new(names), &Arc::default());
    if servers.is_empty() {
        return Err(Failure::Other("no server is configured: set url in [heartbeat]".into()));
    }
    let mut heartbeat = one_heartbeat(&config, Reason::Trigger);
    // All of them, also behind one that fails.
    let each: Vec<_> =
        (0..servers.len()).map(|place| send_to(&servers, place, &mut heartbeat, &config)).collect();
    let mut failures = Vec::new();
    for sent in each {
        match sent {
            Ok(line) => print_line(&line)?,
            Err(failure) => failures.push(failure.to_string()),
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Failure::Other(failures.join("; "))) }
}

/// Sends a heartbeat to one of the servers; `Ok`: it took the heartbeat.
fn send_to(
    servers: &Servers,
    place: usize,
    heartbeat: &mut wire::Heartbeat,
    config: &Config,
) -> Result<String, Failure> {
    let Some(sender) = servers.sender(place) else { return Ok(String::new()) };
    heartbeat.server = servers.role(place, 0);
    let body = formats::to_send(heartbeat, &config.heartbeat, Path::new("/"));
    let begin = Instant::now();
    let outcome = sender.send(&body, config.heartbeat.timeout).outcome;
    let result = heartbeat::summary(servers.name(place), &outcome, begin.elapsed());
    match outcome {
        Outcome::Accepted { .. } => Ok(format!("{result}; {} bytes sent", body.len())),
        _ => Err(Failure::Other(result)),
    }
}

/// The body of the running daemon's response.
fn request(config: &Path, request: &ApiRequest) -> Result<Vec<u8>, Failure> {
    client::send(&Config::load_for_client(config)?.api, request, "")
}

fn status(config: &Path, json: bool) -> Result<(), Failure> {
    let body = request(config, &client::STATUS)?;
    if json {
        return print_line(&String::from_utf8_lossy(&body));
    }
    print_line(table::status(&read(&body)?, Paint::for_stdout()).trim_end())
}

fn trigger(config: &Path) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Triggered {
        triggered: bool,
    }
    let response: Triggered = read(&request(config, &client::TRIGGER)?)?;
    print_line(if response.triggered {
        "a heartbeat is sent now"
    } else {
        "a heartbeat is already queued; nothing more to send"
    })
}

fn cameras(config: &Path, check: bool, json: bool) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct CameraList {
        cameras: Vec<serde_json::Value>,
    }
    let checked = check.then(|| request(config, &client::CHECK_CAMERAS)).transpose()?;
    match checked {
        Some(body) if json => print_line(&String::from_utf8_lossy(&body)),
        _ => {
            let body = request(config, &client::CAMERAS)?;
            if json {
                return print_line(&String::from_utf8_lossy(&body));
            }
            print_line(table::cameras(&read::<CameraList>(&body)?.cameras, Paint::for_stdout()).trim_end())
        }
    }
}

fn control_failover(path: &Path, command: FailoverCommand) -> Result<(), Failure> {
    let api = Config::load_for_client(path)?.api;
    let body = match command {
        FailoverCommand::Status => client::send(&api, &client::FAILOVER, "")?,
        FailoverCommand::Auto => client::send(&api, &client::AUTO, "")?,
        FailoverCommand::Manual { interface, limit } => {
            let duration_s = limit.map(|limit| limit.0.as_secs_f64());
            let body = serde_json::json!(ManualOverride { interface, duration_s });
            client::send(&api, &client::MANUAL, &body.to_string())?
        }
    };
    print_line(uplinks(&read(&body)?).trim_end())
}

/// The state first, then one line for each uplink.
fn uplinks(status: &FailoverStatus) -> String {
    let ends = status.manual_s.map(|seconds| format!(", for {} more", span(Duration::from_secs(seconds))));
    let mut text =
        format!("state    {}{}\nmode     {}\n", status.state, ends.unwrap_or_default(), status.backend);
    for uplink in &status.uplinks {
        let used = if Some(&uplink.interface) == status.active.as_ref() { "  in use" } else { "" };
        text += &format!("{:<8} {}{used}\n", uplink.interface, uplink.state.as_str());
    }
    if !status.not_covered.is_empty() {
        text += &format!("Policy routing: not covered by mode routes: {}\n", status.not_covered.join(", "));
    }
    text
}

fn port_command(path: &Path, command: PortCommand) -> Result<(), Failure> {
    let state_dir = Config::load(path)?.daemon.state_dir;
    let not_saved = |error: io::Error| {
        let hint = if error.kind() == io::ErrorKind::PermissionDenied { "; run it with sudo" } else { "" };
        Failure::Other(format!("cannot save the choice in {}: {error}{hint}", state_dir.display()))
    };
    let root = Path::new("/");
    let changes = !matches!(command, PortCommand::Status);
    match command {
        PortCommand::Status => {}
        PortCommand::Use => port::write(&state_dir, &port::Choice::Use).map_err(not_saved)?,
        PortCommand::Leave => {
            let choice = port::Choice::Leave("another program (\"port leave\" was called)".into());
            port::write(&state_dir, &choice).map_err(not_saved)?;
        }
        PortCommand::Check { root } => {
            let below = root.join(state_dir.strip_prefix("/").unwrap_or(&state_dir));
            return match port::check(&root, &below).map_err(not_saved)? {
                Some(choice) => print_line(&choice.to_string()),
                None => Ok(()),
            };
        }
        PortCommand::Auto => {
            port::forget(&state_dir).map_err(not_saved)?;
            port::check(root, &state_dir).map_err(not_saved)?;
        }
    }
    let applies = if changes { "; \"sudo systemctl restart heartbeat-daemon\" applies it" } else { "" };
    let shown = port::read(&state_dir).map_or_else(|| port::DEFAULT.to_owned(), |choice| choice.to_string());
    print_line(&format!("{shown}{applies}"))
}

fn cleanup() -> Result<(), Failure> {
    let other = |what: &str, error: io::Error| Failure::Other(format!("cannot restore {what}: {error}"));
    let routes = routes::cleanup().map_err(|error| other("the default routes", error))?;
    let times = gateway_probe::cleanup().map_err(|error| other("the neighbour timeouts", error))?;
    match routes + times {
        0 => Ok(()),
        _ => print_line(&format!("removed {routes} default routes, restored {times} neighbour timeouts")),
    }
}

/// Prints `text`. A closed pipe (`heartbeat-daemon doctor | head`) is not a failure.
fn print_line(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Other(error.to_string())),
        _ => Ok(()),
    }
}
