//! TLS of the monitor's listeners: rustls without a thread or a socket of its own, under the same deadlines.

use super::transport::Wire;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Encrypted at once: one record (RFC 8446 5.1).
const RECORD: usize = 16 * 1024;

/// The certificate that new connections are shown. Its clones share it: a renewed one needs no restart, and the
/// connections that are open keep theirs.
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

    /// For one connection.
    pub(super) fn session(&self) -> Result<Session, rustls::Error> {
        Ok(Session { tls: Box::new(ServerConnection::new(self.current())?), received: 0, encrypted: 0 })
    }
}

/// What a server needs to be: certificate chain and private key as PEM, TLS 1.2 and 1.3, session tickets (a device
/// comes back without a whole handshake), `http/1.1` by ALPN. The error is a sentence.
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

/// Memory of a session without what it has received, at most: 6 to 7 KiB were measured during a handshake, with the
/// connection and the buffer for records.
const SESSION: usize = 8 * 1024;

/// One connection's TLS.
pub(super) struct Session {
    tls: Box<ServerConnection>,
    /// Bytes received since the last plaintext: of a handshake, or of a record that is not complete.
    received: usize,
    /// So many bytes of what was to be written are encrypted, and not all with the kernel yet.
    encrypted: usize,
}

impl Session {
    pub(super) fn read(&mut self, wire: &mut Wire, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.send(wire)?;
            match self.tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Without a close_notify: lengths tell what is complete, so nothing can be cut off unseen.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                result => {
                    self.received = 0;
                    return result;
                }
            }
            self.received += self.tls.read_tls(wire)?;
            if let Err(error) = self.tls.process_new_packets() {
                // The alert that says why.
                self.send(wire)?;
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
    }

    /// Memory, in bytes.
    pub(super) fn held(&self) -> usize {
        SESSION + self.received
    }

    /// As a plain socket's: what it returns is with the kernel, so whoever waits for the client to read waits for all
    /// of it. Until then the same bytes have to come again.
    pub(super) fn write(&mut self, wire: &mut Wire, bytes: &[u8]) -> io::Result<usize> {
        if self.encrypted == 0 {
            let record = bytes.get(..RECORD).unwrap_or(bytes);
            self.encrypted = self.tls.writer().write(record)?;
        }
        if self.send(wire)? {
            Ok(std::mem::take(&mut self.encrypted))
        } else {
            Err(ErrorKind::WouldBlock.into())
        }
    }

    pub(super) fn say_goodbye(&mut self, wire: &mut Wire) {
        self.tls.send_close_notify();
        // Where it does not fit, the peer does not read anyway.
        let _ = self.send(wire);
    }

    /// True when all that is encrypted is with the kernel.
    fn send(&mut self, wire: &mut Wire) -> io::Result<bool> {
        while self.tls.wants_write() {
            match self.tls.write_tls(wire) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
