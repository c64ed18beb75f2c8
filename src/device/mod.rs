//! The program on the device: says "I am alive, here is how I am" every few seconds.
//!
//! ```text
//!          metrics ─── Observation ──┐
//!          failover ── Uplinks ──────┤   ┌───────────────┐  2 s at most
//!                                    ├──►│   heartbeat   ├──────────────► server
//!   SIGUSR1 ─────────── Trigger ─────┘   │ ticker+inbox  │
//!                                        └───────────────┘
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | `cli` | the command line, and what each command does |
//! | `config` | the configuration file, as written and as used |
//! | `daemon` | start-up, signals, stop: which threads there are and who talks to whom |
//! | `metrics/` | one thread that reads the machine |
//! | `failover/` | one thread that keeps the machine on the best uplink |
//! | `heartbeat/` | one thread that owns the snapshot and sends it |
//! | `os/` | the only code that touches the machine below /proc and /sys |
//! | `receive` | a tiny receiver, to see heartbeats without a server |
//! | `shown` | a heartbeat as one line for a person |

pub mod cli;
pub mod config;
pub mod daemon;
pub mod failover;
pub mod heartbeat;
pub mod metrics;
pub mod os;
pub mod receive;
pub mod shown;
