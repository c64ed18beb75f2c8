//! The real heartbeat-daemon against servers, signals, clocks and configurations, good and hostile.

#[path = "../support/mod.rs"]
mod support;

mod clock;
mod command_line;
mod configuration;
mod dns;
mod file_systems;
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
mod servers;
mod snapshot;
mod stop;
mod tls;
mod triggers;
