//! Many clients on one thread: connections that send requests and note when the answers come.

use crate::parts::Outcome;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const CLIENTS_PER_ADDRESS: usize = 1_000;

/// A heartbeat's request with a body of 1 KB.
pub fn request() -> Vec<u8> {
    let body = format!("{{\"hardwareid\": \"bench\", \"padding\": \"{}\"}}", "x".repeat(960));
    let head = "POST /api/v1/heartbeat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

pub struct Crowd {
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    request: Vec<u8>,
}

struct Client {
    stream: Option<TcpStream>,
    /// When the request left that is not answered yet.
    sent: Option<Instant>,
    read: Vec<u8>,
}

/// What happened to a client.
pub enum News {
    /// Status, and how long it took.
    Answered(u16, Duration),
    Closed,
}

impl Crowd {
    pub fn new() -> Outcome<Crowd> {
        let poll = Poll::new().map_err(|error| format!("epoll: {error}"))?;
        Ok(Crowd { poll, events: Events::with_capacity(1_024), clients: Vec::new(), request: request() })
    }

    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// One more connection. False where it was refused or took longer than two seconds.
    pub fn connect(&mut self, to: SocketAddr) -> Outcome<bool> {
        let Ok(stream) = connect_from(source(self.clients.len()), to) else { return Ok(false) };
        stream
            .set_nonblocking(true)
            .and_then(|()| stream.set_nodelay(true))
            .map_err(|error| error.to_string())?;
        let mut stream = TcpStream::from_std(stream);
        let token = Token(self.clients.len());
        self.poll
            .registry()
            .register(&mut stream, token, Interest::READABLE)
            .map_err(|error| format!("epoll: {error}"))?;
        self.clients.push(Client { stream: Some(stream), sent: None, read: Vec::new() });
        Ok(true)
    }

    /// Sends a whole request, unless the last one is still unanswered.
    pub fn send_request(&mut self, index: usize) -> bool {
        let client = &mut self.clients[index];
        let Some(stream) = client.stream.as_mut().filter(|_| client.sent.is_none()) else { return false };
        client.sent = Some(Instant::now());
        stream.write_all(&self.request).is_ok()
    }

    /// Sends some bytes. False where the connection is gone.
    pub fn send(&mut self, index: usize, bytes: &[u8]) -> bool {
        self.clients[index].stream.as_mut().is_some_and(|stream| stream.write_all(bytes).is_ok())
    }

    /// Requests that have waited for longer than `limit`.
    pub fn unanswered_for(&self, limit: Duration) -> usize {
        self.clients.iter().filter(|client| client.sent.is_some_and(|sent| sent.elapsed() > limit)).count()
    }

    pub fn open(&self) -> usize {
        self.clients.iter().filter(|client| client.stream.is_some()).count()
    }

    /// What has happened within `timeout`, by client.
    pub fn wait(&mut self, timeout: Duration) -> Outcome<Vec<(usize, News)>> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(format!("epoll: {error}")),
            Ok(()) | Err(_) => {}
        }
        let mut news = Vec::new();
        for event in self.events.iter() {
            let index = event.token().0;
            self.clients[index].read(|what| news.push((index, what)));
        }
        Ok(news)
    }
}

impl Client {
    fn read(&mut self, mut tell: impl FnMut(News)) {
        let mut buffer = [0; 4_096];
        while let Some(stream) = self.stream.as_mut() {
            match stream.read(&mut buffer) {
                Ok(0) => self.stream = None,
                Ok(bytes) => self.read.extend_from_slice(&buffer[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.stream = None,
            }
            if let Some(status) = answer(&mut self.read) {
                let waited = self.sent.take().map_or(Duration::ZERO, |sent| sent.elapsed());
                tell(News::Answered(status, waited));
            }
        }
        if self.stream.is_none() {
            self.sent = None;
            tell(News::Closed);
        }
    }
}

/// The bounds of one address are not what is measured.
fn source(client: usize) -> SocketAddr {
    let network = u8::try_from(client / CLIENTS_PER_ADDRESS).unwrap_or(u8::MAX);
    SocketAddr::from(([127, 0, network, 1], 0))
}

fn connect_from(source: SocketAddr, to: SocketAddr) -> std::io::Result<std::net::TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&source.into())?;
    socket.connect_timeout(&to.into(), Duration::from_secs(2))?;
    Ok(socket.into())
}

/// A connection that is being made.
#[cfg(feature = "monitor")]
pub fn connecting(client: usize, to: SocketAddr) -> std::io::Result<std::net::TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&source(client).into())?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        Ok(()) | Err(_) => Ok(socket.into()),
    }
}

/// Takes a whole answer away, and gives its status.
pub fn answer(read: &mut Vec<u8>) -> Option<u16> {
    let head = read.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&read[..head]).ok()?;
    let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let end = head + length.and_then(|length| length.parse::<usize>().ok()).unwrap_or(0);
    let status = text.get(9..12)?.parse().ok();
    if read.len() < end {
        return None;
    }
    read.drain(..end);
    status
}
