//! The latest heartbeat as a file, for a web page on the device.

use crate::support::daemon::Setup;
use crate::support::eventually;
use crate::support::scratch::Scratch;
use crate::support::server::{Reply, Server};
use heartbeat_daemon::wire;
use rustix::process::Signal;
use std::path::Path;
use std::time::{Duration, Instant};

#[test]
fn without_a_server_the_snapshot_is_written_all_the_same() {
    let daemon = Setup::new().start();
    let first: wire::Heartbeat = serde_json::from_value(daemon.snapshot()).expect("a heartbeat");
    eventually("it is replaced", || daemon.snapshot()["timestamp"].as_f64() > Some(first.timestamp));
    assert_eq!(daemon.log_lines("no server").len(), 1, "said once: {:?}", daemon.log());
}

#[test]
fn a_reader_never_sees_half_a_snapshot() {
    let server = Server::always(Reply::ok());
    let daemon = Setup::new().to(&server.url("/")).start();
    daemon.snapshot();
    let end = Instant::now() + Duration::from_secs(4);
    let mut seen = std::collections::BTreeSet::new();
    while Instant::now() < end {
        daemon.signal(Signal::USR1);
        for _ in 0..50 {
            let heartbeat: wire::Heartbeat =
                serde_json::from_value(daemon.snapshot()).expect("a whole heartbeat");
            seen.insert(heartbeat.timestamp.to_bits());
        }
    }
    assert!(seen.len() >= 3, "it was replaced meanwhile: {} times", seen.len());
    let names: Vec<String> = std::fs::read_dir(daemon.setup().runtime_dir())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    // The next one may be being written.
    let temporary = names.iter().filter(|name| name.starts_with('.')).count();
    assert!(temporary <= 1, "no heap of temporary files: {names:?}");
}

#[test]
fn the_steady_path_writes_nothing_to_a_disk() {
    let server = Server::always(Reply::ok());
    // A tmpfs, as /run is; the state directory may be on a disk.
    let setup = Setup::under(Scratch::under(Path::new("/dev/shm")));
    let state = Scratch::new();
    let daemon =
        setup.to(&server.url("/")).key("daemon.state_dir", state.path().to_str().expect("UTF-8")).start();
    server.requests(2);
    let before = daemon.proc_number("io", "write_bytes");
    server.requests(5);
    assert_eq!(daemon.proc_number("io", "write_bytes"), before);
}

#[test]
fn everybody_may_read_the_snapshot() {
    use std::os::unix::fs::PermissionsExt;
    let daemon = Setup::new().start();
    daemon.snapshot();
    let mode = std::fs::metadata(daemon.snapshot_path()).expect("there").permissions().mode();
    // The group's right to write depends on the umask.
    assert_eq!(mode & 0o757, 0o644, "a web server runs as another user: {mode:o}");
}

#[test]
fn a_snapshot_that_cannot_be_written_costs_the_file_and_not_the_heartbeat() {
    let server = Server::always(Reply::ok());
    let daemon = Setup::new().to(&server.url("/")).start();
    daemon.snapshot();
    let directory = daemon.setup().runtime_dir();
    std::fs::remove_dir_all(&directory).expect("it was there");
    daemon.wait_for_line("about the file", |line| line.contains("WARN") && line.contains("heartbeat.json"));
    server.requests(3);
    assert_eq!(daemon.log_lines("cannot write").len(), 1, "said once: {:?}", daemon.log());
    std::fs::create_dir(&directory).expect("a directory");
    eventually("it is written again", || daemon.snapshot_path().exists());
}
