//! A mail server that does what a test tells it to, and keeps what it gets.

use super::SOON;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crossbeam_channel::{Receiver, Sender, unbounded};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// What it does with a whole mail.
#[derive(Debug, Clone, Copy, Default)]
pub enum AtTheDot {
    #[default]
    Answer,
    /// It answers after this time.
    Wait(Duration),
    /// It keeps the mail and closes the connection without an answer.
    Close,
}

/// How it behaves.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    pub at_the_dot: AtTheDot,
    /// It accepts connections and says nothing.
    pub is_silent: bool,
    /// From the first byte, or after STARTTLS, which is offered then.
    pub tls: Option<Arc<ServerConfig>>,
    pub tls_at_once: bool,
    /// What AUTH must bring; offered as PLAIN, or as LOGIN alone.
    pub login: Option<(String, String)>,
    pub only_auth_login: bool,
    /// Answers that replace the usual ones, by the first word of the command; "." is the end of the mail.
    pub answers: Vec<(&'static str, &'static str)>,
    /// One byte of the greeting a second.
    pub drip: bool,
    /// Said together with the answer to STARTTLS, before TLS: an attack.
    pub injected: &'static str,
}

/// A mail as it came.
#[derive(Debug, Clone)]
pub struct Mail {
    pub from: String,
    pub to: String,
    pub text: String,
    pub encrypted: bool,
    pub user: Option<String>,
    /// With what the client introduced itself.
    pub hello: String,
}

impl Mail {
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.text.split("\r\n\r\n").next()?;
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub fn body(&self) -> String {
        let body = self.text.split_once("\r\n\r\n").expect("head and body").1.replace("\r\n", "");
        String::from_utf8(STANDARD.decode(body).expect("base64")).expect("UTF-8")
    }
}

pub struct MailServer {
    pub port: u16,
    mails: Receiver<Mail>,
}

impl MailServer {
    /// On a free port of 127.0.0.1, until the program ends.
    pub fn start(manner: Manner) -> MailServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (sender, mails) = unbounded();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (manner, sender) = (manner.clone(), sender.clone());
                // Whoever hangs up has ended the conversation.
                thread::spawn(move || Session::new(socket, manner, sender).and_then(Session::run).ok());
            }
        });
        MailServer { port, mails }
    }

    pub fn mail(&self) -> Mail {
        self.mails.recv_timeout(SOON).expect("no mail came")
    }

    pub fn has_mail(&self) -> bool {
        !self.mails.is_empty()
    }

    pub fn has_mail_within(&self, limit: Duration) -> bool {
        self.mails.recv_timeout(limit).is_ok()
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

struct Session {
    stream: Stream,
    manner: Manner,
    mails: Sender<Mail>,
    user: Option<String>,
}

fn wrapped(socket: TcpStream, tls: &Arc<ServerConfig>) -> Stream {
    let connection = ServerConnection::new(tls.clone()).expect("a TLS configuration");
    Stream::Tls(Box::new(StreamOwned::new(connection, socket)))
}

impl Session {
    fn new(socket: TcpStream, manner: Manner, mails: Sender<Mail>) -> io::Result<Session> {
        socket.set_read_timeout(Some(SOON))?;
        let stream = match &manner.tls {
            Some(tls) if manner.tls_at_once => wrapped(socket, tls),
            _ => Stream::Plain(socket),
        };
        Ok(Session { stream, manner, mails, user: None })
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(plain) => plain.write_all(text.as_bytes()),
            Stream::Tls(tls) => tls.write_all(text.as_bytes()).and_then(|()| tls.flush()),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            let length = match &mut self.stream {
                Stream::Plain(plain) => plain.read(&mut byte)?,
                Stream::Tls(tls) => tls.read(&mut byte)?,
            };
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            line.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&line[..line.len() - 2]).into_owned())
    }

    fn run(mut self) -> io::Result<()> {
        if self.manner.is_silent {
            // Until the client goes away.
            return self.line().map(drop);
        }
        if self.manner.drip {
            for byte in "220 slow.test\r\n".chars().cycle() {
                self.send(&byte.to_string().replace(['\r', '\n'], "x"))?;
                thread::sleep(Duration::from_secs(1));
            }
        }
        self.send("220 mail.test ready\r\n")?;
        let (mut from, mut to, mut hello) = (String::new(), String::new(), String::new());
        loop {
            let line = self.line()?;
            let word = line.split(' ').next().unwrap_or("").to_ascii_uppercase();
            let scripted = self.manner.answers.iter().find(|(command, _)| *command == word).map(|(_, a)| *a);
            if let Some(answer) = scripted {
                self.send(answer)?;
                continue;
            }
            match word.as_str() {
                "EHLO" => {
                    hello = line.trim_start_matches("EHLO ").to_owned();
                    self.greet()?;
                }
                "STARTTLS" => {
                    let injected = self.manner.injected;
                    self.send(&format!("220 go ahead\r\n{injected}"))?;
                    let tls = self.manner.tls.clone().expect("TLS was offered");
                    let Stream::Plain(socket) = self.stream else { return Ok(()) };
                    self.stream = wrapped(socket, &tls);
                }
                "AUTH" => self.authenticate(&line)?,
                "MAIL" => {
                    from = line.trim_start_matches("MAIL FROM:").to_owned();
                    self.send("250 fine\r\n")?;
                }
                "RCPT" => {
                    to = line.trim_start_matches("RCPT TO:").to_owned();
                    self.send("250 fine\r\n")?;
                }
                "DATA" => {
                    self.send("354 go on\r\n")?;
                    let text = self.data()?;
                    if let Some((_, answer)) = self.manner.answers.iter().find(|(command, _)| *command == ".")
                    {
                        self.send(answer)?;
                        continue;
                    }
                    let encrypted = matches!(self.stream, Stream::Tls(_));
                    let user = self.user.clone();
                    let (from, to, hello) = (from.clone(), to.clone(), hello.clone());
                    // Nobody may be waiting for it.
                    let _ = self.mails.send(Mail { from, to, text, encrypted, user, hello });
                    match self.manner.at_the_dot {
                        AtTheDot::Answer => {}
                        AtTheDot::Wait(time) => thread::sleep(time),
                        AtTheDot::Close => return Ok(()),
                    }
                    self.send("250 2.0.0 queued as 4711\r\n")?;
                }
                "QUIT" => return self.send("221 bye\r\n"),
                _ => self.send("500 what?\r\n")?,
            }
        }
    }

    fn greet(&mut self) -> io::Result<()> {
        let mut offers = vec!["mail.test", "SIZE 1000000"];
        if self.manner.tls.is_some() && matches!(self.stream, Stream::Plain(_)) {
            offers.push("STARTTLS");
        }
        if self.manner.login.is_some() {
            offers.push(if self.manner.only_auth_login { "AUTH LOGIN" } else { "AUTH LOGIN PLAIN" });
        }
        let last = offers.len() - 1;
        let lines: Vec<String> = offers
            .iter()
            .enumerate()
            .map(|(index, offer)| format!("250{}{offer}\r\n", if index == last { ' ' } else { '-' }))
            .collect();
        self.send(&lines.concat())
    }

    fn authenticate(&mut self, line: &str) -> io::Result<()> {
        let decode =
            |text: &str| String::from_utf8(STANDARD.decode(text).unwrap_or_default()).unwrap_or_default();
        let given = match line.strip_prefix("AUTH PLAIN ") {
            Some(proof) => {
                let proof = decode(proof);
                let mut parts = proof.split('\0').skip(1).map(str::to_owned);
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
            }
            None => {
                self.send("334 VXNlcm5hbWU6\r\n")?;
                let user = decode(&self.line()?);
                self.send("334 UGFzc3dvcmQ6\r\n")?;
                (user, decode(&self.line()?))
            }
        };
        if self.manner.login.as_ref() == Some(&given) {
            self.user = Some(given.0);
            return self.send("235 welcome\r\n");
        }
        self.send("535 5.7.8 wrong user or password\r\n")
    }

    fn data(&mut self) -> io::Result<String> {
        let mut text = String::new();
        loop {
            match self.line()?.as_str() {
                "." => return Ok(text),
                line => {
                    text.push_str(line.strip_prefix('.').unwrap_or(line));
                    text.push_str("\r\n");
                }
            }
        }
    }
}
