//! The options of `fleet`.

use crate::config::Period;
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Sends heartbeats like a fleet of devices and reports how the monitor responded; with --outages and --alerts also whether
/// each outage was announced once and in time. The machines are added before, in the group "simulated", and removed afterwards.
/// Exclude that group from notifications. The report on standard output has one line "name value unit" for each figure.
#[derive(Debug, Args)]
pub struct FleetCommand {
    /// Where the monitor listens. Several times for several monitors: the machines are shared out evenly, and each
    /// goes to the next one when one refuses its heartbeat or does not respond within 2 s
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080/api/v1/heartbeat")]
    pub url: Vec<String>,
    /// Certificates to verify https servers with, in PEM; without it the public authorities
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Number of machines
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub machines: u32,
    /// Number of the first machine, for several simulations at the same time
    #[arg(long, default_value_t = 1, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub first: u32,
    /// Time between two heartbeats of a machine
    #[arg(long, default_value = "5s", value_name = "TIME", value_parser = positive)]
    pub interval: Period,
    /// Duration of the measurement, after all machines have begun
    #[arg(long, default_value = "30s", value_name = "TIME", value_parser = positive)]
    pub duration: Period,
    /// Time in which the machines begin, one after the other; default: 1,000 in a second
    #[arg(long, value_name = "TIME", value_parser = positive)]
    pub ramp: Option<Period>,
    /// Whether a machine keeps its connection or makes a new one for each heartbeat
    #[arg(long, default_value = "keep-alive", value_name = "WHICH")]
    pub connections: ConnectionUse,
    /// Close this many connections in a second, which are made again at the next heartbeat
    #[arg(long, default_value_t = 0.0, value_name = "RATE", value_parser = rate)]
    pub churn: f64,
    /// Silence this many machines, each once and for longer than the threshold of the configuration
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    pub outages: u32,
    /// Receive the monitor's webhooks at this address, and compare them with the outages; exit status 1 if a message is
    /// missing, doubled, false or late
    #[arg(long, value_name = "ADDRESS", requires = "secret_file")]
    pub alerts: Option<SocketAddr>,
    /// The secret of that webhook
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Time that a message may take beyond threshold and check interval
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = positive)]
    pub slack: Period,
    /// Decides which machines fall silent, when and for how long, and which connections are closed
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// Send as fast as responses arrive, over this many connections, instead of at the interval over one connection each
    #[arg(long, value_name = "CONNECTIONS", conflicts_with_all = ["outages", "churn", "ramp"],
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub unpaced: Option<u32>,
    /// Send replays instead of live heartbeats, this many per request
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=48))]
    pub replays: Option<u32>,
    /// Threads that send
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: u32,
    #[command(flatten)]
    pub tokens: TokenOptions,
}

/// Where the machines' tokens come from.
#[derive(Debug, Args)]
pub struct TokenOptions {
    /// Keep the machines in the database afterwards
    #[arg(long)]
    pub keep: bool,
    /// Only add the machines, and write their tokens to this new file, one a line
    #[arg(long, value_name = "FILE")]
    pub write_tokens: Option<PathBuf>,
    /// Use the tokens of this file, beginning with that of the machine --first, instead of adding machines
    #[arg(long, value_name = "FILE", conflicts_with = "write_tokens")]
    pub tokens: Option<PathBuf>,
    /// Only remove all simulated machines
    #[arg(long, conflicts_with_all = ["write_tokens", "tokens"])]
    pub remove: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ConnectionUse {
    KeepAlive,
    New,
}

fn positive(text: &str) -> Result<Period, String> {
    let period: Period = text.parse()?;
    if period.0.is_zero() { Err("must be longer than that".into()) } else { Ok(period) }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.0..=100_000.0).contains(rate));
    rate.ok_or_else(|| "expected a number from 0 to 100000".into())
}
