//! The local API of the real heartbeat-daemon: its paths and errors, who may do what, where it listens, the command
//! line that asks it, and the page in a browser.

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod client;
mod commands;
mod devtools;
mod listening;
mod originals;
mod paths;
mod prometheus;
mod security;
