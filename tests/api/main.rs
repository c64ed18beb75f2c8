//! The local API of the real heartbeat-daemon: its paths and errors, who may do what, where it listens, the command
//! line that asks it, and the page in a browser.

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod client;
mod commands;
mod listening;
mod originals;
mod paths;
mod prometheus;
mod security;

/// A server that is configured and not there: what is triggered is sent, and fails.
const UNPRIVILEGED: &str = "http://127.0.0.1:1/";
