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
use crate::monitor::config::{SmtpConfig, SmtpSecurity};
use crate::monitor::deadline_stream::DeadlineStream;
use crate::resolver::NameResolver;
use crate::tls_client::trust::Trust;
use session::{Envelope, MailStream, Session, connection_error};
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::Instant;

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
    let stream =
        DeadlineStream::connect(&smtp.host, smtp.port, names, limits.connect).map_err(unreachable)?;
    let _watched = context.interrupt.watch(stream.socket()).map_err(unreachable)?;
    let peer = stream.socket().peer_addr().map_err(unreachable)?.ip();
    let name = smtp.helo.clone().unwrap_or_else(|| own_address(stream.socket()));
    let stream = match smtp.security {
        SmtpSecurity::Tls => tls(smtp, stream)?,
        SmtpSecurity::StartTls | SmtpSecurity::None => stream,
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
    mut session: Session<'a, DeadlineStream>,
    offers: &[String],
) -> Result<Session<'a, DeadlineStream>, DeliveryError> {
    let smtp = session.smtp;
    if !offers.iter().any(|offer| offer == "STARTTLS") {
        return Err(DeliveryError::later(format!("mail server {}: does not offer STARTTLS", smtp.host)));
    }
    session.start_tls()?;
    // Bytes before the handshake are not authenticated.
    let (stream, limits, unread) = session.into_parts();
    if !unread.is_empty() {
        return Err(DeliveryError::later(format!(
            "mail server {}: sent data before the TLS handshake",
            smtp.host
        )));
    }
    Ok(Session::new(smtp, limits, tls(smtp, stream)?))
}

impl MailStream for DeadlineStream {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes).and_then(|()| self.flush())
    }

    fn set_deadline(&mut self, deadline: Instant) {
        DeadlineStream::set_deadline(self, deadline);
    }
}

fn tls(smtp: &SmtpConfig, stream: DeadlineStream) -> Result<DeadlineStream, DeliveryError> {
    let trust = smtp.ca_file.as_deref().map_or_else(|| Ok(Trust::public()), Trust::only_file);
    let encrypted = trust.and_then(|trust| stream.encrypted(&smtp.host, &trust));
    encrypted.map_err(|problem| DeliveryError::later(format!("mail server {}: {problem}", smtp.host)))
}

fn own_address(socket: &TcpStream) -> String {
    socket.local_addr().map_or_else(|_| "localhost".into(), |address| literal(address.ip()))
}

/// The address literal with which a client without a host name introduces itself (RFC 5321, 4.1.3).
fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => format!("[{v4}]"),
        IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
    }
}
