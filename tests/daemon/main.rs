//! The real heartbeat-daemon against servers, signals, clocks and configurations, good and hostile.

#[path = "../support/mod.rs"]
mod support;

mod clock;
mod command_line;
mod configuration;
mod dns;
mod formats;
mod hostile;
mod instances;
mod logs;
mod notify;
mod outage;
mod proxy;
mod refusals;
mod reload;
mod secrets;
mod snapshot;
mod stop;
mod tls;
mod triggers;

/// Where something that a test needs is missing: said clearly, and the test passes for nothing.
fn skip(reason: &str) {
    eprintln!("SKIPPED: {reason}");
}
