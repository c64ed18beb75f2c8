//! The real heartbeat-daemon, with a configuration and directories of its own.

pub use super::process::output_of;

use super::SOON;
use super::process::Process;
use super::scratch::Scratch;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_heartbeat-daemon");

/// What the daemon is started with.
///
/// Without further ado: a heartbeat each second (the shortest interval), 1 s for each, nobody asked about
/// modems and positions, the API on any free port, all files in a scratch directory, and nothing of the test's own
/// environment.
pub struct Setup {
    scratch: Scratch,
    /// By section and key; the value as TOML.
    keys: BTreeMap<(String, String), String>,
    environment: BTreeMap<String, String>,
}

impl Setup {
    pub fn new() -> Setup {
        Setup::under(Scratch::new())
    }

    pub fn under(scratch: Scratch) -> Setup {
        let path = |name: &str| scratch.path().join(name).to_str().expect("UTF-8").to_owned();
        let (runtime, state) = (path("run"), path("state"));
        for directory in [&runtime, &state] {
            fs::create_dir(directory).expect("a directory");
        }
        let path = std::env::var("PATH").unwrap_or_default();
        let mut setup = Setup {
            scratch,
            keys: BTreeMap::new(),
            environment: BTreeMap::from([("PATH".to_owned(), path)]),
        };
        setup = setup.toml("metrics.modem", "false").toml("metrics.gps", "false");
        // Tests of failover turn it on, in namespaces: it would probe and change the routes of this machine.
        setup = setup.key("network.mode", "off").key("api.listen", "127.0.0.1:0");
        setup.key("daemon.runtime_dir", &runtime).key("daemon.state_dir", &state).interval("1s").timeout("1s")
    }

    pub fn to(self, url: &str) -> Setup {
        self.key("heartbeat.url", url)
    }

    pub fn interval(self, period: &str) -> Setup {
        self.key("heartbeat.interval", period)
    }

    pub fn timeout(self, period: &str) -> Setup {
        self.key("heartbeat.timeout", period)
    }

    /// `section.key = "text"`
    pub fn key(self, name: &str, text: &str) -> Setup {
        self.toml(name, &format!("{text:?}"))
    }

    /// `section.key = value`
    pub fn toml(mut self, name: &str, value: &str) -> Setup {
        self.set(name, value);
        self
    }

    fn set(&mut self, name: &str, value: &str) {
        let (section, key) = name.split_once('.').expect("section.key");
        self.keys.insert((section.to_owned(), key.to_owned()), value.to_owned());
    }

    /// A token in a file of its own.
    pub fn token(self, token: &str) -> Setup {
        let file = self.scratch.file("token", &format!("{token}\n"));
        self.key("heartbeat.token_file", &file)
    }

    /// A token for the API in a file of its own.
    pub fn token_for_api(self, token: &str) -> Setup {
        let file = self.scratch.file("api-token", &format!("{token}\n"));
        self.key("api.token_file", &file)
    }

    pub fn env(mut self, name: &str, value: &str) -> Setup {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    pub fn runtime_dir(&self) -> PathBuf {
        self.scratch.path().join("run")
    }

    pub fn pidfile(&self) -> PathBuf {
        self.runtime_dir().join("heartbeat-daemon.pid")
    }

    pub fn config_path(&self) -> PathBuf {
        self.scratch.path().join("config.toml")
    }

    /// Writes the configuration file and returns its path.
    pub fn write_config(&self) -> PathBuf {
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
        self.config_path()
    }

    /// `heartbeat-daemon --config FILE arguments...`, not yet started.
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
        self.write_config();
        output_of(self.command(arguments))
    }

    pub fn start(self) -> Daemon {
        self.start_as(Command::new(PROGRAM))
    }

    /// `command` becomes the daemon, by exec: it is given the daemon's arguments.
    pub fn start_as(self, command: Command) -> Daemon {
        self.write_config();
        let process = Process::start(self.prepare(command, &["run"]));
        Daemon { process, setup: self }
    }

    /// Its standard error is a socket that $JOURNAL_STREAM names, as under systemd.
    pub fn start_under_journal(self) -> Daemon {
        self.write_config();
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        let socket = rustix::fs::fstat(&theirs).expect("a socket has an inode");
        let mut command = self.prepare(Command::new(PROGRAM), &["run"]);
        command.env("JOURNAL_STREAM", format!("{}:{}", socket.st_dev, socket.st_ino));
        command.stderr(std::os::fd::OwnedFd::from(theirs));
        Daemon { process: Process::start_heard_through(command, ours), setup: self }
    }
}

/// A running daemon; killed on drop, by its own pid.
pub struct Daemon {
    process: Process,
    setup: Setup,
}

impl Deref for Daemon {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Daemon {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Daemon {
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Changes a key of the configuration file to this TOML value; nobody tells the daemon.
    pub fn reconfigure(&mut self, name: &str, value: &str) {
        self.setup.set(name, value);
        self.setup.write_config();
    }

    /// Where its API listens, once it says so.
    pub fn api_address(&self) -> SocketAddr {
        let line = self.wait_for_line("about the API", |line| line.contains("API listens on "));
        let (_, place) = line.split_once("API listens on ").expect("found so");
        place.split(' ').next().and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("{line}"))
    }

    pub fn api_socket(&self) -> PathBuf {
        self.setup.runtime_dir().join("api.sock")
    }

    pub fn snapshot_path(&self) -> PathBuf {
        self.setup.runtime_dir().join("heartbeat.json")
    }

    /// The latest heartbeat on disk; waits for the first one.
    pub fn snapshot(&self) -> serde_json::Value {
        let deadline = Instant::now() + SOON;
        loop {
            match fs::read(self.snapshot_path()) {
                Ok(bytes) => return serde_json::from_slice(&bytes).expect("complete JSON"),
                Err(error) => assert!(Instant::now() < deadline, "no snapshot: {error}"),
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}
