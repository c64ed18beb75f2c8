//! Enrolment: with a key, this device gets a token of its own from a heartbeat-monitor.
//!
//! | file | what it owns |
//! |---|---|
//! | `record` | `enrolment.json`: server, token, and the board that they are for |
//! | `stored` | whether the daemon uses that file, and whether it has changed |
//! | `server` | the monitor's two addresses, and when a key may be sent there |
//! | `state_dir` | the state directory: its owner, its lock, the unanswered request |
//!
//! The device makes its token itself and stores it before the first request, so that a repeated request has the same token
//! and is the same machine for the monitor.

pub mod record;
pub mod server;
pub mod state_dir;
pub mod stored;
