//! TLS of the monitor's listeners, under the same deadlines as plain connections. Handshakes have threads of their own, see
//! `handshake`; everything after them is done on the reactor's thread.

use super::socket::TrackedSocket;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ProducesTickets;
use rustls::{ServerConfig, ServerConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes encrypted per write: one record (RFC 8446 5.1).
const RECORD: usize = 16 * 1024;

/// The certificate for new connections, shared by all clones: a renewed one needs no restart, and open connections
/// keep the old one.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    current: Arc<Mutex<Arc<ServerConfig>>>,
    /// Session tickets, which outlive a certificate: a device reconnects without a full handshake.
    tickets: Arc<dyn ProducesTickets>,
}

impl TlsConfig {
    pub fn new(config: ServerConfig, tickets: Arc<dyn ProducesTickets>) -> TlsConfig {
        let config = with_tickets(config, &tickets);
        TlsConfig { current: Arc::new(Mutex::new(config)), tickets }
    }

    pub fn replace(&self, config: ServerConfig) {
        let config = with_tickets(config, &self.tickets);
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    fn current(&self) -> Arc<ServerConfig> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A session for one connection.
    pub(super) fn session(&self) -> Result<TlsSession, rustls::Error> {
        let tls = Box::new(ServerConnection::new(self.current())?);
        Ok(TlsSession { tls, received: 0, encrypted: 0, has_begun: false, failure: None })
    }
}

fn with_tickets(mut config: ServerConfig, tickets: &Arc<dyn ProducesTickets>) -> Arc<ServerConfig> {
    config.ticketer = tickets.clone();
    Arc::new(config)
}

/// Server configuration from a certificate chain and a private key in PEM: TLS 1.2 and 1.3, ALPN `http/1.1`.
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
    /// Our first message was made.
    has_begun: bool,
    /// The handshake has failed.
    failure: Option<rustls::Error>,
}

/// What a read has found.
pub(super) enum TlsRead {
    /// Plaintext; 0: end of stream.
    Bytes(usize),
    /// Bytes of a handshake, to be processed by a handshake thread.
    Handshake,
}

impl TlsSession {
    pub(super) fn read(&mut self, socket: &mut TrackedSocket, buffer: &mut [u8]) -> io::Result<TlsRead> {
        loop {
            // Also the alert that says why a handshake has failed.
            self.send(socket)?;
            if let Some(failure) = self.failure.take() {
                return Err(io::Error::new(ErrorKind::InvalidData, failure));
            }
            match self.tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // No close_notify: HTTP's lengths already reveal a message that was cut off.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(TlsRead::Bytes(0)),
                result => {
                    self.received = 0;
                    return result.map(TlsRead::Bytes);
                }
            }
            let received = self.tls.read_tls(socket)?;
            self.received += received;
            if self.tls.is_handshaking() && received > 0 {
                return Ok(TlsRead::Handshake);
            }
            self.process();
        }
    }

    /// Processes what was received. During a handshake this takes long, so a handshake thread calls it.
    pub(super) fn process(&mut self) {
        self.failure = self.tls.process_new_packets().err();
        self.has_begun |= self.tls.wants_write();
    }

    /// Our first message was made: the expensive part is done.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Memory, in bytes; `None`: a handshake thread has the session.
    pub(super) fn held(session: Option<&TlsSession>) -> usize {
        SESSION + session.map_or(0, |session| session.received)
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
