//! One client's socket: TCP or Unix.

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

/// A non-blocking socket and what epoll last said of it. Edge-triggered: it says so once.
pub(super) struct Transport {
    socket: Socket,
    readable: bool,
    /// The peer has shut its side, or the socket has failed: read up to the end.
    ended: bool,
}

pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Transport {
    /// Registered for both directions at once; a second `epoll_ctl` for each slow reader would cost more.
    pub(super) fn new(mut socket: Socket, registry: &Registry, token: Token) -> io::Result<Transport> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match &mut socket {
            Socket::Tcp(stream) => {
                // An answer is one write: there is nothing to be joined with it.
                let _ = stream.set_nodelay(true);
                stream.register(registry, token, interest)?;
            }
            Socket::Unix(stream) => stream.register(registry, token, interest)?,
        }
        // The request has mostly come by the time of the accept.
        Ok(Transport { socket, readable: true, ended: false })
    }

    pub(super) fn ready(&mut self, event: &mio::event::Event) {
        self.ended |= event.is_read_closed() || event.is_error();
        self.readable |= event.is_readable() || self.ended;
    }

    /// To be read once more, whatever epoll has said so far.
    pub(super) fn look_again(&mut self) {
        self.readable = true;
    }

    /// 0 is the end. A read that does not fill `buffer` has emptied the socket (epoll(7)), which saves the read that
    /// would only say so; an end that comes later is an event of its own.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.readable {
            return Err(ErrorKind::WouldBlock.into());
        }
        let result = retried(|| self.socket.read(buffer));
        match &result {
            Ok(bytes) if *bytes < buffer.len() && !self.ended => self.readable = false,
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
            Ok(_) | Err(_) => {}
        }
        result
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        retried(|| self.socket.write(bytes))
    }

    /// The peer reads an end; it may still send.
    pub(super) fn shut(&mut self) {
        // Fails where the peer is gone, which the next read says too.
        let _ = match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }
}

impl Socket {
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(buffer),
            Socket::Unix(stream) => stream.read(buffer),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write(bytes),
            Socket::Unix(stream) => stream.write(bytes),
        }
    }
}

fn retried(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
