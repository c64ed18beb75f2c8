//! The monitor's pages in a headless Chromium, with the real monitor.
//!
//! Without Chromium each test is skipped; "tests/run browser" installs it.

#[path = "../support/mod.rs"]
mod support;

mod bed;
mod connection;
mod fleet;
mod sign_in;
