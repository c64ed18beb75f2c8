//! One camera being asked over TCP, without waiting.

use super::checks::{Answer, Question};
use super::problem::Problem;
use super::question::{self, ENOUGH, Verdict};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A question whose answer is awaited. The connection is reset when this is dropped.
#[derive(Debug)]
pub struct Connection {
    question: Question,
    stream: TcpStream,
    begun: Instant,
    pub deadline: Instant,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Connecting,
    /// The rest of the request.
    Asking(Vec<u8>),
    /// The beginning of the answer.
    Listening([u8; ENOUGH], usize),
}

/// What became of a question.
pub enum Begun {
    /// It is on its way.
    Running(Connection),
    /// Loopback answers at once.
    Answered(Answer),
    /// No descriptor is left for it.
    NoRoom(Question),
}

impl Connection {
    pub fn begin(registry: &Registry, token: Token, now: Instant, question: Question) -> Begun {
        let address = SocketAddr::new(question.ip, question.plan.port);
        let socket = match socket(address) {
            Ok(socket) => socket,
            Err(error) if is_lack_of_descriptors(&error) => return Begun::NoRoom(question),
            Err(error) => return Begun::Answered(question.answer(Err(Problem::of(&error)))),
        };
        let connected = match socket.connect(&address.into()) {
            Ok(()) => true,
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => false,
            Err(error) => return Begun::Answered(question.answer(Err(Problem::of(&error)))),
        };
        let stream = TcpStream::from_std(socket.into());
        let deadline = now + question.plan.tcp_timeout;
        let mut connection = Connection { question, stream, begun: now, deadline, stage: Stage::Connecting };
        if connected {
            if let Some(answer) = connection.go_on(now) {
                return Begun::Answered(answer);
            }
        }
        // After connect: a socket that is not connected yet would tell of a hang-up. What happened in between is
        // told at once.
        match registry.register(&mut connection.stream, token, Interest::READABLE | Interest::WRITABLE) {
            Ok(()) => Begun::Running(connection),
            Err(error) => Begun::Answered(connection.question.answer(Err(Problem::of(&error)))),
        }
    }

    /// After an event; the answer, or `None` while more has to come.
    pub fn go_on(&mut self, now: Instant) -> Option<Answer> {
        let result = match self.step() {
            Ok(Verdict::Incomplete) => return None,
            Ok(Verdict::Answer) => Ok(now.saturating_duration_since(self.begun)),
            Ok(Verdict::Garbage) => Err(Problem::Garbage),
            Err(problem) => Err(problem),
        };
        Some(self.question.answer(result))
    }

    /// Its time is over.
    pub fn give_up(&self) -> Answer {
        self.question.answer(Err(Problem::NoAnswer))
    }

    /// As far as it goes without waiting: events tell of a change alone.
    fn step(&mut self) -> Result<Verdict, Problem> {
        loop {
            let next = match &mut self.stage {
                Stage::Connecting => match self.connected()? {
                    false => None,
                    true => match question::request(self.question.plan.method, self.address()) {
                        None => return Ok(Verdict::Answer),
                        Some(request) => Some(Stage::Asking(request)),
                    },
                },
                Stage::Asking(rest) => write(&self.stream, rest)?.then_some(Stage::Listening([0; ENOUGH], 0)),
                Stage::Listening(answer, length) => {
                    let ended = read(&self.stream, answer, length)?;
                    if ended && *length == 0 {
                        return Err(Problem::Closed);
                    }
                    return Ok(question::judge(self.question.plan.method, &answer[..*length], ended));
                }
            };
            match next {
                Some(stage) => self.stage = stage,
                None => return Ok(Verdict::Incomplete),
            }
        }
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.question.ip, self.question.plan.port)
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

/// What is sent is little: no acknowledgement of the handshake alone, and no farewell. After SYN and SYN-ACK a check
/// by connection is one RST, and most cameras' programs never hear of it.
fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_linger(Some(Duration::ZERO))?;
    // Only saves bytes.
    let _ = rustix::net::sockopt::set_tcp_quickack(&socket, false);
    Ok(socket)
}

fn is_lack_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// True once all is written.
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

/// Reads what is there of the beginning. True at the end of the answer.
fn read(mut stream: &TcpStream, answer: &mut [u8; ENOUGH], length: &mut usize) -> Result<bool, Problem> {
    while *length < ENOUGH {
        match stream.read(&mut answer[*length..]) {
            Ok(0) => return Ok(true),
            Ok(more) => *length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            // What it said before it reset the connection counts.
            Err(_) if *length > 0 => return Ok(true),
            Err(error) => return Err(Problem::of(&error)),
        }
    }
    Ok(false)
}
