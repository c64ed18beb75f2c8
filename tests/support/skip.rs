//! Tests that need what this machine may not have.

use std::io::Write;

/// Where something that a test needs is missing: said clearly, and the test passes for nothing. Where
/// `$HEARTBEAT_TESTS_SKIP` is `never`, as for a CI that has installed everything, it fails.
pub fn skip(reason: &str) {
    assert!(std::env::var("HEARTBEAT_TESTS_SKIP").as_deref() != Ok("never"), "must not be skipped: {reason}");
    // Not by a macro, whose output is shown for tests that fail only.
    writeln!(std::io::stderr(), "SKIPPED: {reason}").expect("a standard error");
}

/// The same for a program that "tests/run browser" brings, which is too much to ask of whoever builds this on a device:
/// a failure only where that has been run.
// Not every program that includes this file alone has such a test.
#[allow(dead_code)]
pub fn skip_without(program: &str) {
    assert!(std::env::var_os("HEARTBEAT_TESTS_BROWSER").is_none(), "there is no {program}");
    writeln!(std::io::stderr(), "SKIPPED: there is no {program}").expect("a standard error");
}
