//! heartbeat-daemon and heartbeat-monitor: heartbeats of a fleet of small machines.
//!
//! Two programs, no async: OS threads that communicate over crossbeam channels.
//!
//! ```text
//! bin/heartbeat-daemon ─► device ──┐
//!                                  ├─► http, wire, config, clock and the other modules below
//!                                  │
//! bin/heartbeat-monitor ─► monitor ┘
//! ```
//!
//! Arrows point one way: nothing here knows the programs above it, and `device` and `monitor` never
//! meet except through [`wire`]. `bin/heartbeat-monitor/` has the monitor's start-up and its pages.

pub mod atomic_file;
pub mod backoff;
pub mod clock;
pub mod config;
#[cfg(feature = "device")]
pub mod device;
pub mod duration;
pub mod exposition;
#[cfg(feature = "postgres")]
mod followed_clock;
pub mod heap;
pub mod http;
pub mod latest;
#[cfg(any(feature = "device", feature = "monitor"))]
pub mod lock_file;
pub mod logging;
#[cfg(any(feature = "device", feature = "monitor"))]
pub mod mac;
pub mod mailbox;
#[cfg(feature = "monitor")]
pub mod monitor;
#[cfg(any(feature = "device", feature = "monitor"))]
pub mod resolver;
#[cfg(any(feature = "device", feature = "monitor"))]
pub mod service_user;
#[cfg(all(test, feature = "monitor"))]
#[path = "../tests/support/skip.rs"]
mod skip;
pub mod startup;
pub mod systemd;
pub mod table;
pub mod ticker;
#[cfg(any(feature = "device", feature = "monitor"))]
pub mod tls_client;
pub mod wire;
