//! One mail to the configured server (RFC 5321; STARTTLS, AUTH PLAIN and LOGIN), on a blocking socket: connection and TLS.
//!
//! | file | what it owns |
//! |---|---|
//! | `talk` | the dialogue and its timeouts |
//! | `reply` | a reply, parsed and judged |
//! | `exercise` | what must hold for any server, for tests and fuzzer |
//!
//! Our own, because what we need of SMTP is this file, and the client that everybody uses (lettre) brings 34 crates,
//! Unicode's tables and, in its lock file, an async runtime. And because its limit of time is one of each read: a
//! server that sends a byte now and then would hold a courier for ever. Here each step has one deadline.

pub mod exercise;
pub mod reply;
pub mod talk;

use super::send::{Attempt, Failure};
use super::{Security, Smtp};
use crate::clock::remaining_or_timeout;
use crate::resolver::Names;
use crate::tls_client::trust::Trust;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use talk::{Envelope, MailLimits, Talk, Wire, lost};

/// Hands a mail to the server, and says what it answered.
///
/// # Errors
/// One sentence. `Never` if there is no such mailbox or the mail is not acceptable, `Unknown` if the server has the mail and
/// has not answered.
pub fn deliver(
    smtp: &Smtp,
    names: &Names,
    limits: &MailLimits,
    envelope: &Envelope,
    attempt: &Attempt,
) -> Result<String, Failure> {
    let unreachable = |error: io::Error| lost(smtp, "connecting", &error);
    let socket = connect(smtp, names, limits.connect).map_err(unreachable)?;
    let _watched = attempt.interrupt.watch(&socket.0).map_err(unreachable)?;
    let peer = socket.0.peer_addr().map_err(unreachable)?.ip();
    let name = socket.0.local_addr().map_or_else(|_| "localhost".into(), |address| literal(address.ip()));
    let stream = match smtp.security {
        Security::Tls => Stream::Tls(tls(smtp, socket)?),
        Security::StartTls | Security::None => Stream::Plain(socket),
    };
    let mut talk = Talk::new(smtp, limits, stream);
    talk.greeting()?;
    let mut offers = talk.hello(&name)?;
    if smtp.security == Security::StartTls {
        talk = start_tls(talk, &offers)?;
        offers = talk.hello(&name)?;
    }
    if let Some(login) = &smtp.login {
        if smtp.security == Security::None && !peer.is_loopback() {
            return Err(Failure::later(
                "the password is not sent without TLS: security must be tls or starttls",
            ));
        }
        talk.log_in(login, &offers)?;
    }
    let answer = talk.submit(envelope, attempt.before_data)?;
    talk.quit();
    Ok(answer)
}

fn start_tls<'a>(mut talk: Talk<'a, Stream>, offers: &[String]) -> Result<Talk<'a, Stream>, Failure> {
    let smtp = talk.smtp;
    if !offers.iter().any(|offer| offer == "STARTTLS") {
        return Err(Failure::later(format!("mail server {}: does not offer STARTTLS", smtp.host)));
    }
    talk.start_tls()?;
    // Bytes before the handshake are not from the server that the certificate names.
    let (Stream::Plain(socket), limits, unread) = talk.into_parts() else {
        return Err(Failure::later("STARTTLS within TLS"));
    };
    if !unread.is_empty() {
        return Err(Failure::later(format!("mail server {}: spoke before TLS began", smtp.host)));
    }
    Ok(Talk::new(smtp, limits, Stream::Tls(tls(smtp, socket)?)))
}

/// A socket whose every wait ends at one deadline.
#[derive(Debug)]
struct Timed(TcpStream, Instant);

impl Timed {
    fn left(&self) -> io::Result<Option<Duration>> {
        remaining_or_timeout(self.1).map(Some)
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.set_read_timeout(self.left()?)?;
        self.0.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.set_write_timeout(self.left()?)?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[derive(Debug)]
enum Stream {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Wire for Stream {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(plain) => plain.read(buffer),
            Stream::Tls(tls) => tls.read(buffer),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(plain) => plain.write_all(bytes),
            Stream::Tls(tls) => tls.write_all(bytes).and_then(|()| tls.flush()),
        }
    }

    fn set_deadline(&mut self, deadline: Instant) {
        match self {
            Stream::Plain(plain) => plain.1 = deadline,
            Stream::Tls(tls) => tls.sock.1 = deadline,
        }
    }
}

fn connect(smtp: &Smtp, names: &Names, limit: Duration) -> io::Result<Timed> {
    let deadline = Instant::now() + limit;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    let addresses = names.resolve(&smtp.host, smtp.port, limit)?;
    for (index, address) in addresses.iter().enumerate() {
        // An address that does not answer leaves time for the others.
        let others = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let share = remaining_or_timeout(deadline)? / others;
        match TcpStream::connect_timeout(address, share) {
            Ok(socket) => return Ok(Timed(socket, deadline)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn tls(smtp: &Smtp, socket: Timed) -> Result<Box<StreamOwned<ClientConnection, Timed>>, Failure> {
    let trust = smtp.ca_file.as_deref().map_or_else(|| Ok(Trust::public()), Trust::only_file);
    let fault = |error: rustls::Error| Failure::later(format!("mail server {}: TLS: {error}", smtp.host));
    let config = trust.map_err(Failure::later)?.client_config(None).map_err(fault)?;
    let name = ServerName::try_from(smtp.host.clone()).map_err(|_| {
        Failure::later(format!("mail server {}: not a name that a certificate has", smtp.host))
    })?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(fault)?;
    Ok(Box::new(StreamOwned::new(connection, socket)))
}

/// How a client without a name of its own introduces itself (RFC 5321, 4.1.3).
fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => format!("[{v4}]"),
        IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
    }
}
