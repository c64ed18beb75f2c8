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

/// A server that is configured and not there: what is triggered is sent, and fails.
const NOBODY: &str = "http://127.0.0.1:1/";

/// Where a program is missing that "tests/run browser" installs, which is too much to ask of whoever builds this on a
/// device: said, and a failure only where that has been run.
fn skip_without(program: &str) {
    use std::io::Write;
    assert!(std::env::var_os("HEARTBEAT_TESTS_BROWSER").is_none(), "there is no {program}");
    // Not by a macro, whose output is shown for tests that fail only.
    let _ = writeln!(std::io::stderr(), "SKIPPED: there is no {program}");
}
