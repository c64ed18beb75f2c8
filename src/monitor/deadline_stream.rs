//! A blocking connection to a configured server, plain or TLS, on which all waits end at one deadline: for mail and MQTT.

use crate::clock::remaining_or_timeout;
use crate::resolver::NameResolver;
use crate::tls_client::fault;
use crate::tls_client::trust::Trust;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub enum DeadlineStream {
    Plain(DeadlineSocket),
    Tls(Box<StreamOwned<ClientConnection, DeadlineSocket>>),
}

#[derive(Debug)]
pub struct DeadlineSocket {
    socket: TcpStream,
    deadline: Instant,
}

impl DeadlineStream {
    /// Connects to the first address of `host` that responds, within `limit`, which is also the first deadline.
    pub fn connect(
        host: &str,
        port: u16,
        names: &NameResolver,
        limit: Duration,
    ) -> io::Result<DeadlineStream> {
        let deadline = Instant::now() + limit;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "no address found");
        let addresses = names.resolve(host, port, limit)?;
        for (index, address) in addresses.iter().enumerate() {
            // Divides the time left between the remaining addresses.
            let others = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            let share = remaining_or_timeout(deadline)? / others;
            match TcpStream::connect_timeout(address, share) {
                Ok(socket) => return Ok(DeadlineStream::Plain(DeadlineSocket { socket, deadline })),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Starts TLS. The handshake takes place with the first bytes.
    ///
    /// # Errors
    /// A sentence: TLS is on already, or `host` cannot be the name in a certificate.
    pub fn encrypted(self, host: &str, trust: &Trust) -> Result<DeadlineStream, String> {
        let DeadlineStream::Plain(socket) = self else { return Err("TLS inside TLS".into()) };
        let fault = |error: rustls::Error| format!("TLS: {error}");
        let config = trust.client_config(None).map_err(fault)?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| "the host is not a valid certificate name".to_owned())?;
        let connection = ClientConnection::new(Arc::new(config), name).map_err(fault)?;
        Ok(DeadlineStream::Tls(Box::new(StreamOwned::new(connection, socket))))
    }

    /// Of all following calls.
    pub fn set_deadline(&mut self, deadline: Instant) {
        match self {
            DeadlineStream::Plain(plain) => plain.deadline = deadline,
            DeadlineStream::Tls(tls) => tls.sock.deadline = deadline,
        }
    }

    pub fn socket(&self) -> &TcpStream {
        match self {
            DeadlineStream::Plain(plain) => &plain.socket,
            DeadlineStream::Tls(tls) => &tls.sock.socket,
        }
    }
}

/// The reason why a connection broke, with advice for certificates.
pub fn reason(error: &io::Error) -> String {
    match fault::within(error) {
        Some(tls) => fault::advice(tls).unwrap_or_else(|| format!("TLS: {tls}")),
        None if error.kind() == io::ErrorKind::TimedOut || error.kind() == io::ErrorKind::WouldBlock => {
            "no response in time".into()
        }
        None => error.to_string(),
    }
}

impl DeadlineSocket {
    fn left(&self) -> io::Result<Option<Duration>> {
        remaining_or_timeout(self.deadline).map(Some)
    }
}

impl Read for DeadlineSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(buffer)
    }
}

impl Write for DeadlineSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Read for DeadlineStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            DeadlineStream::Plain(plain) => plain.read(buffer),
            DeadlineStream::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for DeadlineStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            DeadlineStream::Plain(plain) => plain.write(bytes),
            DeadlineStream::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            DeadlineStream::Plain(plain) => plain.flush(),
            DeadlineStream::Tls(tls) => tls.flush(),
        }
    }
}
