//! The commands beside `run`.

use crate::support::daemon::{PROGRAM, Setup, output_of};
use crate::support::server::{Reply, Server};
use heartbeat_daemon::wire;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

#[test]
fn the_config_may_be_named_before_and_after_the_command() {
    let setup = Setup::new();
    assert!(setup.run(&["check-config"]).status.success());
    let mut command = Command::new(PROGRAM);
    command.args(["check-config", "--config"]).arg(setup.config_path());
    assert!(output_of(command).status.success());
}

#[test]
fn without_a_command_the_daemon_runs() {
    let server = Server::always(Reply::ok());
    let setup = Setup::new().to(&server.url("/"));
    setup.write_config();
    let mut child = setup.command(&[]).stderr(std::process::Stdio::null()).spawn().expect("it starts");
    let arrived = server.request_within(crate::support::SOON);
    child.kill().expect("it runs");
    child.wait().expect("a child");
    assert!(arrived.is_some());
}

#[test]
fn what_is_no_command_is_a_usage_error() {
    for arguments in [&["fly"][..], &["--fly"], &["run", "twice"], &["--config"]] {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        let ended = output_of(command);
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {ended:?}");
        assert!(!ended.stderr.is_empty());
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (argument, part) in [("--help", "check-config"), ("--version", env!("CARGO_PKG_VERSION"))] {
        let mut command = Command::new(PROGRAM);
        command.arg(argument);
        let ended = output_of(command);
        assert!(ended.status.success());
        assert!(stdout(&ended).contains(part), "{ended:?}");
    }
}

#[test]
fn print_shows_one_heartbeat_and_sends_nothing() {
    let server = Server::always(Reply::ok());
    let setup = Setup::new().to(&server.url("/"));
    let printed = setup.run(&["print"]);
    assert!(printed.status.success(), "{printed:?}");
    let heartbeat: wire::Heartbeat = serde_json::from_str(&stdout(&printed)).expect("a heartbeat");
    assert!(heartbeat.values.mem.is_some());
    assert_eq!(server.connections(), 0);
    assert!(!setup.pidfile().exists());
}

#[test]
fn print_shows_the_configured_format() {
    let setup = Setup::new().key("heartbeat.format", "meeting").key("heartbeat.device_key", "KEY-1");
    let printed = setup.run(&["print"]);
    let sent: serde_json::Value = serde_json::from_str(&stdout(&printed)).expect("JSON");
    assert!(sent.get("memory_percent").is_some(), "{sent}");
}

#[test]
fn send_sends_one_heartbeat_and_shows_the_answer() {
    let server = Server::always(Reply::monitor());
    let sent = Setup::new().to(&server.url("/")).token("for-send").run(&["send"]);
    assert!(sent.status.success(), "{sent:?}");
    assert!(stdout(&sent).contains("answered 200"), "{sent:?}");
    assert_eq!(server.request().header("authorization"), Some("Bearer for-send"));
    assert!(server.request_within(std::time::Duration::ZERO).is_none(), "one");
}

#[test]
fn send_fails_when_the_server_refuses() {
    let server = Server::always(Reply::status(401));
    let sent = Setup::new().to(&server.url("/")).run(&["send"]);
    assert_eq!(sent.status.code(), Some(1), "{sent:?}");
    let said = stdout(&sent) + &String::from_utf8_lossy(&sent.stderr);
    assert!(said.contains("(401)"), "{said}");
}

#[test]
fn send_fails_without_a_server_or_its_url() {
    let nobody = Setup::new().to("http://127.0.0.1:1/").run(&["send"]);
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
    assert!(!nobody.stderr.is_empty());
    let unnamed = Setup::new().run(&["send"]);
    assert_eq!(unnamed.status.code(), Some(1), "{unnamed:?}");
    assert!(String::from_utf8_lossy(&unnamed.stderr).contains("no server"), "{unnamed:?}");
}

#[test]
fn send_gives_up_when_the_server_hangs() {
    let server = Server::always(Reply::Hang);
    let sent = Setup::new().to(&server.url("/")).run(&["send"]);
    assert_eq!(sent.status.code(), Some(1), "{sent:?}");
}

#[test]
fn doctor_lists_each_source_with_its_value() {
    let doctor = Setup::new().run(&["doctor"]);
    assert!(doctor.status.success(), "{doctor:?}");
    let said = stdout(&doctor);
    for source in ["/proc/stat", "/proc/meminfo", "thermal"] {
        assert!(said.contains(source), "{source}: {said}");
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

#[test]
fn a_typo_gets_the_right_word_proposed() {
    for (arguments, proposed) in [
        (&["statsu"][..], "'status'"),
        (&["check-confg"], "'check-config'"),
        (&["status", "--jsn"], "'--json'"),
    ] {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        let ended = output_of(command);
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(stderr(&ended).contains(proposed), "{}", stderr(&ended));
    }
    let ended = Setup::new().key("heartbeat.tokenfile", "/nowhere").run(&["check-config"]);
    assert_eq!(ended.status.code(), Some(78), "{ended:?}");
    assert!(stderr(&ended).contains("did you mean `token_file`?"), "{}", stderr(&ended));
}

#[test]
fn https_to_a_port_that_speaks_plain_http_is_named_as_such() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            use std::io::{Read, Write};
            let (mut stream, mut hello) = (stream, [0; 2048]);
            let _ = stream.read(&mut hello);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let sent = Setup::new().to(&format!("https://{address}/")).run(&["send"]);
    assert_eq!(sent.status.code(), Some(1), "{sent:?}");
    assert!(stderr(&sent).contains("url must start with http://"), "{}", stderr(&sent));
}

#[test]
fn check_config_warns_of_what_is_valid_and_probably_not_meant() {
    let checked = Setup::new().to("http://monitor.example.org").token("hunter2").run(&["check-config"]);
    assert!(checked.status.success(), "{checked:?}");
    let said = stderr(&checked);
    assert!(said.contains("http://monitor.example.org/api/v1/heartbeat"), "{said}");
    assert!(said.contains("the token is sent over plain HTTP") && !said.contains("hunter2"), "{said}");
    let checked = Setup::new().to("http://10.0.0.2/api/v1/heartbeat").token("hunter2").run(&["check-config"]);
    assert_eq!(stderr(&checked), "");
}

#[test]
fn receive_accepts_a_port_alone() {
    let mut command = Command::new(PROGRAM);
    command.args(["receive", "--listen", "0", "--count", "1"]);
    let receiver = crate::support::process::Process::start(command);
    receiver.wait_for_line("about its address", |line| line.starts_with("listening on 127.0.0.1:"));
    let mut command = Command::new(PROGRAM);
    command.args(["receive", "--listen", "0.0.0.0"]);
    let ended = output_of(command);
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(stderr(&ended).contains("such as 0.0.0.0:8000"), "{}", stderr(&ended));
}

/// The account `nobody` of every Linux.
const UNPRIVILEGED: u32 = 65534;

/// A configuration that everybody may read, with a token that only root may.
fn with_closed_token() -> Setup {
    let setup = Setup::new().token("hunter2");
    let token = setup.scratch().path().join("token");
    fs::set_permissions(token, fs::Permissions::from_mode(0o600)).expect("its mode");
    setup
}

#[test]
fn check_config_as_root_reads_as_the_services_user() {
    if !rustix::process::geteuid().is_root() {
        return crate::support::skip("becoming another user takes root");
    }
    let setup = with_closed_token();
    assert!(setup.run(&["check-config", "--user", "root"]).status.success());
    let checked = setup.run(&["check-config", "--user", "nobody"]);
    assert_eq!(checked.status.code(), Some(78), "{checked:?}");
    let said = stderr(&checked);
    assert!(said.contains("token_file") && said.contains("the service's user nobody"), "{said}");
    let nobody = setup.run(&["check-config", "--user", "no-such-user"]);
    assert!(stderr(&nobody).contains("there is no such user"), "{nobody:?}");
}

#[test]
fn check_config_reads_as_a_process_of_the_service() {
    if !rustix::process::geteuid().is_root() {
        return crate::support::skip("becoming another user takes root");
    }
    let setup = with_closed_token();
    setup.write_config();
    let mut service = Command::new("sleep");
    service.arg("60").uid(UNPRIVILEGED).gid(UNPRIVILEGED).env_clear().env("HEARTBEAT_INTERVAL", "1s");
    let mut service = service.spawn().expect("it starts");
    let pid = service.id().to_string();
    let closed = setup.run(&["check-config", "--process", &pid]);
    let token = setup.scratch().path().join("token");
    fs::set_permissions(token, fs::Permissions::from_mode(0o644)).expect("its mode");
    let open = setup.run(&["check-config", "--process", &pid]);
    service.kill().expect("it runs");
    service.wait().expect("a child");
    assert_eq!(closed.status.code(), Some(78), "{closed:?}");
    assert!(stderr(&closed).contains("token_file"), "{closed:?}");
    assert_eq!(open.status.code(), Some(0), "{open:?}");
}

#[test]
fn check_config_as_a_process_has_its_environment() {
    if !rustix::process::geteuid().is_root() {
        return crate::support::skip("reading the environment of another user's process takes root");
    }
    let mut service = Command::new("sleep");
    service.arg("60").uid(UNPRIVILEGED).gid(UNPRIVILEGED).env_clear().env("HEARTBEAT_INTERVAL", "soon");
    let mut service = service.spawn().expect("it starts");
    let checked = Setup::new().run(&["check-config", "--process", &service.id().to_string()]);
    service.kill().expect("it runs");
    service.wait().expect("a child");
    assert_eq!(checked.status.code(), Some(78), "{checked:?}");
    assert!(stderr(&checked).contains("HEARTBEAT_INTERVAL=soon"), "{checked:?}");
}

#[test]
fn doctor_checks_the_server_without_sending_a_heartbeat() {
    let server = Server::always(Reply::status(401));
    let doctor = Setup::new().to(&server.url("/api/v1/heartbeat")).token("hunter2").run(&["doctor"]);
    assert!(doctor.status.success(), "{doctor:?}");
    let said = stdout(&doctor);
    assert!(said.contains("it refuses a request with our token (status 401)"), "{said}");
    let request = server.request();
    assert_eq!((request.method.as_str(), request.header("authorization")), ("HEAD", Some("Bearer hunter2")));
    for row in ["token ", "uplinks ", "api ", "clock "] {
        assert!(said.lines().any(|line| line.starts_with(row)), "{row}: {said}");
    }
    assert!(said.contains("7 characters") && !said.contains("hunter2"), "{said}");
}

#[test]
fn doctor_names_what_is_missing() {
    let doctor = Setup::new().run(&["doctor"]);
    let said = stdout(&doctor);
    for part in
        ["no server is configured", "none is configured (token_file", "heartbeat-daemon is not running"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
}
