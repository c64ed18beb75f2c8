//! What survives, and what a broken disk does.

use crate::lan::{Listener, Watching, entry, mac};
use crate::support::daemon::{Setup, output_of};
use crate::support::eventually;
use crate::support::scratch::Scratch;
use crate::support::server::{Reply, Server};
use heartbeat_daemon::device::cameras::{NewCamera, Status};
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

fn camera_of(address: SocketAddr) -> String {
    format!("[{{ mac = \"{}\", address = \"{}\", tcp_port = {} }}]", mac(1), address.ip(), address.port())
}

#[test]
fn a_killed_daemon_restores_its_cameras() {
    let server = Server::always(Reply::ok());
    let camera = Listener::accepting();
    let daemon = Setup::new().to(&server.url("/")).toml("cameras.camera", &camera_of(camera.address)).start();
    let state = daemon.setup().scratch().path().join("state/cameras.json");
    eventually("it is saved", || fs::read_to_string(&state).is_ok_and(|text| text.contains("connected")));
    daemon.signal(Signal::KILL);
    let saved: serde_json::Value = serde_json::from_slice(&fs::read(&state).expect("there")).expect("whole");
    assert_eq!(
        (&saved["cameras"][0]["mac"], &saved["cameras"][0]["status"]),
        (&mac(1).to_string().into(), &"connected".into())
    );
    let text = fs::read_to_string(&state).expect("there");
    // Another daemon that finds the file, and no camera.
    let setup = Setup::new().to(&server.url("/"));
    fs::write(setup.scratch().path().join("state/cameras.json"), text).expect("written");
    let gone = Listener::refusing();
    let setup = setup.toml("cameras.camera", &camera_of(gone.address)).interval("1m");
    server.requests_during(Duration::from_millis(200));
    let _daemon = setup.start();
    let first = server.request_that(|request| request.reason() == "startup").json();
    assert_ne!(first["cameras"][0]["status"], "unknown", "{first}");
    let report = server.request_that(|request| request.reason() == "camera").json();
    assert_eq!(report["cameras"][0]["status"], "disconnected");
}

#[test]
fn killed_at_any_moment_it_leaves_a_whole_file() {
    let setup = Setup::new().toml("cameras.hostname_patterns", "[\"*\"]").key("cameras.interval", "1s");
    let scratch = Scratch::new();
    let leases = scratch.file("leases", "");
    let mut daemon = setup.key("cameras.lease_file", &leases).start();
    daemon.snapshot();
    let state = daemon.setup().scratch().path().join("state/cameras.json");
    let lease = |n: u16| format!("1 {} 192.0.2.{} cam-{n} *\n", mac(n), n % 200 + 1);
    fs::write(&leases, (0..500).map(lease).collect::<String>()).expect("written");
    eventually("it is saved", || state.exists());
    fs::write(&leases, (500..900).map(lease).collect::<String>()).expect("written");
    std::thread::sleep(Duration::from_millis(fastrand::u64(0..1_500)));
    daemon.signal(Signal::KILL);
    daemon.wait_for_end(crate::support::SOON);
    let saved: serde_json::Value = serde_json::from_slice(&fs::read(&state).expect("there")).expect("whole");
    let count = saved["cameras"].as_array().expect("a list").len();
    assert!(count == 500 || count == 900, "{count}");
}

#[test]
fn a_broken_file_is_set_aside_with_a_line_and_the_daemon_starts() {
    for broken in ["", "{\"saved_at\": 1, \"cameras\": [{\"mac\": \"b8:27", "[]", "\u{0}\u{0}\u{0}"] {
        let setup = Setup::new();
        let state = setup.scratch().path().join("state");
        fs::write(state.join("cameras.json"), broken).expect("written");
        let camera = Listener::accepting();
        let daemon = setup.toml("cameras.camera", &camera_of(camera.address)).start();
        let line = daemon.wait_for_line("about it", |line| line.contains("cameras.json is corrupt"));
        assert!(line.contains("WARN") && line.contains("cameras.json.broken"), "{line}");
        assert_eq!(fs::read_to_string(state.join("cameras.json.broken")).expect("kept"), broken);
        eventually("it is saved anew", || state.join("cameras.json").exists());
    }
}

#[test]
fn cameras_of_the_file_that_make_no_sense_are_left_out() {
    let scratch = Scratch::new();
    scratch.file(
        "cameras.json",
        &format!(
            r#"{{"saved_at": 99999999999999, "cameras": [
                {{"mac": "nonsense", "origin": "api", "status": "connected"}},
                {{"mac": "{}", "hostname": "<b>", "ip": "192.0.2.1", "origin": "api", "status": "connected",
                  "last_seen": 18446744073709551615, "history": [[-9223372036854775808, "connected"], [5, "disconnected"]]}}]}}"#,
            mac(1)
        ),
    );
    let watching = Watching::start_in("enabled = false", scratch, Path::new("/"));
    assert_eq!(watching.cameras.list().len(), 1);
    let camera = watching.camera(1);
    assert_eq!((camera.hostname, camera.status), (None, Status::Connected));
}

#[test]
fn an_unwritable_state_directory_is_logged_once_and_checks_continue() {
    let camera = Listener::accepting();
    let setup = Setup::new().toml("cameras.camera", &camera_of(camera.address)).key("cameras.interval", "1s");
    let state = setup.scratch().file("file", "no directory");
    let server = Server::always(Reply::ok());
    let setup = setup.to(&server.url("/")).key("daemon.state_dir", &format!("{state}/state"));
    let daemon = setup.start();
    daemon.wait_for_line("about it", |line| line.contains("cannot write") && line.contains("cameras.json"));
    server.request_that(|request| request.json()["cameras"][0]["status"] == "connected");
    assert_eq!(daemon.log_lines("cameras: cannot write").len(), 1);
}

#[test]
fn a_full_disk_is_logged_once_and_saved_cameras_stay() {
    let Some(disk) = SmallDisk::new() else { return };
    let camera = Listener::accepting();
    let watching =
        Watching::start_in(&entry(1, camera.address, ""), Scratch::under(disk.path()), Path::new("/"));
    eventually("it is saved", || watching.state_file().exists());
    let before = watching.saved();
    fs::write(disk.path().join("fill"), vec![0; 1 << 20]).expect_err("the disk is full");
    watching.cameras.add(NewCamera::new(&mac(2).to_string(), Some(&"x".repeat(63)), None).expect("a camera"));
    eventually("it is known", || watching.cameras.list().len() == 2);
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(watching.saved(), before);
    fs::remove_file(disk.path().join("fill")).expect("there");
    drop(watching.stop());
}

#[test]
fn an_unchanged_camera_is_not_rewritten() {
    let camera = Listener::accepting();
    let text = format!("[cameras]\ninterval = \"1s\"\n{}", entry(1, camera.address, ""));
    let watching = Watching::start(&text);
    eventually("it is saved", || watching.state_file().exists());
    let version =
        || fs::metadata(watching.state_file()).and_then(|metadata| metadata.modified()).expect("there");
    let (written, seen) = (version(), watching.camera(1).last_seen);
    eventually("some checks", || {
        watching.camera(1).last_seen > seen.map(|seen| seen.plus(Duration::from_secs(3)))
    });
    assert_eq!(version(), written);
}

/// A file system of 64 KiB.
struct SmallDisk(Scratch);

impl SmallDisk {
    fn new() -> Option<SmallDisk> {
        let scratch = Scratch::new();
        let mut command = std::process::Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(scratch.path());
        if !rustix::process::geteuid().is_root() || !output_of(command).status.success() {
            crate::support::skip("a small disk takes root");
            return None;
        }
        Some(SmallDisk(scratch))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
