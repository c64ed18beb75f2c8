//! One daemon for each pid file.

use crate::support::daemon::{Setup, output_of};
use crate::support::{SOON, eventually};
use rustix::process::Signal;
use std::fs;
use std::process::Command;

#[test]
fn the_pid_file_holds_the_pid_while_the_daemon_runs() {
    let mut daemon = Setup::new().start();
    daemon.snapshot();
    let text = fs::read_to_string(daemon.setup().pidfile()).expect("a pid file");
    assert_eq!(text.trim(), daemon.pid().to_string());
    daemon.signal(Signal::TERM);
    daemon.wait_for_end(SOON);
    let left = fs::read_to_string(daemon.setup().pidfile()).unwrap_or_default();
    assert_eq!(left, "", "nobody is sent to a pid that is another process's soon");
}

#[test]
fn a_second_daemon_on_the_same_pid_file_ends_with_a_sentence_that_names_the_first() {
    let daemon = Setup::new().start();
    daemon.snapshot();
    let second = output_of(daemon.setup().command(&["run"]));
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(&daemon.pid().to_string()), "it names the pid {}: {said}", daemon.pid());
    assert_eq!(said.trim().lines().count(), 1, "one sentence: {said}");
    assert!(daemon.is_running());
    let text = fs::read_to_string(daemon.setup().pidfile()).expect("still there");
    assert_eq!(text.trim(), daemon.pid().to_string(), "the pid file is still the first one's");
}

#[test]
fn a_pid_file_of_a_dead_process_is_no_obstacle() {
    let mut gone = Command::new("true").spawn().expect("true");
    gone.wait().expect("it ends");
    let setup = Setup::new();
    fs::write(setup.pidfile(), format!("{}\n", gone.id())).expect("written");
    let daemon = setup.start();
    daemon.snapshot();
    let text = fs::read_to_string(daemon.setup().pidfile()).expect("a pid file");
    assert_eq!(text.trim(), daemon.pid().to_string());
}

#[test]
fn a_longer_text_in_the_pid_file_is_replaced_whole() {
    let setup = Setup::new();
    fs::write(setup.pidfile(), "99999999999999999999 and more\n").expect("written");
    let daemon = setup.start();
    daemon.snapshot();
    let text = fs::read_to_string(daemon.setup().pidfile()).expect("a pid file");
    assert_eq!(text.trim(), daemon.pid().to_string());
}

#[test]
fn a_pid_file_that_cannot_be_written_is_a_clear_error() {
    // Not even root may create a file there.
    let place = "/proc/heartbeat-daemon.pid";
    let ended = Setup::new().key("daemon.pidfile", place).run(&["run"]);
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains(place), "{said}");
}

#[test]
fn a_daemon_that_was_killed_leaves_no_lock_behind() {
    let mut first = Setup::new().start();
    first.snapshot();
    first.signal(Signal::KILL);
    first.wait_for_end(SOON);
    let pidfile = first.setup().pidfile();
    let second = Setup::new().key("daemon.pidfile", pidfile.to_str().expect("UTF-8")).start();
    let pid = second.pid().to_string();
    eventually("the second one has it", || fs::read_to_string(&pidfile).is_ok_and(|text| text.trim() == pid));
}
