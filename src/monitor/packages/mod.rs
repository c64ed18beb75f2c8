//! Packages for devices.

pub mod index;
pub mod private_ca;
