//! Enrolment: with a key, this device gets a token of its own from a heartbeat-monitor.
//!
//! | file | what it owns |
//! |---|---|
//! | `record` | `enrolment.json`: server, token, and the board that they are for |
//! | `stored` | whether the daemon uses that file, and whether it has changed |
//! | `apply` | adds the enrolment to a configuration that has none |
//! | `order` | the key, and where it comes from: two files, or a person |
//! | `server` | the monitor's two addresses, and when a key may be sent there |
//! | `client` | one request, and what its answer means |
//! | `pace` | when to ask again, and what is worth a line in the log |
//! | `state_dir` | the state directory: its owner, its lock, the unanswered request |
//! | `command` | the command `enroll`, which the unit heartbeat-daemon-enroll runs as well |
//! | `other_board` | the thread that asks for approval after the card was moved to another board |
//!
//! The device makes its token itself and stores it before the first request, so that a repeated request has the same token
//! and is the same machine for the monitor.

pub mod apply;
pub mod client;
pub mod command;
pub mod order;
pub mod other_board;
pub mod pace;
pub mod record;
pub mod server;
pub mod state_dir;
pub mod stored;
