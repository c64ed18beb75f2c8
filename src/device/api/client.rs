//! The command line's way to the running daemon: the socket file, or the address where that is closed to us.

use crate::device::config::{AUTO, Api, Listen};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// For a question that is answered out of memory.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// For a check of all cameras, as long as the daemon itself waits.
pub const CHECK: Duration = Duration::from_secs(60);
/// A thousand cameras have 400 KiB.
const LONGEST: usize = 4 * 1024 * 1024;
const HEADERS: usize = 32;

/// How the daemon names itself in each answer.
pub const SERVER: &str = concat!("heartbeat-daemon/", env!("CARGO_PKG_VERSION"));
/// Of any version.
const PRODUCT: &str = "heartbeat-daemon/";
/// Answered by every version, whatever the daemon's state.
const HEALTH: &str = "/healthz";

/// A whole answer.
struct Answer {
    status: u16,
    body: Vec<u8>,
    /// It names heartbeat-daemon.
    is_ours: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum AskError {
    /// The daemon is not running, or its API is off.
    NotThere(String),
    Refused(String),
}

/// `GET` or `POST` of this path; the body of a good answer.
///
/// # Errors
/// There is no daemon, it does not answer in time, or it refuses.
pub fn ask(config: &Api, method: &str, path: &str, limit: Duration) -> Result<Vec<u8>, AskError> {
    if !config.enabled {
        return Err(AskError::NotThere("[api] enabled is false: the daemon cannot be asked".into()));
    }
    let deadline = Instant::now() + limit;
    // The socket file first: its owner is the daemon, and a port may be another program's.
    let socket = config.socket.as_deref().map(|path| (path, UnixStream::connect(path)));
    let answer = match socket {
        Some((_, Ok(mut stream))) => {
            exchange(&mut stream, method, path, false, deadline).map_err(|error| explain(&error, limit))?
        }
        closed => {
            let closed = closed.and_then(|(path, result)| Some((path, result.err()?)));
            let Some(address) = address(config.listen) else { return Err(nobody(closed, None)) };
            match over_tcp(address, method, path, deadline) {
                Ok(answer) => answer,
                Err(error) if is_late(&error) => return Err(explain(&error, limit)),
                Err(error) => return Err(nobody(closed, Some((address, error)))),
            }
        }
    };
    match answer.status {
        200..300 => Ok(answer.body),
        status => Err(AskError::Refused(reason(status, &answer.body))),
    }
}

/// Whether the daemon answers at this address.
///
/// # Errors
/// No program answers there, or one that is not heartbeat-daemon.
pub fn identify(address: SocketAddr) -> io::Result<()> {
    over_tcp(address, "GET", HEALTH, Instant::now() + PATIENCE).map(drop)
}

/// Over one connection, so that the program that has named itself is the one that is asked.
fn over_tcp(address: SocketAddr, method: &str, path: &str, deadline: Instant) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, left(deadline)?)?;
    if method != "GET" {
        // A request that changes something goes to no other program.
        identified(exchange(&mut stream, "GET", HEALTH, true, deadline)?)?;
    }
    identified(exchange(&mut stream, method, path, false, deadline)?)
}

fn identified(answer: Answer) -> io::Result<Answer> {
    match answer.is_ours {
        true => Ok(answer),
        false => {
            Err(io::Error::new(ErrorKind::InvalidData, "the program that answers is not heartbeat-daemon"))
        }
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn explain(error: &io::Error, limit: Duration) -> AskError {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            AskError::NotThere(format!("heartbeat-daemon does not answer within {} s", limit.as_secs()))
        }
        ErrorKind::InvalidData => AskError::Refused("this is not heartbeat-daemon's answer".into()),
        _ => AskError::NotThere(format!("heartbeat-daemon: {error}")),
    }
}

/// A stream whose next read or write may take so long.
trait Stream: Read + Write {
    fn limit(&self, left: Duration) -> io::Result<()>;
}

impl Stream for UnixStream {
    fn limit(&self, left: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(left)).and_then(|()| self.set_write_timeout(Some(left)))
    }
}

impl Stream for TcpStream {
    fn limit(&self, left: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(left)).and_then(|()| self.set_write_timeout(Some(left)))
    }
}

/// Where the daemon may listen over TCP.
fn address(listen: Listen) -> Option<SocketAddr> {
    match listen {
        Listen::Nowhere => None,
        Listen::Auto => Some(AUTO),
        Listen::At(address) => Some(reachable(address)).filter(|address| address.port() != 0),
    }
}

/// An address that stands for all of this machine's.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

fn nobody(socket: Option<(&Path, io::Error)>, tcp: Option<(SocketAddr, io::Error)>) -> AskError {
    match (socket, tcp) {
        (Some((path, error)), _) if error.kind() == ErrorKind::PermissionDenied => AskError::Refused(
            format!("cannot connect to {}: permission denied; run it with sudo", path.display()),
        ),
        (Some((path, error)), _) => {
            AskError::NotThere(format!("{}: {error}: heartbeat-daemon is not running", path.display()))
        }
        (None, Some((address, error))) if error.kind() == ErrorKind::InvalidData => {
            AskError::NotThere(format!("{address}: another program listens there, not heartbeat-daemon"))
        }
        (None, Some((address, error))) => {
            AskError::NotThere(format!("{address}: {error}: heartbeat-daemon is not running"))
        }
        (None, None) => AskError::NotThere("[api] has neither socket nor listen: nobody can be asked".into()),
    }
}

fn exchange(
    stream: &mut dyn Stream,
    method: &str,
    path: &str,
    keep: bool,
    deadline: Instant,
) -> io::Result<Answer> {
    stream.limit(left(deadline)?)?;
    let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
    let connection = if keep { "keep-alive" } else { "close" };
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{length}Connection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 16 * 1024]);
    loop {
        stream.limit(left(deadline)?)?;
        let length = stream.read(&mut chunk)?;
        bytes.extend_from_slice(&chunk[..length]);
        match parse(&bytes)? {
            Some(answer) => return Ok(answer),
            None if length == 0 || bytes.len() > LONGEST => return Err(ErrorKind::InvalidData.into()),
            None => {}
        }
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// An answer, once it is whole.
fn parse(bytes: &[u8]) -> io::Result<Option<Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(ErrorKind::InvalidData.into()),
    };
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let length = header("content-length").and_then(|length| length.parse::<usize>().ok());
    let end = length.and_then(|length| head.checked_add(length)).ok_or(ErrorKind::InvalidData)?;
    let is_ours = header("server").is_some_and(|server| server.starts_with(PRODUCT));
    let whole = response.code.zip(bytes.get(head..end).map(<[u8]>::to_owned));
    Ok(whole.map(|(status, body)| Answer { status, body, is_ours }))
}

/// The error that the API tells as JSON.
fn reason(status: u16, body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    match value["error"].as_str() {
        Some(error) => error.to_owned(),
        None => format!("heartbeat-daemon answered with status {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    fn config(listen: Option<SocketAddr>) -> Api {
        let listen = listen.map_or(Listen::Nowhere, Listen::At);
        Api { enabled: true, listen, socket: None, socket_mode: 0o660, socket_group: None, token_file: None }
    }

    /// What comes of one question to a server that says this and closes.
    fn answered(answer: &'static [u8]) -> Result<Vec<u8>, AskError> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).expect("a request");
            stream.write_all(answer).expect("sent");
        });
        let answer = ask(&config(Some(address)), "GET", "/api/status", PATIENCE);
        server.join().expect("no panic");
        answer
    }

    #[test]
    fn a_good_answer_is_its_body_and_an_error_its_sentence() {
        let good =
            answered(b"HTTP/1.1 200 OK\r\nServer: heartbeat-daemon/9.9\r\nContent-Length: 2\r\n\r\n{}");
        assert_eq!(good.expect("good"), b"{}");
        let refused = answered(b"HTTP/1.1 500 X\r\nServer: heartbeat-daemon/0.1.0\r\nContent-Length: 15\r\n\r\n{\"error\":\"why\"}");
        assert!(matches!(refused, Err(AskError::Refused(why)) if why == "why"));
    }

    #[test]
    fn what_is_no_whole_answer_is_none() {
        for answer in [
            &b""[..],
            b"SSH-2.0-OpenSSH\r\n",
            b"HTTP/1.1 200 OK\r\nServer: gunicorn\r\nContent-Length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n{}",
        ] {
            answered(answer).expect_err("no answer");
        }
    }

    #[test]
    fn without_a_daemon_it_says_so() {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
        let off = Api { enabled: false, ..config(Some(free)) };
        for config in [config(Some(free)), config(None), off] {
            let error = ask(&config, "GET", "/", PATIENCE).expect_err("nobody");
            assert!(matches!(error, AskError::NotThere(_)), "{error:?}");
        }
    }
}
