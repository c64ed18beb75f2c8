//! Where connections come from.

use super::message::Peer;
#[cfg(feature = "monitor")]
use super::tls::TlsConfig;
use super::transport::{Caller, Socket};
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
    /// TCP, with the certificate that is current when a connection comes.
    #[cfg(feature = "monitor")]
    Tls(std::net::TcpListener, TlsConfig),
}

/// A listener in the reactor.
pub(super) struct Door {
    socket: Listening,
    #[cfg(feature = "monitor")]
    tls: Option<TlsConfig>,
    /// Edge-triggered: connections wait until an accept has said that none does.
    pub(super) ready: bool,
}

enum Listening {
    Tcp(mio::net::TcpListener),
    Unix(mio::net::UnixListener),
}

impl Door {
    pub(super) fn open(listener: Listener, registry: &Registry, token: Token) -> io::Result<Door> {
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
        Ok(Door {
            socket,
            #[cfg(feature = "monitor")]
            tls,
            ready: true,
        })
    }

    pub(super) fn accept(&self) -> io::Result<(Caller, Peer)> {
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
            Caller {
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
