//! The command line's client: over the socket file, or over TCP if the socket file cannot be used.

use crate::clock::remaining_or_timeout;
use crate::device::config::{AUTO as PORT_5000, Api, Listen};
use crate::device::failure::Failure;
use serde::de::DeserializeOwned;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// For a request that is answered from memory.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A check of all cameras takes as long as the daemon waits for it.
const CHECK_TIMEOUT: Duration = Duration::from_secs(60);
/// A thousand cameras have 400 KiB.
const LONGEST: usize = 4 * 1024 * 1024;
const HEADERS: usize = 32;

/// The `Server` header of each response.
pub const SERVER: &str = concat!("heartbeat-daemon/", env!("CARGO_PKG_VERSION"));
/// Of every version.
const PRODUCT: &str = "heartbeat-daemon/";

/// A request of the command line.
pub struct ApiRequest {
    method: &'static str,
    path: &'static str,
    timeout: Duration,
    /// The daemon accepts it on the socket file only.
    socket_only: bool,
}

const GET: ApiRequest = ApiRequest { method: "GET", path: "", timeout: TIMEOUT, socket_only: false };
const POST: ApiRequest = ApiRequest { method: "POST", ..GET };
/// Every version serves it, in any state of the daemon.
const HEALTH: ApiRequest = ApiRequest { path: "/healthz", ..GET };
pub const STATUS: ApiRequest = ApiRequest { path: "/api/status", ..GET };
pub const TRIGGER: ApiRequest = ApiRequest { path: "/api/heartbeat", ..POST };
pub const CAMERAS: ApiRequest = ApiRequest { path: "/api/cameras", ..GET };
pub const CHECK_CAMERAS: ApiRequest =
    ApiRequest { path: "/api/cameras/heartbeat", timeout: CHECK_TIMEOUT, ..POST };
pub const FAILOVER: ApiRequest = ApiRequest { path: "/api/failover", ..GET };
pub const MANUAL: ApiRequest = ApiRequest { path: "/api/failover/manual", socket_only: true, ..POST };
pub const AUTO: ApiRequest = ApiRequest { path: "/api/failover/auto", socket_only: true, ..POST };

/// A complete response.
struct ApiResponse {
    status: u16,
    body: Vec<u8>,
    /// It names heartbeat-daemon.
    is_ours: bool,
}

/// [`send`] without a body; the parsed response.
pub fn fetch<T: DeserializeOwned>(config: &Api, request: &ApiRequest) -> Result<T, Failure> {
    read(&send(config, request, "")?)
}

/// Parses the response of this version, or of one with the same fields.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    let foreign = |error| Failure::Other(format!("the running daemon has another version: {error}"));
    serde_json::from_slice(body).map_err(foreign)
}

/// The body of a successful response. `body` is JSON, or empty.
///
/// # Errors
/// There is no daemon, it does not respond in time, or it refuses.
pub fn send(config: &Api, request: &ApiRequest, body: &str) -> Result<Vec<u8>, Failure> {
    let deadline = Instant::now() + request.timeout;
    // The socket file first: its owner is the daemon, while a port may be another program's.
    let response = match UnixStream::connect(&config.socket) {
        Ok(mut stream) => exchange(&mut stream, request, body, false, deadline)
            .map_err(|error| explain(&error, request.timeout))?,
        Err(closed) => {
            let closed = (config.socket.as_path(), closed);
            let Some(address) = address(config.listen).filter(|_| !request.socket_only) else {
                return Err(unreachable(closed, None));
            };
            match over_tcp(address, request, body, deadline) {
                Ok(response) => response,
                Err(error) if is_late(&error) => return Err(explain(&error, request.timeout)),
                Err(error) => return Err(unreachable(closed, Some((address, error)))),
            }
        }
    };
    match response.status {
        200..300 => Ok(response.body),
        status => Err(Failure::Other(reason(status, &response.body))),
    }
}

/// Checks that the daemon responds at this address.
///
/// # Errors
/// No program responds there, or one that is not heartbeat-daemon.
pub fn identify(address: SocketAddr) -> io::Result<()> {
    over_tcp(address, &HEALTH, "", Instant::now() + TIMEOUT).map(drop)
}

/// Uses one connection, so that the program that named itself is the one that gets the request.
fn over_tcp(
    address: SocketAddr,
    request: &ApiRequest,
    body: &str,
    deadline: Instant,
) -> io::Result<ApiResponse> {
    let mut stream = TcpStream::connect_timeout(&address, remaining_or_timeout(deadline)?)?;
    if request.method != "GET" {
        // A request that changes something must not reach another program.
        identified(exchange(&mut stream, &HEALTH, "", true, deadline)?)?;
    }
    identified(exchange(&mut stream, request, body, false, deadline)?)
}

fn identified(response: ApiResponse) -> io::Result<ApiResponse> {
    if response.is_ours {
        Ok(response)
    } else {
        Err(io::Error::new(ErrorKind::InvalidData, "the program that responds is not heartbeat-daemon"))
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn explain(error: &io::Error, limit: Duration) -> Failure {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            Failure::NotRunning(format!("heartbeat-daemon did not respond within {} s", limit.as_secs()))
        }
        ErrorKind::InvalidData => Failure::Other("the response is not heartbeat-daemon's".into()),
        _ => Failure::NotRunning(format!("heartbeat-daemon: {error}")),
    }
}

/// A stream with a time limit for its next read or write.
trait TimedStream: Read + Write {
    fn limit(&self, left: Duration) -> io::Result<()>;
}

impl TimedStream for UnixStream {
    fn limit(&self, left: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(left)).and_then(|()| self.set_write_timeout(Some(left)))
    }
}

impl TimedStream for TcpStream {
    fn limit(&self, left: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(left)).and_then(|()| self.set_write_timeout(Some(left)))
    }
}

/// Where the daemon may listen over TCP.
fn address(listen: Listen) -> Option<SocketAddr> {
    match listen {
        Listen::Nowhere => None,
        Listen::Auto => Some(PORT_5000),
        Listen::At(address) => Some(reachable(address)).filter(|address| address.port() != 0),
    }
}

/// Loopback in place of the address that means every interface.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

fn unreachable((path, error): (&Path, io::Error), tcp: Option<(SocketAddr, io::Error)>) -> Failure {
    let path = path.display();
    match tcp {
        _ if error.kind() == ErrorKind::PermissionDenied => {
            Failure::Other(format!("cannot connect to {path}: permission denied; run it with sudo"))
        }
        Some((address, foreign)) if foreign.kind() == ErrorKind::InvalidData => Failure::NotRunning(format!(
            "{path}: {error}; {address}: another program listens there, not heartbeat-daemon"
        )),
        _ => Failure::NotRunning(format!("{path}: {error}: heartbeat-daemon is not running")),
    }
}

fn exchange(
    stream: &mut dyn TimedStream,
    request: &ApiRequest,
    body: &str,
    keep: bool,
    deadline: Instant,
) -> io::Result<ApiResponse> {
    stream.limit(remaining_or_timeout(deadline)?)?;
    let ApiRequest { method, path, .. } = request;
    let content = match (*method, body) {
        ("GET", _) => String::new(),
        (_, "") => "Content-Length: 0\r\n".to_owned(),
        _ => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()),
    };
    let connection = if keep { "keep-alive" } else { "close" };
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{content}Connection: {connection}\r\n\r\n");
    stream.write_all((head + body).as_bytes())?;
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 16 * 1024]);
    loop {
        stream.limit(remaining_or_timeout(deadline)?)?;
        let length = stream.read(&mut chunk)?;
        bytes.extend_from_slice(&chunk[..length]);
        match parse(&bytes)? {
            Some(response) => return Ok(response),
            None if length == 0 || bytes.len() > LONGEST => return Err(ErrorKind::InvalidData.into()),
            None => {}
        }
    }
}

/// The response; `None` while it is incomplete.
fn parse(bytes: &[u8]) -> io::Result<Option<ApiResponse>> {
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
    Ok(whole.map(|(status, body)| ApiResponse { status, body, is_ours }))
}

/// The error in the JSON body.
fn reason(status: u16, body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    match value["error"].as_str() {
        Some(error) => error.to_owned(),
        None => format!("heartbeat-daemon responded with status {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    fn config(listen: Option<SocketAddr>) -> Api {
        let listen = listen.map_or(Listen::Nowhere, Listen::At);
        Api {
            listen,
            socket: "/nowhere/api.sock".into(),
            socket_mode: 0o660,
            socket_group: None,
            token_file: None,
        }
    }

    /// The result of one request to a server that sends this and closes.
    fn answered(answer: &'static [u8]) -> Result<Vec<u8>, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).expect("a request");
            stream.write_all(answer).expect("sent");
        });
        let answer = send(&config(Some(address)), &STATUS, "");
        server.join().expect("no panic");
        answer
    }

    #[test]
    fn a_good_answer_is_its_body_and_an_error_its_sentence() {
        let good =
            answered(b"HTTP/1.1 200 OK\r\nServer: heartbeat-daemon/9.9\r\nContent-Length: 2\r\n\r\n{}");
        assert_eq!(good.expect("good"), b"{}");
        let refused = answered(b"HTTP/1.1 500 X\r\nServer: heartbeat-daemon/0.1.0\r\nContent-Length: 15\r\n\r\n{\"error\":\"why\"}");
        assert!(matches!(refused, Err(Failure::Other(why)) if why == "why"));
    }

    #[test]
    fn an_incomplete_answer_is_not_parsed() {
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
    fn a_missing_daemon_is_reported() {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
        for (config, request) in
            [(config(Some(free)), STATUS), (config(None), STATUS), (config(Some(free)), MANUAL)]
        {
            let error = send(&config, &request, "").expect_err("there is none");
            assert!(matches!(error, Failure::NotRunning(_)), "{error:?}");
        }
    }
}
