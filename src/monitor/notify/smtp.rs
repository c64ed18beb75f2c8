//! One mail to the configured server (RFC 5321; STARTTLS, AUTH PLAIN and LOGIN), on a blocking socket.
//!
//! Our own, because what we need of SMTP is this file, and the client that everybody uses (lettre) brings 34 crates,
//! Unicode's tables and, in its lock file, an async runtime. And because its limit of time is one of each read: a
//! server that sends a byte now and then would hold a courier for ever. Here all of it has one deadline.

mod reply;

use super::channel::secret_in;
use super::http::words;
use super::send::Failure;
use super::{Login, Security, Smtp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reply::Reply;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Of one reply, all of its lines.
const LONGEST_REPLY: usize = 8 * 1024;

/// Who is told to the server, whatever the mail's head says.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    pub from: &'a str,
    pub to: &'a str,
}

/// Hands `mail` to the server, and says what it answered.
///
/// # Errors
/// One sentence; `Never` if the server refuses this recipient or this mail for good.
pub fn deliver(smtp: &Smtp, timeout: Duration, envelope: &Envelope, mail: &str) -> Result<String, Failure> {
    let deadline = Instant::now() + timeout;
    let socket = connect(smtp, deadline).map_err(|error| lost(smtp, "connecting", &error))?;
    let peer = socket.0.peer_addr().map_err(|error| lost(smtp, "connecting", &error))?.ip();
    let name = socket.0.local_addr().map_or_else(|_| "localhost".into(), |address| literal(address.ip()));
    let stream = match smtp.security {
        Security::Tls => Stream::Tls(tls(smtp, socket)?),
        Security::StartTls | Security::None => Stream::Plain(socket),
    };
    let mut talk = Talk { smtp, stream, unread: Vec::new() };
    talk.expect("the greeting", 220).map_err(softened)?;
    let mut offers = talk.hello(&name)?;
    if smtp.security == Security::StartTls {
        talk = talk.start_tls(&offers)?;
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
    talk.command(&format!("MAIL FROM:<{}>", envelope.from), "MAIL", 250).map_err(softened)?;
    talk.command(&format!("RCPT TO:<{}>", envelope.to), "RCPT", 250)?;
    talk.command("DATA", "DATA", 354)?;
    let answer = talk.command(&format!("{mail}."), "the mail", 250)?;
    // It is theirs now, whatever becomes of the connection.
    let _ = talk.command("QUIT", "QUIT", 221);
    Ok(answer)
}

/// A refusal before the server knows the recipient is about us or about its own state: it can be corrected.
fn softened(failure: Failure) -> Failure {
    match failure {
        Failure::Never { why } => Failure::Later { why, after: None },
        later => later,
    }
}

fn lost(smtp: &Smtp, doing: &str, error: &io::Error) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".into(),
        _ => error.to_string(),
    };
    Failure::later(format!("mail server {}:{}: {doing}: {why}", smtp.host, smtp.port))
}

/// A socket whose every wait ends at one deadline.
#[derive(Debug)]
struct Timed(TcpStream, Instant);

impl Timed {
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.1.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
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

impl Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
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
}

/// The lookup has the limits of the C library's resolver, not ours; it holds up nobody but this channel.
fn connect(smtp: &Smtp, deadline: Instant) -> io::Result<Timed> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in (smtp.host.as_str(), smtp.port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(socket) => return Ok(Timed(socket, deadline)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn tls(smtp: &Smtp, socket: Timed) -> Result<Box<StreamOwned<ClientConnection, Timed>>, Failure> {
    let roots = roots(smtp).map_err(Failure::later)?;
    let fault = |error: rustls::Error| Failure::later(format!("mail server {}: TLS: {error}", smtp.host));
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(fault)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(smtp.host.clone()).map_err(|_| {
        Failure::later(format!("mail server {}: not a name that a certificate has", smtp.host))
    })?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(fault)?;
    Ok(Box::new(StreamOwned::new(connection, socket)))
}

fn roots(smtp: &Smtp) -> Result<RootCertStore, String> {
    let Some(file) = &smtp.ca_file else {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(|found| found.collect::<Result<Vec<_>, _>>())
        .map_err(|error| format!("{}: cannot be read: {error}", file.display()))?;
    roots.add_parsable_certificates(certificates);
    match roots.is_empty() {
        true => Err(format!("{}: holds no certificate in PEM form", file.display())),
        false => Ok(roots),
    }
}

/// How a client without a name of its own introduces itself (RFC 5321, 4.1.3).
fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => format!("[{v4}]"),
        IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
    }
}

/// The conversation.
struct Talk<'a> {
    smtp: &'a Smtp,
    stream: Stream,
    unread: Vec<u8>,
}

impl<'a> Talk<'a> {
    /// What the server offers, a line each, in capitals.
    fn hello(&mut self, name: &str) -> Result<Vec<String>, Failure> {
        let answer = self.command(&format!("EHLO {name}"), "EHLO", 250).map_err(softened)?;
        Ok(answer.lines().map(str::to_ascii_uppercase).collect())
    }

    fn start_tls(mut self, offers: &[String]) -> Result<Talk<'a>, Failure> {
        if !offers.iter().any(|offer| offer == "STARTTLS") {
            return Err(Failure::later(format!("mail server {}: does not offer STARTTLS", self.smtp.host)));
        }
        self.command("STARTTLS", "STARTTLS", 220).map_err(softened)?;
        // What came before the handshake was not said by whom the certificate names.
        let Talk { smtp, stream: Stream::Plain(socket), unread } = self else {
            return Err(Failure::later("STARTTLS within TLS"));
        };
        if !unread.is_empty() {
            return Err(Failure::later(format!("mail server {}: spoke before TLS began", smtp.host)));
        }
        Ok(Talk { smtp, stream: Stream::Tls(tls(smtp, socket)?), unread })
    }

    fn log_in(&mut self, login: &Login, offers: &[String]) -> Result<(), Failure> {
        let password = secret_in(&login.password_file.display().to_string()).map_err(Failure::later)?;
        let offered = |how: &str| {
            let mut lines = offers.iter().filter_map(|offer| offer.strip_prefix("AUTH "));
            lines.any(|line| line.split_whitespace().any(|offer| offer == how))
        };
        let user = &login.user;
        if offered("PLAIN") {
            let proof = STANDARD.encode(format!("\0{user}\0{password}"));
            self.command(&format!("AUTH PLAIN {proof}"), "AUTH", 235).map_err(softened)?;
        } else if offered("LOGIN") {
            self.command("AUTH LOGIN", "AUTH", 334).map_err(softened)?;
            self.command(&STANDARD.encode(user), "AUTH", 334).map_err(softened)?;
            self.command(&STANDARD.encode(password), "AUTH", 235).map_err(softened)?;
        } else {
            let host = &self.smtp.host;
            return Err(Failure::later(format!(
                "mail server {host}: takes no password (AUTH PLAIN or LOGIN)"
            )));
        }
        Ok(())
    }

    /// Sends a line and reads the reply, whose text it returns. `name` is said of a failure: the line may be secret.
    fn command(&mut self, line: &str, name: &str, wanted: u16) -> Result<String, Failure> {
        self.stream.send(format!("{line}\r\n").as_bytes()).map_err(|error| lost(self.smtp, name, &error))?;
        self.expect(name, wanted)
    }

    fn expect(&mut self, name: &str, wanted: u16) -> Result<String, Failure> {
        let reply = self.reply().map_err(|error| lost(self.smtp, name, &error))?;
        // 251 is a recipient that will be forwarded to.
        if reply.code == wanted || (wanted == 250 && reply.code == 251) {
            return Ok(reply.text);
        }
        let why = format!("mail server {}: {name}: {} {}", self.smtp.host, reply.code, words(&reply.text));
        match reply.refuses_for_good() {
            true => Err(Failure::Never { why }),
            false => Err(Failure::later(why)),
        }
    }

    fn reply(&mut self) -> io::Result<Reply> {
        loop {
            if let Some((length, reply)) = reply::parse(&self.unread)? {
                self.unread.drain(..length);
                return Ok(reply);
            }
            if self.unread.len() > LONGEST_REPLY {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "an endless answer"));
            }
            let mut buffer = [0; 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
