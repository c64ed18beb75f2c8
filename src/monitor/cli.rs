//! The command line, and what each command does.

use super::command::{channel, database, enroll, events, fleet, machine, recipient, token};
use super::config::{Config, DEFAULT_PATH};
use super::listen;
use super::notify;
use super::serve::{self, Failure};
use super::time::Moment;
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
    /// Check the configuration and say what is wrong with it
    CheckConfig,
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
    if let Command::Serve = command {
        return serve::run(path);
    }
    let config = Config::load(path)?;
    let database = config.store.database.as_path();
    let said = match command {
        Command::CheckConfig => check_config(path, &config)?,
        Command::Machine(command) => machine::run(command, database, now)?,
        Command::Enroll(command) => enroll::run(command, database, now)?,
        Command::Token(command) => token::run(command, database, now)?,
        Command::Recipient(command) => recipient::run(command, database, now)?,
        Command::Channel(command) => channel::run(command, database, &notify::Settings::of(&config), now)?,
        Command::Events(command) => events::run(&command, database, now)?,
        Command::Db(command) => database::run(command, database, now)?,
        Command::Fleet(command) => fleet::run(&command, database, now)?,
        // Done above.
        Command::Serve => return Ok(()),
    };
    say(&said)
}

/// All that a start would refuse, but for the database and the address.
fn check_config(path: &Path, config: &Config) -> Result<String, Failure> {
    config.http.tls.as_ref().map(listen::certificate).transpose()?;
    let listen = config.http.listen.map(|address| address.to_string());
    let socket = config.http.socket.as_ref().map(|path| path.display().to_string());
    let places: Vec<String> = listen.into_iter().chain(socket).collect();
    Ok(format!("{}: good; would listen on {}", path.display(), places.join(" and ")))
}

/// A reader that has left (`heartbeat-monitor machine list | head`) is no failure.
fn say(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Other(error.to_string())),
        _ => Ok(()),
    }
}
