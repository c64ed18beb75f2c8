//! After a restart of the monitor the whole fleet reconnects over HTTPS, while some devices are connected already.

use crate::crowd::{answer, connecting, request};
use crate::figures::{Figure, Table};
use crate::parts::Outcome;
use crate::server::Subject;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const DEVICES: usize = 10_000;
/// Of a device, for everything.
const PATIENCE: Duration = Duration::from_secs(2);
/// The first delay of a device that got no answer; it doubles up to the interval.
const RETRY: Duration = Duration::from_millis(250);
/// Between two heartbeats of a connected device.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(120);

/// A certificate, and the seconds within which all devices must be acknowledged.
const CERTIFICATES: [(&str, &[&str], f64); 3] = [
    ("ECDSA P-256", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], 15.0),
    ("RSA-2048", &["-newkey", "rsa:2048"], 60.0),
    ("RSA-4096", &["-newkey", "rsa:4096"], f64::INFINITY),
];

pub fn measure() -> Outcome<Vec<Table>> {
    let most = getrlimit(Resource::Nofile).maximum;
    if most.is_some_and(|most| most < DEVICES as u64 + 100) {
        return Err(format!("{DEVICES} connections need more descriptors than the {most:?} allowed"));
    }
    // The server inherits it.
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })
        .map_err(|error| error.to_string())?;
    CERTIFICATES.iter().map(|(name, key, limit)| reconnect(name, key, *limit)).collect()
}

fn reconnect(name: &str, key: &[&str], limit: f64) -> Outcome<Table> {
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    make_certificate(scratch.path(), key)?;
    let subject = Subject::start_tls(scratch.path())?;
    let mut table = Table::new(format!("{DEVICES} devices reconnect over HTTPS at once, {name}"));
    let config = client_config();
    let quiet = Connected::start(subject.address, config.clone())?;
    thread::sleep(Duration::from_secs(2));
    let quiet = quiet.stop();
    let connected = Connected::start(subject.address, config.clone())?;
    let cpu = subject.cpu()?;
    let mut fleet = Fleet::new(subject.address, config)?;
    let took = fleet.reconnect()?;
    let cpu = subject.cpu()? - cpu;
    let waits = connected.stop();
    table.add(Figure::new("all acknowledged after", took.as_secs_f64(), "s").at_most(limit));
    table.add(Figure::new("attempts of a device", fleet.attempts as f64 / DEVICES as f64, ""));
    table.add(Figure::new("CPU of the server for each device", cpu / DEVICES as f64 * 1e3, "ms"));
    table.add(Figure::new("connected devices: p99 before", percentile(&quiet, 0.99), "ms"));
    table.add(Figure::new("p50 meanwhile", percentile(&waits, 0.5), "ms"));
    table.add(Figure::new("p99 meanwhile", percentile(&waits, 0.99), "ms").at_most(20.0));
    table.add(Figure::new("longest meanwhile", percentile(&waits, 1.0), "ms"));
    Ok(table)
}

fn make_certificate(directory: &std::path::Path, key: &[&str]) -> Outcome<()> {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-keyout",
            "key.pem",
            "-out",
            "chain.pem",
        ])
        .args(key)
        .current_dir(directory)
        .output()
        .map_err(|error| format!("openssl: {error}"))?;
    match made.status.success() {
        true => Ok(()),
        false => Err(format!("openssl: {}", String::from_utf8_lossy(&made.stderr))),
    }
}

fn percentile(waits: &[Duration], share: f64) -> f64 {
    let mut sorted = waits.to_vec();
    sorted.sort_unstable();
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(f64::NAN, |wait| wait.as_secs_f64() * 1e3)
}

/// One connected device that sends all the time, on a thread of its own.
struct Connected {
    is_stopped: Arc<AtomicBool>,
    thread: thread::JoinHandle<Vec<Duration>>,
}

impl Connected {
    fn start(to: SocketAddr, config: Arc<ClientConfig>) -> Outcome<Connected> {
        let mut socket = std::net::TcpStream::connect(to).map_err(|error| format!("connect: {error}"))?;
        let mut tls = session(&config);
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).map_err(|error| format!("handshake: {error}"))?;
        }
        let is_stopped = Arc::new(AtomicBool::new(false));
        let stop = is_stopped.clone();
        let mut stream = rustls::StreamOwned::new(tls, socket);
        // Before its first request it is one of those that connect, and may be closed with them.
        exchange(&mut stream)?;
        let thread = thread::spawn(move || {
            let mut waits = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                waits.push(exchange(&mut stream).expect("a connected device is served"));
                thread::sleep(PAUSE);
            }
            waits
        });
        Ok(Connected { is_stopped, thread })
    }

    fn stop(self) -> Vec<Duration> {
        self.is_stopped.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// Sends a heartbeat and waits for its answer; the time that took.
fn exchange(stream: &mut (impl Read + Write)) -> Outcome<Duration> {
    let begin = Instant::now();
    let mut read = Vec::new();
    stream.write_all(&request()).map_err(|error| format!("send: {error}"))?;
    while answer(&mut read).is_none() {
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer).map_err(|error| format!("receive: {error}"))? {
            0 => return Err("a connected device was cut".into()),
            bytes => read.extend_from_slice(&buffer[..bytes]),
        }
    }
    Ok(begin.elapsed())
}

/// The devices that reconnect, on one thread.
struct Fleet {
    to: SocketAddr,
    config: Arc<ClientConfig>,
    poll: Poll,
    devices: Vec<Device>,
    attempts: usize,
}

struct Device {
    connection: Option<Connection>,
    /// Of the next attempt, while there is no connection.
    due: Instant,
    delay: Duration,
    is_acknowledged: bool,
}

struct Connection {
    socket: TcpStream,
    tls: ClientConnection,
    begun: Instant,
    is_sent: bool,
    read: Vec<u8>,
}

impl Fleet {
    fn new(to: SocketAddr, config: Arc<ClientConfig>) -> Outcome<Fleet> {
        let poll = Poll::new().map_err(|error| format!("epoll: {error}"))?;
        let device =
            || Device { connection: None, due: Instant::now(), delay: RETRY, is_acknowledged: false };
        Ok(Fleet { to, config, poll, devices: (0..DEVICES).map(|_| device()).collect(), attempts: 0 })
    }

    /// Until every device has its answer.
    fn reconnect(&mut self) -> Outcome<Duration> {
        let mut events = Events::with_capacity(1024);
        let (begin, mut open, request) = (Instant::now(), DEVICES, request());
        let mut looked = begin;
        self.attend();
        while open > 0 {
            if begin.elapsed() > LONGEST {
                return Err(format!("{open} of {DEVICES} devices have no answer after {LONGEST:?}"));
            }
            self.poll
                .poll(&mut events, Some(Duration::from_millis(10)))
                .map_err(|error| format!("epoll: {error}"))?;
            for event in events.iter() {
                let device = &mut self.devices[event.token().0];
                open -= usize::from(device.advance(&request));
            }
            if looked.elapsed() > Duration::from_millis(20) {
                looked = Instant::now();
                self.attend();
            }
        }
        Ok(begin.elapsed())
    }

    /// Ends attempts that take too long, and begins those that are due.
    fn attend(&mut self) {
        let now = Instant::now();
        for (index, device) in
            self.devices.iter_mut().enumerate().filter(|(_, device)| !device.is_acknowledged)
        {
            match &device.connection {
                Some(connection) if now.duration_since(connection.begun) > PATIENCE => device.give_up(now),
                None if device.due <= now => {
                    self.attempts += 1;
                    device.begin(index, self.to, &self.config, &self.poll, now);
                }
                _ => {}
            }
        }
    }
}

impl Device {
    fn begin(&mut self, index: usize, to: SocketAddr, config: &Arc<ClientConfig>, poll: &Poll, now: Instant) {
        let Ok(stream) = connecting(index, to) else { return self.give_up(now) };
        let mut socket = TcpStream::from_std(stream);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if poll.registry().register(&mut socket, Token(index), interest).is_err() {
            return self.give_up(now);
        }
        let tls = session(config);
        self.connection = Some(Connection { socket, tls, begun: now, is_sent: false, read: Vec::new() });
    }

    fn give_up(&mut self, now: Instant) {
        self.connection = None;
        self.due = now + self.delay + self.delay.mul_f64(fastrand::f64() / 2.0);
        self.delay = (self.delay * 2).min(crate::INTERVAL);
    }

    /// True if the answer has just come. The connection then stays open.
    fn advance(&mut self, request: &[u8]) -> bool {
        let Some(connection) = &mut self.connection else { return false };
        match connection.advance(request) {
            Ok(true) if !self.is_acknowledged => {
                self.is_acknowledged = true;
                true
            }
            Ok(_) => false,
            Err(_) if self.is_acknowledged => false,
            Err(_) => {
                self.give_up(Instant::now());
                false
            }
        }
    }
}

impl Connection {
    /// True once the answer is there.
    fn advance(&mut self, request: &[u8]) -> std::io::Result<bool> {
        loop {
            let moved = match self.tls.complete_io(&mut self.socket) {
                Ok((read, written)) => read + written > 0,
                Err(error) if error.kind() == ErrorKind::WouldBlock => false,
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
                Err(error) => return Err(error),
            };
            if !self.tls.is_handshaking() && !self.is_sent {
                self.is_sent = true;
                self.tls.writer().write_all(request)?;
                continue;
            }
            let mut buffer = [0; 1024];
            match self.tls.reader().read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => self.read.extend_from_slice(&buffer[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            match answer(&mut self.read) {
                Some(200) => return Ok(true),
                Some(_) => return Err(ErrorKind::InvalidData.into()),
                None if moved => {}
                None => return Ok(false),
            }
        }
    }
}

fn session(config: &Arc<ClientConfig>) -> ClientConnection {
    ClientConnection::new(config.clone(), ServerName::try_from("localhost").expect("a name"))
        .expect("a session")
}

/// Without sessions that could be resumed, and without a check of the certificate: the server's work is measured.
fn client_config() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        use SignatureScheme::{ECDSA_NISTP256_SHA256, RSA_PSS_SHA256};
        vec![ECDSA_NISTP256_SHA256, RSA_PSS_SHA256]
    }
}
