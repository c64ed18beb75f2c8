//! Delivers one mail to the configured server (RFC 5321; STARTTLS, AUTH PLAIN and LOGIN) on a blocking socket.
//!
//! | file | what it owns |
//! |---|---|
//! | `session` | the SMTP session and its timeouts |
//! | `reply` | parses a reply and judges it |
//! | `exercise` | properties that hold for any server, for tests and the fuzzer |
//!
//! Our own client, because we need little of SMTP, and the common one (lettre) brings 34 crates, Unicode tables and, in its
//! lock file, an async runtime. Its timeout is per read: a server that sends a byte now and then would block a courier
//! for ever. Here each step has one deadline.

pub mod exercise;
pub mod reply;
pub mod session;

use super::message::{DeliveryContext, DeliveryError};
use super::settings::MailLimits;
use crate::clock::remaining_or_timeout;
use crate::monitor::config::{SmtpConfig, SmtpSecurity};
use crate::resolver::NameResolver;
use crate::tls_client::trust::Trust;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use session::{Envelope, MailStream, Session, connection_error};
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Delivers a mail and returns the server's reply.
///
/// # Errors
/// `Never` if the mailbox does not exist or the mail is not acceptable, `Unknown` if the mail was sent but not
/// acknowledged.
pub fn deliver(
    smtp: &SmtpConfig,
    names: &NameResolver,
    limits: &MailLimits,
    envelope: &Envelope,
    context: &DeliveryContext,
) -> Result<String, DeliveryError> {
    let unreachable = |error: io::Error| connection_error(smtp, "connecting", &error);
    let socket = connect(smtp, names, limits.connect).map_err(unreachable)?;
    let _watched = context.interrupt.watch(&socket.0).map_err(unreachable)?;
    let peer = socket.0.peer_addr().map_err(unreachable)?.ip();
    let name = socket.0.local_addr().map_or_else(|_| "localhost".into(), |address| literal(address.ip()));
    let stream = match smtp.security {
        SmtpSecurity::Tls => SmtpStream::Tls(tls(smtp, socket)?),
        SmtpSecurity::StartTls | SmtpSecurity::None => SmtpStream::Plain(socket),
    };
    let mut session = Session::new(smtp, limits, stream);
    session.greeting()?;
    let mut offers = session.hello(&name)?;
    if smtp.security == SmtpSecurity::StartTls {
        session = start_tls(session, &offers)?;
        offers = session.hello(&name)?;
    }
    if let Some(login) = &smtp.login {
        if smtp.security == SmtpSecurity::None && !peer.is_loopback() {
            return Err(DeliveryError::later(
                "a password is not sent without TLS: set security to tls or starttls",
            ));
        }
        session.authenticate(login, &offers)?;
    }
    let answer = session.submit(envelope, context.before_data)?;
    session.quit();
    Ok(answer)
}

fn start_tls<'a>(
    mut session: Session<'a, SmtpStream>,
    offers: &[String],
) -> Result<Session<'a, SmtpStream>, DeliveryError> {
    let smtp = session.smtp;
    if !offers.iter().any(|offer| offer == "STARTTLS") {
        return Err(DeliveryError::later(format!("mail server {}: does not offer STARTTLS", smtp.host)));
    }
    session.start_tls()?;
    // Bytes before the handshake are not authenticated.
    let (SmtpStream::Plain(socket), limits, unread) = session.into_parts() else {
        return Err(DeliveryError::later("STARTTLS inside TLS"));
    };
    if !unread.is_empty() {
        return Err(DeliveryError::later(format!(
            "mail server {}: sent data before the TLS handshake",
            smtp.host
        )));
    }
    Ok(Session::new(smtp, limits, SmtpStream::Tls(tls(smtp, socket)?)))
}

/// A socket on which all waits end at one deadline.
#[derive(Debug)]
struct DeadlineSocket(TcpStream, Instant);

impl DeadlineSocket {
    fn left(&self) -> io::Result<Option<Duration>> {
        remaining_or_timeout(self.1).map(Some)
    }
}

impl Read for DeadlineSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.set_read_timeout(self.left()?)?;
        self.0.read(buffer)
    }
}

impl Write for DeadlineSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.set_write_timeout(self.left()?)?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[derive(Debug)]
enum SmtpStream {
    Plain(DeadlineSocket),
    Tls(Box<StreamOwned<ClientConnection, DeadlineSocket>>),
}

impl MailStream for SmtpStream {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            SmtpStream::Plain(plain) => plain.read(buffer),
            SmtpStream::Tls(tls) => tls.read(buffer),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            SmtpStream::Plain(plain) => plain.write_all(bytes),
            SmtpStream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        }
    }

    fn set_deadline(&mut self, deadline: Instant) {
        match self {
            SmtpStream::Plain(plain) => plain.1 = deadline,
            SmtpStream::Tls(tls) => tls.sock.1 = deadline,
        }
    }
}

fn connect(smtp: &SmtpConfig, names: &NameResolver, limit: Duration) -> io::Result<DeadlineSocket> {
    let deadline = Instant::now() + limit;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address found");
    let addresses = names.resolve(&smtp.host, smtp.port, limit)?;
    for (index, address) in addresses.iter().enumerate() {
        // Divides the time left between the remaining addresses.
        let others = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = remaining_or_timeout(deadline)? / others;
        match TcpStream::connect_timeout(address, share) {
            Ok(socket) => return Ok(DeadlineSocket(socket, deadline)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn tls(
    smtp: &SmtpConfig,
    socket: DeadlineSocket,
) -> Result<Box<StreamOwned<ClientConnection, DeadlineSocket>>, DeliveryError> {
    let trust = smtp.ca_file.as_deref().map_or_else(|| Ok(Trust::public()), Trust::only_file);
    let fault =
        |error: rustls::Error| DeliveryError::later(format!("mail server {}: TLS: {error}", smtp.host));
    let config = trust.map_err(DeliveryError::later)?.client_config(None).map_err(fault)?;
    let name = ServerName::try_from(smtp.host.clone()).map_err(|_| {
        DeliveryError::later(format!("mail server {}: the host is not a valid certificate name", smtp.host))
    })?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(fault)?;
    Ok(Box::new(StreamOwned::new(connection, socket)))
}

/// The address literal with which a client without a host name introduces itself (RFC 5321, 4.1.3).
fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => format!("[{v4}]"),
        IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
    }
}
