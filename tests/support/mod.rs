//! What the test programs share: a daemon in a scratch directory, and the servers it meets.

// Each program that includes this uses a part of it.
#![allow(dead_code, unused_imports)]

pub mod cable;
pub mod daemon;
pub mod dns;
pub mod https;
pub mod lateness;
#[cfg(feature = "monitor")]
pub mod monitor;
pub mod namespace;
pub mod net;
pub mod notify;
#[cfg(feature = "monitor")]
pub mod outages;
pub mod process;
pub mod request;
pub mod scratch;
pub mod server;
pub mod skip;
pub mod wall_clock;

pub use skip::{skip, skip_without};
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
