//! Where connections come from.

use super::message::Peer;
use super::transport::Socket;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use socket2::SockRef;
use std::io;

/// Connections that the kernel holds until they are accepted; std asks for 128, and a burst of 1,000 would have its
/// SYNs dropped and repeated a second later. The kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 1_024;

/// A bound socket to serve.
#[derive(Debug)]
pub enum Listener {
    Tcp(std::net::TcpListener),
    /// Mode and group of the file are the caller's business.
    Unix(std::os::unix::net::UnixListener),
}

/// A listener in the reactor.
pub(super) struct Door {
    socket: Listening,
    /// Edge-triggered: connections wait until an accept has said that none does.
    pub(super) ready: bool,
}

enum Listening {
    Tcp(mio::net::TcpListener),
    Unix(mio::net::UnixListener),
}

impl Door {
    pub(super) fn open(listener: Listener, registry: &Registry, token: Token) -> io::Result<Door> {
        let socket = match listener {
            Listener::Tcp(listener) => {
                SockRef::from(&listener).listen(BACKLOG)?;
                listener.set_nonblocking(true)?;
                let mut listener = mio::net::TcpListener::from_std(listener);
                listener.register(registry, token, Interest::READABLE)?;
                Listening::Tcp(listener)
            }
            Listener::Unix(listener) => {
                SockRef::from(&listener).listen(BACKLOG)?;
                listener.set_nonblocking(true)?;
                let mut listener = mio::net::UnixListener::from_std(listener);
                listener.register(registry, token, Interest::READABLE)?;
                Listening::Unix(listener)
            }
        };
        Ok(Door { socket, ready: true })
    }

    pub(super) fn accept(&self) -> io::Result<(Socket, Peer)> {
        match &self.socket {
            Listening::Tcp(listener) => {
                listener.accept().map(|(stream, address)| (Socket::Tcp(stream), Peer::Tcp(address)))
            }
            Listening::Unix(listener) => {
                listener.accept().map(|(stream, _)| (Socket::Unix(stream), Peer::Unix))
            }
        }
    }
}
