//! The real heartbeat-daemon against servers, signals, clocks and configurations, good and hostile.

use std::io::Write;

#[path = "../support/mod.rs"]
mod support;

mod clock;
mod command_line;
mod configuration;
mod dns;
mod formats;
mod hostile;
mod instances;
mod logs;
mod notify;
mod outage;
mod proxy;
mod refusals;
mod reload;
mod secrets;
mod snapshot;
mod stop;
mod tls;
mod triggers;

/// Where something that a test needs is missing: said clearly, and the test passes for nothing. Where
/// `$HEARTBEAT_TESTS_SKIP` is `never`, as for a CI that has installed everything, it fails.
fn skip(reason: &str) {
    assert!(std::env::var("HEARTBEAT_TESTS_SKIP").as_deref() != Ok("never"), "must not be skipped: {reason}");
    // Not by a macro, whose output is shown for tests that fail only.
    writeln!(std::io::stderr(), "SKIPPED: {reason}").expect("a standard error");
}
