//! The real heartbeat-monitor, with a configuration and a database of its own.

use super::process::{Process, output_of};
use super::scratch::Scratch;
use super::{SOON, eventually};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_heartbeat-monitor");

/// What the monitor is started with: any port of loopback, a look at the fleet each second, nobody outside.
pub struct Plan {
    scratch: Scratch,
    /// By section and key; the value as TOML.
    keys: BTreeMap<(String, String), String>,
    environment: BTreeMap<String, String>,
}

impl Plan {
    pub fn new() -> Plan {
        let scratch = Scratch::new();
        let state = scratch.path().join("monitor");
        fs::create_dir(&state).expect("a directory");
        let plan = Plan { scratch, keys: BTreeMap::new(), environment: BTreeMap::new() };
        plan.key("http.listen", "127.0.0.1:0")
            .key("store.state_dir", state.to_str().expect("UTF-8"))
            .key("detection.check_interval", "1s")
            .key("detection.offline_threshold", "3s")
            // Receivers of tests are on loopback.
            .toml("notify.allow_private_webhooks", "true")
    }

    /// `section.key = "text"`
    pub fn key(self, name: &str, text: &str) -> Plan {
        self.toml(name, &format!("{text:?}"))
    }

    /// `section.key = value`
    pub fn toml(mut self, name: &str, value: &str) -> Plan {
        self.set(name, Some(value));
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Plan {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    fn set(&mut self, name: &str, value: Option<&str>) {
        let (section, key) = name.split_once('.').expect("section.key");
        let place = (section.to_owned(), key.to_owned());
        match value {
            Some(value) => drop(self.keys.insert(place, value.to_owned())),
            None => drop(self.keys.remove(&place)),
        }
        self.write();
    }

    fn write(&self) {
        let mut text = String::new();
        let mut last = "";
        for ((section, key), value) in &self.keys {
            if section != last {
                text.push_str(&format!("[{section}]\n"));
                last = section;
            }
            text.push_str(&format!("{key} = {value}\n"));
        }
        fs::write(self.config_path(), text).expect("a config file");
    }

    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    pub fn config_path(&self) -> PathBuf {
        self.scratch.path().join("monitor.toml")
    }

    pub fn database(&self) -> PathBuf {
        self.scratch.path().join("monitor/monitor.db")
    }

    /// `heartbeat-monitor --config FILE arguments...`, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.prepare(Command::new(PROGRAM), arguments)
    }

    fn prepare(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.arg("--config").arg(self.config_path()).args(arguments);
        command.env_clear().envs(&self.environment).stdin(Stdio::null());
        command
    }

    /// Runs a command that ends by itself.
    pub fn run(&self, arguments: &[&str]) -> Output {
        output_of(self.command(arguments))
    }

    /// What a command that must succeed prints.
    #[track_caller]
    pub fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// The token that a command prints alone on its last line.
    #[track_caller]
    pub fn token(&self, arguments: &[&str]) -> String {
        self.says(arguments).lines().last().expect("a line").to_owned()
    }

    pub fn start(self) -> Monitor {
        self.start_as(Command::new(PROGRAM))
    }

    /// `command` becomes the monitor, by exec: it is given the monitor's arguments.
    pub fn start_as(self, command: Command) -> Monitor {
        let process = Process::start(self.prepare(command, &["serve"]));
        Monitor { process, plan: self }.when_ready()
    }
}

/// A running monitor; killed on drop.
pub struct Monitor {
    process: Process,
    plan: Plan,
}

impl Deref for Monitor {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Monitor {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// An answer, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Monitor {
    fn when_ready(self) -> Monitor {
        self.wait_for_line("of the listener", |line| line.contains("is listening on"));
        self
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Changes a key of the configuration file to this TOML value; nobody tells the monitor.
    pub fn reconfigure(&mut self, name: &str, value: &str) {
        self.plan.set(name, Some(value));
    }

    /// Starts another one with the same configuration and database, after this one has ended or is killed.
    pub fn restart(self) -> Monitor {
        self.kill().start()
    }

    /// As the kernel does it when memory is short; what is left can be started again.
    pub fn kill(self) -> Plan {
        let Monitor { process, plan } = self;
        drop(process);
        plan
    }

    pub fn address(&self) -> SocketAddr {
        let line = self.wait_for_line("of the listener", |line| line.contains("listening on http"));
        let (_, address) = line.rsplit_once("//").expect("an address");
        address.parse().expect("an address")
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Adds a machine and returns its token.
    #[track_caller]
    pub fn machine(&self, name: &str) -> String {
        let token = self.plan.token(&["machine", "add", name]);
        // The server looks once a second whether a command has changed anything.
        eventually("the token is known", || {
            // Refused without being a sign of life, as anything that may be a replay.
            let answer = self.post("/api/v1/heartbeat", &[bearer(&token)], b"[");
            answer.status == 400
        });
        token
    }

    /// A read token that is in force.
    #[track_caller]
    pub fn reader(&self) -> String {
        let token = self.plan.token(&["token", "add", "test"]);
        eventually("the token is known", || self.get_as(&token, "/api/v1/machines").status == 200);
        token
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], b"")
    }

    pub fn get_as(&self, token: &str, path: &str) -> Answer {
        self.request("GET", path, &[bearer(token)], b"")
    }

    pub fn post(&self, path: &str, headers: &[(&str, String)], body: &[u8]) -> Answer {
        self.request("POST", path, headers, body)
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, String)], body: &[u8]) -> Answer {
        request(self.address(), method, path, headers, body)
    }
}

/// One request to this address, on a connection of its own.
#[track_caller]
pub fn request(to: SocketAddr, method: &str, path: &str, headers: &[(&str, String)], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(to).expect("connected");
    stream.set_read_timeout(Some(SOON)).expect("a limit");
    stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a limit");
    let has_host = headers.iter().any(|(name, _)| *name == "Host");
    let host = if has_host { "" } else { "Host: monitor\r\n" };
    let mut head = format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method == "POST" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    // A refusal may come before all of a large body has gone.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer { status: status.expect("a status"), head: head.to_owned(), body: body.to_owned() }
}

pub fn bearer(token: &str) -> (&'static str, String) {
    ("Authorization", format!("Bearer {token}"))
}
