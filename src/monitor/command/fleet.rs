//! `heartbeat-monitor fleet`: a simulated fleet against a running monitor, for sizing a server.

use crate::clock::Moment;
use crate::monitor::simulation::{self, Content, Plan, Report, SendRate};
use crate::monitor::store::{DatabaseLocation, Refused, Store};
use clap::Args;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// Not measured: the server notices new machines within a second, and then all connections arrive at once.
const WARM_UP: Duration = Duration::from_secs(5);

/// Sends heartbeats like a fleet of devices and reports how the monitor responded. The machines are added before, in
/// the group "simulated", and removed afterwards. Exclude that group from notifications.
#[derive(Debug, Args)]
pub struct FleetCommand {
    /// Where the monitor listens, without TLS
    #[arg(long, default_value = "http://127.0.0.1:8080/api/v1/heartbeat")]
    url: String,
    /// Number of machines
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    machines: u32,
    /// Seconds between two heartbeats of a machine
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    interval: u32,
    /// Duration of the measurement in seconds
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Send as fast as responses arrive, over this many connections, instead of at the interval over one connection each
    #[arg(long, value_name = "CONNECTIONS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    unpaced: Option<u32>,
    /// Send replays instead of live heartbeats, this many per request
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=48))]
    replays: Option<u32>,
    /// Threads that send
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
    /// Keep the machines in the database afterwards
    #[arg(long)]
    keep: bool,
}

/// Returns the output.
///
/// # Errors
/// The simulation failed; the added machines are removed again.
pub fn run(command: &FleetCommand, database: &DatabaseLocation, now: Moment) -> Result<String, Refused> {
    let target = FleetTarget::of(&command.url)?;
    let store = Store::open_beside(database, now)?;
    let tokens = store.add_simulated(command.machines as usize, now)?;
    let tokens: Vec<String> = tokens.iter().map(|token| token.as_str().to_owned()).collect();
    let report =
        simulation::run(&Arc::new(plan(command, &target, &tokens)), command.threads as usize, WARM_UP);
    if !command.keep {
        store.remove_simulated()?;
    }
    let report = report.map_err(|error| Refused::because(format!("cannot simulate the fleet: {error}")))?;
    Ok(summary(command, &report))
}

fn plan(command: &FleetCommand, target: &FleetTarget, tokens: &[String]) -> Plan {
    let content = command.replays.map_or(Content::Live, |batch| Content::Replays(batch as usize));
    let mut plan = Plan::new(target.address, &target.authority, &target.path, tokens, content);
    plan.length = Duration::from_secs(command.seconds.into());
    match command.unpaced {
        Some(connections) => plan.connections = connections as usize,
        None => plan.rate = SendRate::Every(Duration::from_secs(command.interval.into())),
    }
    plan
}

struct FleetTarget {
    address: SocketAddr,
    authority: String,
    path: String,
}

impl FleetTarget {
    fn of(url: &str) -> Result<FleetTarget, Refused> {
        let rest = url.strip_prefix("http://");
        let rest = rest.ok_or_else(|| {
            Refused::because("the simulation supports plain HTTP only: --url http://HOST:PORT/PATH")
        })?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, "api/v1/heartbeat"));
        let place = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
        let unreachable = |why: &dyn std::fmt::Display| Refused::because(format!("{place}: {why}"));
        let mut addresses = place.to_socket_addrs().map_err(|error| unreachable(&error))?;
        let address = addresses.next().ok_or_else(|| unreachable(&"no address found"))?;
        TcpStream::connect_timeout(&address, Duration::from_secs(2)).map_err(|error| unreachable(&error))?;
        Ok(FleetTarget { address, authority: authority.to_owned(), path: format!("/{path}") })
    }
}

fn summary(command: &FleetCommand, report: &Report) -> String {
    let what = if command.replays.is_some() { "replays" } else { "heartbeats" };
    let milliseconds = |share: f64| report.accepted.quantile(share).as_secs_f64() * 1000.0;
    let mut text = format!(
        "{} machines: {:.0} {what} per second for {} s; response time {:.1} ms (p50), {:.1} ms (p99), {:.1} ms (maximum)",
        command.machines,
        report.rate(),
        command.seconds,
        milliseconds(0.5),
        milliseconds(0.99),
        report.accepted.most().as_secs_f64() * 1000.0,
    );
    // Writing to a String cannot fail.
    for (status, count) in &report.refused {
        let _ = write!(text, "\n{count} requests got status {status}");
    }
    if report.broken > 0 {
        let _ = write!(
            text,
            "\n{} connections broke or were refused (see [limits] in the configuration)",
            report.broken
        );
    }
    if report.late > 0 {
        let _ = write!(
            text,
            "\n{} heartbeats were skipped, because the previous one had no response yet",
            report.late
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_is_not_plain_http_or_has_no_listener_is_refused_before_machines_are_added() {
        for url in ["https://127.0.0.1/", "127.0.0.1:8080", "http://127.0.0.1:1/x"] {
            assert!(FleetTarget::of(url).is_err(), "{url}");
        }
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let target = FleetTarget::of(&format!("http://{address}/a/b")).expect("a target");
        assert_eq!((target.address, target.path.as_str()), (address, "/a/b"));
    }
}
