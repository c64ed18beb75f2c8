//! Cameras that accept, refuse, drop, answer late and answer garbage, as real listeners; and what the camera thread and
//! the real heartbeat-daemon say of them.

#[path = "../support/mod.rs"]
mod support;

mod changes;
mod icmp;
mod lan;
mod methods;
mod script;
mod sources;
mod state;
