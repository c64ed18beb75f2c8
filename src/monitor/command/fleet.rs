//! `heartbeat-monitor fleet`: a simulated fleet against a running monitor, for sizing a server and for testing its alerts.

mod figures;
mod options;
mod setup;
mod tokens;

pub use options::FleetCommand;

use crate::clock::Moment;
use crate::monitor::command_error::CommandError;
use crate::monitor::config::Config;
use setup::FleetSetup;
use std::io::Write;
use tokens::FleetTokens;

/// Returns the output.
///
/// # Errors
/// The simulation failed, or messages were not as they should be; the added machines are removed again.
pub fn run(command: &FleetCommand, config: &Config, now: Moment) -> Result<String, CommandError> {
    let tokens = FleetTokens { options: &command.tokens, database: &config.store.database };
    if command.tokens.remove {
        return Ok(tokens.remove_all(now)?);
    }
    if let Some(file) = &command.tokens.write_tokens {
        return Ok(tokens.write(file, command.first, command.machines, now)?);
    }
    // Everything that can be refused is refused before machines are added.
    let fleet = FleetSetup::of(command, config)?;
    let list = tokens.take(command.first, command.machines, now)?;
    let result = fleet.run(&list);
    let given_back = tokens.give_back(command.first, command.machines);
    let (text, is_good) = result?;
    if is_good && given_back.is_ok() {
        return Ok(text);
    }
    // A closed pipe is not the failure to report.
    let _ = writeln!(std::io::stdout(), "{text}");
    given_back?;
    Err(CommandError::Other("messages were missing, doubled, false or late: see above".into()))
}
