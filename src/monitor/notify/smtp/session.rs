//! An SMTP session over any stream, with the timeouts of RFC 5321, 4.5.3.2.

use super::reply::{self, SmtpReply};
use crate::monitor::config::{PasswordLogin, SmtpConfig};
use crate::monitor::notify::channel::secret_in;
use crate::monitor::notify::http::excerpt;
use crate::monitor::notify::message::DeliveryError;
use crate::monitor::notify::settings::MailLimits;
use crate::tls_client::fault;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io;
use std::time::Instant;

/// Bytes of one reply with all its lines.
const LONGEST_REPLY: usize = 8 * 1024;

/// Sender and recipient for the server, whatever the headers say, and the mail.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    pub from: &'a str,
    pub to: &'a str,
    pub mail: &'a str,
}

/// The stream to a mail server.
pub trait MailStream {
    /// # Errors
    /// The connection broke, or the deadline has passed.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// As for [`MailStream::receive`]; the last byte was not sent.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Sets the deadline of all following calls.
    fn set_deadline(&mut self, deadline: Instant);
}

/// The session.
pub struct Session<'a, S> {
    pub smtp: &'a SmtpConfig,
    limits: &'a MailLimits,
    stream: S,
    unread: Vec<u8>,
}

impl<'a, S: MailStream> Session<'a, S> {
    /// Starts the timeout of the greeting.
    pub fn new(smtp: &'a SmtpConfig, limits: &'a MailLimits, mut stream: S) -> Session<'a, S> {
        stream.set_deadline(Instant::now() + limits.greeting);
        Session { smtp, limits, stream, unread: Vec::new() }
    }

    /// Stream, limits, and received bytes that were not parsed.
    pub fn into_parts(self) -> (S, &'a MailLimits, Vec<u8>) {
        (self.stream, self.limits, self.unread)
    }

    pub fn greeting(&mut self) -> Result<(), DeliveryError> {
        self.expect("the greeting", 220).map(drop).map_err(retryable)
    }

    /// Introduces us; returns the extensions that the server offers, in capitals.
    pub fn hello(&mut self, name: &str) -> Result<Vec<String>, DeliveryError> {
        let answer = self.command(&format!("EHLO {name}"), "EHLO", 250).map_err(retryable)?;
        Ok(answer.lines().map(str::to_ascii_uppercase).collect())
    }

    pub fn start_tls(&mut self) -> Result<(), DeliveryError> {
        self.command("STARTTLS", "STARTTLS", 220).map(drop).map_err(retryable)
    }

    /// # Errors
    /// The password cannot be read, or the server does not accept it.
    pub fn authenticate(&mut self, login: &PasswordLogin, offers: &[String]) -> Result<(), DeliveryError> {
        let password = secret_in(&login.password_file.display().to_string()).map_err(DeliveryError::later)?;
        let offered = |how: &str| {
            let mut lines = offers.iter().filter_map(|offer| offer.strip_prefix("AUTH "));
            lines.any(|line| line.split_whitespace().any(|offer| offer == how))
        };
        let user = &login.user;
        if offered("PLAIN") {
            let proof = STANDARD.encode(format!("\0{user}\0{password}"));
            self.command(&format!("AUTH PLAIN {proof}"), "AUTH", 235).map_err(retryable)?;
        } else if offered("LOGIN") {
            self.command("AUTH LOGIN", "AUTH", 334).map_err(retryable)?;
            self.command(&STANDARD.encode(user), "AUTH", 334).map_err(retryable)?;
            self.command(&STANDARD.encode(password), "AUTH", 235).map_err(retryable)?;
        } else {
            let host = &self.smtp.host;
            return Err(DeliveryError::later(format!(
                "mail server {host}: supports neither AUTH PLAIN nor LOGIN"
            )));
        }
        Ok(())
    }

    /// Hands the mail over and returns the server's reply. `before_data` is called before the mail is sent; if it fails, the
    /// mail is not sent.
    pub fn submit(
        &mut self,
        envelope: &Envelope,
        before_data: &dyn Fn() -> Result<(), String>,
    ) -> Result<String, DeliveryError> {
        self.command(&format!("MAIL FROM:<{}>", envelope.from), "MAIL", 250).map_err(retryable)?;
        self.command(&format!("RCPT TO:<{}>", envelope.to), "RCPT", 250)?;
        self.stream.set_deadline(Instant::now() + self.limits.data_start);
        self.send("DATA\r\n", "DATA")?;
        self.expect("DATA", 354)?;
        before_data().map_err(|error| DeliveryError::later(format!("cannot mark the outbox: {error}")))?;
        self.stream.set_deadline(Instant::now() + self.limits.data_block);
        self.send(&format!("{}.\r\n", envelope.mail), "the mail")?;
        self.stream.set_deadline(Instant::now() + self.limits.data_end);
        match self.reply() {
            Ok(reply) => self.judge("the mail", reply, 250),
            Err(error) => {
                let error = connection_error(self.smtp, "the mail was sent, but not acknowledged", &error);
                Err(DeliveryError::Unknown { why: error.why().to_owned() })
            }
        }
    }

    /// Ends the session; the mail is already delivered.
    pub fn quit(&mut self) {
        self.stream.set_deadline(Instant::now() + self.limits.quit);
        let _ = self.send("QUIT\r\n", "QUIT").and_then(|()| self.expect("QUIT", 221));
    }

    /// Sends a line and returns the text of the reply. Errors show `name`, because the line may be secret.
    fn command(&mut self, line: &str, name: &str, wanted: u16) -> Result<String, DeliveryError> {
        self.stream.set_deadline(Instant::now() + self.limits.command);
        self.send(&format!("{line}\r\n"), name)?;
        self.expect(name, wanted)
    }

    fn send(&mut self, text: &str, name: &str) -> Result<(), DeliveryError> {
        self.stream.send(text.as_bytes()).map_err(|error| connection_error(self.smtp, name, &error))
    }

    fn expect(&mut self, name: &str, wanted: u16) -> Result<String, DeliveryError> {
        let reply = self.reply().map_err(|error| connection_error(self.smtp, name, &error))?;
        self.judge(name, reply, wanted)
    }

    fn judge(&self, name: &str, reply: SmtpReply, wanted: u16) -> Result<String, DeliveryError> {
        // 251: the mail for this recipient will be forwarded.
        if reply.code == wanted || (wanted == 250 && reply.code == 251) {
            return Ok(reply.text);
        }
        let why = format!("mail server {}: {name}: {} {}", self.smtp.host, reply.code, excerpt(&reply.text));
        match reply.refuses_for_good() {
            true => Err(DeliveryError::Never { why }),
            false => Err(DeliveryError::later(why)),
        }
    }

    fn reply(&mut self) -> io::Result<SmtpReply> {
        loop {
            if let Some((length, reply)) = reply::parse(&self.unread)? {
                self.unread.drain(..length);
                return Ok(reply);
            }
            if self.unread.len() > LONGEST_REPLY {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the reply is too long"));
            }
            let mut buffer = [0; 1024];
            match self.stream.receive(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Before the recipient is named, a refusal concerns us or the state of the server, so it is not permanent.
fn retryable(failure: DeliveryError) -> DeliveryError {
    match failure {
        DeliveryError::Never { why } => DeliveryError::later(why),
        other => other,
    }
}

/// The error of a broken connection.
pub fn connection_error(smtp: &SmtpConfig, doing: &str, error: &io::Error) -> DeliveryError {
    let why = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no response in time".into(),
        io::ErrorKind::UnexpectedEof => "the connection was closed".into(),
        _ => fault::within(error).and_then(fault::advice).unwrap_or_else(|| error.to_string()),
    };
    DeliveryError::later(format!("mail server {}:{}: {doing}: {why}", smtp.host, smtp.port))
}
