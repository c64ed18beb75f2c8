//! A server that answers like heartbeat-monitor, and says when each request arrived and how large it was.

use crate::https::Stream;
use crate::parts::Outcome;
use rustls::ServerConfig;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

/// Of one request. Python's and collectd's are larger than ours.
const MOST_BYTES: usize = 256 * 1024;
const MOST_HEADERS: usize = 64;

/// One request, after it was answered.
pub struct Arrival {
    pub first_byte: Instant,
    /// Sizes are in bytes, without TLS.
    pub head: usize,
    pub body: Vec<u8>,
    pub answer: usize,
    /// Counts the receiver's connections from 0.
    pub connection: usize,
}

/// Its threads live as long as the program; a connection's thread ends with the connection.
pub struct Receiver {
    pub address: SocketAddr,
    arrivals: mpsc::Receiver<Arrival>,
}

impl Receiver {
    pub fn start(tls: Option<Arc<ServerConfig>>) -> Outcome<Receiver> {
        let (sender, arrivals) = mpsc::channel();
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("receiver: {error}"))?;
        let address = listener.local_addr().map_err(|error| format!("receiver: {error}"))?;
        std::thread::spawn(move || {
            for (connection, socket) in listener.incoming().flatten().enumerate() {
                let (tls, sender) = (tls.clone(), sender.clone());
                std::thread::spawn(move || serve(socket, tls.as_ref(), connection, &sender));
            }
        });
        Ok(Receiver { address, arrivals })
    }

    /// None if nothing arrives within the limit.
    pub fn next(&self, limit: Duration) -> Option<Arrival> {
        self.arrivals.recv_timeout(limit).ok()
    }

    /// Forgets what has arrived so far.
    pub fn drain(&self) {
        while self.arrivals.try_recv().is_ok() {}
    }
}

/// Until the client goes away.
fn serve(
    socket: TcpStream,
    tls: Option<&Arc<ServerConfig>>,
    connection: usize,
    sender: &mpsc::Sender<Arrival>,
) {
    // The answer leaves at once: Nagle would hold back its second packet.
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let mut stream = Stream::accepted(socket, tls);
    while let Ok(Some(arrival)) = exchange(&mut stream, connection) {
        if sender.send(arrival).is_err() {
            return;
        }
    }
}

/// One request and its answer; None at the end of the connection.
fn exchange(stream: &mut Stream, connection: usize) -> io::Result<Option<Arrival>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 * 1024];
    let mut first_byte = None;
    let (head, length) = loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 || bytes.len() > MOST_BYTES {
            return Ok(None);
        }
        first_byte.get_or_insert_with(Instant::now);
        bytes.extend_from_slice(&chunk[..read]);
        match sizes(&bytes)? {
            Some((head, length)) if bytes.len() >= head + length => break (head, length),
            _ => {}
        }
    };
    let answer = answer();
    stream.write_all(answer.as_bytes())?;
    stream.flush()?;
    let body = bytes[head..head + length].to_vec();
    Ok(first_byte.map(|first_byte| Arrival { first_byte, head, body, answer: answer.len(), connection }))
}

/// Of head and body; None while the head is incomplete.
fn sizes(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let length = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    Ok(Some((head, length.unwrap_or(0))))
}

fn answer() -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64();
    let body = format!(r#"{{"interval_s":{:.1},"server_time":{now:.3}}}"#, crate::INTERVAL.as_secs_f64());
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}
