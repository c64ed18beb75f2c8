//! The monitor's pages in a headless Chromium, with the real monitor.
//!
//! Without Chromium each test is skipped; "tests/run browser" installs it.

#[path = "../support/mod.rs"]
mod support;

mod bed;
mod connection;
mod fleet;
mod keyboard;
mod looks;
mod many;
mod markup;
mod no_scripts;
mod prefix;
mod scene;
mod sign_in;
mod status;
