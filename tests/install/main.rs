//! install.sh with the real programs, below DESTDIR: what it puts where, and what it leaves alone.

mod daemon;
#[cfg(feature = "monitor")]
mod demonstration;
#[cfg(feature = "monitor")]
mod domain;
#[cfg(feature = "monitor")]
mod lan;
#[cfg(feature = "monitor")]
mod monitor;
#[cfg(feature = "monitor")]
#[path = "../support/skip.rs"]
mod skip;
#[cfg(feature = "monitor")]
#[path = "../support/unshared.rs"]
mod unshared;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_heartbeat-daemon");
const SECRET: &str = "hunter2-hunter2";

/// A machine's root, empty at first.
struct Machine(TempDir);

impl Machine {
    fn new() -> Machine {
        Machine(tempfile::tempdir().expect("a directory"))
    }

    fn install(&self, options: &[&str]) -> Output {
        self.run(&[&["--binary", PROGRAM], options].concat())
    }

    fn run(&self, options: &[&str]) -> Output {
        script().env("DESTDIR", self.0.path()).args(options).output().expect("install.sh runs")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).expect("written");
        self.path(name).to_str().expect("UTF-8").to_owned()
    }

    /// Every file: content, mode, time of its last change.
    fn tree(&self) -> BTreeMap<PathBuf, (Vec<u8>, u32, SystemTime)> {
        let mut files = BTreeMap::new();
        let mut left = vec![self.0.path().to_owned()];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).expect("readable") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    left.push(path);
                    continue;
                }
                let about = path.metadata().expect("metadata");
                let changed = about.modified().expect("a time");
                let name = path.strip_prefix(self.0.path()).expect("below it").to_owned();
                files.insert(name, (fs::read(&path).expect("readable"), about.permissions().mode(), changed));
            }
        }
        files
    }

    fn names(&self) -> Vec<String> {
        self.tree().keys().map(|path| path.display().to_string()).collect()
    }
}

/// install.sh called from somewhere else, without what the caller's environment would change.
fn script() -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh"));
    command.current_dir("/").env_remove("DESTDIR").stdin(Stdio::null());
    for name in [
        "HEARTBEAT_URL",
        "HEARTBEAT_INTERVAL",
        "REQUEST_TIMEOUT",
        "PIDFILE",
        "MACHINE_HEARTBEAT_CHECK_INTERVAL",
        "MACHINE_OFFLINE_THRESHOLD",
    ] {
        command.env(name, "not for the installer");
    }
    command
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].concat().iter().map(|&byte| char::from(byte)).collect()
}

#[track_caller]
fn code(output: &Output, expected: i32) {
    assert_eq!(output.status.code(), Some(expected), "{}", said(output));
}

#[test]
fn help_is_an_answer_and_not_a_fault() {
    let output = script().arg("--help").output().expect("it runs");
    code(&output, 0);
    for option in [
        "--url",
        "--token-file",
        "--enroll",
        "--key-file",
        "--ca-file",
        "--lan",
        "--domain",
        "--deb",
        "--try",
        "--yes",
        "--monitor",
        "--uninstall",
        "--no-start",
        "--observe",
        "--networkmanager",
        "DESTDIR",
    ] {
        assert!(said(&output).contains(option), "{option}");
    }
}
