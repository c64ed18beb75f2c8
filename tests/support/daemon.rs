//! The real heartbeat-daemon, with a configuration and directories of its own.

use super::SOON;
use super::scratch::Scratch;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
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
        let mut command = self.prepare(command, &["run"]);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the daemon starts");
        let log = Log::default();
        let stderr = log.collect(child.stderr.take().expect("piped"));
        let stdout = log.collect(child.stdout.take().expect("piped"));
        Daemon { child, log, collectors: vec![stderr, stdout], setup: self }
    }

    /// Its standard error is a socket that $JOURNAL_STREAM names, as under systemd.
    pub fn start_under_journal(self) -> Daemon {
        self.write_config();
        let (ours, theirs) = UnixStream::pair().expect("sockets");
        let socket = rustix::fs::fstat(&theirs).expect("a socket has an inode");
        let mut command = self.prepare(Command::new(PROGRAM), &["run"]);
        command.env("JOURNAL_STREAM", format!("{}:{}", socket.st_dev, socket.st_ino));
        command.stdout(Stdio::null()).stderr(std::os::fd::OwnedFd::from(theirs));
        let child = command.spawn().expect("the daemon starts");
        // Holds our copy of the daemon's end, without which the log ends with the daemon.
        drop(command);
        let log = Log::default();
        let collectors = vec![log.collect(ours)];
        Daemon { child, log, collectors, setup: self }
    }
}

/// Runs a program that must end by itself, soon.
pub fn output_of(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let drain = |mut pipe: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).map(|_| bytes)
        })
    };
    let stdout = drain(Box::new(child.stdout.take().expect("piped")));
    let stderr = drain(Box::new(child.stderr.take().expect("piped")));
    let ended = wait(&child, SOON);
    // Without effect on one that has ended.
    let _ = child.kill();
    let status = child.wait().expect("a child");
    let text =
        |reader: JoinHandle<std::io::Result<Vec<u8>>>| reader.join().expect("no panic").expect("readable");
    let output = Output { status, stdout: text(stdout), stderr: text(stderr) };
    assert!(ended, "{command:?} did not end: {output:?}");
    output
}

/// True once the child has ended, which it may do within `limit`.
fn wait(child: &Child, limit: Duration) -> bool {
    let ended = pidfd_open(pid(child), PidfdFlags::empty()).expect("a child that is not reaped");
    let limit = Timespec {
        tv_sec: i64::try_from(limit.as_secs()).expect("no age"),
        tv_nsec: limit.subsec_nanos().into(),
    };
    poll(&mut [PollFd::new(&ended, PollFlags::IN)], Some(&limit)).expect("poll") > 0
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// What a process says, line by line; complete once all its ends are closed.
#[derive(Default, Clone)]
struct Log(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Log {
    fn collect(&self, pipe: impl Read + Send + 'static) -> JoinHandle<()> {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                log.0.0.lock().expect("no panic").push(line);
                log.0.1.notify_all();
            }
        })
    }
}

/// A running daemon; killed on drop, by its own pid.
pub struct Daemon {
    child: Child,
    log: Log,
    collectors: Vec<JoinHandle<()>>,
    setup: Setup,
}

/// What the process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vitals {
    pub rss_kib: u64,
    pub threads: u64,
    pub descriptors: usize,
}

impl Vitals {
    /// The larger of each.
    pub fn max(self, other: Vitals) -> Vitals {
        Vitals {
            rss_kib: self.rss_kib.max(other.rss_kib),
            threads: self.threads.max(other.threads),
            descriptors: self.descriptors.max(other.descriptors),
        }
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

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child), signal).expect("the daemon is there");
    }

    pub fn log(&self) -> Vec<String> {
        self.log.0.0.lock().expect("no panic").clone()
    }

    pub fn log_lines(&self, part: &str) -> Vec<String> {
        self.log().into_iter().filter(|line| line.contains(part)).collect()
    }

    /// The first line that holds, now or soon.
    pub fn wait_for_line(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let (lines, changed) = &*self.log.0;
        let deadline = Instant::now() + SOON;
        let mut guard = lines.lock().expect("no panic");
        loop {
            if let Some(line) = guard.iter().find(|line| holds(line)) {
                return line.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(guard);
                panic!("no line {what} in the log");
            }
            guard = changed.wait_timeout(guard, left).expect("no panic").0;
        }
    }

    /// How it ended and how long that took from now on; it must end within `limit`. The log is complete then.
    pub fn wait_for_end(&mut self, limit: Duration) -> (ExitStatus, Duration) {
        let begin = Instant::now();
        assert!(wait(&self.child, limit), "the daemon still runs after {limit:?}");
        let took = begin.elapsed();
        self.collectors.drain(..).for_each(|collector| collector.join().expect("no panic"));
        (self.child.wait().expect("a child"), took)
    }

    pub fn is_running(&self) -> bool {
        !wait(&self.child, Duration::ZERO)
    }

    pub fn proc_file(&self, name: &str) -> Vec<u8> {
        let path = Path::new("/proc").join(self.pid().to_string()).join(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// A line `Key: number` of a file in /proc/PID.
    pub fn proc_number(&self, file: &str, key: &str) -> u64 {
        let text = String::from_utf8(self.proc_file(file)).expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no {key} in {file}: {text}"))
    }

    pub fn vitals(&self) -> Vitals {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs").count();
        Vitals {
            rss_kib: self.proc_number("status", "VmRSS"),
            threads: self.proc_number("status", "Threads"),
            descriptors,
        }
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

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log().join("\n"));
        }
    }
}
