//! A connection to the broker: every exchange has a deadline, and at most a few messages wait for an acknowledgement.

use super::packet::{BrokerPacket, ConnectPacket, DISCONNECT, PINGREQ, RetainedMessage, parse, refusal};
use crate::monitor::config::{MqttConfig, MqttSecurity};
use crate::monitor::deadline_stream::{DeadlineStream, reason};
use crate::monitor::notify::channel::secret_in;
use crate::resolver::NameResolver;
use crate::tls_client::trust::Trust;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

/// Time limit of connecting, and of each acknowledgement. A broker that is slower is as good as none.
const LIMIT: Duration = Duration::from_secs(10);

/// Time for the last words at a stop.
const FAREWELL: Duration = Duration::from_secs(1);

/// The broker publishes the last will after one and a half times this without a packet.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Without a packet for this long, a ping is sent.
const PING_AFTER: Duration = Duration::from_secs(30);

/// Messages that are sent before their acknowledgements are awaited; mosquitto's own limit is 20.
pub const WINDOW: usize = 16;

const OFFLINE: &str = "offline";
const ONLINE: &str = "online";

/// An open session. Dropping it without [`MqttSession::close`] makes the broker publish the last will.
#[derive(Debug)]
pub struct MqttSession {
    stream: DeadlineStream,
    unread: Vec<u8>,
    last_packet: u16,
    sent: Instant,
    status_topic: String,
}

impl MqttSession {
    /// Connects, and publishes that the monitor is online.
    ///
    /// # Errors
    /// A sentence without secrets.
    pub fn open(config: &MqttConfig, names: &NameResolver) -> Result<MqttSession, String> {
        let unreachable = |error: io::Error| reason(&error);
        let stream = DeadlineStream::connect(&config.host, config.port, names, LIMIT).map_err(unreachable)?;
        // Small packets that wait for an answer.
        stream.socket().set_nodelay(true).map_err(unreachable)?;
        let stream = match config.security {
            MqttSecurity::None => stream,
            MqttSecurity::Tls => stream.encrypted(&config.host, &trust(config)?)?,
        };
        let status_topic = status_topic(config);
        let mut session =
            MqttSession { stream, unread: Vec::new(), last_packet: 0, sent: Instant::now(), status_topic };
        session.connect(config)?;
        session.publish(&[session.status(ONLINE)])?;
        Ok(session)
    }

    fn connect(&mut self, config: &MqttConfig) -> Result<(), String> {
        let login = match &config.login {
            Some(login) => {
                let password = secret_in(&login.password_file.display().to_string())?;
                Some((login.user.as_str(), password))
            }
            None => None,
        };
        let packet = ConnectPacket {
            client_id: &client_id(&config.topic),
            login: login.as_ref().map(|(user, password)| (*user, password.as_str())),
            will: (&self.status_topic, OFFLINE),
            keep_alive_s: u16::try_from(KEEP_ALIVE.as_secs()).unwrap_or(u16::MAX),
        };
        self.send(&packet.encode())?;
        match self.receive()? {
            BrokerPacket::Connected(0) => Ok(()),
            BrokerPacket::Connected(code) => Err(refusal(code).into()),
            _ => Err("the broker sent another packet than CONNACK".into()),
        }
    }

    /// Publishes at most [`WINDOW`] messages, and waits until the broker has acknowledged those with QoS 1.
    ///
    /// # Errors
    /// The connection broke, or the broker does not follow the protocol.
    pub fn publish(&mut self, messages: &[RetainedMessage]) -> Result<(), String> {
        let mut bytes = Vec::new();
        let mut pending = BTreeSet::new();
        for message in messages {
            // An id is never 0.
            self.last_packet = self.last_packet.checked_add(1).unwrap_or(1);
            bytes.extend(message.encode(self.last_packet));
            if message.is_acknowledged {
                pending.insert(self.last_packet);
            }
        }
        self.send(&bytes)?;
        while !pending.is_empty() {
            match self.receive()? {
                BrokerPacket::Acknowledged(packet) if pending.remove(&packet) => {}
                _ => return Err("the broker acknowledged something that was not sent".into()),
            }
        }
        Ok(())
    }

    /// Called once a second or so: notices a broker that closed the connection, and pings one that got nothing lately.
    ///
    /// # Errors
    /// The connection broke.
    pub fn keep_alive(&mut self, now: Instant) -> Result<(), String> {
        if is_closed(self.stream.socket()) {
            return Err("the broker closed the connection".into());
        }
        if now.saturating_duration_since(self.sent) < PING_AFTER {
            return Ok(());
        }
        self.send(&PINGREQ)?;
        match self.receive()? {
            BrokerPacket::Pong => Ok(()),
            _ => Err("the broker sent another packet than PINGRESP".into()),
        }
    }

    /// Says that the monitor is offline, and ends the session.
    pub fn close(mut self) {
        let offline = self.status(OFFLINE);
        self.stream.set_deadline(Instant::now() + FAREWELL);
        let bytes = [offline.encode(u16::MAX), DISCONNECT.to_vec()].concat();
        // The broker publishes the last will otherwise.
        let _ = self.stream.write_all(&bytes).and_then(|()| self.stream.flush());
    }

    fn status(&self, payload: &str) -> RetainedMessage {
        RetainedMessage { topic: self.status_topic.clone(), payload: payload.into(), is_acknowledged: true }
    }

    /// Starts the time limit of the response.
    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.sent = Instant::now();
        self.stream.set_deadline(self.sent + LIMIT);
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).map_err(|error| reason(&error))
    }

    fn receive(&mut self) -> Result<BrokerPacket, String> {
        let mut part = [0; 256];
        loop {
            if let Some((length, packet)) = parse(&self.unread)? {
                self.unread.drain(..length);
                return Ok(packet);
            }
            match self.stream.read(&mut part) {
                Ok(0) => return Err("the broker closed the connection".into()),
                // What `parse` leaves is shorter than a packet.
                Ok(length) => self.unread.extend_from_slice(&part[..length]),
                Err(error) => return Err(reason(&error)),
            }
        }
    }
}

/// Where the monitor's own state is published.
pub fn status_topic(config: &MqttConfig) -> String {
    format!("{}/status", config.topic)
}

/// The same at each start: the broker then ends the session of a monitor that was killed before it accepts the new one,
/// so that the old last will does not come after the new "online". 23 letters and digits are always accepted.
fn client_id(topic: &str) -> String {
    let mut id = "heartbeat".to_owned();
    for byte in Sha256::digest(topic).iter().take(6) {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    id
}

fn trust(config: &MqttConfig) -> Result<Trust, String> {
    config
        .ca_file
        .as_deref()
        .map_or_else(|| Ok(Trust::public()), |file| Trust::only_file(file).map(Trust::and_public))
}

/// Whether the other end has closed the connection; never waits.
fn is_closed(socket: &std::net::TcpStream) -> bool {
    if socket.set_nonblocking(true).is_err() {
        return true;
    }
    let peeked = socket.peek(&mut [0]);
    let is_open = match peeked {
        Ok(length) => length > 0,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    };
    !is_open || socket.set_nonblocking(false).is_err()
}
