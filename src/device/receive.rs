//! A small receiver that prints one line for each heartbeat: a test without a server.
//!
//! It accepts every form of heartbeat (JSON in a body, an array of replays, the legacy `?params=`) from every sender, and
//! stores nothing. It responds after it has written the line, so a client with a response can rely on the line.

use crate::device::shown::shown;
use crate::http::{Exchange, Limits, Listener, Method, Request, Response, Server};
use crate::wire::HeartbeatResponse;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::io::{self, Write};
use std::net::TcpListener;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const CONNECTIONS: usize = 32;
/// Interval in the response to a heartbeat without one, in seconds.
const INTERVAL_S: f64 = 5.0;
/// Time for the response to the last heartbeat.
const GRACE: Duration = Duration::from_secs(1);

/// Parses the `--listen` option to `ADDRESS:PORT`; a port alone means 127.0.0.1.
///
/// # Errors
/// The text has no port or no address; the message says what to write.
pub fn listen_address(text: &str) -> Result<String, String> {
    if text.parse::<u16>().is_ok() {
        return Ok(format!("127.0.0.1:{text}"));
    }
    match text.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) {
        Some(("", Ok(port))) => {
            Err(format!("write 0.0.0.0:{port} for every network, or {port} for this machine only"))
        }
        Some((host, Ok(_))) if !host.contains(':') || host.starts_with('[') => Ok(text.to_owned()),
        _ => {
            Err("expected an address and a port, such as 0.0.0.0:8000 or [::]:8000, or a port alone"
                .to_owned())
        }
    }
}

/// Listens on `listen` (port 0: any free one), writes the address as the first line of `out`, then one line for each
/// heartbeat. Returns after `stop_after` heartbeats.
pub fn receive(listen: &str, out: &mut dyn Write, stop_after: Option<u64>) -> io::Result<()> {
    receive_on(TcpListener::bind(listen)?, out, stop_after)
}

fn receive_on(listener: TcpListener, out: &mut dyn Write, stop_after: Option<u64>) -> io::Result<()> {
    writeln!(out, "listening on {}", listener.local_addr()?)?;
    out.flush()?;
    let limits =
        Limits { connections: CONNECTIONS, connections_per_address: CONNECTIONS, ..Limits::default() };
    let server = Server::new(vec![Listener::Tcp(listener)], limits)?;
    let stopper = server.stopper();
    let mut receiver = Receiver { out, left: stop_after, result: Ok(()) };
    server.run(|exchange| {
        receiver.respond(exchange);
        if receiver.has_finished() {
            stopper.stop(GRACE);
        }
    })?;
    receiver.result
}

struct Receiver<'a> {
    out: &'a mut dyn Write,
    /// Remaining lines; `None`: unlimited.
    left: Option<u64>,
    result: io::Result<()>,
}

impl Receiver<'_> {
    fn has_finished(&self) -> bool {
        self.left == Some(0) || self.result.is_err()
    }

    fn respond(&mut self, exchange: Exchange) {
        let response = match heartbeats(&exchange.request) {
            Ok(_) if self.has_finished() => Response::error(503, "the receiver ends"),
            Ok(heartbeats) => {
                self.result = self.write(&heartbeats);
                acknowledgement(&heartbeats)
            }
            Err(refusal) => refusal,
        };
        exchange.reply.send(response);
    }

    fn write(&mut self, heartbeats: &[Value]) -> io::Result<()> {
        for heartbeat in heartbeats {
            if self.left == Some(0) {
                break;
            }
            writeln!(self.out, "{}", shown(heartbeat, SystemTime::now()))?;
            self.left = self.left.map(|left| left - 1);
        }
        self.out.flush()
    }
}

/// The heartbeat or the replays of a request.
fn heartbeats(request: &Request) -> Result<Vec<Value>, Response> {
    let params = request.query().and_then(params);
    let json = match (request.method(), params) {
        (Method::Post, _) => request.body().to_owned(),
        (Method::Get, Some(params)) => params,
        (Method::Get, None) => return Err(Response::error(400, "a GET needs ?params=<url-encoded JSON>")),
        _ => {
            return Err(
                Response::error(405, "only POST and GET are allowed here").header("Allow", "GET, POST")
            );
        }
    };
    match serde_json::from_slice(&json) {
        Ok(Value::Array(replays)) => Ok(replays),
        Ok(heartbeat @ Value::Object(_)) => Ok(vec![heartbeat]),
        _ => Err(Response::error(400, "the body must be a JSON object or an array of them")),
    }
}

/// Decodes the JSON of the legacy form `params=...`.
fn params(query: &str) -> Option<Vec<u8>> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("params="))?;
    let spaced = value.replace('+', " ");
    Some(percent_decode_str(&spaced).collect())
}

fn acknowledgement(heartbeats: &[Value]) -> Response {
    let named = heartbeats.last().and_then(|heartbeat| heartbeat["interval_s"].as_f64());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Response::json(
        200,
        &HeartbeatResponse { interval_s: named.unwrap_or(INTERVAL_S), server_time: now.as_secs_f64() },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SAMPLE;
    use crossbeam_channel::{Receiver, Sender};
    use std::io::{ErrorKind, Read};
    use std::net::{Shutdown, SocketAddr, TcpStream};
    use std::thread;

    /// For what must happen; far longer than any busy machine takes.
    const LONG: Duration = Duration::from_secs(30);

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

    fn start(stop_after: u64) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (out, text) = crossbeam_channel::unbounded();
        let ended = thread::spawn(move || receive_on(listener, &mut Lines(out), Some(stop_after)));
        Running { address, text, ended }
    }

    impl Running {
        /// All that is answered to `request` until the connection closes.
        fn send(&self, request: &[u8]) -> String {
            let mut stream = TcpStream::connect(self.address).expect("it listens");
            stream.set_read_timeout(Some(LONG)).expect("a time limit");
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
            assert!(self.send(&post(SAMPLE)).starts_with("HTTP/1.1 200 OK\r\n"));
            self.written()
        }
    }

    fn post(body: &str) -> Vec<u8> {
        let length = body.len();
        format!("POST /heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}").into()
    }

    #[test]
    fn the_first_line_has_the_address_and_each_heartbeat_adds_one() {
        let receiver = start(1);
        let first = format!("listening on {}\n", receiver.address);
        let written = receiver.end_with_a_heartbeat();
        assert!(written.starts_with(&first), "{written}");
        assert!(written.ends_with("| streaming recording | cameras 1/2\n"), "{written}");
        assert_eq!(written.lines().count(), 2);
    }

    #[test]
    fn a_line_is_written_before_its_heartbeat_is_answered() {
        let receiver = start(2);
        receiver.send(&post(SAMPLE));
        let written: String = receiver.text.try_iter().collect();
        assert_eq!(written.matches("barn-cam #42").count(), 1, "{written}");
        receiver.end_with_a_heartbeat();
    }

    #[test]
    fn a_heartbeat_is_answered_with_its_own_interval() {
        let receiver = start(1);
        let answer = receiver.send(&post(&SAMPLE.replace("5.0", "7.0")));
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let answer: HeartbeatResponse = serde_json::from_str(body).expect("the monitor's answer");
        assert_eq!(answer.interval_s, 7.0);
        assert!(answer.server_time > 1_700_000_000.0);
        receiver.written();
    }

    #[test]
    fn the_legacy_form_and_an_array_of_replays_are_accepted_too() {
        let receiver = start(3);
        let encoded = percent_encoding::utf8_percent_encode(SAMPLE, percent_encoding::NON_ALPHANUMERIC);
        let get = format!("GET /heartbeat.php?x=1&params={encoded} HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(receiver.send(get.as_bytes()).starts_with("HTTP/1.1 200 "));
        assert!(receiver.send(&post(&format!("[{SAMPLE},{SAMPLE}]"))).starts_with("HTTP/1.1 200 "));
        assert_eq!(receiver.written().matches("barn-cam #42").count(), 3);
    }

    #[test]
    fn an_unrequested_value_is_not_written() {
        let receiver = start(2);
        receiver.send(&post(&format!("[{SAMPLE},{SAMPLE},{SAMPLE}]")));
        assert_eq!(receiver.written().matches("barn-cam #42").count(), 2);
    }

    #[test]
    fn what_is_no_heartbeat_is_refused_with_its_status() {
        let receiver = start(1);
        let head = |line: &str| format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
        for (request, status) in [
            (post("\"x\""), "400"),
            (post("{x}"), "400"),
            (post(""), "400"),
            (post(&"[".repeat(60_000)), "400"),
            (head("GET /"), "400"),
            (head("GET /?params=%7"), "400"),
            (head("GET /?params=%zz"), "400"),
            (head("DELETE /"), "405"),
        ] {
            let answer = receiver.send(&request);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        }
        receiver.end_with_a_heartbeat();
    }

    #[test]
    fn a_port_alone_is_this_machines_and_anything_else_needs_both() {
        for (text, address) in [
            ("8000", "127.0.0.1:8000"),
            ("0", "127.0.0.1:0"),
            ("0.0.0.0:8000", "0.0.0.0:8000"),
            ("[::]:8000", "[::]:8000"),
            ("localhost:8000", "localhost:8000"),
        ] {
            assert_eq!(listen_address(text).as_deref(), Ok(address));
        }
        for text in ["", ":8000", "70000", "0.0.0.0", "::", "::1:8000", "localhost", "0.0.0.0:", "http://x:y"]
        {
            let said = listen_address(text).expect_err(text);
            assert!(said.contains("0.0.0.0:8000"), "{said}");
        }
    }

    #[test]
    fn an_address_in_use_is_an_error() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address").to_string();
        let error = receive(&address, &mut io::sink(), None).expect_err("taken");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn an_output_that_is_closed_ends_it() {
        let receiver = start(9);
        let Running { address, text, ended } = receiver;
        assert!(text.recv_timeout(LONG).is_ok());
        drop(text);
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(&post(SAMPLE)).expect("sent");
        let error = ended.join().expect("no panic").expect_err("no reader");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}
