//! One connection: request out, response in.

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

/// The response to a heartbeat has 120 bytes, an error 300.
const LARGEST_RESPONSE: usize = 4096;

pub struct FleetConnection {
    stream: TcpStream,
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
    /// A response with this status, to the request sent at this time.
    Response(u16, Instant),
}

impl FleetConnection {
    pub fn open(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<FleetConnection> {
        let mut stream = TcpStream::connect(address)?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(FleetConnection { stream, sent: None, unsent: Vec::new(), held: Vec::new() })
    }

    pub fn is_busy(&self) -> bool {
        self.sent.is_some()
    }

    /// Sends a request; only while none is in flight. `writable` sends what the kernel does not accept now.
    pub fn send(&mut self, request: [&[u8]; 2], now: Instant) -> io::Result<()> {
        self.sent = Some(now);
        let written = match self.stream.write_vectored(&request.map(IoSlice::new)) {
            Ok(written) => written,
            // Still connecting.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => 0,
            Err(error) => return Err(error),
        };
        let [head, body] = request;
        if written < head.len() + body.len() {
            let both = head.iter().chain(body).copied();
            self.unsent.extend(both.skip(written));
        }
        Ok(())
    }

    pub fn writable(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads until a response is complete or the socket is empty: usually one system call.
    pub fn readable(&mut self, buffer: &mut [u8]) -> io::Result<Arrived> {
        loop {
            let length = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => length,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(Arrived::Nothing);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let status = if self.held.is_empty() {
                match whole(&buffer[..length]) {
                    Some(status) => Some(status),
                    None => {
                        self.held.extend_from_slice(&buffer[..length]);
                        None
                    }
                }
            } else {
                self.held.extend_from_slice(&buffer[..length]);
                whole(&self.held)
            };
            if let (Some(status), Some(sent)) = (status, self.sent) {
                self.held.clear();
                self.sent = None;
                return Ok(Arrived::Response(status, sent));
            }
            // An unsolicited or endless response.
            if self.sent.is_none() || self.held.len() > LARGEST_RESPONSE {
                return Err(ErrorKind::InvalidData.into());
            }
        }
    }
}

/// The status of a complete response.
fn whole(bytes: &[u8]) -> Option<u16> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    (bytes.len() >= end + 4 + length.unwrap_or(0)).then_some(status)
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
        assert_eq!(whole(answer), Some(200));
        assert_eq!(whole(b"HTTP/1.1 204 No Content\r\n\r\n"), Some(204));
    }
}
