//! `status`, `trigger` and `cameras` of the command line, which ask the running daemon.

use crate::support::daemon::{Daemon, PROGRAM, Setup, output_of};
use crate::support::namespace::Namespace;
use crate::support::server::{Reply, Server};
use crate::support::{eventually, lasting_address};
use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

const COMMANDS: [&[&str]; 5] =
    [&["status"], &["status", "--json"], &["trigger"], &["cameras"], &["cameras", "--check"]];

fn run(daemon: &Daemon, arguments: &[&str]) -> Output {
    output_of(daemon.setup().command(arguments))
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// Without a change of the configuration, which tells port 0 alone.
fn started(setup: Setup) -> Daemon {
    let daemon = setup.start();
    daemon.api_address();
    daemon
}

#[test]
fn status_is_readable_for_people() {
    let server = Server::always(Reply::ok());
    let daemon = started(Setup::new().to(&server.url("/")));
    server.requests(2);
    let shown = run(&daemon, &["status"]);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    let text = stdout(&shown);
    for part in ["heartbeat-daemon 0.1.0", "connected", "answered 200", "scheduled", "mem "] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains('\x1b'), "no colours into a pipe: {text:?}");
    let json: Value = serde_json::from_str(&stdout(&run(&daemon, &["status", "--json"]))).expect("JSON");
    assert_eq!(json["server"]["connected"], true);
}

#[test]
fn trigger_sends_a_heartbeat() {
    let server = Server::always(Reply::ok());
    let daemon = started(Setup::new().to(&server.url("/")).interval("1h"));
    server.request();
    let triggered = run(&daemon, &["trigger"]);
    assert_eq!(
        (triggered.status.code(), stdout(&triggered).as_str()),
        (Some(0), "a heartbeat is sent now\n")
    );
    assert_eq!(server.request().json()["reason"], "trigger");
}

#[test]
fn without_a_server_trigger_reports_the_missing_key() {
    let daemon = started(Setup::new());
    let triggered = run(&daemon, &["trigger"]);
    assert_eq!((triggered.status.code(), stdout(&triggered).as_str()), (Some(1), ""), "{triggered:?}");
    let said = String::from_utf8_lossy(&triggered.stderr);
    assert!(said.contains("no server is configured: set url in [heartbeat]"), "{said}");
}

#[test]
fn cameras_are_checked_and_shown() {
    let camera = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = camera.local_addr().expect("bound").port();
    let daemon = started(Setup::new().toml("cameras.tcp_port", &port.to_string()));
    assert_eq!(stdout(&run(&daemon, &["cameras"])), "no cameras\n");
    let new = serde_json::json!({"mac_address": "aa:bb:cc:dd:ee:01", "ip_address": "127.0.0.1", "hostname": "gate"});
    assert_eq!(super::client::post("/api/cameras").json(&new).to(&daemon).status, 201);
    let checked = run(&daemon, &["cameras", "--check"]);
    let text = stdout(&checked);
    let row = text.lines().find(|line| line.contains("gate")).unwrap_or_else(|| panic!("{text}"));
    assert!(row.starts_with("connected ") && row.contains("aa:bb:cc:dd:ee:01"), "{text}");
    for arguments in [&["cameras", "--json"][..], &["cameras", "--check", "--json"]] {
        let json: Value = serde_json::from_str(&stdout(&run(&daemon, arguments))).expect("JSON");
        assert!(json["cameras"].to_string().contains("\"gate\""), "{json}");
    }
}

#[test]
fn without_a_daemon_each_command_reports_it_and_exits_with_69() {
    let setup = Setup::new();
    for arguments in COMMANDS {
        let ended = setup.run(arguments);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(69), "{arguments:?}: {said}");
        assert!(said.contains("is not running") && said.lines().count() == 1, "{said}");
        assert!(ended.stdout.is_empty());
    }
    let off = Setup::new().toml("api.enabled", "false");
    assert_eq!(off.run(&["status"]).status.code(), Some(69));
}

#[test]
fn a_closed_socket_falls_back_to_the_address() {
    let listen = format!("0.0.0.0:{}", lasting_address().port());
    let daemon = started(Setup::new().key("api.socket", "/proc/nowhere/api.sock").key("api.listen", &listen));
    let shown = run(&daemon, &["status"]);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
}

#[test]
fn a_refusal_exits_with_1_and_its_sentence() {
    let server = vec![("Server", "heartbeat-daemon/0.1.0".to_owned())];
    let refusing = Server::always(Reply::Answer(403, server, br#"{"error": "not for you"}"#.to_vec()));
    let address = refusing.url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    let ended = Setup::new()
        .key("api.socket", "/proc/nowhere/api.sock")
        .key("api.listen", &address)
        .run(&["trigger"]);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("not for you"), "{ended:?}");
}

#[test]
fn another_program_on_the_port_gets_no_post_and_is_not_trusted() {
    let body = br#"{"cameras": [], "triggered": true}"#.to_vec();
    let other = Server::always(Reply::Answer(200, vec![("Server", "gunicorn".to_owned())], body));
    let address = other.url("").trim_start_matches("http://").trim_end_matches('/').to_owned();
    for arguments in COMMANDS {
        let ended = Setup::new()
            .key("api.socket", "/proc/nowhere/api.sock")
            .key("api.listen", &address)
            .run(arguments);
        assert_eq!(ended.status.code(), Some(69), "{arguments:?}: {ended:?}");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(said.contains("another program listens there, not heartbeat-daemon"), "{said}");
        assert!(ended.stdout.is_empty());
        assert_eq!(other.request().method, "GET", "{arguments:?}");
    }
}

#[test]
fn a_trigger_over_tcp_goes_only_to_an_identified_daemon() {
    let server = Server::always(Reply::ok());
    let listen = format!("127.0.0.1:{}", lasting_address().port());
    let setup = Setup::new().to(&server.url("/")).interval("1h");
    let daemon = started(setup.key("api.socket", "/proc/nowhere/api.sock").key("api.listen", &listen));
    server.request();
    assert_eq!(stdout(&run(&daemon, &["trigger"])), "a heartbeat is sent now\n");
    assert_eq!(server.request().json()["reason"], "trigger");
}

#[test]
fn a_daemon_that_hangs_is_given_up_after_five_seconds() {
    let hanging = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = hanging.local_addr().expect("bound").to_string();
    let setup = Setup::new().key("api.socket", "/proc/nowhere/api.sock").key("api.listen", &address);
    let begin = std::time::Instant::now();
    let ended = setup.run(&["status"]);
    assert_eq!(ended.status.code(), Some(69), "{ended:?}");
    assert!(begin.elapsed() >= std::time::Duration::from_secs(5));
}

#[test]
fn what_they_show_survives_a_reader_that_leaves() {
    let daemon = started(Setup::new());
    eventually("there is a heartbeat", || stdout(&run(&daemon, &["status"])).contains("device"));
    let mut command = daemon.setup().command(&["status"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    assert!(child.wait().expect("a child").success());
}

/// The account `nobody` of every Linux: neither root nor in the service's group.
const UNPRIVILEGED: u32 = 65534;

/// The installed file, in a namespace that ends with its test.
const INSTALLED: &str = "/etc/heartbeat-daemon/config.toml";

/// Gives this thread, and what it starts, an empty /etc: the machine's own may hold an installation.
fn empty_etc() {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
    use rustix::thread::{UnshareFlags, unshare_unsafe};
    // SAFETY: a mount namespace shares no memory and no descriptors; only CLONE_FILES would.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.expect("root");
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).expect("root");
    mount("none", "/etc", "tmpfs", MountFlags::empty(), None).expect("root");
    fs::create_dir("/etc/heartbeat-daemon").expect("an empty /etc");
}

/// The program as an ordinary user, with the installed configuration.
fn as_unprivileged(arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env_clear().uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    output_of(command)
}

#[test]
fn an_ordinary_user_can_query_without_reading_the_configuration() {
    let Ok(namespace) = Namespace::new() else {
        return crate::support::skip("a namespace takes root");
    };
    namespace.enter(|| {
        empty_etc();
        let daemon = started(Setup::new().key("api.listen", "127.0.0.1:5000"));
        fs::copy(daemon.setup().config_path(), INSTALLED).expect("installed");
        fs::set_permissions(INSTALLED, fs::Permissions::from_mode(0o640)).expect("closed");
        for arguments in [&["status"][..], &["cameras"], &["cameras", "--check"]] {
            let ended = as_unprivileged(arguments);
            assert_eq!(ended.status.code(), Some(0), "{arguments:?}: {ended:?}");
        }
        // It reaches the daemon, which has no server to send to.
        let triggered = String::from_utf8(as_unprivileged(&["trigger"]).stderr).expect("UTF-8");
        assert!(triggered.contains("no server is configured"), "{triggered}");
        for arguments in [&["print"][..], &["send"], &["doctor"], &["check-config"], &[]] {
            let ended = as_unprivileged(arguments);
            let said = String::from_utf8_lossy(&ended.stderr);
            assert_eq!(ended.status.code(), Some(78), "{arguments:?}: {said}");
            let expected = format!("cannot read {INSTALLED}: permission denied; run it with sudo\n");
            assert!(said.ends_with(&expected), "{arguments:?}: {said}");
        }
        // Another file is what the user asked for: no default takes its place.
        let other = daemon.setup().scratch().file("closed.toml", "");
        fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).expect("closed");
        let ended = as_unprivileged(&["status", "--config", &other]);
        assert_eq!(ended.status.code(), Some(78), "{ended:?}");
    });
}

#[test]
fn a_user_without_permission_to_connect_is_advised_to_use_sudo() {
    if !rustix::process::geteuid().is_root() {
        return crate::support::skip("running a program as another user takes root");
    }
    let daemon = Setup::new().key("api.listen", "").start();
    daemon.wait_for_line("about the API", |line| line.contains("API listens on "));
    let config = daemon.setup().config_path();
    for path in [daemon.setup().scratch().path(), &config] {
        chown(path, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).expect("root");
    }
    for arguments in COMMANDS {
        let mut command = daemon.setup().command(arguments);
        let ended = output_of({
            command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
            command
        });
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("permission denied; run it with sudo"), "{said}");
    }
}
