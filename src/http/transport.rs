//! One client's socket, TCP or Unix, and TLS over it.

#[cfg(feature = "monitor")]
use super::tls::Session;
use mio::event::{Event, Source};
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

/// What a connection reads from and writes to.
pub(super) struct Transport {
    pub(super) wire: Wire,
    #[cfg(feature = "monitor")]
    tls: Option<Session>,
}

/// A client that has just been accepted.
pub(super) struct Caller {
    pub(super) socket: Socket,
    #[cfg(feature = "monitor")]
    pub(super) tls: Option<Session>,
}

/// A non-blocking socket and what epoll last said of it. Edge-triggered: it says so once.
pub(super) struct Wire {
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
    pub(super) fn new(caller: Caller, registry: &Registry, token: Token) -> io::Result<Transport> {
        Ok(Transport {
            wire: Wire::new(caller.socket, registry, token)?,
            #[cfg(feature = "monitor")]
            tls: caller.tls,
        })
    }

    /// 0 is the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(feature = "monitor")]
        if let Some(tls) = &mut self.tls {
            return tls.read(&mut self.wire, buffer);
        }
        self.wire.read(buffer)
    }

    /// Memory of a TLS session that holds nothing finished, in bytes.
    pub(super) fn held(&self) -> usize {
        #[cfg(feature = "monitor")]
        if let Some(tls) = &self.tls {
            return tls.held();
        }
        0
    }

    /// What it takes is with the kernel. After `WouldBlock` the same bytes have to come again.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(feature = "monitor")]
        if let Some(tls) = &mut self.tls {
            return tls.write(&mut self.wire, bytes);
        }
        self.wire.write(bytes)
    }

    /// The peer reads an end; it may still send.
    pub(super) fn shut(&mut self) {
        self.say_goodbye();
        self.wire.shut();
    }

    /// For the peer to know that nothing was cut off.
    pub(super) fn say_goodbye(&mut self) {
        #[cfg(feature = "monitor")]
        if let Some(tls) = &mut self.tls {
            tls.say_goodbye(&mut self.wire);
        }
    }
}

impl Wire {
    /// Registered for both directions at once; a second `epoll_ctl` for each slow reader would cost more.
    fn new(mut socket: Socket, registry: &Registry, token: Token) -> io::Result<Wire> {
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
        Ok(Wire { socket, readable: true, ended: false })
    }

    pub(super) fn ready(&mut self, event: &Event) {
        self.ended |= event.is_read_closed() || event.is_error();
        self.readable |= event.is_readable() || self.ended;
    }

    /// To be read once more, whatever epoll has said so far.
    pub(super) fn look_again(&mut self) {
        self.readable = true;
    }

    fn shut(&self) {
        // Fails where the peer is gone, which the next read says too.
        let _ = match &self.socket {
            Socket::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Socket::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }
}

impl Read for Wire {
    /// A read that does not fill `buffer` has emptied the socket (epoll(7)), which saves the read that would only say
    /// so; an end that comes later is an event of its own.
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

impl Write for Wire {
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
