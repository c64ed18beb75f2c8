//! From SIGUSR1 to the first byte at a server on this machine, on a connection that is open.

use crate::figures::{Figure, Table, limits};
use crate::parts::{Outcome, Plan};
use crate::subject::{Daemon, Scheme};
use std::time::{Duration, Instant};

const ROUNDS: usize = 500;
/// After an answer, so that a round does not meet the one before it.
const SPACE: Duration = Duration::from_millis(20);
/// A heartbeat that has not come by then is counted as lost.
const LOST: Duration = Duration::from_secs(2);
/// With more of them there is nothing to measure.
const MOST_LOST: usize = 10;

pub fn measure(_: &Plan) -> Outcome<Vec<Table>> {
    [Scheme::Http, Scheme::Https].into_iter().map(latency).collect()
}

fn latency(scheme: Scheme) -> Outcome<Table> {
    let daemon = Daemon::start(scheme)?;
    let mut times = Vec::with_capacity(ROUNDS);
    let mut connections = Vec::new();
    let mut lost = 0;
    for number in 0..ROUNDS {
        std::thread::sleep(SPACE);
        match round(&daemon)? {
            Some((time, connection)) => {
                times.push(time);
                connections.push(connection);
            }
            None => lost += 1,
        }
        if lost > MOST_LOST {
            return Err(format!("{lost} of {} triggers made no heartbeat", number + 1));
        }
    }
    connections.dedup();
    times.sort_unstable();
    let mut table =
        Table::new(format!("SIGUSR1 to the first byte at the server, {}, {ROUNDS} rounds", scheme.name()));
    let at = |share: f64| milliseconds(times[((times.len() - 1) as f64 * share).round() as usize]);
    table.add(Figure::new("p50", at(0.50), "ms").at_most(limits::TRIGGER_P50_MS));
    table.add(Figure::new("p95", at(0.95), "ms"));
    table.add(Figure::new("p99", at(0.99), "ms").at_most(limits::TRIGGER_P99_MS));
    table.add(Figure::new("max", at(1.0), "ms"));
    table.add(Figure::new("triggers without a heartbeat", lost as f64, "").at_most(limits::NONE));
    table.add(Figure::new("connections used", connections.len() as f64, ""));
    Ok(table)
}

/// The time and the connection; None if no heartbeat came. Scheduled ones are passed over.
fn round(daemon: &Daemon) -> Outcome<Option<(Duration, usize)>> {
    daemon.receiver.drain();
    let before = Instant::now();
    daemon.trigger()?;
    while let Some(arrival) = daemon.receiver.next(LOST.saturating_sub(before.elapsed())) {
        if is_triggered(&arrival.body) {
            return Ok(Some((arrival.first_byte.saturating_duration_since(before), arrival.connection)));
        }
    }
    Ok(None)
}

fn is_triggered(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|heartbeat| heartbeat["reason"] == "trigger")
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
