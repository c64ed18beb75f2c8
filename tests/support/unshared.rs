//! Tests that run themselves again in a network namespace of their own, which ends with them.

use crate::skip::skip;
use std::process::Command;

/// Set in the run inside the namespace.
const INSIDE: &str = "HEARTBEAT_TEST_NAMESPACE";

/// Runs `test` inside a namespace, by its name.
pub fn in_namespace(name: &str, test: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    if !rustix::process::geteuid().is_root() {
        return skip("a network namespace takes root");
    }
    let this = std::env::current_exe().expect("this test's own path");
    let status = Command::new("unshare")
        .args(["--net", "--"])
        .arg(this)
        .args([name, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status();
    assert!(status.expect("unshare runs").success(), "{name} failed inside the namespace");
}

/// Runs iproute2.
pub fn ip(command: &str) {
    let status = Command::new("ip").args(command.split(' ')).status().expect("iproute2 is installed");
    assert!(status.success(), "ip {command}");
}
