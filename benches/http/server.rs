//! The servers that are measured, each in a process of its own: this program, started again.

use crate::parts::Outcome;
use heartbeat_daemon::http::{Exchange, Limits, Listener, Response, Server, queue};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;

/// The first argument inside that process; the second is a [`Kind`].
pub const INSIDE: &str = "serve";
/// As a monitor has on a small server.
const WORKERS: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The handler on the reactor's thread, as on a device.
    Inline,
    /// The handler on two threads behind a queue, as in the monitor.
    Workers,
    /// The same handler on two threads of tiny_http's.
    TinyHttp,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Inline => "inline",
            Kind::Workers => "workers",
            Kind::TinyHttp => "tiny_http",
        }
    }
}

/// A server that runs until it is dropped.
pub struct Subject {
    process: Child,
    pub address: SocketAddr,
}

impl Subject {
    pub fn start(kind: Kind) -> Outcome<Subject> {
        Subject::with_descriptors(kind, None)
    }

    /// Speaks TLS, with `chain.pem` and `key.pem` in this directory.
    #[cfg(feature = "monitor")]
    pub fn start_tls(directory: &std::path::Path) -> Outcome<Subject> {
        Subject::start_in(Kind::Workers, None, directory.to_str())
    }

    pub fn with_descriptors(kind: Kind, descriptors: Option<u32>) -> Outcome<Subject> {
        Subject::start_in(kind, descriptors, None)
    }

    fn start_in(kind: Kind, descriptors: Option<u32>, tls: Option<&str>) -> Outcome<Subject> {
        let this = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
        let limit = descriptors.map_or("true".to_owned(), |number| format!("ulimit -n {number}"));
        let mut process = Command::new("sh")
            .args(["-c", &format!("{limit} && exec \"$0\" \"$@\"")])
            .arg(this)
            .args([INSIDE, kind.name()])
            .args(tls)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("sh: {error}"))?;
        let mut line = String::new();
        let stdout = process.stdout.take().ok_or("no standard output")?;
        BufReader::new(stdout).read_line(&mut line).map_err(|error| format!("{}: {error}", kind.name()))?;
        let address = line.trim().parse().map_err(|_| format!("{} does not serve", kind.name()))?;
        Ok(Subject { process, address })
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Resident memory in KiB, and threads.
    pub fn memory(&self) -> Outcome<(f64, f64)> {
        let status = self.proc("status")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
                .ok_or(format!("no {name} in status"))
        };
        Ok((field("VmRSS:")?, field("Threads:")?))
    }

    /// Seconds of all threads, in steps of 10 ms.
    pub fn cpu(&self) -> Outcome<f64> {
        let stat = self.proc("stat")?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Ok(ticks as f64 / 100.0)
    }

    fn proc(&self, file: &str) -> Outcome<String> {
        let path = format!("/proc/{}/{file}", self.pid());
        std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // It ends with its standard input.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Says its address, serves until standard input ends. `tls`: the directory of a certificate.
pub fn inside(kind: &str, tls: Option<String>) -> ExitCode {
    let Ok(listener) = TcpListener::bind(("127.0.0.1", 0)) else { return ExitCode::FAILURE };
    let Some(kind) = kind_of(kind) else { return ExitCode::FAILURE };
    thread::spawn(move || {
        if kind == Kind::TinyHttp { tiny_http(listener) } else { ours(kind, listener, tls.as_deref()) }
    });
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    ExitCode::SUCCESS
}

fn kind_of(name: &str) -> Option<Kind> {
    [Kind::Inline, Kind::Workers, Kind::TinyHttp].into_iter().find(|kind| kind.name() == name)
}

fn ours(kind: Kind, listener: TcpListener, tls: Option<&str>) {
    let limits = Limits { connections: 20_000, connections_per_address: 20_000, ..Limits::default() };
    let address = listener.local_addr().expect("bound");
    let server = Server::new(vec![with_tls(listener, tls)], limits).expect("a server");
    // Not before: the listener's queue is the server's now, and not std's of 128.
    println!("{address}");
    let ended = if kind == Kind::Inline {
        server.run(answer)
    } else {
        let (handler, exchanges) = queue(4_096);
        for _ in 0..WORKERS {
            let exchanges = exchanges.clone();
            thread::spawn(move || exchanges.iter().for_each(answer));
        }
        server.run(handler)
    };
    ended.expect("it serves until the process ends");
}

#[cfg(not(feature = "monitor"))]
fn with_tls(listener: TcpListener, _: Option<&str>) -> Listener {
    Listener::Tcp(listener)
}

#[cfg(feature = "monitor")]
fn with_tls(listener: TcpListener, directory: Option<&str>) -> Listener {
    use heartbeat_daemon::http::{TlsConfig, tickets::TicketKeys, tls::server_config};
    let Some(directory) = directory.map(std::path::PathBuf::from) else { return Listener::Tcp(listener) };
    let read = |name| std::fs::read(directory.join(name)).expect("a file");
    let config = server_config(&read("chain.pem"), &read("key.pem")).expect("a certificate");
    let tickets = TicketKeys::open(directory.join("keys"));
    Listener::Tls(listener, TlsConfig::new(config, std::sync::Arc::new(tickets)))
}

/// The handler: a heartbeat is read, and answered as heartbeat-monitor answers it.
fn answer(exchange: Exchange) {
    let status = if is_heartbeat(exchange.request.body()) { 200 } else { 400 };
    exchange.reply.send(Response::new(status).body("application/json", ANSWER.as_bytes()));
}

/// With its head less than the 1,024 bytes that tiny_http writes at once: what is longer leaves in two segments
/// there, of which the second waits for the client's delayed acknowledgement (40 ms), and the comparison would be
/// about that alone.
const ANSWER: &str = r#"{"interval_s": 5.0, "server_time": 1763756400.1}"#;

fn is_heartbeat(body: &[u8]) -> bool {
    body.starts_with(b"{\"hardwareid\"")
}

fn tiny_http(listener: TcpListener) {
    let address = listener.local_addr().expect("bound");
    let server = tiny_http::Server::from_listener(listener, None).expect("a server");
    println!("{address}");
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| server.incoming_requests().for_each(answer_by_tiny_http));
        }
    });
}

fn answer_by_tiny_http(mut request: tiny_http::Request) {
    let mut body = Vec::with_capacity(request.body_length().unwrap_or(0));
    if request.as_reader().read_to_end(&mut body).is_ok() {
        let status = if is_heartbeat(&body) { 200 } else { 400 };
        let json = tiny_http::Header::from_bytes("Content-Type", "application/json").expect("a header");
        let response = tiny_http::Response::from_data(ANSWER.as_bytes()).with_status_code(status);
        // The client may be gone.
        let _ = request.respond(response.with_header(json));
    }
}
