//! heartbeat-daemon and heartbeat-monitor: a fleet of small machines says that it is alive.
//!
//! Two programs, no async: OS threads that talk over crossbeam channels.
//!
//! ```text
//! bin/heartbeat-daemon ─► device ──┐
//!                                  ├─► http, wire, account, clock, config, heap, latest, logging, mailbox, resolver,
//!                                  │   systemd, ticker, tls_client
//! bin/heartbeat-monitor ─► monitor ┘
//! ```
//!
//! Arrows point one way: nothing here knows the programs above it, and `device` and `monitor` never
//! meet except through [`wire`].

#[cfg(any(feature = "device", feature = "monitor"))]
pub mod account;
pub mod clock;
pub mod config;
#[cfg(feature = "device")]
pub mod device;
pub mod heap;
pub mod http;
pub mod latest;
pub mod logging;
pub mod mailbox;
#[cfg(feature = "monitor")]
pub mod monitor;
#[cfg(any(feature = "device", feature = "monitor"))]
pub mod resolver;
#[cfg(all(test, feature = "monitor"))]
#[path = "../tests/support/skip.rs"]
mod skip;
pub mod systemd;
pub mod ticker;
#[cfg(any(feature = "device", feature = "monitor"))]
pub mod tls_client;
pub mod wire;
