//! The byte stream of a connection: its socket, with or without TLS.

use super::socket::{Socket, TrackedSocket};
#[cfg(feature = "monitor")]
use super::tls::TlsSession;
use mio::{Registry, Token};
use std::io::{self, Read, Write};

pub(super) struct Transport {
    pub(super) socket: TrackedSocket,
    #[cfg(feature = "monitor")]
    tls: Option<TlsSession>,
}

/// An accepted connection that is not registered with epoll yet.
pub(super) struct AcceptedSocket {
    pub(super) socket: Socket,
    #[cfg(feature = "monitor")]
    pub(super) tls: Option<TlsSession>,
}

impl Transport {
    pub(super) fn new(caller: AcceptedSocket, registry: &Registry, token: Token) -> io::Result<Transport> {
        Ok(Transport {
            socket: TrackedSocket::new(caller.socket, registry, token)?,
            #[cfg(feature = "monitor")]
            tls: caller.tls,
        })
    }

    /// 0: end of stream.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(feature = "monitor")]
        if let Some(tls) = &mut self.tls {
            return tls.read(&mut self.socket, buffer);
        }
        self.socket.read(buffer)
    }

    /// Memory of the TLS session, in bytes; 0 without TLS.
    pub(super) fn held(&self) -> usize {
        #[cfg(feature = "monitor")]
        if let Some(tls) = &self.tls {
            return tls.held();
        }
        0
    }

    /// Returns the number of bytes that the kernel has accepted. After `WouldBlock`, call it with the same bytes again.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(feature = "monitor")]
        if let Some(tls) = &mut self.tls {
            return tls.write(&mut self.socket, bytes);
        }
        self.socket.write(bytes)
    }

    /// Shuts our side: the peer reads an end of stream, and may still send.
    pub(super) fn shut(&mut self) {
        self.send_close_notify();
        self.socket.shut();
    }

    /// Sends close_notify, which proves to a TLS peer that nothing was cut off.
    pub(super) fn send_close_notify(&mut self) {
        #[cfg(feature = "monitor")]
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify(&mut self.socket);
        }
    }
}
