//! The program on the device: says "I am alive, here is how I am" every few seconds.
//!
//! ```text
//!          metrics ─── Metrics ──────┐
//!          failover ── status ───────┤   ┌───────────────┐  2 s at most
//!                                    ├──►│   heartbeat   ├──────────────► server
//!   SIGUSR1 ─────────── Trigger ─────┘   │ ticker+events │
//!                                        └───────────────┘
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | `cli` | the command line, and what each command does |
//! | `doctor` | the command `doctor` |
//! | `certificate` | until when a server's certificate is valid |
//! | `check` | the command `check-config` |
//! | `config` | the configuration file, as written and as used |
//! | `daemon` | start-up, signals, stop: the threads and their channels |
//! | `failure` | why a command failed, and its exit status |
//! | `metrics/` | one thread that reads the machine |
//! | `enrolment/` | how the device gets a token of its own, and a thread that asks for approval on another board |
//! | `failover/` | one thread that keeps the machine on the best uplink |
//! | `camera_settings` | the camera settings that the API has changed |
//! | `cameras/` | one thread that watches the LAN's cameras |
//! | `api/` | one thread that answers local HTTP: status page, scripts, the command line |
//! | `heartbeat/` | one thread that owns the snapshot and sends it |
//! | `os/` | the only code that touches the machine below /proc and /sys |
//! | `burst` | a limit on what happens in bursts |
//! | `host` | what a host on the LAN is known by |
//! | `port` | whose port 5000 is: ours, or that of a program of the systems before this one |
//! | `trigger` | a request to send a heartbeat at once |
//! | `token` | what proves who is who, for both directions |
//! | `receive` | a tiny receiver, to see heartbeats without a server |
//! | `shown` | a heartbeat as one line for a person |

pub mod api;
mod burst;
pub mod camera_settings;
pub mod cameras;
pub mod certificate;
pub mod check;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod doctor;
pub mod enrolment;
pub mod failover;
pub mod failure;
pub mod heartbeat;
pub mod host;
pub mod metrics;
pub mod os;
pub mod port;
pub mod receive;
pub mod shown;
pub mod token;
pub mod trigger;
