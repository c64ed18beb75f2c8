//! Skipping a test on a machine that lacks what the test needs.

use std::fs::OpenOptions;
use std::io::Write;

/// A file that gets one line for each skipped test. tests/run counts them, because the harness reports them as passed.
const LIST: &str = "HEARTBEAT_TESTS_SKIPPED";
/// `never`: a test that cannot run fails. For a CI that has installed everything.
const POLICY: &str = "HEARTBEAT_TESTS_SKIP";

/// Reports the calling test as skipped; the test then returns.
///
/// # Panics
/// `$HEARTBEAT_TESTS_SKIP` is `never`.
pub fn skip(reason: &str) {
    assert!(std::env::var(POLICY).as_deref() != Ok("never"), "must not be skipped: {reason}");
    report(reason);
}

/// `skip` for a test that needs one of the large programs that "tests/run browser" installs.
///
/// # Panics
/// "tests/run browser" has run before.
// Not every program that includes this file alone has such a test.
#[allow(dead_code)]
pub fn skip_without(program: &str) {
    assert!(std::env::var_os("HEARTBEAT_TESTS_BROWSER").is_none(), "there is no {program}");
    report(&format!("there is no {program}"));
}

fn report(reason: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED {}: {reason}\n", thread.name().unwrap_or("(unnamed)"));
    // Not eprintln!: the harness shows its output for failed tests only.
    std::io::stderr().write_all(line.as_bytes()).expect("a standard error");
    if let Some(list) = std::env::var_os(LIST) {
        let file = OpenOptions::new().append(true).create(true).open(list);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the list of skipped tests");
    }
}
