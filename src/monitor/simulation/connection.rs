//! One connection: request out, response in.

use super::stream::{FleetStream, MachineTls, is_pending};
use super::target::FleetServer;
use mio::{Registry, Token};
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::time::Instant;

/// The response to a heartbeat has 120 bytes, an error 300.
const LARGEST_RESPONSE: usize = 4096;

pub struct FleetConnection {
    stream: FleetStream,
    /// Send time of the request in flight.
    sent: Option<Instant>,
    /// The part of the request that the kernel has not accepted yet.
    unsent: Vec<u8>,
    /// The received part of an incomplete response.
    held: Vec<u8>,
}

/// The result of a read.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrived {
    /// No complete response.
    Nothing,
    /// A response to the request sent at this time.
    Response(ResponseHead, Instant),
}

/// What the fleet reads of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHead {
    pub status: u16,
    /// `Connection: close`
    pub closes: bool,
}

impl FleetConnection {
    /// Begins to connect; see [`FleetStream::open`].
    pub fn open(
        server: &FleetServer,
        source: Option<IpAddr>,
        tls: &mut MachineTls,
        registry: &Registry,
        token: Token,
    ) -> io::Result<FleetConnection> {
        let stream = FleetStream::open(server, source, tls, registry, token)?;
        Ok(FleetConnection { stream, sent: None, unsent: Vec::new(), held: Vec::new() })
    }

    pub fn is_busy(&self) -> bool {
        self.sent.is_some()
    }

    /// Sends a request; only while none is in flight. `writable` sends what the kernel does not accept now.
    pub fn send(&mut self, request: [&[u8]; 3], now: Instant) -> io::Result<()> {
        self.sent = Some(now);
        let written = match self.stream.write_parts(request) {
            Err(error) if is_pending(&error) => 0,
            result => result?,
        };
        if written < request.iter().map(|part| part.len()).sum() {
            self.unsent.extend(request.into_iter().flatten().copied().skip(written));
        }
        Ok(())
    }

    pub fn writable(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Err(error) if is_pending(&error) => break,
                result => drop(self.unsent.drain(..result?)),
            }
        }
        self.stream.flush()
    }

    /// Reads until a response is complete or the socket is empty: usually one system call.
    pub fn readable(&mut self, buffer: &mut [u8]) -> io::Result<Arrived> {
        loop {
            let length = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if is_pending(&error) => return Ok(Arrived::Nothing),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let head = if self.held.is_empty() {
                match whole(&buffer[..length]) {
                    Some(head) => Some(head),
                    None => {
                        self.held.extend_from_slice(&buffer[..length]);
                        None
                    }
                }
            } else {
                self.held.extend_from_slice(&buffer[..length]);
                whole(&self.held)
            };
            if let (Some(head), Some(sent)) = (head, self.sent) {
                self.held.clear();
                self.sent = None;
                return Ok(Arrived::Response(head, sent));
            }
            // An unsolicited or endless response.
            if self.sent.is_none() || self.held.len() > LARGEST_RESPONSE {
                return Err(ErrorKind::InvalidData.into());
            }
        }
    }
}

/// The head of a complete response.
fn whole(bytes: &[u8]) -> Option<ResponseHead> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let (mut length, mut closes) = (0, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.trim().eq_ignore_ascii_case("close");
        }
    }
    (bytes.len() - end - 4 >= length).then_some(ResponseHead { status, closes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_complete_when_its_body_is() {
        let answer = b"HTTP/1.1 200 OK\r\nDate: x\r\ncontent-length: 2\r\n\r\n{}";
        for length in 0..answer.len() {
            assert_eq!(whole(&answer[..length]), None, "{length}");
        }
        let head = |status, closes| Some(ResponseHead { status, closes });
        assert_eq!(whole(answer), head(200, false));
        assert_eq!(whole(b"HTTP/1.1 204 No Content\r\n\r\n"), head(204, false));
        assert_eq!(whole(b"HTTP/1.1 503 Busy\r\nconnection: Close\r\n\r\n"), head(503, true));
    }
}
