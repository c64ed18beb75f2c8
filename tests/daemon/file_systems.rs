//! File systems that are full, read-only or do not answer, and files that are none.

use crate::support::daemon::{Daemon, PROGRAM, Setup, output_of};
use crate::support::server::{Reply, Server};
use crate::support::skip::skip;
use crate::support::{SOON, eventually};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A daemon whose mounts are its own. `script` is run by a shell as root before it becomes the daemon.
fn start_after(setup: Setup, script: &str) -> Daemon {
    setup.start_as(mounting(script))
}

fn mounting(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-ec"]);
    command.arg(format!("{script}\nexec \"$0\" \"$@\"")).arg(PROGRAM);
    command
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("mounting a file system takes root");
    }
    root
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

/// A small tmpfs at `directory` without a free byte or without a free inode.
fn full(directory: &Path, limit: &str) -> String {
    let directory = quoted(directory);
    format!(
        "mount -t tmpfs -o {limit} none {directory}\n\
         head -c 1000000 /dev/zero >{directory}/filler 2>/dev/null || :\n\
         n=0; while [ $n -lt 50 ] && touch {directory}/$n 2>/dev/null; do n=$((n + 1)); done"
    )
}

#[test]
fn heartbeats_leave_while_the_runtime_directory_is_full_or_read_only() {
    if !is_root() {
        return;
    }
    for case in ["size=64k", "nr_inodes=2", "ro"] {
        let server = Server::always(Reply::ok());
        let setup = Setup::new().to(&server.url("/"));
        let run = setup.runtime_dir();
        let script = match case {
            "ro" => format!("mount -t tmpfs -o ro none {}", quoted(&run)),
            _ => full(&run, case),
        };
        let daemon = start_after(setup, &script);
        server.requests(2);
        assert!(!daemon.log_lines("WARN").is_empty(), "{case}: {:?}", daemon.log());
        assert!(daemon.log_lines("WARN").len() <= 4, "{case}: a warning, not a flood: {:?}", daemon.log());
    }
}

#[test]
fn one_instance_runs_even_where_no_pid_file_can_be_made() {
    if !is_root() {
        return;
    }
    let server = Server::always(Reply::ok());
    let setup = Setup::new().to(&server.url("/"));
    let script = format!("mount -t tmpfs -o ro none {}", quoted(&setup.runtime_dir()));
    let daemon = start_after(setup, &script);
    server.requests(1);
    let mut second = mounting(&script);
    second.arg("--config").arg(daemon.setup().config_path()).arg("run");
    for command in [second, daemon.setup().command(&["run"])] {
        let second = output_of(command);
        let said = String::from_utf8_lossy(&second.stderr);
        assert_eq!(second.status.code(), Some(1), "{said}");
        assert!(said.contains("heartbeat-daemon is already running"), "{said}");
    }
}

/// Mounts a FUSE file system whose server never reads a request: each system call on it hangs, as on NFS without its
/// server. The daemon itself holds the server's end.
fn hanging(directory: &Path) -> String {
    let options = "fd=9,rootmode=40000,user_id=0,group_id=0";
    format!("exec 9<>/dev/fuse\nmount -i -t fuse -o {options} none {}", quoted(directory))
}

#[test]
fn a_file_system_that_does_not_answer_costs_its_own_values_and_is_named() {
    if !is_root() {
        return;
    }
    if !Path::new("/dev/fuse").exists() {
        return skip("this kernel has no FUSE");
    }
    let server = Server::always(Reply::ok());
    let setup = Setup::new().to(&server.url("/"));
    let dead = setup.scratch().path().join("nas");
    std::fs::create_dir(&dead).expect("a directory");
    let setup = setup.key("metrics.disk", dead.to_str().expect("UTF-8"));
    let mut daemon = start_after(setup, &hanging(&dead));
    let beats = server.requests(5);
    let last = beats.last().expect("five").json();
    assert!(last["disk"].is_null() && last["mem"].is_number(), "{last}");
    let healthz = || ureq::get(format!("http://{}/healthz", daemon.api_address())).call();
    eventually("/healthz names it", || {
        let body = healthz().expect("200").body_mut().read_to_string().expect("a body");
        body.contains("degraded") && body.contains(dead.to_str().expect("UTF-8"))
    });
    daemon.signal(Signal::TERM);
    daemon.wait_for_end(SOON);
    let reasons: Vec<_> = server.requests(1).iter().map(|beat| beat.json()["reason"].clone()).collect();
    assert_eq!(reasons, ["shutdown"], "the stop does not wait for it");
}

#[test]
fn a_fifo_in_place_of_a_file_hangs_nothing() {
    let server = Server::always(Reply::ok());
    let setup = Setup::new().to(&server.url("/"));
    let fifo = |name: &str| -> PathBuf {
        let path = setup.scratch().path().join(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).expect("a FIFO");
        path
    };
    let paths = ["pid", "path", "lease", "version", "lock"].map(fifo).map(|path| format!("{path:?}"));
    let [pid, path, lease, version, lock] = &paths;
    let setup = setup
        .toml("activity.streaming", &format!("{{ pidfile = {pid} }}"))
        .toml("activity.recording", "{ process = \"heartbeat-daemo\" }")
        .toml("activity.recording_path_file", path)
        .toml("cameras.lease_file", lease)
        .toml("metrics.app_version_file", version)
        .toml("network.lock_file", lock);
    let daemon = setup.start();
    let beats = server.requests(3);
    let last = beats.last().expect("three").json();
    assert!(last["streaming_active"].is_null() && last["mem"].is_number(), "{last}");
    assert!(last["recording_active"] == true && last["recording_file_path"].is_null(), "{last}");
    drop(daemon);
}

#[test]
fn a_process_that_proc_hides_is_unknown_and_not_ended() {
    if !is_root() {
        return;
    }
    let mut sleeper = Command::new("sleep").arg("600").spawn().expect("sleep starts");
    let setup = Setup::new();
    let pidfile = setup.scratch().file("sleeper.pid", &sleeper.id().to_string());
    let setup = setup
        .toml("activity.streaming", "{ process = \"sleep\" }")
        .toml("activity.tracking", &format!("{{ pidfile = {pidfile:?} }}"));
    setup.write_config();
    for hidepid in [0, 1, 2] {
        // A new mount of /proc: remounting the old one would change the whole machine's.
        let mut command = mounting(&format!("mount -t proc -o hidepid={hidepid} proc /proc"));
        command.arg("--config").arg(setup.config_path()).arg("print");
        if hidepid > 0 {
            // As a user to whom the processes of others are hidden.
            command = mounting(&format!(
                "mount -t proc -o hidepid={hidepid} proc /proc\nchmod -R a+rX {}\n\
                 exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$0\" \"$@\"",
                quoted(setup.scratch().path())
            ));
            command.arg("--config").arg(setup.config_path()).arg("print");
        }
        let output = output_of(command);
        let text = String::from_utf8_lossy(&output.stdout);
        let printed: serde_json::Value = serde_json::from_str(text.trim()).unwrap_or_else(|error| {
            panic!("{error}: {text} {}", String::from_utf8_lossy(&output.stderr));
        });
        let expected = if hidepid == 0 { serde_json::json!(true) } else { serde_json::Value::Null };
        for key in ["streaming_active", "tracking_active"] {
            assert_eq!(printed[key], expected, "{key} with hidepid={hidepid}");
        }
    }
    sleeper.kill().expect("killed");
    sleeper.wait().expect("ended");
}

/// The heartbeat that the daemon prints as the first process of a PID namespace, so that PID 1's mounts are its own.
fn printed_after(setup: &Setup, script: &str) -> serde_json::Value {
    setup.write_config();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc", "sh", "-ec"]);
    command.arg(format!("{script}\nexec \"$0\" \"$@\"")).arg(PROGRAM);
    command.arg("--config").arg(setup.config_path()).arg("print");
    parsed(command)
}

fn parsed(command: Command) -> serde_json::Value {
    let output = output_of(command);
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.trim())
        .unwrap_or_else(|error| panic!("{error}: {text} {}", String::from_utf8_lossy(&output.stderr)))
}

fn recording_to(directory: &Path) -> Setup {
    Setup::new().key("activity.recording_dir", directory.to_str().expect("UTF-8"))
}

#[test]
fn the_file_system_of_the_recordings_is_reported_and_read_only_as_it_is_mounted() {
    if !is_root() {
        return;
    }
    let scratch = crate::support::scratch::Scratch::new();
    let setup = recording_to(&scratch.path().join("rec"));
    for (options, read_only) in [("rw", false), ("ro", true)] {
        let script = format!("mount -t tmpfs -o {options} none {}", quoted(scratch.path()));
        let states = printed_after(&setup, &script)["file_systems"].clone();
        assert_eq!(states.as_array().map(Vec::len), Some(2), "{states}");
        assert_eq!((&states[0]["path"], &states[0]["read_only"]), (&"/".into(), &false.into()));
        let expected = serde_json::json!({
            "path": scratch.path(), "read_only": read_only, "errors": null, "io_errors": null,
        });
        assert_eq!(states[1], expected);
    }
    let states = printed_after(&recording_to(Path::new("/etc")), ":")["file_systems"].clone();
    assert_eq!(states.as_array().map(Vec::len), Some(1), "the root holds them: {states}");
}

/// Linux 6.15 and later leave `rw` in the mount options then.
#[test]
fn an_error_of_ext4_is_counted_and_shows_as_read_only() {
    if !is_root() {
        return;
    }
    let scratch = crate::support::scratch::Scratch::new();
    let directory = scratch.path().join("rec");
    std::fs::create_dir(&directory).expect("a directory");
    let image = quoted(&scratch.path().join("image"));
    let mounted = format!(
        "truncate -s 16M {image}; mkfs.ext4 -q {image}; mount -o loop,errors=remount-ro {image} {}",
        quoted(&directory)
    );
    let device = format!("$(basename $(findmnt -no SOURCE {}))", quoted(&directory));
    let broken = format!("{mounted}\necho 1 >/sys/fs/ext4/{device}/trigger_fs_error");
    let try_it = format!("{broken}\nexit 0");
    if !output_of(mounting(&try_it)).status.success() {
        return skip("no ext4 on a loop device here");
    }
    let setup = recording_to(&directory);
    for (script, read_only, errors) in [(&mounted, false, 0), (&broken, true, 1)] {
        let state = printed_after(&setup, script)["file_systems"][1].clone();
        assert_eq!((&state["read_only"], &state["errors"]), (&read_only.into(), &errors.into()), "{state}");
    }
}

/// As `ProtectSystem=strict` mounts it for the unit, and for a user to whom `hidepid=` hides PID 1.
#[test]
fn mounts_that_are_read_only_for_the_service_alone_do_not_count() {
    if !is_root() {
        return;
    }
    let setup = Setup::new();
    setup.write_config();
    for hidepid in [0, 2] {
        let mut command = mounting(&format!(
            "chmod -R a+rX {}\nmount -o remount,bind,ro /\nmount -t proc -o hidepid={hidepid} proc /proc\n\
             exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$0\" \"$@\"",
            quoted(setup.scratch().path())
        ));
        command.arg("--config").arg(setup.config_path()).arg("print");
        let states = parsed(command)["file_systems"].clone();
        assert_eq!((&states[0]["path"], &states[0]["read_only"]), (&"/".into(), &false.into()), "{hidepid}");
    }
}
