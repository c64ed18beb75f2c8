//! The monitor under measurement: its database, its process, its fleet.

use crate::Outcome;
use heartbeat_daemon::http::{Limits, Listener, Response, Server};
use heartbeat_daemon::monitor::detect::{Settings, Sweeper};
use heartbeat_daemon::monitor::ingest::Ingest;
use heartbeat_daemon::monitor::notify::Poke;
use heartbeat_daemon::monitor::pulse::Pulse;
use heartbeat_daemon::monitor::recorder::{FLUSH, Inbox, Recorder, Shared};
use heartbeat_daemon::monitor::simulation::{Content, Plan};
use heartbeat_daemon::monitor::store::Store;
use heartbeat_daemon::monitor::time::Moment;
use heartbeat_daemon::systemd::Watchdog;
use heartbeat_daemon::ticker::Ticker;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Says to this program that it is the monitor.
pub const INSIDE: &str = "be-the-monitor";

pub struct Monitor {
    pub address: SocketAddr,
    pub tokens: Vec<String>,
    _dir: TempDir,
    child: Child,
    /// The monitor ends when it is closed.
    held: Option<ChildStdin>,
}

impl Monitor {
    /// With so many machines, on a database on the disk.
    pub fn start(machines: usize) -> Outcome<Monitor> {
        let say = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
        let dir = TempDir::with_prefix("heartbeat-monitor-").map_err(|error| say("scratch", &error))?;
        let store = open(dir.path())?;
        let tokens = store.add_simulated(machines, Moment::now()).map_err(|error| say("machines", &error))?;
        let tokens = tokens.iter().map(|token| token.as_str().to_owned()).collect();
        drop(store);
        let program = std::env::current_exe().map_err(|error| say("this program", &error))?;
        let mut command = Command::new(program);
        command.arg(INSIDE).arg(dir.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| say("start", &error))?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(|error| say("start", &error))?;
        }
        let address = line.trim().parse().map_err(|_| format!("the monitor said {line:?}"))?;
        let held = child.stdin.take();
        Ok(Monitor { address, tokens, _dir: dir, child, held })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn plan(&self, content: Content) -> Plan {
        Plan::new(self.address, &self.address.to_string(), "/api/v1/heartbeat", &self.tokens, content)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        drop(self.held.take());
        let _ = self.child.wait();
    }
}

pub fn open(dir: &Path) -> Outcome<Store> {
    Store::open_for_serving(&dir.join("monitor.db"), Moment::now()).map_err(|error| error.to_string())
}

/// What the program does, without configuration, web and couriers; until standard input ends.
pub fn be_the_monitor(dir: &Path) -> Outcome<()> {
    let (now, tick) = (Moment::now(), Instant::now());
    let shared = Shared {
        store: Arc::new(open(dir)?),
        registry: Arc::default(),
        fleet: Arc::default(),
        pulse: Arc::new(Pulse::new(tick)),
    };
    let settings = Settings { check_interval: Duration::from_secs(30), threshold: Duration::from_secs(120) };
    let sweeper = Sweeper::new(settings, now, tick, Poke::nobody());
    let recorder = Recorder::new(shared.clone(), sweeper, Watchdog::from_environment(tick));
    recorder.learn().map_err(|error| error.to_string())?;
    let (orders, inbox) = crossbeam_channel::bounded(16_384);
    let inbox = Inbox {
        orders: inbox,
        flush: Ticker::every(FLUSH, tick + FLUSH),
        sweep: Ticker::every(settings.check_interval, tick + settings.check_interval),
    };
    let recorder = std::thread::spawn(move || recorder.run(inbox));
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    println!("{}", listener.local_addr().map_err(|error| error.to_string())?);
    let limits = Limits { connections: 16_384, connections_per_address: 16_384, ..Limits::default() };
    let server = Server::new(vec![Listener::Tcp(listener)], limits).map_err(|error| error.to_string())?;
    let stopper = server.stopper();
    let ingest = Ingest::new(shared, orders);
    let front = std::thread::spawn(move || {
        server.run(move |exchange| {
            if let Some(other) = ingest.take(exchange) {
                other.reply.send(Response::error(404, "no such path"));
            }
        })
    });
    let _ = std::io::stdin().lines().count();
    stopper.stop(Duration::from_secs(1));
    front.join().map_err(|_| "the front has panicked")?.map_err(|error| error.to_string())?;
    recorder.join().map_err(|_| "the recorder has panicked".to_owned())
}
