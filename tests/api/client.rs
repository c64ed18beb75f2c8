//! An HTTP client that sends exactly what a test says.

use crate::support::SOON;
use crate::support::daemon::Daemon;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The sentence of an error.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_else(|| panic!("no error: {self:?}")).to_owned()
    }

    fn parse(bytes: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        Answer {
            status: status.unwrap_or_else(|| panic!("no status: {head}")),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: body.to_owned(),
        }
    }
}

/// A request under construction.
pub struct ApiRequest {
    head: String,
    has_host: bool,
    body: Option<String>,
}

pub fn request(method: &str, path: &str) -> ApiRequest {
    let body = (method == "POST").then(String::new);
    ApiRequest { head: format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n"), has_host: false, body }
}

pub fn get(path: &str) -> ApiRequest {
    request("GET", path)
}

pub fn post(path: &str) -> ApiRequest {
    request("POST", path)
}

impl ApiRequest {
    pub fn header(mut self, name: &str, value: &str) -> ApiRequest {
        self.has_host |= name.eq_ignore_ascii_case("host");
        self.head += &format!("{name}: {value}\r\n");
        self
    }

    pub fn body(mut self, body: &str) -> ApiRequest {
        self.body = Some(body.to_owned());
        self
    }

    pub fn json(self, body: &Value) -> ApiRequest {
        self.header("Content-Type", "application/json").body(&body.to_string())
    }

    fn bytes(self, host: &str) -> String {
        let mut head = self.head;
        if !self.has_host {
            head += &format!("Host: {host}\r\n");
        }
        if let Some(body) = &self.body {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head + "\r\n" + &self.body.unwrap_or_default()
    }

    pub fn to(self, daemon: &Daemon) -> Answer {
        self.at(daemon.api_address())
    }

    pub fn at(self, address: SocketAddr) -> Answer {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(SOON)).expect("a time limit");
        exchange(&mut stream, &self.bytes(&address.to_string()))
    }

    pub fn through_the_socket_of(self, daemon: &Daemon) -> Answer {
        let mut stream = UnixStream::connect(daemon.api_socket()).expect("it listens");
        stream.set_read_timeout(Some(SOON)).expect("a time limit");
        exchange(&mut stream, &self.bytes("localhost"))
    }
}

fn exchange(stream: &mut (impl Read + Write), request: &str) -> Answer {
    // It may refuse, and close, before it has everything.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    Answer::parse(&answer)
}
