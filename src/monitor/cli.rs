//! The command line: arguments, dispatch to the commands, exit status.

use super::command::audited::AuditedChange;
use super::command::{
    channel, check_config, condition, database, enroll, events, fleet, health, incident, machine,
    maintenance, monitor, recipient, report, status_page, token, user,
};
use super::command_error::CommandError;
use super::config::{Config, DEFAULT_PATH};
use super::notify::NotifySettings;
use crate::clock::Moment;
use crate::service_user;
use clap::{CommandFactory, Parser, Subcommand};
use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// sysexits.h: service unavailable; here, another process uses the database or the address, or no monitor responds.
const EX_UNAVAILABLE: u8 = 69;

/// sysexits.h: configuration error.
const EX_CONFIG: u8 = 78;

/// Receives the heartbeats of a fleet, detects late machines, and notifies people once.
#[derive(Debug, Parser)]
#[command(
    name = "heartbeat-monitor",
    version,
    after_help = "Signals: TERM and INT stop, HUP reloads configuration and certificate.\nExit status: 0 success, \
    1 failure, 2 usage error, 69 database or address in use or no monitor running, 78 configuration error."
)]
struct Arguments {
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve in the foreground (default; the service runs the same command)
    Serve,
    /// Check the configuration; run as root, it reads all files as the service's user
    CheckConfig {
        /// Check as this user instead (root only)
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Check with the user, environment, credentials and file system of this process (root only; for ExecReload=)
        #[arg(long, value_name = "PID", conflicts_with = "user")]
        process: Option<u32>,
    },
    /// Ask the running monitor for its health, on the address that it listens on; exit status 1 if it is ill, 69 if it
    /// does not respond
    Health,
    /// Manage machines and their tokens
    #[command(subcommand)]
    Machine(machine::MachineCommand),
    /// Manage maintenance that recurs each week; "machine pause" is for a single one
    #[command(subcommand)]
    Maintenance(maintenance::MaintenanceCommand),
    /// Manage keys with which new devices enrol, and devices that wait for approval
    #[command(subcommand)]
    Enroll(enroll::EnrollCommand),
    /// Show the monitors of this database, of which PostgreSQL can have several
    #[command(subcommand)]
    Monitor(monitor::MonitorCommand),
    /// Manage read tokens of the API
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Manage users of the pages: roles, links to set a password, sessions
    #[command(subcommand)]
    User(user::UserCommand),
    /// Manage recipients: who is notified about what
    #[command(subcommand)]
    Recipient(recipient::RecipientCommand),
    /// Manage channels of recipients: how they are notified
    #[command(subcommand)]
    Channel(channel::ChannelCommand),
    /// Manage conditions: what counts as an incident besides silence, from which threshold, after how long
    #[command(subcommand)]
    Condition(condition::ConditionCommand),
    /// Manage status pages: what people without an account may see of a group
    #[command(subcommand)]
    StatusPage(status_page::StatusPageCommand),
    /// List incidents, take one on, comment
    #[command(subcommand)]
    Incident(incident::IncidentCommand),
    /// Print how the machines of a recipient were in the last days; sends nothing
    Report(report::ReportCommand),
    /// List events: outages, recoveries, flapping, changes by commands
    Events(events::EventsCommand),
    /// Check, back up or vacuum the database
    #[command(subcommand)]
    Db(database::DatabaseCommand),
    /// Simulate a fleet against a running monitor, for sizing
    Fleet(fleet::FleetCommand),
}

/// The definition of the command line, for man page and completions.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// What the command `serve` does with the configuration file.
type Serve = fn(&Path) -> Result<(), CommandError>;

/// Runs the command that the command line names.
pub fn main(serve: Serve) -> ExitCode {
    let done = match service_config(env::args_os().skip(1)) {
        Some(config) => serve(&config),
        None => {
            let arguments = Arguments::parse();
            run(&arguments.config, arguments.command.unwrap_or(Command::Serve), serve)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("heartbeat-monitor: {error}");
            match error {
                CommandError::Config(_) => ExitCode::from(EX_CONFIG),
                CommandError::InUse(_) | CommandError::NoResponse(_) => ExitCode::from(EX_UNAVAILABLE),
                CommandError::Other(_) => ExitCode::FAILURE,
            }
        }
    }
}

/// The configuration file of a command line that only starts the service; clap reads all others, and reports the wrong ones.
/// The service runs for months: with clap, the definitions of all commands would stay in its memory (0.6 MB).
fn service_config(arguments: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let (mut config, mut has_command) = (None, false);
    let mut arguments = arguments.map(|argument| argument.into_string().ok());
    while let Some(argument) = arguments.next() {
        let argument = argument?;
        let file = match argument.strip_prefix("--config=") {
            Some(file) => file.to_owned(),
            None if argument == "--config" => arguments.next()??,
            None if argument == "serve" && !has_command => {
                has_command = true;
                continue;
            }
            None => return None,
        };
        if config.is_some() || file.is_empty() || file.starts_with('-') {
            return None;
        }
        config = Some(file.into());
    }
    Some(config.unwrap_or_else(|| DEFAULT_PATH.into()))
}

fn run(path: &Path, command: Command, serve: Serve) -> Result<(), CommandError> {
    let now = Moment::now();
    match &command {
        Command::Serve => return serve(path),
        Command::CheckConfig { process: Some(pid), .. } => {
            return Err(service_user::run_as_process(*pid, path, "check-config").into());
        }
        Command::CheckConfig { user, .. } => return print(&check_config::run(path, user.as_deref(), now)?),
        _ => {}
    }
    let config = Config::load(path)?;
    if matches!(command, Command::Health) {
        return print(&health::run(&config.http)?);
    }
    let database = &config.store.database;
    let change = command.audited();
    let output = match command {
        Command::Machine(command) => machine::run(command, database, now)?,
        Command::Maintenance(command) => maintenance::run(command, database, now)?,
        Command::Enroll(command) => enroll::run(command, &config, now)?,
        Command::Monitor(command) => monitor::run(command, database, now)?,
        Command::Token(command) => token::run(command, database, now)?,
        Command::User(command) => user::run(command, database, config.web.public_url.as_ref(), now)?,
        Command::Recipient(command) => recipient::run(command, database, now)?,
        Command::Condition(command) => condition::run(command, database, now)?,
        Command::Incident(command) => incident::run(command, database, now)?,
        Command::StatusPage(command) => status_page::run(command, database, &config.web, now)?,
        Command::Report(command) => report::run(&command, database, config.web.site().as_deref(), now)?,
        Command::Events(command) => events::run(&command, database, now)?,
        Command::Channel(command) => channel::run(command, database, &NotifySettings::load(&config)?, now)?,
        Command::Db(command) => database::run(command, database, now)?,
        Command::Fleet(command) => fleet::run(&command, &config, now)?,
        // Handled above.
        Command::Serve | Command::CheckConfig { .. } | Command::Health => return Ok(()),
    };
    if let Some(Err(error)) = change.map(|change| change.record(database, now)) {
        // The change is made all the same.
        eprintln!("heartbeat-monitor: cannot write the audit log: {error}");
    }
    print(&output)
}

impl Command {
    /// What is recorded in the audit log once the command has succeeded. The others write it themselves, or change nothing.
    fn audited(&self) -> Option<AuditedChange> {
        match self {
            Command::Machine(command) => command.audited(),
            Command::Maintenance(command) => command.audited(),
            Command::Enroll(command) => command.audited(),
            Command::Token(command) => command.audited(),
            Command::Recipient(command) => command.audited(),
            Command::Channel(command) => command.audited(),
            Command::Condition(command) => command.audited(),
            _ => None,
        }
    }
}

/// A closed pipe (`heartbeat-monitor machine list | head`) is not a failure.
fn print(text: &str) -> Result<(), CommandError> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::Other(error.to_string()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service_config_of(line: &str) -> Option<PathBuf> {
        service_config(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn a_command_line_that_starts_the_service_is_read_as_clap_reads_it() {
        for line in ["", "serve", "--config a.toml", "--config=a.toml serve", "serve --config a.toml"] {
            let parsed = Arguments::try_parse_from([""].into_iter().chain(line.split_whitespace()));
            let parsed = parsed.expect("clap accepts it");
            assert!(matches!(parsed.command, None | Some(Command::Serve)), "{line}");
            assert_eq!(service_config_of(line), Some(parsed.config), "{line}");
        }
    }

    #[test]
    fn every_other_command_line_is_left_to_clap() {
        for line in [
            "--config",
            "--config= serve",
            "--config --version",
            "--config=-a serve",
            "--config a.toml --config b.toml",
            "serve serve",
            "serve --help",
            "--version",
            "serve --",
            "health",
            "machine list",
        ] {
            assert_eq!(service_config_of(line), None, "{line}");
        }
    }
}
