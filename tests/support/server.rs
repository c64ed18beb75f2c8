//! An HTTP server that does what a test tells it to, and remembers when everything arrived.

use super::SOON;
use super::https::Stream;
use super::request::{Request, read_request};
use crossbeam_channel::{Receiver, Sender, unbounded};
use rustls::ServerConfig;
use socket2::SockRef;
use std::collections::HashMap;
use std::io::{self, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What to do with a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Status, further header lines and body; the connection stays open.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// 200, and the connection is closed when it was idle for so long.
    AnswerAndCloseAfter(Duration),
    /// These bytes as they are; the connection stays open.
    Bytes(&'static [u8]),
    /// These bytes, and then a reset.
    BytesAndReset(&'static [u8]),
    /// The first bytes once, the second ones again and again until the client goes away.
    Endless(&'static [u8], Vec<u8>),
    /// The first bytes once, then one byte after each pause until the client goes away.
    Drip(&'static [u8], Duration),
    Late(Duration, Box<Reply>),
    /// Nothing, for ever.
    Hang,
    /// The connection is closed without an answer.
    Close,
    /// The connection is reset without an answer.
    Reset,
}

impl Reply {
    pub fn ok() -> Reply {
        Reply::status(200)
    }

    pub fn status(status: u16) -> Reply {
        Reply::Answer(status, Vec::new(), Vec::new())
    }

    /// What heartbeat-monitor says.
    pub fn monitor() -> Reply {
        Reply::Answer(200, Vec::new(), br#"{"interval_s": 1.0, "server_time": 1763756400.1}"#.to_vec())
    }
}

/// What the server saw, in its order.
#[derive(Debug)]
pub enum Arrival {
    Connection(Instant),
    Request(Request),
}

impl Arrival {
    pub fn at(&self) -> Instant {
        match self {
            Arrival::Connection(at) => *at,
            Arrival::Request(request) => request.at,
        }
    }
}

type Script = dyn Fn(&Request) -> Reply + Send + Sync;

/// Stops and closes everything on drop.
pub struct Server {
    address: SocketAddr,
    /// The same as the accepting thread's.
    listener: TcpListener,
    arrivals: Receiver<Arrival>,
    shared: Arc<Shared>,
}

/// What the threads of one server share.
struct Shared {
    script: Mutex<Arc<Script>>,
    tls: Option<Arc<ServerConfig>>,
    reset_at_accept: AtomicBool,
    stopping: AtomicBool,
    connections: AtomicUsize,
    open: Mutex<HashMap<usize, TcpStream>>,
    seen: Sender<Arrival>,
}

impl Server {
    /// On a free port of 127.0.0.1.
    pub fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
        Server::on(loopback(), None, script)
    }

    /// The same over TLS.
    pub fn start_tls(
        tls: Arc<ServerConfig>,
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Server {
        Server::on(loopback(), Some(tls), script)
    }

    /// The same for each request.
    pub fn always(reply: Reply) -> Server {
        Server::start(move |_| reply.clone())
    }

    pub fn on(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Server {
        let (seen, arrivals) = unbounded();
        let shared = Arc::new(Shared {
            script: Mutex::new(Arc::new(script)),
            tls,
            reset_at_accept: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            open: Mutex::default(),
            seen,
        });
        let address = listener.local_addr().expect("bound");
        let (accepting, shared_listener) = (Arc::clone(&shared), listener.try_clone().expect("a descriptor"));
        thread::spawn(move || accept(&shared_listener, &accepting));
        Server { address, listener, arrivals, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, path: &str) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// From now on, also on the connections that are open.
    pub fn become_one_that(&self, script: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        *self.shared.script.lock().expect("no panic") = Arc::new(script);
    }

    /// Each connection is reset as soon as it is accepted; those that are open are reset now.
    pub fn reset_connections(&self, reset: bool) {
        self.shared.reset_at_accept.store(reset, Ordering::SeqCst);
        if reset {
            for (_, stream) in self.shared.open.lock().expect("no panic").drain() {
                close(&stream, true);
            }
        }
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The next request that has not been asked for yet.
    pub fn request(&self) -> Request {
        self.request_within(SOON).expect("a request")
    }

    pub fn request_within(&self, limit: Duration) -> Option<Request> {
        let deadline = Instant::now() + limit;
        loop {
            match self.arrivals.recv_deadline(deadline) {
                Ok(Arrival::Request(request)) => return Some(request),
                Ok(Arrival::Connection(_)) => {}
                Err(_) => return None,
            }
        }
    }

    /// The next request for which this holds; the others are passed over.
    pub fn request_that(&self, mut holds: impl FnMut(&Request) -> bool) -> Request {
        let deadline = Instant::now() + SOON;
        let mut others = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.request_within(left) {
                Some(request) if holds(&request) => return request,
                Some(request) => others.push(request),
                None => panic!("no request of this kind in time; others: {others:?}"),
            }
        }
    }

    pub fn requests(&self, count: usize) -> Vec<Request> {
        (0..count).map(|_| self.request()).collect()
    }

    /// Everything that arrives in this time.
    pub fn requests_during(&self, time: Duration) -> Vec<Request> {
        let deadline = Instant::now() + time;
        let left = || deadline.saturating_duration_since(Instant::now());
        std::iter::from_fn(|| self.request_within(left())).collect()
    }

    /// Connections and requests, as they come.
    pub fn arrivals(&self) -> &Receiver<Arrival> {
        &self.arrivals
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, also one in another network namespace; nothing to wake if it is gone.
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        if let Ok(open) = self.shared.open.lock() {
            open.values().for_each(|stream| close(stream, false));
        }
    }
}

fn loopback() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a loopback port")
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        // Nobody may be listening any more.
        let _ = shared.seen.send(Arrival::Connection(Instant::now()));
        if shared.reset_at_accept.load(Ordering::SeqCst) {
            close(&stream, true);
            continue;
        }
        let kept = stream.try_clone().expect("a descriptor");
        shared.open.lock().expect("no panic").insert(number, kept);
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // The client may leave at any time; that is no fault of a test.
            let _ = serve(Stream::accepted(stream, shared.tls.as_ref()), number, &shared);
            shared.open.lock().expect("no panic").remove(&number);
        });
    }
}

fn serve(stream: Stream, connection: usize, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut number = 0;
    let peer = reader.get_ref().socket().peer_addr()?;
    while let Some(request) = read_request(&mut reader, connection, number, peer)? {
        number += 1;
        let script = Arc::clone(&shared.script.lock().expect("no panic"));
        let reply = script(&request);
        let _ = shared.seen.send(Arrival::Request(request));
        if !follow(reader.get_mut(), reply)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Does what the reply says; true if the connection goes on.
fn follow(stream: &mut Stream, reply: Reply) -> io::Result<bool> {
    match reply {
        Reply::Answer(status, headers, body) => write_answer(stream, status, &headers, &body)?,
        Reply::AnswerAndCloseAfter(idle) => {
            write_answer(stream, 200, &[], &[])?;
            let socket = stream.socket();
            socket.set_read_timeout(Some(idle))?;
            if socket.peek(&mut [0]).is_err() {
                close(socket, false);
                return Ok(false);
            }
            socket.set_read_timeout(None)?;
        }
        Reply::Bytes(bytes) => stream.write_all(bytes)?,
        Reply::BytesAndReset(bytes) => {
            stream.write_all(bytes)?;
            close(stream.socket(), true);
            return Ok(false);
        }
        Reply::Endless(first, repeated) => {
            stream.write_all(first)?;
            loop {
                stream.write_all(&repeated)?;
            }
        }
        Reply::Drip(first, pause) => {
            stream.write_all(first)?;
            loop {
                thread::sleep(pause);
                stream.write_all(b"a")?;
            }
        }
        Reply::Late(delay, reply) => {
            thread::sleep(delay);
            return follow(stream, *reply);
        }
        Reply::Hang => {
            // Until the client goes away; what it still sends is thrown away.
            io::copy(stream, &mut io::sink())?;
            return Ok(false);
        }
        Reply::Close | Reply::Reset => {
            close(stream.socket(), matches!(reply, Reply::Reset));
            return Ok(false);
        }
    }
    Ok(true)
}

fn write_answer(
    stream: &mut Stream,
    status: u16,
    headers: &[(&'static str, String)],
    body: &[u8],
) -> io::Result<()> {
    let mut answer = format!("HTTP/1.1 {status} As Told\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        answer.push_str(&format!("{name}: {value}\r\n"));
    }
    answer.push_str("\r\n");
    stream.write_all(&[answer.as_bytes(), body].concat())
}

/// Closes for all who hold the connection; with a reset instead of an orderly end where asked for.
fn close(stream: &TcpStream, reset: bool) {
    if reset {
        // The linger time of 0 turns the disconnection below into an RST.
        let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        let _ = disconnect(stream);
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// Connecting to "no address" ends a connection at once, whoever else holds its descriptor.
fn disconnect(stream: &TcpStream) -> io::Result<()> {
    rustix::net::connect_unspec(stream).map_err(io::Error::from)
}
