//! A program under measurement: where its files are, how it starts, and that it ends.

use crate::INTERVAL;
use crate::https::Authority;
use crate::parts::Outcome;
use crate::receiver::Receiver;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The release binary that cargo has built for this benchmark.
pub const BINARY: &str = env!("CARGO_BIN_EXE_heartbeat-daemon");

/// How long a program may take to its first heartbeat, and between two.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// A stop that takes longer is a hang; the daemon promises 2.5 s.
const STOP: Duration = Duration::from_secs(4);

/// The unit's `WatchdogSec=`.
const WATCHDOG_USEC: &str = "30000000";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Http => "HTTP",
            Scheme::Https => "HTTPS",
        }
    }
}

/// The daemon, with the server that it sends to.
pub struct Daemon {
    pub receiver: Receiver,
    pub program: Program,
}

impl Daemon {
    /// Returns after the first heartbeat.
    pub fn start(scheme: Scheme) -> Outcome<Daemon> {
        let daemon = Daemon::start_unheard(scheme)?;
        daemon.heartbeat()?;
        Ok(daemon)
    }

    /// Does not wait for a heartbeat.
    pub fn start_unheard(scheme: Scheme) -> Outcome<Daemon> {
        let scratch = Scratch::new().map_err(|error| format!("scratch directories: {error}"))?;
        let authority = (scheme == Scheme::Https).then(Authority::new);
        let receiver = Receiver::start(authority.as_ref().map(|ca| ca.server(&["127.0.0.1"])))?;
        let config = configure(&scratch, &receiver, authority.as_ref())
            .map_err(|error| format!("configuration of the daemon: {error}"))?;
        let systemd = scratch.runtime.join("notify");
        fake_systemd(&systemd).map_err(|error| format!("{}: {error}", systemd.display()))?;
        let mut command = Command::new(BINARY);
        command.arg("--config").arg(config).arg("run");
        let environment =
            [("NOTIFY_SOCKET", systemd.as_os_str()), ("WATCHDOG_USEC", OsStr::new(WATCHDOG_USEC))];
        Ok(Daemon { program: Program::start("heartbeat-daemon", command, &environment, scratch)?, receiver })
    }

    pub fn pid(&self) -> u32 {
        self.program.child.id()
    }

    /// Waits for one.
    pub fn heartbeat(&self) -> Outcome<crate::receiver::Arrival> {
        self.receiver.next(PATIENCE).ok_or_else(|| self.program.silent())
    }

    pub fn trigger(&self) -> Outcome<()> {
        signal(&self.program.child, Signal::USR1).map_err(|error| format!("SIGUSR1: {error}"))
    }
}

/// Takes what the daemon tells systemd, so that telling is part of the figures. Its thread lives as long as the
/// program.
fn fake_systemd(path: &Path) -> io::Result<()> {
    let socket = UnixDatagram::bind(path)?;
    std::thread::spawn(move || while socket.recv(&mut [0; 4096]).is_ok() {});
    Ok(())
}

/// As on a device: the runtime directory in memory, the state on a disk, a token of 256 bits.
fn configure(scratch: &Scratch, receiver: &Receiver, authority: Option<&Authority>) -> io::Result<PathBuf> {
    let (runtime, state) = (scratch.runtime.display(), scratch.state.display());
    let scheme = if authority.is_some() { "https" } else { "http" };
    let ca_file = authority.map_or(String::new(), |_| format!("ca_file = \"{state}/ca.pem\"\n"));
    if let Some(authority) = authority {
        fs::write(scratch.state.join("ca.pem"), &authority.pem)?;
    }
    fs::write(scratch.state.join("token"), "0123456789abcdef".repeat(4))?;
    // "off" is what the limits were set for; another mode brings failover's thread, without its probes, which would
    // leave this machine.
    let failover = std::env::var("FAILOVER").unwrap_or_else(|_| "off".to_owned());
    let text = format!(
        "[heartbeat]\nurl = \"{scheme}://{}/api/v1/heartbeat\"\ninterval = \"{}s\"\ntimeout = \"2s\"\n\
         token_file = \"{state}/token\"\n{ca_file}\
         [daemon]\npidfile = \"{runtime}/pid\"\nstate_dir = \"{state}\"\nruntime_dir = \"{runtime}\"\n\
         [network]\nmode = \"{failover}\"\nconnectivity_check = \"\"\ngateway_probe = false\n\
         [api]\nlisten = \"127.0.0.1:0\"\n\
         [log]\nlevel = \"info\"\n",
        receiver.address,
        INTERVAL.as_secs()
    );
    let path = scratch.state.join("config.toml");
    fs::write(&path, text)?;
    Ok(path)
}

/// Directories of one program; removed with it.
pub struct Scratch {
    /// On tmpfs, as /run is on a device.
    pub runtime: PathBuf,
    /// On a disk.
    pub state: PathBuf,
}

impl Scratch {
    pub fn new() -> io::Result<Scratch> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("heartbeat-bench-{}-{number}", std::process::id());
        let scratch = Scratch {
            runtime: Path::new("/dev/shm").join(&name),
            state: Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name),
        };
        fs::create_dir_all(&scratch.runtime)?;
        fs::create_dir_all(&scratch.state)?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left; the names are not used twice.
        let _ = fs::remove_dir_all(&self.runtime);
        let _ = fs::remove_dir_all(&self.state);
    }
}

/// A process that ends with this value.
pub struct Program {
    pub name: &'static str,
    pub child: Child,
    scratch: Scratch,
}

impl Program {
    /// With an environment of its own: neither a proxy nor an override of this shell reaches it.
    pub fn start(
        name: &'static str,
        mut command: Command,
        environment: &[(&str, &OsStr)],
        scratch: Scratch,
    ) -> Outcome<Program> {
        let log =
            File::create(scratch.runtime.join("log")).map_err(|error| format!("log of {name}: {error}"))?;
        let second = log.try_clone().map_err(|error| format!("log of {name}: {error}"))?;
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(log).stderr(second);
        let child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        Ok(Program { name, child, scratch })
    }

    /// The sentence about a program that sends nothing, with what it said last.
    pub fn silent(&self) -> String {
        let log = fs::read_to_string(self.scratch.runtime.join("log")).unwrap_or_default();
        let mut last: Vec<&str> = log.lines().rev().take(3).collect();
        last.reverse();
        format!("{} sent nothing within {} s; it says: {}", self.name, PATIENCE.as_secs(), last.join(" / "))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A process that is gone cannot be told to go.
        let _ = signal(&self.child, Signal::TERM);
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        println!("{} did not stop within {} s and was killed", self.name, STOP.as_secs());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(child: &Child, signal: Signal) -> io::Result<()> {
    Ok(kill_process(Pid::from_child(child), signal)?)
}
