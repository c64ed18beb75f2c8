//! One client's non-blocking socket, TCP or Unix, and its readiness.

use mio::event::{Event, Source};
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

/// Half of a piece: the kernel reports room once half of that is left, when the next piece is being read.
#[cfg(feature = "monitor")]
const UNSENT: u32 = 32 * 1024;

/// A non-blocking socket and its readiness as epoll last reported it. Edge-triggered: each change is reported once.
pub(super) struct TrackedSocket {
    socket: Socket,
    readable: bool,
    /// The peer has shut its side, or the socket has failed: everything up to the end must be read.
    ended: bool,
}

pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl TrackedSocket {
    /// Registered for both directions at once; a second `epoll_ctl` for each slow reader would cost more.
    pub(super) fn new(mut socket: Socket, registry: &Registry, token: Token) -> io::Result<TrackedSocket> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match &mut socket {
            Socket::Tcp(stream) => {
                // A response is one write: Nagle's algorithm would only delay it.
                let _ = stream.set_nodelay(true);
                stream.register(registry, token, interest)?;
            }
            Socket::Unix(stream) => stream.register(registry, token, interest)?,
        }
        // The request has usually arrived by the time of the accept.
        Ok(TrackedSocket { socket, readable: true, ended: false })
    }

    pub(super) fn update(&mut self, event: &Event) {
        self.ended |= event.is_read_closed() || event.is_error();
        self.readable |= event.is_readable() || self.ended;
    }

    /// Forces one more read, without a report of epoll.
    pub(super) fn assume_readable(&mut self) {
        self.readable = true;
    }

    /// The peer has shut its side, or the socket has failed.
    #[cfg(feature = "monitor")]
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Bounds the unsent bytes that the kernel keeps for a slow client of a long body; by default it would grow to 4 MiB
    /// (tcp_wmem), and the server would see no progress for minutes.
    #[cfg(feature = "monitor")]
    pub(super) fn bound_unsent(&self) {
        if let Socket::Tcp(stream) = &self.socket {
            // Without it, only more memory is used.
            let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
        }
    }

    pub(super) fn shut(&self) {
        // Fails if the peer is gone, which the next read reports too.
        let _ = match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }
}

impl Read for TrackedSocket {
    /// A read that does not fill `buffer` has emptied the socket (epoll(7)), so the read that would return
    /// `WouldBlock` is not made; an end of stream that arrives later is an event of its own.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
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
}

impl Write for TrackedSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        retried(|| self.socket.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
