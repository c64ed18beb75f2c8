//! The byte stream of a connection: its socket, with or without TLS.

#[cfg(feature = "monitor")]
use super::handshake::Awaited;
use super::socket::{Socket, TrackedSocket};
#[cfg(feature = "monitor")]
use super::tls::{TlsRead, TlsSession};
use mio::{Registry, Token};
#[cfg(feature = "monitor")]
use std::io::ErrorKind;
use std::io::{self, Read, Write};

pub(super) struct Transport {
    pub(super) socket: TrackedSocket,
    #[cfg(feature = "monitor")]
    tls: Tls,
}

#[cfg(feature = "monitor")]
enum Tls {
    Plain,
    Session(TlsSession),
    /// The session has received a part of a handshake, which a handshake thread is to process.
    HandshakeDue(TlsSession),
    /// A handshake thread has the session.
    HandshakeRunning {
        _awaited: Awaited,
    },
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
            tls: caller.tls.map_or(Tls::Plain, Tls::Session),
        })
    }

    /// 0: end of stream.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(feature = "monitor")]
        if !matches!(self.tls, Tls::Plain) {
            return self.read_tls(buffer);
        }
        self.socket.read(buffer)
    }

    #[cfg(feature = "monitor")]
    fn read_tls(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            Tls::Session(session) => match session.read(&mut self.socket, buffer)? {
                TlsRead::Bytes(bytes) => return Ok(bytes),
                TlsRead::Handshake => {
                    if let Tls::Session(session) = std::mem::replace(&mut self.tls, Tls::Plain) {
                        self.tls = Tls::HandshakeDue(session);
                    }
                }
            },
            // The client has given up: its handshake need not be continued.
            Tls::HandshakeRunning { .. } if self.socket.has_ended() => {
                return Err(ErrorKind::ConnectionReset.into());
            }
            Tls::Plain | Tls::HandshakeDue(_) | Tls::HandshakeRunning { .. } => {}
        }
        Err(ErrorKind::WouldBlock.into())
    }

    /// Memory of the TLS session, in bytes; 0 without TLS.
    pub(super) fn held(&self) -> usize {
        #[cfg(feature = "monitor")]
        match &self.tls {
            Tls::Plain => {}
            Tls::Session(session) | Tls::HandshakeDue(session) => return TlsSession::held(Some(session)),
            Tls::HandshakeRunning { .. } => return TlsSession::held(None),
        }
        0
    }

    /// Returns the number of bytes that the kernel has accepted. After `WouldBlock`, call it with the same bytes again.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        #[cfg(feature = "monitor")]
        match &mut self.tls {
            Tls::Plain => {}
            Tls::Session(session) => return session.write(&mut self.socket, bytes),
            Tls::HandshakeDue(_) | Tls::HandshakeRunning { .. } => return Err(ErrorKind::WouldBlock.into()),
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
        if let Tls::Session(session) = &mut self.tls {
            session.send_close_notify(&mut self.socket);
        }
    }

    /// Passes the session to `begin` if a part of its handshake is due.
    #[cfg(feature = "monitor")]
    pub(super) fn begin_handshake<E>(
        &mut self,
        begin: impl FnOnce(TlsSession) -> Result<Awaited, E>,
    ) -> Result<(), E> {
        match std::mem::replace(&mut self.tls, Tls::Plain) {
            Tls::HandshakeDue(session) => self.tls = Tls::HandshakeRunning { _awaited: begin(session)? },
            other => self.tls = other,
        }
        Ok(())
    }

    /// A part of the handshake was processed.
    #[cfg(feature = "monitor")]
    pub(super) fn continue_handshake(&mut self, session: TlsSession) {
        self.tls = Tls::Session(session);
        // What arrived meanwhile was reported already.
        self.socket.assume_readable();
    }
}
