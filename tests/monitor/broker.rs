//! mosquitto on a free port, and a client that reads everything that it keeps.

use crate::support::process::Process;
use crate::support::scratch::Scratch;
use crate::support::skip::skip;
use crate::support::{SOON, eventually, lasting_address};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

pub const USER: &str = "monitor";
pub const PASSWORD: &str = "hunter2";

/// A running mosquitto, which forgets everything at its end.
pub struct Broker {
    address: SocketAddr,
    scratch: Scratch,
    process: Option<Process>,
}

impl Broker {
    /// `None` if mosquitto is not installed: the test is skipped.
    pub fn start() -> Option<Broker> {
        Broker::with(|_| String::new())
    }

    /// The same with these lines in its configuration.
    pub fn with(lines: impl FnOnce(&Scratch) -> String) -> Option<Broker> {
        if Command::new("mosquitto").arg("-h").output().is_err() {
            skip("mosquitto is not installed");
            return None;
        }
        let (address, scratch) = (lasting_address(), Scratch::new());
        let lines = lines(&scratch);
        let access = if lines.contains("password_file") { "" } else { "allow_anonymous true\n" };
        let config = format!("user root\nlistener {} 127.0.0.1\n{access}{lines}", address.port());
        scratch.file("mosquitto.conf", &config);
        let mut broker = Broker { address, scratch, process: None };
        broker.restart();
        Some(broker)
    }

    /// Starts it again without what it kept.
    pub fn restart(&mut self) {
        self.stop();
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(self.scratch.path().join("mosquitto.conf"));
        self.process = Some(Process::start(command));
        eventually("mosquitto listens", || TcpStream::connect(self.address).is_ok());
    }

    pub fn stop(&mut self) {
        self.process = None;
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Everything that is retained now, by topic. For brokers without TLS and password.
    pub fn retained(&self) -> BTreeMap<String, String> {
        Subscriber::new(self.address).everything()
    }

    #[track_caller]
    pub fn eventually(&self, what: &str, holds: impl Fn(&BTreeMap<String, String>) -> bool) {
        eventually(what, || holds(&self.retained()));
    }
}

/// Reads retained messages; knows as little of MQTT as it needs.
struct Subscriber {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Subscriber {
    fn new(broker: SocketAddr) -> Subscriber {
        let stream = TcpStream::connect(broker).expect("connected");
        stream.set_read_timeout(Some(SOON)).expect("a limit");
        let mut subscriber = Subscriber { stream, bytes: Vec::new() };
        let id = format!("t{:016x}", fastrand::u64(..));
        let mut connect = b"\x10\x1d\x00\x04MQTT\x04\x02\x00\x3c\x00\x11".to_vec();
        connect.extend(id.as_bytes());
        subscriber.send(&connect);
        assert_eq!(subscriber.packet().0, 0x20, "CONNACK");
        subscriber
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    /// All retained messages: mosquitto sends them after SUBACK, in order, and before the response to a ping.
    fn everything(mut self) -> BTreeMap<String, String> {
        self.send(b"\x82\x06\x00\x01\x00\x01#\x00");
        let mut found = BTreeMap::new();
        let mut is_pinged = false;
        loop {
            let (first, body) = self.packet();
            match first & 0xf0 {
                0x30 => {
                    let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
                    found.insert(text(&body[2..2 + length]), text(&body[2 + length..]));
                }
                0x90 if !is_pinged => {
                    self.send(b"\xc0\x00");
                    is_pinged = true;
                }
                0xd0 => return found,
                other => panic!("packet {other:#x}"),
            }
        }
    }

    fn packet(&mut self) -> (u8, Vec<u8>) {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some((length, header)) = remaining_length(&self.bytes) {
                if self.bytes.len() >= header + length {
                    let packet: Vec<u8> = self.bytes.drain(..header + length).collect();
                    return (packet[0], packet[header..].to_vec());
                }
            }
            assert!(Instant::now() < deadline, "no packet in time");
            let mut part = [0; 4096];
            match self.stream.read(&mut part) {
                Ok(0) => panic!("mosquitto closed the connection"),
                Ok(length) => self.bytes.extend_from_slice(&part[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The length of the packet's body and of its header.
fn remaining_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (place, byte) in bytes.iter().skip(1).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((length, place + 2));
        }
    }
    None
}
