//! Keeps the machine on the best uplink.

pub mod control;
pub mod decide;
pub mod decision;
pub mod gateway;
pub mod health;
mod hold_down;
pub mod links;
pub mod networkmanager;
pub mod portal;
pub mod probe;
pub mod routes;
