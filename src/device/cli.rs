//! The command line, and what each command does.

use super::api::client::{self, ApiRequest, read};
use super::api::failover::ManualOverride;
use super::api::table::{self, Paint};
use super::check;
use super::config::{Config, DEFAULT_PATH};
use super::daemon;
use super::doctor;
use super::failover::status::FailoverStatus;
use super::failover::{gateway_probe, routes};
use super::failure::Failure;
use super::heartbeat::credentials::Credentials;
use super::heartbeat::formats;
use super::heartbeat::outcome::Outcome;
use super::heartbeat::payload::{self, Snapshot, Stamp};
use super::heartbeat::sender::HeartbeatSender;
use super::heartbeat::{self, server_name};
use super::metrics::{Sampler, read_identity};
use super::port;
use super::receive;
use crate::config::Period;
use crate::duration::span;
use crate::resolver::{Names, lookup};
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

/// Says that this machine is alive, how it is, and over which uplink.
#[derive(Debug, Parser)]
#[command(
    name = "heartbeat-daemon",
    version,
    after_help = "Signals: TERM and INT stop, HUP reloads the \
    configuration, USR1 sends a heartbeat at once.\nExit status: 0 good, 1 failure, 2 usage, 69 the daemon is not running, 78 configuration."
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
    /// Check the configuration and say what is wrong with it; as root, as the service's user would read it
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
    /// Send one heartbeat and show the answer
    Send,
    /// Show each source of a heartbeat (where it is read, its value, or why it is missing), and whether server, token,
    /// certificate, uplinks and API work
    Doctor,
    /// Ask the running daemon how it is
    Status {
        /// As the API answers it
        #[arg(long)]
        json: bool,
    },
    /// Have the running daemon send a heartbeat at once
    Trigger,
    /// Show the cameras that the running daemon watches
    Cameras {
        /// Check all of them now, and wait for it
        #[arg(long)]
        check: bool,
        /// As the API answers it
        #[arg(long)]
        json: bool,
    },
    /// Ask the running daemon which uplink it uses, or tell it which to use
    #[command(subcommand)]
    Failover(FailoverCommand),
    /// Port 5000, which the web manager and PumaGuard need too: whose it is, take it, or leave it
    #[command(subcommand)]
    Port(PortCommand),
    /// Remove the default routes that a killed daemon has left behind (the service does it when it stops)
    Cleanup,
    /// Receive heartbeats and print a line for each, to see them without a server
    Receive {
        /// Address and port; a port alone listens for this machine only
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
    /// Show whose port 5000 is
    Status,
    /// Listen there, whatever else is installed
    Use,
    /// Leave it to another program
    Leave,
    /// Leave it if the web manager, PumaGuard or another listener is found; an earlier choice stays (install.sh does it)
    Check {
        /// Look at the machine whose file system begins here
        #[arg(long, value_name = "DIR", default_value = "/")]
        root: PathBuf,
    },
    /// Forget the choice, and look again as "check" does
    Auto,
}

#[derive(Debug, Subcommand)]
enum FailoverCommand {
    /// Show the uplinks, which one is used, and why
    Status,
    /// Use this uplink, whatever happens, until "auto" or the end of its time
    Manual {
        /// One of the configured uplinks
        #[arg(value_name = "IFACE")]
        interface: String,
        /// Such as "10m"; without it the override stays until "auto" or a restart
        #[arg(long = "for", value_name = "TIME")]
        limit: Option<Period>,
    },
    /// Choose by itself again
    Auto,
}

/// The command line as it is defined, for man page and completions.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Does what the command line says.
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
        Command::Doctor => doctor::examine(config).and_then(|table| say(table.trim_end())),
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

/// One heartbeat of this moment, with what the slow sources say.
fn one_heartbeat(config: &Config, reason: Reason) -> wire::Heartbeat {
    let root = Path::new("/");
    let mut sampler = Sampler::new(root, &config.metrics, &config.activity);
    sampler.sample(Instant::now());
    while sampler.ask_one_slow(Instant::now()) {}
    thread::sleep(CPU_WINDOW);
    let metrics = sampler.sample(Instant::now());
    let identity = read_identity(root, &config.daemon.state_dir);
    let stamp = Stamp { id: format!("{:016x}", fastrand::u64(..)), seq: 1, reason, now: SystemTime::now() };
    let snapshot = Snapshot {
        identity: &identity,
        interval: config.heartbeat.interval,
        metrics: &metrics,
        failover: None,
        cameras: &[],
    };
    payload::heartbeat(&snapshot, stamp)
}

fn print(path: &Path) -> Result<(), Failure> {
    let config = Config::load(path)?;
    let heartbeat = one_heartbeat(&config, Reason::Trigger);
    let body = formats::to_send(&heartbeat, &config.heartbeat, Path::new("/"));
    say(&String::from_utf8_lossy(&body))
}

fn send(path: &Path) -> Result<(), Failure> {
    let config = Config::load(path)?;
    let credentials = Credentials::load(&config.heartbeat)?;
    let names = Names::start(heartbeat::NAMES, lookup).map_err(|error| Failure::Other(error.to_string()))?;
    let Some(sender) = HeartbeatSender::new(&config.heartbeat, credentials, Arc::new(names), Arc::default())
    else {
        return Err(Failure::Other("no server is configured: set url in [heartbeat]".into()));
    };
    let heartbeat = one_heartbeat(&config, Reason::Trigger);
    let body = formats::to_send(&heartbeat, &config.heartbeat, Path::new("/"));
    let begin = Instant::now();
    let outcome = sender.send(&body, config.heartbeat.timeout).outcome;
    let result = heartbeat::summary(&server_name(&config.heartbeat), &outcome, begin.elapsed());
    match outcome {
        Outcome::Accepted { .. } => say(&format!("{result}; {} bytes sent", body.len())),
        _ => Err(Failure::Other(result)),
    }
}

/// The body of the running daemon's response.
fn request(config: &Path, request: &ApiRequest) -> Result<Vec<u8>, Failure> {
    client::send(&Config::load_to_ask(config)?.api, request, "")
}

fn status(config: &Path, json: bool) -> Result<(), Failure> {
    let body = request(config, &client::STATUS)?;
    if json {
        return say(&String::from_utf8_lossy(&body));
    }
    say(table::status(&read(&body)?, Paint::for_stdout()).trim_end())
}

fn trigger(config: &Path) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Triggered {
        triggered: bool,
    }
    let answer: Triggered = read(&request(config, &client::TRIGGER)?)?;
    say(if answer.triggered {
        "a heartbeat is sent now"
    } else {
        "a heartbeat is already queued; nothing more to send"
    })
}

fn cameras(config: &Path, check: bool, json: bool) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct List {
        cameras: Vec<serde_json::Value>,
    }
    let checked = check.then(|| request(config, &client::CHECK_CAMERAS)).transpose()?;
    match checked {
        Some(body) if json => say(&String::from_utf8_lossy(&body)),
        _ => {
            let body = request(config, &client::CAMERAS)?;
            if json {
                return say(&String::from_utf8_lossy(&body));
            }
            say(table::cameras(&read::<List>(&body)?.cameras, Paint::for_stdout()).trim_end())
        }
    }
}

fn control_failover(path: &Path, command: FailoverCommand) -> Result<(), Failure> {
    let api = Config::load_to_ask(path)?.api;
    let body = match command {
        FailoverCommand::Status => client::send(&api, &client::FAILOVER, "")?,
        FailoverCommand::Auto => client::send(&api, &client::AUTO, "")?,
        FailoverCommand::Manual { interface, limit } => {
            let duration_s = limit.map(|limit| limit.0.as_secs_f64());
            let body = serde_json::json!(ManualOverride { interface, duration_s });
            client::send(&api, &client::MANUAL, &body.to_string())?
        }
    };
    say(uplinks(&read(&body)?).trim_end())
}

/// What a person wants to know first stands first.
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
    let unkept = |error: io::Error| {
        let hint = if error.kind() == io::ErrorKind::PermissionDenied { "; run it with sudo" } else { "" };
        Failure::Other(format!("cannot keep the choice in {}: {error}{hint}", state_dir.display()))
    };
    let root = Path::new("/");
    let changes = !matches!(command, PortCommand::Status);
    match command {
        PortCommand::Status => {}
        PortCommand::Use => port::write(&state_dir, &port::Choice::Use).map_err(unkept)?,
        PortCommand::Leave => {
            let choice = port::Choice::Leave("another program (\"port leave\" was called)".into());
            port::write(&state_dir, &choice).map_err(unkept)?;
        }
        PortCommand::Check { root } => {
            let below = root.join(state_dir.strip_prefix("/").unwrap_or(&state_dir));
            return match port::check(&root, &below).map_err(unkept)? {
                Some(choice) => say(&choice.to_string()),
                None => Ok(()),
            };
        }
        PortCommand::Auto => {
            port::forget(&state_dir).map_err(unkept)?;
            port::check(root, &state_dir).map_err(unkept)?;
        }
    }
    let applies = if changes { "; \"sudo systemctl restart heartbeat-daemon\" applies it" } else { "" };
    let shown = port::read(&state_dir).map_or_else(|| port::DEFAULT.to_owned(), |choice| choice.to_string());
    say(&format!("{shown}{applies}"))
}

fn cleanup() -> Result<(), Failure> {
    let other = |what: &str, error: io::Error| Failure::Other(format!("{what} cannot be put back: {error}"));
    let routes = routes::cleanup().map_err(|error| other("default routes", error))?;
    let times = gateway_probe::cleanup().map_err(|error| other("neighbour times", error))?;
    match routes + times {
        0 => Ok(()),
        _ => say(&format!("removed {routes} default routes, put {times} neighbour times back")),
    }
}

/// A reader that has left (`heartbeat-daemon doctor | head`) is no failure.
fn say(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Other(error.to_string())),
        _ => Ok(()),
    }
}
