//! TLS of the monitor's listeners: rustls on the reactor's thread, under the same deadlines as plain connections.

use super::socket::TrackedSocket;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes encrypted per write: one record (RFC 8446 5.1).
const RECORD: usize = 16 * 1024;

/// The certificate for new connections, shared by all clones: a renewed one needs no restart, and open connections
/// keep the old one.
#[derive(Debug, Clone)]
pub struct TlsConfig(Arc<Mutex<Arc<ServerConfig>>>);

impl TlsConfig {
    pub fn new(config: ServerConfig) -> TlsConfig {
        TlsConfig(Arc::new(Mutex::new(Arc::new(config))))
    }

    pub fn replace(&self, config: ServerConfig) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    fn current(&self) -> Arc<ServerConfig> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A session for one connection.
    pub(super) fn session(&self) -> Result<TlsSession, rustls::Error> {
        Ok(TlsSession { tls: Box::new(ServerConnection::new(self.current())?), received: 0, encrypted: 0 })
    }
}

/// Server configuration from a certificate chain and a private key in PEM: TLS 1.2 and 1.3, session tickets (a device
/// reconnects without a full handshake), ALPN `http/1.1`.
///
/// # Errors
/// A sentence: `chain` or `key` is not valid, or they do not belong together.
pub fn server_config(chain: &[u8], key: &[u8]) -> Result<ServerConfig, String> {
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("the certificate: {error}"))?;
    if chain.is_empty() {
        return Err(
            "there is no certificate in the first (a block that begins with -----BEGIN CERTIFICATE-----)"
                .into(),
        );
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            "there is no private key in the second (a block such as -----BEGIN PRIVATE KEY-----)".to_owned()
        }
        error => format!("the private key: {error}"),
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => "the private key is not the certificate's".to_owned(),
            error => format!("certificate and private key: {error}"),
        })?;
    config.ticketer =
        rustls::crypto::ring::Ticketer::new().map_err(|error| format!("session tickets: {error}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Upper bound for the memory of a session without the bytes it has received. Measured: 6 to 7 KiB during a handshake,
/// including the connection and the record buffer.
const SESSION: usize = 8 * 1024;

/// One connection's TLS.
pub(super) struct TlsSession {
    tls: Box<ServerConnection>,
    /// Bytes received since the last plaintext: part of a handshake or of an incomplete record.
    received: usize,
    /// Plaintext bytes that are encrypted but not yet completely accepted by the kernel.
    encrypted: usize,
}

impl TlsSession {
    pub(super) fn read(&mut self, socket: &mut TrackedSocket, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.send(socket)?;
            match self.tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // No close_notify: HTTP's lengths already reveal a message that was cut off.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                result => {
                    self.received = 0;
                    return result;
                }
            }
            self.received += self.tls.read_tls(socket)?;
            if let Err(error) = self.tls.process_new_packets() {
                // Sends the alert with the reason.
                self.send(socket)?;
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
    }

    /// Memory, in bytes.
    pub(super) fn held(&self) -> usize {
        SESSION + self.received
    }

    /// Like a plain socket's write: returns the number of bytes that the kernel has accepted completely, so that the
    /// write deadline covers all of them. Until then, call it with the same bytes again.
    pub(super) fn write(&mut self, socket: &mut TrackedSocket, bytes: &[u8]) -> io::Result<usize> {
        if self.encrypted == 0 {
            let record = bytes.get(..RECORD).unwrap_or(bytes);
            self.encrypted = self.tls.writer().write(record)?;
        }
        if self.send(socket)? {
            Ok(std::mem::take(&mut self.encrypted))
        } else {
            Err(ErrorKind::WouldBlock.into())
        }
    }

    pub(super) fn send_close_notify(&mut self, socket: &mut TrackedSocket) {
        self.tls.send_close_notify();
        // If it does not fit, the peer is not reading anyway.
        let _ = self.send(socket);
    }

    /// True once the kernel has accepted all encrypted bytes.
    fn send(&mut self, socket: &mut TrackedSocket) -> io::Result<bool> {
        while self.tls.wants_write() {
            match self.tls.write_tls(socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
