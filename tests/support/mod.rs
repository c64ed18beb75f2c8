//! What the test programs share: a daemon in a scratch directory, and the servers it meets.

// Each program that includes this uses a part of it.
#![allow(dead_code)]

pub mod cable;
pub mod daemon;
pub mod dns;
pub mod https;
#[cfg(feature = "monitor")]
pub mod monitor;
pub mod namespace;
pub mod net;
pub mod notify;
pub mod process;
pub mod request;
pub mod scratch;
pub mod server;
pub mod wall_clock;

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

/// For what must happen, and happens in milliseconds unless the machine is very busy.
pub const SOON: Duration = Duration::from_secs(20);

/// Waits until it holds, which it does soon; the time between two looks is too short to matter.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Where something that a test needs is missing: said clearly, and the test passes for nothing. Where
/// `$HEARTBEAT_TESTS_SKIP` is `never`, as for a CI that has installed everything, it fails.
pub fn skip(reason: &str) {
    assert!(std::env::var("HEARTBEAT_TESTS_SKIP").as_deref() != Ok("never"), "must not be skipped: {reason}");
    // Not by a macro, whose output is shown for tests that fail only.
    writeln!(std::io::stderr(), "SKIPPED: {reason}").expect("a standard error");
}
