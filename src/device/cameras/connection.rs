//! One check over TCP, on a non-blocking socket.

use super::check::{CameraCheck, CheckResult};
use super::problem::Problem;
use super::protocol::{self, ENOUGH, ResponseKind};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A check in flight. The connection is reset when this is dropped.
#[derive(Debug)]
pub struct CameraConnection {
    check: CameraCheck,
    stream: TcpStream,
    begun: Instant,
    pub deadline: Instant,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Connecting,
    /// The rest of the request.
    Sending(Vec<u8>),
    /// The beginning of the response.
    Receiving([u8; ENOUGH], usize),
}

/// A check after its start.
pub enum StartedCheck {
    /// It is in flight.
    Running(CameraConnection),
    /// Loopback connects at once; other checks fail at once.
    Finished(CheckResult),
    /// No descriptor is left for it.
    NoDescriptor(CameraCheck),
}

impl CameraConnection {
    pub fn begin(registry: &Registry, token: Token, now: Instant, check: CameraCheck) -> StartedCheck {
        let address = SocketAddr::new(check.ip, check.plan.port);
        let socket = match socket(address) {
            Ok(socket) => socket,
            Err(error) if is_lack_of_descriptors(&error) => return StartedCheck::NoDescriptor(check),
            Err(error) => return StartedCheck::Finished(check.finish(Err(Problem::of(&error)))),
        };
        let connected = match socket.connect(&address.into()) {
            Ok(()) => true,
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => false,
            Err(error) => return StartedCheck::Finished(check.finish(Err(Problem::of(&error)))),
        };
        let stream = TcpStream::from_std(socket.into());
        let deadline = now + check.plan.tcp_timeout;
        let mut connection =
            CameraConnection { check, stream, begun: now, deadline, stage: Stage::Connecting };
        if connected {
            if let Some(result) = connection.advance(now) {
                return StartedCheck::Finished(result);
            }
        }
        // After connect: epoll reports a hang-up for a socket that has not begun to connect. Readiness before the
        // registration is reported after it.
        match registry.register(&mut connection.stream, token, Interest::READABLE | Interest::WRITABLE) {
            Ok(()) => StartedCheck::Running(connection),
            Err(error) => StartedCheck::Finished(connection.check.finish(Err(Problem::of(&error)))),
        }
    }

    /// Handles an event. Returns the result, or `None` while the check goes on.
    pub fn advance(&mut self, now: Instant) -> Option<CheckResult> {
        let result = match self.step() {
            Ok(ResponseKind::Incomplete) => return None,
            Ok(ResponseKind::Valid) => Ok(now.saturating_duration_since(self.begun)),
            Ok(ResponseKind::Invalid) => Err(Problem::WrongProtocol),
            Err(problem) => Err(problem),
        };
        Some(self.check.finish(result))
    }

    /// The result of a check that took too long.
    pub fn time_out(&self) -> CheckResult {
        self.check.finish(Err(Problem::NoAnswer))
    }

    /// Goes on until the socket would block: mio reports only changes of readiness.
    fn step(&mut self) -> Result<ResponseKind, Problem> {
        loop {
            let next = match &mut self.stage {
                Stage::Connecting => match self.connected()? {
                    false => None,
                    true => match protocol::request(self.check.plan.method, self.address()) {
                        None => return Ok(ResponseKind::Valid),
                        Some(request) => Some(Stage::Sending(request)),
                    },
                },
                Stage::Sending(rest) => {
                    write(&self.stream, rest)?.then_some(Stage::Receiving([0; ENOUGH], 0))
                }
                Stage::Receiving(answer, length) => {
                    let ended = read(&self.stream, answer, length)?;
                    if ended && *length == 0 {
                        return Err(Problem::Closed);
                    }
                    return Ok(protocol::classify(self.check.plan.method, &answer[..*length], ended));
                }
            };
            match next {
                Some(stage) => self.stage = stage,
                None => return Ok(ResponseKind::Incomplete),
            }
        }
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.check.ip, self.check.plan.port)
    }

    fn connected(&self) -> Result<bool, Problem> {
        if let Some(error) = self.stream.take_error().map_err(|error| Problem::of(&error))? {
            return Err(Problem::of(&error));
        }
        match self.stream.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(Problem::of(&error)),
        }
    }
}

/// Sends as few packets as possible: no separate acknowledgement of the handshake, and a reset instead of a FIN. A check
/// by connection is SYN, SYN-ACK, RST, and most cameras' programs do not notice it.
fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_linger(Some(Duration::ZERO))?;
    // A failure only costs bytes.
    let _ = rustix::net::sockopt::set_tcp_quickack(&socket, false);
    Ok(socket)
}

fn is_lack_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// True when everything is written.
fn write(mut stream: &TcpStream, rest: &mut Vec<u8>) -> Result<bool, Problem> {
    while !rest.is_empty() {
        match stream.write(rest) {
            Ok(length) => drop(rest.drain(..length)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(Problem::of(&error)),
        }
    }
    Ok(true)
}

/// Reads the beginning as far as it has arrived. True at the end of the response.
fn read(mut stream: &TcpStream, answer: &mut [u8; ENOUGH], length: &mut usize) -> Result<bool, Problem> {
    while *length < ENOUGH {
        match stream.read(&mut answer[*length..]) {
            Ok(0) => return Ok(true),
            Ok(more) => *length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            // Bytes before a reset of the connection count.
            Err(_) if *length > 0 => return Ok(true),
            Err(error) => return Err(Problem::of(&error)),
        }
    }
    Ok(false)
}
