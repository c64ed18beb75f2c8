//! The sockets that accept connections.

use super::message::Peer;
use super::socket::Socket;
#[cfg(feature = "monitor")]
use super::tls::TlsConfig;
use super::transport::AcceptedSocket;
use mio::event::Source;
use mio::{Interest, Registry, Token};
use socket2::SockRef;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

/// Connections that the kernel queues until they are accepted. With std's 128, a burst of 1,000 would lose SYNs, which
/// are repeated only after a second. The kernel limits it to net.core.somaxconn.
const BACKLOG: i32 = 1_024;

/// A bound socket to serve.
#[derive(Debug)]
pub enum Listener {
    Tcp(std::net::TcpListener),
    /// The caller sets the file's mode and group.
    Unix(std::os::unix::net::UnixListener),
    /// TCP with the certificate that is current when a connection is accepted.
    #[cfg(feature = "monitor")]
    Tls(std::net::TcpListener, TlsConfig),
}

/// A socket file, removed on drop.
#[derive(Debug)]
pub struct SocketFile(pub PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Fails if it is already removed.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(feature = "monitor")]
impl Listener {
    pub(super) fn speaks_tls(&self) -> bool {
        matches!(self, Listener::Tls(..))
    }
}

/// A listener registered with the reactor.
pub(super) struct Acceptor {
    socket: Listening,
    #[cfg(feature = "monitor")]
    tls: Option<TlsConfig>,
    /// Edge-triggered: connections may be pending until `accept` returns `WouldBlock`.
    pub(super) ready: bool,
}

enum Listening {
    Tcp(mio::net::TcpListener),
    Unix(mio::net::UnixListener),
}

impl Acceptor {
    pub(super) fn open(listener: Listener, registry: &Registry, token: Token) -> io::Result<Acceptor> {
        #[cfg(feature = "monitor")]
        let mut tls = None;
        let socket = match listener {
            Listener::Tcp(listener) => Listening::tcp(listener, registry, token)?,
            Listener::Unix(listener) => Listening::unix(listener, registry, token)?,
            #[cfg(feature = "monitor")]
            Listener::Tls(listener, config) => {
                tls = Some(config);
                Listening::tcp(listener, registry, token)?
            }
        };
        Ok(Acceptor {
            socket,
            #[cfg(feature = "monitor")]
            tls,
            ready: true,
        })
    }

    pub(super) fn accept(&self) -> io::Result<(AcceptedSocket, Peer)> {
        let (socket, peer) = match &self.socket {
            Listening::Tcp(listener) => {
                let (stream, address) = listener.accept()?;
                (Socket::Tcp(stream), Peer::Tcp(address))
            }
            Listening::Unix(listener) => (Socket::Unix(listener.accept()?.0), Peer::Unix),
        };
        #[cfg(feature = "monitor")]
        let tls = self.tls.as_ref().map(TlsConfig::session).transpose().map_err(io::Error::other)?;
        Ok((
            AcceptedSocket {
                socket,
                #[cfg(feature = "monitor")]
                tls,
            },
            peer,
        ))
    }
}

impl Listening {
    fn tcp(listener: std::net::TcpListener, registry: &Registry, token: Token) -> io::Result<Listening> {
        SockRef::from(&listener).listen(BACKLOG)?;
        listener.set_nonblocking(true)?;
        let mut listener = mio::net::TcpListener::from_std(listener);
        listener.register(registry, token, Interest::READABLE)?;
        Ok(Listening::Tcp(listener))
    }

    fn unix(
        listener: std::os::unix::net::UnixListener,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Listening> {
        SockRef::from(&listener).listen(BACKLOG)?;
        listener.set_nonblocking(true)?;
        let mut listener = mio::net::UnixListener::from_std(listener);
        listener.register(registry, token, Interest::READABLE)?;
        Ok(Listening::Unix(listener))
    }
}

/// A descriptor that is released to accept one connection when no other is left. Unaccepted, that connection would stay
/// in the kernel's queue without another event, and the server would never see it, or spin.
pub(super) struct DescriptorReserve(Option<UnixDatagram>);

impl DescriptorReserve {
    pub(super) fn new() -> DescriptorReserve {
        DescriptorReserve(UnixDatagram::unbound().ok())
    }

    pub(super) fn release(&mut self) {
        self.0 = None;
    }
}
