//! What the other test programs use, as far as it needs no daemon.

// A part of each is used here.
#![allow(dead_code)]

#[path = "../support/https.rs"]
pub mod https;
#[path = "../support/mail.rs"]
pub mod mail;
#[path = "../support/outages.rs"]
pub mod outages;
#[path = "../support/request.rs"]
pub mod request;
#[path = "../support/server.rs"]
pub mod server;

use std::time::{Duration, Instant};

/// For what must happen, and happens in milliseconds unless the machine is very busy.
pub const SOON: Duration = Duration::from_secs(20);

/// Waits until it holds, which it does soon; the time between two looks is too short to matter.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
