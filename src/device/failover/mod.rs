//! Keeps the machine on the best uplink.

pub mod decide;
pub mod decision;
pub mod health;
mod hold_down;
