//! A tiny receiver: shows heartbeats as they arrive, one line each, without a server of anybody's.
//!
//! A tool for looking, not for keeping: it takes every form of heartbeat there is (JSON in a body, an array of
//! replays, the legacy `?params=`), believes whoever sends it, and remembers nothing. All of it is bounded: 32
//! connections, 8 KiB of head, [`MAX_BODY`] of body, 10 s for a request, 75 s between two.

use crate::device::shown::shown;
use crate::wire::{Answer, MAX_BODY};
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const MAX_CONNECTIONS: usize = 32;
const MAX_HEAD: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;
/// A minute and a quarter: longer than the interval of anybody who sits and looks.
const PATIENCE: Patience = Patience { request: Duration::from_secs(10), idle: Duration::from_secs(75) };
/// What is said to a heartbeat that does not name its interval.
const INTERVAL_S: f64 = 5.0;

#[derive(Debug, Clone, Copy)]
struct Patience {
    /// From the first byte of a request to its last, however they drip.
    request: Duration,
    /// Between two requests.
    idle: Duration,
}

/// Listens on `listen` (port 0: any free one), says where on the first line of `out`, then writes one line for
/// each heartbeat; returns after `stop_after` of them.
///
/// # Errors
/// The address cannot be listened on, or `out` cannot be written.
pub fn receive(listen: &str, out: &mut dyn Write, stop_after: Option<u64>) -> io::Result<()> {
    receive_on(TcpListener::bind(listen)?, out, stop_after, PATIENCE)
}

fn receive_on(
    listener: TcpListener,
    out: &mut dyn Write,
    stop_after: Option<u64>,
    patience: Patience,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    writeln!(out, "listening on {address}")?;
    out.flush()?;
    let (lines, arrived) = bounded(MAX_CONNECTIONS);
    let (running, stop) = bounded::<()>(0);
    let acceptor = thread::Builder::new().name("accept".into());
    let acceptor = acceptor.spawn(move || accept(&listener, &lines, &stop, patience))?;
    let result = write_lines(&arrived, out, stop_after);
    // Connections end when they find that nobody takes their lines any more; the acceptor needs a caller.
    drop((running, arrived));
    wake(address);
    // It cannot panic, and if it did there would be nothing left to end.
    let _ = acceptor.join();
    result
}

fn write_lines(arrived: &Receiver<String>, out: &mut dyn Write, stop_after: Option<u64>) -> io::Result<()> {
    let mut written = 0;
    while stop_after.is_none_or(|enough| written < enough) {
        // Only without an acceptor, and it outlives this loop.
        let Ok(line) = arrived.recv() else { break };
        writeln!(out, "{line}")?;
        out.flush()?;
        written += 1;
    }
    Ok(())
}

fn wake(mut address: SocketAddr) {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    // Refused means that the acceptor is awake already.
    let _ = TcpStream::connect_timeout(&address, Duration::from_secs(1));
}

fn accept(listener: &TcpListener, lines: &Sender<String>, stop: &Receiver<()>, patience: Patience) {
    // Each connection holds one clone: their count is the count of connections.
    let slot = Arc::new(());
    for stream in listener.incoming() {
        if stop.try_recv() == Err(TryRecvError::Disconnected) {
            return;
        }
        let Ok(stream) = stream else {
            // EMFILE and the like pass; until then a pause, or this loop would take a whole core.
            let _ = stop.recv_timeout(Duration::from_millis(100));
            continue;
        };
        if Arc::strong_count(&slot) > MAX_CONNECTIONS {
            continue;
        }
        let (lines, held) = (lines.clone(), Arc::clone(&slot));
        let serve = move || {
            // An error here is the peer's way to end; there is nobody to tell.
            let _ = serve(stream, &lines, patience);
            drop(held);
        };
        // Without memory for a thread the connection closes, as it does without a slot.
        let _ = thread::Builder::new().name("connection".into()).spawn(serve);
    }
}

/// Serves one connection until its end, an error, or silence.
fn serve(mut stream: TcpStream, lines: &Sender<String>, patience: Patience) -> io::Result<()> {
    stream.set_write_timeout(Some(patience.request))?;
    let mut buffer = Vec::new();
    loop {
        let request = match read_request(&mut stream, &mut buffer, patience) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(Fault::Gone(error)) => return Err(error),
            Err(Fault::Refused(status, reason)) => return refuse(&mut stream, status, reason),
        };
        let newest = request.heartbeats.last();
        let interval_s = newest.and_then(|heartbeat| heartbeat["interval_s"].as_f64()).unwrap_or(INTERVAL_S);
        acknowledge(&mut stream, interval_s, request.keep_alive)?;
        // After the answer: the last line of all ends the program.
        let told = request
            .heartbeats
            .iter()
            .all(|heartbeat| lines.send(shown(heartbeat, SystemTime::now())).is_ok());
        if !told || !request.keep_alive {
            return Ok(());
        }
    }
}

/// What came out of one request.
#[derive(Debug)]
struct Request {
    heartbeats: Vec<Value>,
    keep_alive: bool,
}

/// Why there is no request.
#[derive(Debug)]
enum Fault {
    Gone(io::Error),
    Refused(&'static str, &'static str),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Gone(error)
    }
}

const BAD: &str = "400 Bad Request";
const HEAD_TOO_LARGE: Fault = Fault::Refused("431 Request Header Fields Too Large", "the head is too large");

/// The next request, or `None` where the peer has closed between two; what follows it stays in `buffer`.
fn read_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    patience: Patience,
) -> Result<Option<Request>, Fault> {
    if buffer.is_empty() && read_more(stream, buffer, Instant::now() + patience.idle)? == 0 {
        return Ok(None);
    }
    let deadline = Instant::now() + patience.request;
    let head = loop {
        if let Some(head) = parse_head(buffer)? {
            break head;
        }
        if buffer.len() >= MAX_HEAD {
            return Err(HEAD_TOO_LARGE);
        }
        if read_more(stream, buffer, deadline)? == 0 {
            return Err(Fault::Gone(ErrorKind::UnexpectedEof.into()));
        }
    };
    let end = head.length + head.body_length;
    while buffer.len() < end {
        if read_more(stream, buffer, deadline)? == 0 {
            return Err(Fault::Gone(ErrorKind::UnexpectedEof.into()));
        }
    }
    let json = match &head.params {
        Some(params) => parse_json(params),
        None => parse_json(&buffer[head.length..end]),
    };
    buffer.drain(..end);
    Ok(Some(Request { heartbeats: json?, keep_alive: head.keep_alive }))
}

fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>, deadline: Instant) -> io::Result<usize> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    stream.set_read_timeout(Some(left))?;
    let mut chunk = [0; 4096];
    let length = stream.read(&mut chunk)?;
    buffer.extend_from_slice(&chunk[..length]);
    Ok(length)
}

/// A request's head, as far as it matters here.
#[derive(Debug, PartialEq)]
struct Head {
    /// In bytes, with the empty line.
    length: usize,
    body_length: usize,
    /// The legacy form's JSON.
    params: Option<Vec<u8>>,
    keep_alive: bool,
}

/// `None`: not whole yet.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(&bytes[..bytes.len().min(MAX_HEAD)]) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HEAD_TOO_LARGE),
        Err(_) => return Err(Fault::Refused(BAD, "that is not HTTP/1.1")),
    };
    let path = request.path.unwrap_or_default();
    let params = match request.method {
        Some("POST") => None,
        Some("GET") => match params(path) {
            Some(json) => Some(json),
            None => return Err(Fault::Refused(BAD, "a GET needs ?params=<url-encoded JSON>")),
        },
        _ => return Err(Fault::Refused("501 Not Implemented", "only POST and GET are known here")),
    };
    let body_length = match body_length(request.headers)? {
        None if params.is_none() => {
            return Err(Fault::Refused("411 Length Required", "a POST needs Content-Length"));
        }
        length => length.unwrap_or(0),
    };
    let asked = |word: &str| {
        let named = |h: &&httparse::Header| h.name.eq_ignore_ascii_case("connection");
        request.headers.iter().filter(named).any(|h| h.value.eq_ignore_ascii_case(word.as_bytes()))
    };
    let keep_alive = if request.version == Some(1) { !asked("close") } else { asked("keep-alive") };
    Ok(Some(Head { length, body_length, params, keep_alive }))
}

fn body_length(headers: &[httparse::Header]) -> Result<Option<usize>, Fault> {
    let mut length = None;
    for header in headers {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Fault::Refused("501 Not Implemented", "Content-Length only, no Transfer-Encoding"));
        }
        if !header.name.eq_ignore_ascii_case("content-length") {
            continue;
        }
        let text = std::str::from_utf8(header.value).unwrap_or_default();
        if length.is_some() || text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Fault::Refused(BAD, "Content-Length must be one number"));
        }
        // A number too large for usize is too large for a body as well.
        match text.parse() {
            Ok(bytes) if bytes <= MAX_BODY => length = Some(bytes),
            _ => return Err(Fault::Refused("413 Content Too Large", "a body has at most 64 KiB")),
        }
    }
    Ok(length)
}

/// The legacy form's JSON out of `/path?params=...`, decoded.
fn params(path: &str) -> Option<Vec<u8>> {
    let (_, query) = path.split_once('?')?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix("params="))?;
    let spaced = value.replace('+', " ");
    Some(percent_decode_str(&spaced).collect())
}

/// One heartbeat, or an array of replays.
fn parse_json(bytes: &[u8]) -> Result<Vec<Value>, Fault> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Array(replays)) => Ok(replays),
        Ok(heartbeat @ Value::Object(_)) => Ok(vec![heartbeat]),
        _ => Err(Fault::Refused(BAD, "the body must be a JSON object or an array of them")),
    }
}

fn acknowledge(stream: &mut TcpStream, interval_s: f64, keep_alive: bool) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let answer = serde_json::to_string(&Answer { interval_s, server_time: now.as_secs_f64() })?;
    answer_with(stream, "200 OK", "application/json", &answer, keep_alive)
}

fn refuse(stream: &mut TcpStream, status: &str, reason: &str) -> io::Result<()> {
    answer_with(stream, status, "text/plain", &format!("{reason}\n"), false)?;
    stream.shutdown(Shutdown::Write)?;
    // Closing with unread bytes would reset the connection, and take the answer away from the peer.
    let (deadline, mut rest) = (Instant::now() + Duration::from_secs(1), Vec::new());
    while rest.len() < MAX_BODY && read_more(stream, &mut rest, deadline)? > 0 {}
    Ok(())
}

fn answer_with(stream: &mut TcpStream, status: &str, kind: &str, body: &str, keep: bool) -> io::Result<()> {
    let length = body.len();
    let connection = if keep { "keep-alive" } else { "close" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n"
    );
    // In one write: two would wait for each other's acknowledgement (Nagle).
    stream.write_all((head + body).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SAMPLE;

    /// For what must happen; far longer than any busy machine takes.
    const LONG: Duration = Duration::from_secs(30);
    const BRIEF: Patience = Patience { request: Duration::from_millis(200), idle: LONG };

    struct Lines(Sender<String>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.0.send(text).map_err(|_| ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A receiver at work on a port of its own.
    struct Running {
        address: SocketAddr,
        text: Receiver<String>,
        ended: thread::JoinHandle<io::Result<()>>,
    }

    fn start(stop_after: u64, patience: Patience) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (out, text) = crossbeam_channel::unbounded();
        let ended = thread::spawn(move || receive_on(listener, &mut Lines(out), Some(stop_after), patience));
        Running { address, text, ended }
    }

    impl Running {
        fn connect(&self) -> TcpStream {
            let stream = TcpStream::connect(self.address).expect("it listens");
            stream.set_read_timeout(Some(LONG)).expect("a time limit");
            stream
        }

        /// All that is answered to `request` until the connection closes.
        fn ask(&self, request: &[u8]) -> String {
            let mut stream = self.connect();
            // The receiver may answer and close before it has everything.
            let _ = stream.write_all(request);
            let _ = stream.shutdown(Shutdown::Write);
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            answer
        }

        /// What was written, once it has ended by itself.
        fn written(self) -> String {
            self.ended.join().expect("no panic").expect("no error");
            self.text.iter().collect()
        }

        fn end_with_a_heartbeat(self) -> String {
            assert!(self.ask(&post(SAMPLE)).starts_with("HTTP/1.1 200 OK\r\n"));
            self.written()
        }
    }

    fn post(body: &str) -> Vec<u8> {
        let length = body.len();
        format!("POST /heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}").into()
    }

    #[test]
    fn the_first_line_says_where_and_each_heartbeat_is_one_more() {
        let receiver = start(1, PATIENCE);
        let first = format!("listening on {}\n", receiver.address);
        let written = receiver.end_with_a_heartbeat();
        assert!(written.starts_with(&first), "{written}");
        assert!(written.ends_with("| streaming recording | cameras 1/2\n"), "{written}");
        assert_eq!(written.lines().count(), 2);
    }

    #[test]
    fn a_heartbeat_is_answered_with_its_own_interval() {
        let receiver = start(1, PATIENCE);
        let answer = receiver.ask(&post(&SAMPLE.replace("5.0", "7.0")));
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let answer: Answer = serde_json::from_str(body).expect("the monitor's answer");
        assert_eq!(answer.interval_s, 7.0);
        assert!(answer.server_time > 1_700_000_000.0);
        receiver.written();
    }

    #[test]
    fn the_legacy_form_and_an_array_of_replays_are_taken_too() {
        let receiver = start(3, PATIENCE);
        let encoded = percent_encoding::utf8_percent_encode(SAMPLE, percent_encoding::NON_ALPHANUMERIC);
        let get = format!("GET /heartbeat.php?x=1&params={encoded} HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(receiver.ask(get.as_bytes()).starts_with("HTTP/1.1 200 "));
        assert!(receiver.ask(&post(&format!("[{SAMPLE},{SAMPLE}]"))).starts_with("HTTP/1.1 200 "));
        assert_eq!(receiver.written().matches("barn-cam #42").count(), 3);
    }

    #[test]
    fn a_connection_is_kept_and_two_requests_in_one_packet_are_two() {
        let receiver = start(3, PATIENCE);
        let mut stream = receiver.connect();
        stream.write_all(&post(SAMPLE)).expect("sent");
        let mut first = [0; 15];
        stream.read_exact(&mut first).expect("an answer while the connection stays");
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        stream.write_all(&[post(SAMPLE), post(SAMPLE)].concat()).expect("sent");
        stream.shutdown(Shutdown::Write).expect("shut");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).expect("two answers");
        assert_eq!(rest.matches("HTTP/1.1 200 OK").count(), 2, "{rest}");
        receiver.written();
    }

    #[test]
    fn what_cannot_be_taken_is_refused_with_its_status() {
        let receiver = start(1, PATIENCE);
        let head = |line: &str, headers: &str| format!("{line} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        for (request, status) in [
            ("\u{16}\u{3}\u{1}garbage\r\n\r\n".to_owned(), "400"),
            (head("POST /", ""), "411"),
            (head("POST /", "Content-Length: 99999999999\r\n"), "413"),
            (head("POST /", "Content-Length: 99999999999999999999999999\r\n"), "413"),
            (head("POST /", "Content-Length: 65537\r\n"), "413"),
            (head("POST /", "Content-Length: -1\r\n"), "400"),
            (head("POST /", "Content-Length: +1\r\n"), "400"),
            (head("POST /", "Content-Length: 2\r\nContent-Length: 2\r\n"), "400"),
            (head("POST /", "Transfer-Encoding: chunked\r\n"), "501"),
            (head("POST /", "Content-Length: 3\r\n") + "\"x\"", "400"),
            (head("POST /", "Content-Length: 3\r\n") + "{x}", "400"),
            (head("BREW /pot", ""), "501"),
            (head("GET /", ""), "400"),
            (head("GET /?params=%7", ""), "400"),
            (head("GET /?params=%zz", ""), "400"),
            (head("POST /", &format!("X: {}\r\n", "x".repeat(MAX_HEAD))), "431"),
            (head("POST /", &"X: x\r\n".repeat(MAX_HEADERS + 1)), "431"),
        ] {
            let answer = receiver.ask(request.as_bytes());
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        }
        receiver.end_with_a_heartbeat();
    }

    #[test]
    fn a_body_nested_deeper_than_any_stack_is_refused() {
        let receiver = start(1, PATIENCE);
        assert!(receiver.ask(&post(&"[".repeat(60_000))).starts_with("HTTP/1.1 400 "));
        receiver.end_with_a_heartbeat();
    }

    #[test]
    fn a_slow_sender_is_cut_off_however_its_bytes_drip() {
        let receiver = start(1, BRIEF);
        let (mut stream, begin) = (receiver.connect(), Instant::now());
        // Each byte restarts a timeout that counts from the last one; the deadline is absolute.
        while stream.write_all(b"P").is_ok() {
            assert!(begin.elapsed() < LONG, "it is still being read");
            thread::sleep(Duration::from_millis(20));
        }
        receiver.end_with_a_heartbeat();
    }

    #[test]
    fn connections_beyond_the_limit_are_closed_and_the_others_stay() {
        let receiver = start(1, PATIENCE);
        let held: Vec<TcpStream> = (0..MAX_CONNECTIONS).map(|_| receiver.connect()).collect();
        let closed = receiver.connect().read(&mut [0; 1]);
        assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
        let mut first = held.into_iter().next().expect("one");
        first.write_all(&post(SAMPLE)).expect("sent");
        let mut answer = [0; 12];
        first.read_exact(&mut answer).expect("answered");
        assert_eq!(&answer, b"HTTP/1.1 200");
        receiver.written();
    }

    #[test]
    fn an_address_that_is_taken_is_an_error() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address").to_string();
        let error = receive(&address, &mut io::sink(), None).expect_err("taken");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }
}
