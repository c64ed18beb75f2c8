//! Parses the words of one command, for the tests of the commands.

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
struct OneCommand<C: Subcommand> {
    #[command(subcommand)]
    command: C,
}

pub fn parse<C: Subcommand>(words: &[&str]) -> Result<C, String> {
    let words = std::iter::once("heartbeat-monitor").chain(words.iter().copied());
    OneCommand::try_parse_from(words).map(|parsed| parsed.command).map_err(|error| error.to_string())
}
