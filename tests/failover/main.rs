//! The real heartbeat-daemon with three uplinks in network namespaces, and what happens to uplinks.
//!
//! Times are held against what is promised, and some more for a busy machine; the figures themselves are printed by
//! `cargo bench --bench failover`.

#[path = "../support/mod.rs"]
mod support;

mod bed;
mod carrier;
mod in_flight;
mod modes;
mod rig;
mod routes;
mod surroundings;
mod upstream;
