//! A secret goes to its server, and nowhere else.

use crate::support::daemon::{Daemon, Setup};
use crate::support::notify::NotifySocket;
use crate::support::server::{Reply, Server};
use rustix::process::Signal;
use std::time::Duration;

const TOKEN: &str = "tok3n-that-nobody-sees";
const IN_URL: &str = "0ther-tok3n-of-the-url";
const DEVICE_KEY: &str = "d3vice-key-as-good-as-one";
const SECRETS: [&str; 3] = [TOKEN, IN_URL, DEVICE_KEY];

fn assert_clean(what: &str, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} is in {what}: {text}");
    }
}

fn with_secrets(server: &Server, format: &str) -> Setup {
    Setup::new()
        .to(&server.url(&format!("/heartbeat?token={IN_URL}")))
        .timeout("500ms")
        .token(TOKEN)
        .key("heartbeat.format", format)
        .key("heartbeat.device_key", DEVICE_KEY)
        .key("log.level", "debug")
}

/// Everything that can go wrong on the way of a heartbeat, one after the other.
fn suffer(server: &Server, daemon: &Daemon) {
    let replies = [
        Reply::status(401),
        Reply::status(403),
        Reply::status(404),
        Reply::Answer(301, vec![("Location", "/elsewhere".to_owned())], Vec::new()),
        Reply::Answer(503, vec![("Retry-After", "1".to_owned())], Vec::new()),
        Reply::Reset,
        Reply::Close,
        Reply::Bytes(b"garbage\r\n\r\n"),
        Reply::Hang,
        Reply::ok(),
    ];
    for reply in replies {
        server.become_one_that(move |_| reply.clone());
        server.requests_during(Duration::from_millis(100));
        daemon.signal(Signal::USR1);
        server.request();
    }
    server.requests(2);
}

/// What an operator may type wrong, near a secret.
fn bad_lines() -> [String; 11] {
    [
        format!("[heartbeat]\ntoken = \"{TOKEN}\"\n"),
        format!("[heartbeat]\ntoken = {TOKEN}\n"),
        format!("[heartbeat]\nurl = \"ftp://127.0.0.1/?token={IN_URL}\"\n"),
        format!("[heartbeat]\nurl = \"http://user:{TOKEN}@127.0.0.1/\"\n"),
        format!("[heartbeat]\nurl = http://127.0.0.1/?token={IN_URL}\n"),
        format!("[heartbeat]\ndevice_key = \"not allowed: {DEVICE_KEY}\"\n"),
        format!(
            "[heartbeat]\nformat = \"meeting\"\nurl = \"?token={IN_URL}\"\ndevice_key = \"{DEVICE_KEY}\"\n"
        ),
        format!("[heartbeat]\ndevice_key = [\"{DEVICE_KEY}\"]\n"),
        format!("[heartbeat]\nurl = \"http://h/?token={IN_URL}\n"),
        format!("[heartbeat]\nurl = \"http://h/?token={IN_URL}\"\ninterval = \"soon\"\n"),
        format!("heartbeat = {{ device_key = \"not allowed: {DEVICE_KEY}\" }}\n"),
    ]
}

fn no_secret_leaves(format: &str) {
    let server = Server::always(Reply::ok());
    let setup = with_secrets(&server, format);
    let notify = NotifySocket::new(setup.scratch());
    let mut daemon = setup.env("NOTIFY_SOCKET", notify.path()).start();
    let request = server.request();
    let headers = ["authorization", "x-token-code"].map(|name| request.header(name).unwrap_or_default());
    assert!(headers.concat().contains(TOKEN), "the server gets it: {request:?}");
    // The Meeting API has no query; its path names the device.
    let mark = if format == "meeting" { DEVICE_KEY } else { IN_URL };
    assert!(request.target.contains(mark), "and what its URL says: {}", request.target);
    suffer(&server, &daemon);
    for bad in bad_lines() {
        std::fs::write(daemon.setup().config_path(), bad).expect("written");
        daemon.signal(Signal::HUP);
        server.request();
    }
    assert_clean("heartbeat.json", daemon.snapshot().to_string().as_bytes());
    assert_clean("/proc/PID/cmdline", &daemon.proc_file("cmdline"));
    daemon.signal(Signal::TERM);
    assert!(daemon.wait_for_end(Duration::from_secs(20)).0.success());
    assert!(daemon.log().len() > 8, "it had much to say: {:?}", daemon.log());
    assert_clean("the log", daemon.log().join("\n").as_bytes());
    let states: Vec<String> = notify.during(Duration::from_millis(100)).into_iter().map(|(_, t)| t).collect();
    assert!(!states.is_empty());
    assert_clean("what systemd received", states.join("\n").as_bytes());
}

#[test]
fn no_secret_leaves_in_the_native_format() {
    no_secret_leaves("native");
}

#[test]
fn no_secret_leaves_in_the_meeting_format() {
    no_secret_leaves("meeting");
}

#[test]
fn no_command_shows_a_secret() {
    for reply in [Reply::ok(), Reply::status(401), Reply::Reset, Reply::Hang] {
        let server = Server::always(reply);
        for format in ["native", "meeting"] {
            let setup = with_secrets(&server, format);
            for command in ["check-config", "print", "send", "doctor"] {
                let output = setup.run(&[command]);
                assert_clean(command, &output.stdout);
                assert_clean(command, &output.stderr);
            }
        }
    }
}

#[test]
fn no_sentence_about_a_bad_configuration_shows_a_secret() {
    for bad in bad_lines() {
        let setup = Setup::new();
        std::fs::write(setup.config_path(), &bad).expect("written");
        for command in ["check-config", "run", "doctor"] {
            let output = crate::support::daemon::output_of(setup.command(&[command]));
            assert_eq!(output.status.code(), Some(78), "{bad}: {output:?}");
            assert_clean(command, &output.stdout);
            assert_clean(command, &output.stderr);
        }
    }
}

#[test]
fn a_url_in_the_environment_is_no_secret_in_the_log() {
    for url in [format!("ftp://127.0.0.1/?token={IN_URL}"), format!("http://user:{TOKEN}@127.0.0.1/")] {
        let output = Setup::new().env("HEARTBEAT_URL", &url).run(&["run"]);
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        assert_clean("the sentence", &output.stderr);
    }
}
