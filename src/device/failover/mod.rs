//! Keeps the machine on the best uplink.

pub mod gateway;
pub mod portal;
pub mod probe;
