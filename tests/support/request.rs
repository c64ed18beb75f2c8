//! A request as a server sees it.

use std::io::{self, BufRead};
use std::net::SocketAddr;
use std::time::Instant;

/// A request, and what the socket told about it.
#[derive(Debug, Clone)]
pub struct Request {
    /// When its first line had arrived.
    pub at: Instant,
    /// Counts the server's connections from 0.
    pub connection: usize,
    /// Counts the connection's requests from 0.
    pub number: usize,
    /// Whom it came from.
    pub peer: SocketAddr,
    pub method: String,
    pub target: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    pub fn reason(&self) -> String {
        self.text("reason")
    }

    pub fn id(&self) -> String {
        self.text("id")
    }

    fn text(&self, key: &str) -> String {
        self.json()[key].as_str().unwrap_or_else(|| panic!("no {key}: {self:?}")).to_owned()
    }

    /// A single heartbeat, rather than an array of replays.
    pub fn is_live(&self) -> bool {
        self.json().is_object()
    }
}

/// `None` at the end of the connection.
pub fn read_request(
    reader: &mut impl BufRead,
    connection: usize,
    number: usize,
    peer: SocketAddr,
) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let at = Instant::now();
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    let mut request = Request { at, connection, number, peer, method, target, headers, body: Vec::new() };
    let length = request.header("content-length").map_or(0, |text| text.parse().expect("a length"));
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body)?;
    Ok(Some(request))
}
