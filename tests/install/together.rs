//! install.sh --try: monitor and daemon together.

use crate::{PROGRAM, code, said, script};
use std::fs;

#[test]
fn try_shows_monitor_and_daemon_and_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().expect("a directory");
    let output = script()
        .args(["--try", "--seconds", "9", "--binary", PROGRAM])
        .env("TMPDIR", scratch.path())
        .output()
        .expect("it runs");
    code(&output, 0);
    let (text, name) = (said(&output), rustix::system::uname().nodename().to_string_lossy().into_owned());
    for line in [
        "monitor  Heartbeat monitor started (interval: 1s, threshold: 10s)",
        &format!("try      heartbeat-monitor machine add {name}: its token is in "),
        "daemon   heartbeat-daemon ",
        "kill -STOP ",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line) || found.contains(line)), "{line}\n{text}");
    }
    let fleet = |status: &str| text.lines().any(|line| line.starts_with("fleet") && line.contains(status));
    assert!(fleet(" online "), "{text}");
    assert_eq!(fs::read_dir(scratch.path()).expect("readable").count(), 0, "{text}");
}
