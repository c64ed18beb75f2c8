//! The command line, and what each command does.

use super::command::{channel, check_config, database, enroll, events, fleet, machine, recipient, token};
use super::config::{Config, DEFAULT_PATH};
use super::notify;
use super::serve::{self, Failure};
use crate::clock::Moment;
use crate::service_user;
use clap::{CommandFactory, Parser, Subcommand};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// sysexits.h: the service is not available; here, another program has the database or the port.
const EX_UNAVAILABLE: u8 = 69;

/// sysexits.h: something is wrong with the configuration.
const EX_CONFIG: u8 = 78;

/// Takes a fleet's heartbeats, knows who is late, and tells people once.
#[derive(Debug, Parser)]
#[command(
    name = "heartbeat-monitor",
    version,
    after_help = "Signals: TERM and INT stop, HUP reloads configuration and certificate.\nExit status: 0 good, \
    1 failure, 2 usage, 69 the database or the address is in use, 78 configuration."
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
    /// Serve in the foreground (the default; the service runs the same)
    Serve,
    /// Check the configuration and say what is wrong with it; as root, as the service's user would read it
    CheckConfig {
        /// Check as this user instead (root only)
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Check as this process would: its user, environment, credentials and file system (root only; for ExecReload=)
        #[arg(long, value_name = "PID", conflicts_with = "user")]
        process: Option<u32>,
    },
    /// Add, list and change machines and their tokens
    #[command(subcommand)]
    Machine(machine::MachineCommand),
    /// One-time keys with which a new device registers itself
    #[command(subcommand)]
    Enroll(enroll::EnrollCommand),
    /// Tokens of programs that read
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Who is told, and what they want to hear
    #[command(subcommand)]
    Recipient(recipient::RecipientCommand),
    /// The ways to reach them: webhook, telegram, email, ntfy
    #[command(subcommand)]
    Channel(channel::ChannelCommand),
    /// List what happened: outages, recoveries, flapping, changes by commands
    Events(events::EventsCommand),
    /// Check, copy and tidy the database
    #[command(subcommand)]
    Db(database::DatabaseCommand),
    /// A simulated fleet against a running monitor, for sizing
    Fleet(fleet::FleetCommand),
}

/// The command line as it is defined, for man page and completions.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments.config, arguments.command.unwrap_or(Command::Serve)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("heartbeat-monitor: {failure}");
            match failure {
                Failure::Config(_) => ExitCode::from(EX_CONFIG),
                Failure::InUse(_) => ExitCode::from(EX_UNAVAILABLE),
                Failure::Other(_) => ExitCode::FAILURE,
            }
        }
    }
}

fn run(path: &Path, command: Command) -> Result<(), Failure> {
    let now = Moment::now();
    match &command {
        Command::Serve => return serve::run(path),
        Command::CheckConfig { process: Some(pid), .. } => {
            return Err(service_user::run_as_process(*pid, path, "check-config").into());
        }
        Command::CheckConfig { user, .. } => return say(&check_config::run(path, user.as_deref(), now)?),
        _ => {}
    }
    let config = Config::load(path)?;
    let database = config.store.database.as_path();
    let said = match command {
        Command::Machine(command) => machine::run(command, database, now)?,
        Command::Enroll(command) => enroll::run(command, database, now)?,
        Command::Token(command) => token::run(command, database, now)?,
        Command::Recipient(command) => recipient::run(command, database, now)?,
        Command::Events(command) => events::run(&command, database, now)?,
        Command::Channel(command) => channel::run(command, database, &notify::Settings::load(&config)?, now)?,
        Command::Db(command) => database::run(command, database, now)?,
        Command::Fleet(command) => fleet::run(&command, database, now)?,
        // Done above.
        Command::Serve | Command::CheckConfig { .. } => return Ok(()),
    };
    say(&said)
}

/// A reader that has left (`heartbeat-monitor machine list | head`) is no failure.
fn say(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Other(error.to_string())),
        _ => Ok(()),
    }
}
