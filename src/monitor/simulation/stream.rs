//! The byte stream of a machine: its socket, with or without TLS.

use super::target::FleetServer;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::client::Resumption;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Sessions of rustls for each server.
const SESSIONS: usize = 8;

pub enum FleetStream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

pub struct TlsStream {
    socket: TcpStream,
    tls: ClientConnection,
}

/// The TLS of one machine, which resumes its own sessions; `None`: none yet, or plain HTTP.
pub type MachineTls = Option<Arc<ClientConfig>>;

impl FleetStream {
    /// Begins to connect. `source`: the address to connect from; the kernel chooses without one.
    pub fn open(
        server: &FleetServer,
        source: Option<IpAddr>,
        own: &mut MachineTls,
        registry: &Registry,
        token: Token,
    ) -> io::Result<FleetStream> {
        let mut socket = connect(server.address, source)?;
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let Some(tls) = &server.tls else { return Ok(FleetStream::Plain(socket)) };
        let config = own.get_or_insert_with(|| {
            let mut config = ClientConfig::clone(&tls.config);
            config.resumption = Resumption::in_memory_sessions(SESSIONS);
            Arc::new(config)
        });
        let tls = ClientConnection::new(config.clone(), tls.name.clone()).map_err(io::Error::other)?;
        Ok(FleetStream::Tls(Box::new(TlsStream { socket, tls })))
    }

    /// Returns the number of bytes that need not be written again.
    pub fn write_parts(&mut self, parts: [&[u8]; 3]) -> io::Result<usize> {
        match self {
            FleetStream::Plain(socket) => socket.write_vectored(&parts.map(IoSlice::new)),
            FleetStream::Tls(stream) => stream.write_parts(parts),
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            FleetStream::Plain(socket) => socket.write(bytes),
            FleetStream::Tls(stream) => stream.write_parts([bytes, b"", b""]),
        }
    }

    /// Sends what the kernel did not accept before.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            FleetStream::Plain(_) => Ok(()),
            FleetStream::Tls(stream) => stream.send(),
        }
    }

    /// 0: end of stream.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            FleetStream::Plain(socket) => socket.read(buffer),
            FleetStream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl TlsStream {
    /// Everything fits into the session's buffer, which holds 64 KiB.
    fn write_parts(&mut self, parts: [&[u8]; 3]) -> io::Result<usize> {
        for part in parts {
            self.tls.writer().write_all(part)?;
        }
        self.send()?;
        Ok(parts.iter().map(|part| part.len()).sum())
    }

    fn send(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if is_pending(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
            if self.tls.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            let processed = self.tls.process_new_packets();
            // Also the alert that says what was wrong.
            self.send()?;
            processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
    }
}

/// The connection is not made yet, or the kernel accepts nothing now.
pub fn is_pending(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}

fn connect(to: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        Ok(()) | Err(_) => Ok(TcpStream::from_std(socket.into())),
    }
}
