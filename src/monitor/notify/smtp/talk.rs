//! The dialogue with a mail server, over any connection, and its timeouts (RFC 5321, 4.5.3.2).

use super::reply::{self, Reply};
use crate::monitor::notify::channel::secret_in;
use crate::monitor::notify::http::words;
use crate::monitor::notify::send::Failure;
use crate::monitor::notify::{Login, Smtp};
use crate::tls_client::fault;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io;
use std::time::{Duration, Instant};

/// Bytes of one reply, all of its lines.
const LONGEST_REPLY: usize = 8 * 1024;

/// Sender and recipient as the server gets them, whatever the mail's head says, and the mail.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    pub from: &'a str,
    pub to: &'a str,
    pub mail: &'a str,
}

/// The longest time for each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailLimits {
    /// All addresses together.
    pub connect: Duration,
    /// The initial 220, with the TLS handshake before it.
    pub greeting: Duration,
    /// EHLO, STARTTLS with its handshake, AUTH, MAIL, RCPT.
    pub command: Duration,
    /// DATA until its 354.
    pub data_start: Duration,
    /// The mail until it is sent.
    pub data_block: Duration,
    /// The final dot until its answer: the server may scan or deliver the mail first.
    pub data_end: Duration,
    /// QUIT: the mail is delivered by then.
    pub quit: Duration,
}

impl Default for MailLimits {
    fn default() -> MailLimits {
        const MINUTE: Duration = Duration::from_secs(60);
        MailLimits {
            connect: Duration::from_secs(30),
            greeting: MINUTE * 5,
            command: MINUTE * 5,
            data_start: MINUTE * 2,
            data_block: MINUTE * 3,
            data_end: MINUTE * 10,
            quit: Duration::from_secs(2),
        }
    }
}

/// A connection to a mail server.
pub trait Wire {
    /// # Errors
    /// It broke, or the deadline has passed.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// As for [`Wire::receive`]. The last byte has not been sent.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// For everything from here on.
    fn set_deadline(&mut self, deadline: Instant);
}

/// The dialogue.
pub struct Talk<'a, W> {
    pub smtp: &'a Smtp,
    limits: &'a MailLimits,
    wire: W,
    unread: Vec<u8>,
}

impl<'a, W: Wire> Talk<'a, W> {
    /// The time for the greeting begins.
    pub fn new(smtp: &'a Smtp, limits: &'a MailLimits, mut wire: W) -> Talk<'a, W> {
        wire.set_deadline(Instant::now() + limits.greeting);
        Talk { smtp, limits, wire, unread: Vec::new() }
    }

    /// Connection, limits, and what was received and not read.
    pub fn into_parts(self) -> (W, &'a MailLimits, Vec<u8>) {
        (self.wire, self.limits, self.unread)
    }

    /// # Errors
    /// The server is not there, not ready, or does not want us.
    pub fn greeting(&mut self) -> Result<(), Failure> {
        self.expect("the greeting", 220).map(drop).map_err(softened)
    }

    /// What the server offers, a line each, in capitals.
    ///
    /// # Errors
    /// It does not accept our name.
    pub fn hello(&mut self, name: &str) -> Result<Vec<String>, Failure> {
        let answer = self.command(&format!("EHLO {name}"), "EHLO", 250).map_err(softened)?;
        Ok(answer.lines().map(str::to_ascii_uppercase).collect())
    }

    /// # Errors
    /// The server cannot start TLS now.
    pub fn start_tls(&mut self) -> Result<(), Failure> {
        self.command("STARTTLS", "STARTTLS", 220).map(drop).map_err(softened)
    }

    /// # Errors
    /// There is no password, or the server does not accept it.
    pub fn log_in(&mut self, login: &Login, offers: &[String]) -> Result<(), Failure> {
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

    /// Hands the mail over and returns the server's answer. `before_data` is called before the server has the whole mail; if
    /// it fails, the server does not get it.
    ///
    /// # Errors
    /// As for [`super::deliver`].
    pub fn submit(
        &mut self,
        envelope: &Envelope,
        before_data: &dyn Fn() -> Result<(), String>,
    ) -> Result<String, Failure> {
        self.command(&format!("MAIL FROM:<{}>", envelope.from), "MAIL", 250).map_err(softened)?;
        self.command(&format!("RCPT TO:<{}>", envelope.to), "RCPT", 250)?;
        self.wire.set_deadline(Instant::now() + self.limits.data_start);
        self.send("DATA\r\n", "DATA")?;
        self.expect("DATA", 354)?;
        before_data().map_err(|error| Failure::later(format!("cannot mark the outbox: {error}")))?;
        self.wire.set_deadline(Instant::now() + self.limits.data_block);
        self.send(&format!("{}.\r\n", envelope.mail), "the mail")?;
        self.wire.set_deadline(Instant::now() + self.limits.data_end);
        match self.reply() {
            Ok(reply) => self.judge("the mail", reply, 250),
            Err(error) => {
                let lost = lost(self.smtp, "the mail was sent, the answer is missing", &error);
                Err(Failure::Unknown { why: lost.why().to_owned() })
            }
        }
    }

    /// The mail is delivered, whatever becomes of the connection.
    pub fn quit(&mut self) {
        self.wire.set_deadline(Instant::now() + self.limits.quit);
        let _ = self.send("QUIT\r\n", "QUIT").and_then(|()| self.expect("QUIT", 221));
    }

    /// Sends a line and reads the reply, whose text it returns. Errors show `name`: the line may be secret.
    fn command(&mut self, line: &str, name: &str, wanted: u16) -> Result<String, Failure> {
        self.wire.set_deadline(Instant::now() + self.limits.command);
        self.send(&format!("{line}\r\n"), name)?;
        self.expect(name, wanted)
    }

    fn send(&mut self, text: &str, name: &str) -> Result<(), Failure> {
        self.wire.send(text.as_bytes()).map_err(|error| lost(self.smtp, name, &error))
    }

    fn expect(&mut self, name: &str, wanted: u16) -> Result<String, Failure> {
        let reply = self.reply().map_err(|error| lost(self.smtp, name, &error))?;
        self.judge(name, reply, wanted)
    }

    fn judge(&self, name: &str, reply: Reply, wanted: u16) -> Result<String, Failure> {
        // 251 is a recipient whose mail is forwarded.
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
            match self.wire.receive(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A refusal before the server knows the recipient is about us or about its own state: it can be corrected.
fn softened(failure: Failure) -> Failure {
    match failure {
        Failure::Never { why } => Failure::later(why),
        other => other,
    }
}

/// The failure of a connection.
pub fn lost(smtp: &Smtp, doing: &str, error: &io::Error) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".into(),
        io::ErrorKind::UnexpectedEof => "the connection was closed".into(),
        _ => fault::within(error).and_then(fault::advice).unwrap_or_else(|| error.to_string()),
    };
    Failure::later(format!("mail server {}:{}: {doing}: {why}", smtp.host, smtp.port))
}
