//! A device that enrols itself: the real command, the real monitor, and the daemon that uses the token.

use crate::rig::becomes;
use crate::support::daemon::{Daemon, PROGRAM, Setup, output_of};
use crate::support::https::Authority;
use crate::support::monitor::{Monitor, Plan, request};
use crate::support::process::Process;
use crate::support::request::Request;
use crate::support::server::{Reply, Server};
use crate::support::wall_clock::WallClock;
use crate::support::{eventually, lasting_address, skip};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// A device that is not configured for any server.
pub struct Device(pub Setup);

impl Device {
    pub fn new() -> Device {
        Device::of_board("board-a")
    }

    /// With this hardware id, as a machine without a serial number remembers it.
    fn of_board(hardware_id: &str) -> Device {
        let device = Device(Setup::new());
        device.move_to_board(hardware_id);
        device.0.write_config();
        device
    }

    fn move_to_board(&self, hardware_id: &str) {
        self.0.scratch().file("state/hardwareid", &format!("{hardware_id}\n"));
    }

    pub fn key_file(&self, key: &str) -> String {
        self.0.scratch().file("key", &format!("{key}\n"))
    }

    fn command(&self, url: &str, key: &str) -> Command {
        let file = self.key_file(key);
        self.0.command(&["enroll", url, "--key-file", &file])
    }

    fn enroll(&self, url: &str, key: &str) -> Output {
        output_of(self.command(url, key))
    }

    /// Enrolling that is not expected to end at once.
    fn start_enrolling(&self, url: &str, key: &str) -> Process {
        Process::start(self.command(url, key))
    }

    /// `enroll --boot` with these files below a root of its own.
    fn boot(&self, files: &[(&str, &str)]) -> (PathBuf, Output) {
        let root = self.0.scratch().path().join("root");
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a directory")).expect("created");
            fs::write(path, text).expect("written");
        }
        let arguments = ["enroll", "--boot", "--root", root.to_str().expect("UTF-8")];
        let output = output_of(self.0.command(&arguments));
        (root, output)
    }

    fn state_file(&self, name: &str) -> PathBuf {
        self.0.scratch().path().join("state").join(name)
    }
}

/// Whether this machine's own serial number hides the hardware id of a test's state directory.
fn has_serial_number() -> bool {
    let has_one = Path::new("/proc/device-tree/serial-number").exists();
    if has_one {
        skip("this machine has a serial number, so a test cannot choose its hardware id");
    }
    has_one
}

fn key(monitor: &Monitor, more: &[&str]) -> String {
    monitor.plan().token(&[&["enroll", "add", "--group", "farm"], more].concat())
}

#[track_caller]
pub fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// The error of a command that ended with status 1.
#[track_caller]
fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn stored(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("stored")).expect("JSON")
}

fn token(path: &Path) -> String {
    stored(path)["token"].as_str().expect("a token").to_owned()
}

fn machines(monitor: &Monitor, reader: &str) -> usize {
    let machines = monitor.get_as(reader, "/api/v1/machines").json();
    machines["items"].as_array().expect("a list").len()
}

/// Passes a request on to the monitor.
fn forwarded(monitor: SocketAddr, sent: &Request) -> Reply {
    let authorization = sent.header("authorization").unwrap_or_default().to_owned();
    let headers = [("Authorization", authorization)];
    let answer = request(monitor, &sent.method, &sent.target, &headers, &sent.body);
    Reply::Answer(answer.status, Vec::new(), answer.body.into_bytes())
}

#[test]
fn a_running_daemon_uses_the_token_without_a_restart_and_no_log_shows_a_secret() {
    let monitor = Plan::new().start();
    let (reader, key) = (monitor.reader(), key(&monitor, &[]));
    let device = Device::new();
    let file = device.key_file(&key);
    let daemon: Daemon = device.0.start();
    daemon.wait_for_line("of the missing server", |line| line.contains("no server is configured"));
    let url = monitor.url("");
    let output = output_of(daemon.setup().command(&["enroll", &url, "--key-file", &file]));
    assert!(succeeded(&output).starts_with("enrolled at http://127.0.0.1"), "{output:?}");
    becomes(&monitor, &reader, 1, "online");
    let machine = monitor.get_as(&reader, "/api/v1/machines/1").json();
    assert_eq!(machine["group"], json!("farm"));
    daemon.wait_for_line("of the change", |line| line.contains("enrolment.json has changed"));
    daemon.wait_for_line("of the enrolment", |line| line.contains("enrolled: the token is that of"));

    let path = daemon.setup().scratch().path().join("state/enrolment.json");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    assert!(Path::new(&file).exists(), "the person's own file stays");
    let token = token(&path);
    let doctor = succeeded(&output_of(daemon.setup().command(&["doctor"])));
    assert!(doctor.contains("board board-a at http://127.0.0.1") || has_serial_number(), "{doctor}");
    let logs = [
        daemon.log().join("\n"),
        monitor.log().join("\n"),
        String::from_utf8_lossy(&output.stderr).into_owned(),
        doctor,
    ];
    for secret in [&key, &token] {
        assert!(logs.iter().all(|log| !log.contains(secret.as_str())), "{logs:?}");
    }
}

#[test]
fn a_repeated_request_whose_answer_was_lost_is_the_same_machine() {
    let monitor = Plan::new().start();
    let (reader, key) = (monitor.reader(), key(&monitor, &[]));
    let (address, requests) = (monitor.address(), AtomicUsize::new(0));
    let proxy = Server::start(move |sent| {
        match (requests.fetch_add(1, Ordering::SeqCst), forwarded(address, sent)) {
            (0, _) => Reply::Close,
            (_, reply) => reply,
        }
    });
    let device = Device::new();
    let said = succeeded(&device.enroll(&proxy.url("/"), &key));
    assert!(said.contains("(machine 1)"), "{said}");
    let tokens: Vec<Value> = proxy.requests(2).iter().map(|sent| sent.json()["token"].clone()).collect();
    assert_eq!(tokens[0], tokens[1]);
    assert_eq!(machines(&monitor, &reader), 1);
}

/// The monitor has stored the token, and the device is killed before it has the answer.
#[test]
fn a_killed_device_continues_with_the_token_that_it_stored() {
    let monitor = Plan::new().start();
    let (reader, key, address) = (monitor.reader(), key(&monitor, &[]), monitor.address());
    let proxy = Server::start(move |sent| {
        forwarded(address, sent);
        Reply::Hang
    });
    let device = Device::new();
    let enrolling = device.start_enrolling(&proxy.url("/"), &key);
    let first = proxy.request().json()["token"].clone();
    assert_eq!(stored(&device.state_file("enrolment-pending.json"))["token"], first, "before it was sent");
    // SIGKILL
    drop(enrolling);
    assert!(!device.state_file("enrolment.json").exists(), "nothing was granted");

    proxy.become_one_that(move |sent| forwarded(address, sent));
    succeeded(&device.enroll(&proxy.url("/"), &key));
    assert_eq!(proxy.request().json()["token"], first);
    assert_eq!(stored(&device.state_file("enrolment.json"))["token"], first);
    assert!(!device.state_file("enrolment-pending.json").exists());
    assert_eq!(machines(&monitor, &reader), 1);
}

#[test]
fn a_card_enrols_at_its_first_boot_and_keeps_no_key() {
    let monitor = Plan::new().start();
    let (reader, key) = (monitor.reader(), key(&monitor, &[]));
    let authority = Authority::new();
    let address = monitor.address();
    let proxy = Server::start_tls(authority.server(&NAMES), move |sent| forwarded(address, sent));
    let file = format!(
        "url = {:?}\nkey = {key:?}\nname = \"barn-cam\"\nca = \"\"\"\n{}\"\"\"\n",
        proxy.url("/"),
        authority.pem
    );
    let device = Device::new();
    let (root, output) = device.boot(&[("boot/firmware/heartbeat.toml", &file)]);
    assert!(succeeded(&output).contains("as barn-cam (machine 1)"), "{output:?}");
    assert_eq!(fs::read_dir(root.join("boot/firmware")).expect("a directory").count(), 0);
    assert!(!String::from_utf8_lossy(&output.stderr).contains(&key), "{output:?}");

    // The daemon has neither url nor ca_file nor token_file in its configuration.
    let _daemon = device.0.start();
    becomes(&monitor, &reader, 1, "online");
}

#[test]
fn the_key_file_uses_the_configured_url_and_a_refused_key_stays() {
    let monitor = Plan::new().start();
    let (reader, key) = (monitor.reader(), key(&monitor, &[]));
    let line = format!("{key}\n");
    let files = [("etc/heartbeat-daemon/enroll.key", line.as_str())];
    let enrol = |board: &str| {
        let device = Device::of_board(board);
        let device = Device(device.0.to(&monitor.url("/api/v1/heartbeat")));
        device.0.write_config();
        let (root, output) = device.boot(&files);
        let key_file = root.join(files[0].0);
        (device, key_file, output)
    };
    let (device, key_file, output) = enrol("board-a");
    succeeded(&output);
    assert!(!key_file.exists());
    let _daemon = device.0.start();
    becomes(&monitor, &reader, 1, "online");

    if has_serial_number() {
        return;
    }
    let (device, key_file, output) = enrol("board-b");
    let error = failed(&output);
    assert!(error.contains("unknown, used or expired"), "{error}");
    assert_eq!(fs::read_to_string(key_file).expect("it stays"), line);
    assert!(!device.state_file("enrolment.json").exists());
    assert_eq!(machines(&monitor, &reader), 1);
}

#[test]
fn a_device_waits_for_approval_and_is_let_in() {
    let monitor = Plan::new().start();
    let key = key(&monitor, &["--approve"]);
    let device = Device::new();
    let mut enrolling = device.start_enrolling(&monitor.url("/"), &key);
    enrolling
        .wait_for_line("of the wait", |line| line.contains("waits for approval: its key asks for approval"));
    assert!(!device.state_file("enrolment.json").exists());
    monitor.plan().says(&["enroll", "approve", "1", "--name", "gate"]);
    let (status, _) = enrolling.wait_for_end(crate::support::SOON);
    assert!(status.success(), "{:?}", enrolling.log());
    enrolling.wait_for_line("of the machine", |line| line.contains("as gate (machine 1)"));
}

#[test]
fn a_monitor_that_is_not_there_yet_is_waited_for() {
    let address = lasting_address();
    let monitor = Plan::new().key("http.listen", &address.to_string()).start();
    let key = key(&monitor, &[]);
    let plan = monitor.kill();
    let device = Device::new();
    let mut enrolling = device.start_enrolling(&format!("http://{address}"), &key);
    enrolling.wait_for_line("of the failure", |line| {
        line.contains("not enrolled at") && line.contains("trying again")
    });
    let _monitor = plan.start();
    let (status, _) = enrolling.wait_for_end(crate::support::SOON);
    assert!(status.success(), "{:?}", enrolling.log());
}

#[test]
fn a_monitor_with_another_authority_never_gets_the_key() {
    let proxy = Server::start_tls(Authority::new().server(&NAMES), |_| Reply::ok());
    let device = Device::new();
    let file = device.key_file("hbe_0123456789");
    let ca = device.0.scratch().file("ca.pem", &Authority::new().pem);
    let arguments = ["enroll", &proxy.url("/"), "--key-file", &file, "--ca-file", &ca];
    let enrolling = Process::start(device.0.command(&arguments));
    enrolling.wait_for_line("of the certificate", |line| line.contains("certificate"));
    assert!(proxy.request_within(std::time::Duration::ZERO).is_none());
    assert!(enrolling.is_running(), "it tries again");
}

#[test]
fn a_certificate_is_waited_for_while_the_clock_is_wrong() {
    let Some(mut clock) = WallClock::new() else { return };
    let monitor = Plan::new().start();
    let (key, address) = (key(&monitor, &[]), monitor.address());
    let authority = Authority::new();
    let proxy =
        Server::start_tls(authority.server_valid(&NAMES, 2020..4000), move |sent| forwarded(address, sent));
    let device = Device(clock.given_to(Device::new().0));
    clock.step("-45y");
    let file = device.key_file(&key);
    let ca = device.0.scratch().file("ca.pem", &authority.pem);
    let arguments = ["enroll", &proxy.url("/"), "--key-file", &file, "--ca-file", &ca];
    let mut enrolling = Process::start(device.0.command(&arguments));
    clock.belongs_to(&enrolling);
    enrolling.wait_for_line("of the clock", |line| {
        line.contains("not valid yet") && line.contains("has the time been set")
    });
    clock.step("+0");
    let (status, _) = enrolling.wait_for_end(crate::support::SOON);
    assert!(status.success(), "{:?}", enrolling.log());
}

#[test]
fn a_key_does_not_travel_in_the_open() {
    let device = Device::new();
    let error = failed(&device.enroll("http://192.0.2.1:8080", "hbe_0123456789"));
    assert!(error.contains("plain HTTP") && error.contains("use https://"), "{error}");
    let (root, output) = device
        .boot(&[("boot/firmware/heartbeat.toml", "url = \"http://192.0.2.1\"\nkey = \"hbe_0123456789\"\n")]);
    assert!(failed(&output).contains("use https://"));
    assert!(root.join("boot/firmware/heartbeat.toml").exists());
    assert!(!device.state_file("enrolment-pending.json").exists());
}

/// A directory that cannot be created, one that is read-only, and one without a free byte.
#[test]
fn a_token_that_cannot_be_stored_is_not_sent_and_the_key_stays() {
    let server = Server::always(Reply::ok());
    let boot = format!("url = {:?}\nkey = \"hbe_0123456789\"\n", server.url("/"));
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("mounting a file system takes root");
    }
    for mount in ["", "-o ro", "-o size=4k"].into_iter().take(if root { 3 } else { 1 }) {
        let device = Device(Setup::new());
        let state = device.0.scratch().path().join("state");
        let device = match mount {
            // Not even root can create a directory there.
            "" => Device(device.0.key("daemon.state_dir", "/proc/nowhere/state")),
            _ => device,
        };
        device.0.write_config();
        let file = device.0.scratch().path().join("root/boot/firmware/heartbeat.toml");
        fs::create_dir_all(file.parent().expect("a directory")).expect("created");
        fs::write(&file, &boot).expect("written");
        let script = match mount {
            "" => String::new(),
            _ => format!(
                "mount -t tmpfs {mount} none '{0}'; head -c 9999 /dev/zero 2>&- >'{0}/filler' || :",
                state.display()
            ),
        };
        let root = device.0.scratch().path().join("root");
        let mut command = Command::new("sh");
        if !mount.is_empty() {
            command = Command::new("unshare");
            command.args(["--mount", "--propagation", "private", "sh"]);
        }
        command.args(["-ec", &format!("{script}\nexec \"$0\" \"$@\""), PROGRAM, "--config"]);
        command.arg(device.0.config_path()).args(["enroll", "--boot", "--root"]).arg(root);
        let error = failed(&output_of(command));
        assert!(error.contains("cannot store the token in"), "{mount}: {error}");
        assert_eq!(fs::read_to_string(&file).expect("it stays"), boot, "{mount}");
    }
    assert!(server.request_within(std::time::Duration::ZERO).is_none(), "nothing was sent");
}

#[test]
fn a_card_in_another_board_waits_for_approval_and_gets_a_token_of_its_own() {
    if has_serial_number() {
        return;
    }
    let monitor = Plan::new().start();
    let (reader, key) = (monitor.reader(), key(&monitor, &[]));
    let device = Device::new();
    succeeded(&device.enroll(&monitor.url("/"), &key));
    let card = token(&device.state_file("enrolment.json"));
    device.move_to_board("board-b");
    let doctor = succeeded(&output_of(device.0.command(&["doctor"])));
    assert!(doctor.contains("the card was enrolled in board board-a, and this is board-b"), "{doctor}");

    let daemon = device.0.start();
    daemon.wait_for_line("of the board", |line| line.contains("this card was enrolled in the board board-a"));
    daemon.wait_for_line("of the wait", |line| line.contains("board board-b waits for approval at"));
    let listed = monitor.plan().says(&["enroll", "list"]);
    assert!(listed.contains("board-b"), "{listed}");
    let machine = monitor.get_as(&reader, "/api/v1/machines/1").json();
    assert_eq!(machine["last_seen"], Value::Null, "the card's token was not used: {machine}");
    let name = machine["name"].as_str().expect("a name").to_owned();
    monitor.plan().says(&["enroll", "approve", "1", "--replaces", &name]);
    becomes(&monitor, &reader, 1, "online");
    daemon.wait_for_line("of the approval", |line| line.contains("approved this board as"));

    let path = daemon.setup().scratch().path().join("state/enrolment.json");
    assert_eq!(stored(&path)["hardware_id"], json!("board-b"));
    assert_ne!(token(&path), card);
    let machine = monitor.get_as(&reader, "/api/v1/machines/1").json();
    assert_eq!(machine["hardware_id"], json!("board-b"));
    eventually("the thread that asked has ended", || !daemon.has_thread("enrolment"));
}

#[test]
fn a_person_types_the_key_and_the_terminal_does_not_show_it() {
    if Command::new("script").arg("--version").output().is_err() {
        return skip("no script (apt-get install bsdutils)");
    }
    let monitor = Plan::new().start();
    let key = key(&monitor, &[]);
    let device = Device::new();
    let config = device.0.config_path();
    let line = format!("{PROGRAM} --config {} enroll {}", config.display(), monitor.url("/"));
    let mut child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script runs");
    let mut terminal = child.stdout.take().expect("piped");
    let mut shown = String::new();
    let mut byte = [0];
    // Before that, the terminal would still show what is typed.
    while !shown.contains("not shown): ") {
        assert_eq!(terminal.read(&mut byte).expect("readable"), 1, "{shown}");
        shown.push(char::from(byte[0]));
    }
    let mut keyboard = child.stdin.take().expect("piped");
    writeln!(keyboard, "{key}").expect("typed");
    terminal.read_to_string(&mut shown).expect("readable");
    drop(keyboard);
    assert!(child.wait().expect("it ends").success(), "{shown}");
    assert!(shown.contains("(machine 1)") && !shown.contains(&key), "{shown}");
}
