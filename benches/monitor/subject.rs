//! The monitor under measurement: its database, its process, its fleet.

use crate::parts::Outcome;
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::monitor::simulation::{Content, Plan};
use heartbeat_daemon::monitor::store::Store;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The release binary that cargo has built for this benchmark.
const BINARY: &str = env!("CARGO_BIN_EXE_heartbeat-monitor");

/// A file that it offers below `/apt/`, as large as both programs' packages together.
pub const PACKAGE: &str = "package.deb";
pub const PACKAGE_SIZE: usize = 4 * 1024 * 1024;

/// A million machines are read first.
const LONGEST_START: Duration = Duration::from_secs(60);

pub struct Monitor {
    pub address: SocketAddr,
    pub tokens: Vec<String>,
    dir: TempDir,
    child: Child,
}

impl Monitor {
    /// With so many machines, on a database on the disk.
    #[allow(dead_code, reason = "the benchmark of the pages prepares its fleet")]
    pub fn start(machines: usize) -> Outcome<Monitor> {
        Monitor::start_with(machines, |_| Ok(()))
    }

    /// The same on a database that `prepare` has changed.
    pub fn start_with(machines: usize, prepare: impl FnOnce(&Store) -> Outcome<()>) -> Outcome<Monitor> {
        let dir = TempDir::with_prefix("heartbeat-monitor-").map_err(|error| format!("scratch: {error}"))?;
        let store = open(dir.path())?;
        let tokens = store.add_simulated(machines, Moment::now()).map_err(|error| error.to_string())?;
        let tokens = tokens.iter().map(|token| token.as_str().to_owned()).collect();
        prepare(&store)?;
        drop(store);
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let address = free.map_err(|error| format!("a port: {error}"))?;
        let config = dir.path().join("config.toml");
        let packages = dir.path().join("packages");
        fs::create_dir(&packages)
            .and_then(|()| fs::write(packages.join(PACKAGE), vec![7; PACKAGE_SIZE]))
            .map_err(|error| format!("a package: {error}"))?;
        fs::write(&config, configuration(address, dir.path()))
            .map_err(|error| format!("configuration: {error}"))?;
        let mut command = Command::new(BINARY);
        command.arg("--config").arg(config).arg("serve").stdin(Stdio::null());
        let child = command.spawn().map_err(|error| format!("{BINARY}: {error}"))?;
        let monitor = Monitor { address, tokens, dir, child };
        let end = Instant::now() + LONGEST_START;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > end {
                return Err("the monitor does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(monitor)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    #[allow(dead_code, reason = "the benchmark of the pages changes machines meanwhile")]
    pub fn database(&self) -> PathBuf {
        self.dir.path().join("monitor.db")
    }

    pub fn plan(&self, content: Content) -> Plan {
        Plan::new(self.address, &self.address.to_string(), "/api/v1/heartbeat", &self.tokens, content)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // Fails only for a process that has ended.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// All as it is installed, but for room for a whole fleet from one address.
fn configuration(address: SocketAddr, dir: &Path) -> String {
    format!(
        "[http]\nlisten = \"{address}\"\n[store]\nstate_dir = \"{0}\"\n[limits]\nconnections_per_address = 16384\n\
         [packages]\ndirectory = \"{0}/packages\"\n[log]\nlevel = \"warn\"\n",
        dir.display()
    )
}

pub fn open(dir: &Path) -> Outcome<Store> {
    Store::open_for_serving(&dir.join("monitor.db").into(), Moment::now()).map_err(|error| error.to_string())
}
