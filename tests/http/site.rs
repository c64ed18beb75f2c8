//! A server with a small handler, and a client that speaks bytes.

use heartbeat_daemon::http::{
    Counters, Exchange, GateDecision, Limits, Listener, Method, Request, Response, Server, Stopper,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The tests of this program run in one process at the same time, and together they need more descriptors than the usual
/// soft limit of 1,024.
pub fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .expect("up to the hard limit it is allowed");
}

/// More than any test waits for something that does come.
pub const LONG: Duration = Duration::from_secs(60);

/// Waits until it holds, which it does soon.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn free_port() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).expect("a port")
}

/// A running server on a port of its own; ends when dropped.
pub struct Site {
    pub address: SocketAddr,
    pub counters: Arc<Counters>,
    pub stopper: Stopper,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Site {
    pub fn new() -> Site {
        Site::with(roomy(), answer)
    }

    pub fn limited(limits: Limits) -> Site {
        Site::with(limits, answer)
    }

    /// On another address than a free port of 127.0.0.1.
    #[cfg(feature = "device")]
    pub fn at(address: &str, limits: Limits) -> Site {
        raise_descriptor_limit();
        let listener = TcpListener::bind(address).expect("a port");
        Site::start(listener, Listener::Tcp, limits, answer, |server| server)
    }

    pub fn with(limits: Limits, handle: impl FnMut(Exchange) + Send + 'static) -> Site {
        raise_descriptor_limit();
        Site::on(Listener::Tcp, limits, handle)
    }

    /// With a gate before the handler.
    pub fn gated(
        limits: Limits,
        handle: impl FnMut(Exchange) + Send + 'static,
        gate: impl Fn(&Request) -> GateDecision + Send + 'static,
    ) -> Site {
        Site::start(free_port(), Listener::Tcp, limits, handle, |server| server.gate(gate))
    }

    /// `listen` makes a listener of a bound socket.
    pub fn on(
        listen: impl FnOnce(TcpListener) -> Listener,
        limits: Limits,
        handle: impl FnMut(Exchange) + Send + 'static,
    ) -> Site {
        Site::start(free_port(), listen, limits, handle, |server| server)
    }

    fn start(
        listener: TcpListener,
        listen: impl FnOnce(TcpListener) -> Listener,
        limits: Limits,
        handle: impl FnMut(Exchange) + Send + 'static,
        prepare: impl FnOnce(Server) -> Server,
    ) -> Site {
        let address = listener.local_addr().expect("bound");
        let server = prepare(Server::new(vec![listen(listener)], limits).expect("a server"));
        let (counters, stopper) = (server.counters(), server.stopper());
        let thread = std::thread::spawn(move || server.run(handle));
        Site { address, counters, stopper, thread: Some(thread) }
    }

    pub fn client(&self) -> Client {
        Client::new(TcpStream::connect(self.address).expect("a connection"))
    }

    /// What one connection answers to `request`, up to its end.
    pub fn send(&self, request: &str) -> String {
        let mut client = self.client();
        client.send(request);
        client.shut();
        client.rest()
    }

    /// Waits for the end of [`Server::run`].
    pub fn join(&mut self) {
        let thread = self.thread.take().expect("joined once");
        thread.join().expect("no panic").expect("no error");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stopper.stop(Duration::ZERO);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("no panic").expect("no error");
            }
        }
    }
}

/// No cap on connections gets in the way of a test about something else.
pub fn roomy() -> Limits {
    Limits { connections: 20_000, connections_per_address: 20_000, ..Limits::default() }
}

/// `/hello`, `/echo` (the body), `/large?N` (N bytes), `/never` (no answer), `/later?MS` (from another thread).
pub fn answer(exchange: Exchange) {
    let Exchange { request, reply } = exchange;
    let number = request.query().and_then(|query| query.parse().ok()).unwrap_or(0);
    let response = match (request.method(), request.path()) {
        (Method::Get, "/hello") => Response::new(200).body("text/plain", "hello".as_bytes()),
        (Method::Post, "/echo") => Response::new(200).body("text/plain", request.body().to_vec()),
        (Method::Post, "/content") => match request.content() {
            Ok(content) => Response::new(200).body("text/plain", content.to_vec()),
            Err(response) => response,
        },
        (Method::Get, "/large") => Response::new(200).body("text/plain", vec![b'x'; number]),
        (Method::Get, "/empty") => Response::new(204),
        (Method::Get, "/never") => return drop(reply),
        (Method::Get, "/later") => {
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(number as u64));
                reply.send(Response::new(200).body("text/plain", "later".as_bytes()));
            });
            return;
        }
        (Method::Options, "*") => Response::new(204).header("Allow", "GET, POST"),
        (_, "/hello") => Response::error(405, "GET only").header("Allow", "GET"),
        _ => Response::error(404, "not found"),
    };
    reply.send(response);
}

/// One connection. Reading fails a test after [`LONG`].
pub struct Client<S = TcpStream> {
    pub stream: S,
    read: Vec<u8>,
}

impl Client {
    pub fn new(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(LONG)).expect("a timeout");
        stream.set_nodelay(true).expect("an option");
        Client::over(stream)
    }

    pub fn shut(&mut self) {
        // Fails if the server has reset the connection; what it sent before that is still to be read.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Whether the server closes the connection within `time`, reading what comes.
    pub fn ends_within(&mut self, time: Duration) -> bool {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.stream.set_read_timeout(Some(left)).expect("a timeout");
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => return true,
            }
        }
        false
    }
}

impl<S: Read + Write> Client<S> {
    pub fn over(stream: S) -> Client<S> {
        Client { stream, read: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("sent");
    }

    /// As [`Client::send`], where the server may have hung up.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// One answer with its body, by its Content-Length. Empty at the end of the connection.
    pub fn answer(&mut self) -> String {
        self.read_answer(false)
    }

    /// One answer without a body, whatever its Content-Length.
    pub fn head(&mut self) -> String {
        self.read_answer(true)
    }

    fn read_answer(&mut self, head_only: bool) -> String {
        loop {
            if let Some(size) = size_of_answer(&self.read, head_only) {
                let rest = self.read.split_off(size);
                let answer = std::mem::replace(&mut self.read, rest);
                return String::from_utf8(answer).expect("text");
            }
            if !self.more() {
                assert!(self.read.is_empty(), "an answer was cut: {}", beginning(&self.read));
                return String::new();
            }
        }
    }

    /// All that comes up to the end.
    pub fn rest(&mut self) -> String {
        while self.more() {}
        String::from_utf8(std::mem::take(&mut self.read)).expect("text")
    }

    fn more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(bytes) => {
                self.read.extend_from_slice(&buffer[..bytes]);
                bytes > 0
            }
            // rustls says so of an end without a close_notify.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => panic!("cut off: {error}"),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error} after {:?}", beginning(&self.read)),
        }
    }
}

fn size_of_answer(bytes: &[u8], head_only: bool) -> Option<usize> {
    let begin = beginning(bytes);
    let head = begin.find("\r\n\r\n")? + 4;
    let length = begin[..head].lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let length = length.map_or(0, |length| length.parse().expect("a number"));
    let size = head + if head_only { 0 } else { length };
    (bytes.len() >= size).then_some(size)
}

/// Enough for any head of ours.
fn beginning(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&bytes[..bytes.len().min(1_000)])
}

/// The status code of an answer; 0 if there is none.
pub fn status(answer: &str) -> u16 {
    let code = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    code.and_then(|code| code.parse().ok()).unwrap_or(0)
}

pub fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

pub fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
