//! Pings without privilege: one datagram ICMP socket a family for all cameras, and the sequence number tells which one
//! answers. The kernel sets the identifier, and gives a socket the answers to its own alone.

use super::checks::{Answer, Question};
use super::problem::Problem;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Type, code, checksum, identifier, sequence number.
const HEADER: usize = 8;
/// Behind the header: what a forger would have to know.
const PACKET: usize = HEADER + 8;
/// Replies that the kernel holds for a socket have 212 KB, nearly 1 KB for each: they are taken in time.
const BURST: usize = 64;
/// After the kernel has refused, somebody may set the sysctl.
const AGAIN: Duration = Duration::from_secs(60);

/// The two versions of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V4,
    V6,
}

impl Version {
    fn of(ip: IpAddr) -> Version {
        if ip.is_ipv4() { Version::V4 } else { Version::V6 }
    }

    fn request(self) -> u8 {
        match self {
            Version::V4 => 8,
            Version::V6 => 128,
        }
    }

    fn reply(self) -> u8 {
        match self {
            Version::V4 => 0,
            Version::V6 => 129,
        }
    }
}

/// All pings under way.
#[derive(Debug)]
pub struct Pings {
    v4: Line,
    v6: Line,
    sent: BTreeMap<u16, Ping>,
    next: u16,
    secret: [u8; 8],
    /// Sent since replies were looked for.
    unheard: usize,
}

/// One socket, or why there is none.
#[derive(Debug)]
struct Line {
    version: Version,
    token: Token,
    socket: Option<UdpSocket>,
    failed: Option<(Instant, Problem)>,
}

#[derive(Debug)]
struct Ping {
    question: Question,
    begun: Instant,
    deadline: Instant,
    /// A packet may be lost on Wi-Fi: in the middle of its time it is sent once more.
    again: Option<Instant>,
}

impl Pings {
    pub fn new(v4: Token, v6: Token) -> Pings {
        let line = |version, token| Line { version, token, socket: None, failed: None };
        Pings {
            v4: line(Version::V4, v4),
            v6: line(Version::V6, v6),
            sent: BTreeMap::new(),
            next: fastrand::u16(..),
            secret: fastrand::u64(..).to_ne_bytes(),
            unheard: 0,
        }
    }

    /// Begins a ping.
    ///
    /// # Errors
    /// It cannot be sent; says why, and gives the question back.
    pub fn start(
        &mut self,
        registry: &Registry,
        now: Instant,
        question: Question,
    ) -> Result<(), (Question, Problem)> {
        let version = Version::of(question.ip);
        if let Err(problem) = self.line(version).open(registry, now) {
            return Err((question, problem));
        }
        while self.sent.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let sequence = self.next;
        self.next = sequence.wrapping_add(1);
        if let Err(problem) = self.send(sequence, question.ip) {
            return Err((question, problem));
        }
        let time = question.plan.icmp_timeout;
        let ping = Ping { question, begun: now, deadline: now + time, again: Some(now + time / 2) };
        self.sent.insert(sequence, ping);
        Ok(())
    }

    fn line(&mut self, version: Version) -> &mut Line {
        match version {
            Version::V4 => &mut self.v4,
            Version::V6 => &mut self.v6,
        }
    }

    fn send(&mut self, sequence: u16, ip: IpAddr) -> Result<(), Problem> {
        let version = Version::of(ip);
        let packet = packet(version.request(), sequence, self.secret);
        let Some(socket) = &self.line(version).socket else { return Err(Problem::IcmpForbidden) };
        match socket.send_to(&packet, SocketAddr::new(ip, 0)) {
            Ok(_) => {}
            // As good as lost on the way: it is sent once more.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::NOBUFS) => {}
            Err(error) => return Err(Problem::of(&error)),
        }
        self.unheard += 1;
        Ok(())
    }

    /// Whether so many were sent that replies should be taken before more are.
    pub fn should_listen(&self) -> bool {
        self.unheard >= BURST
    }

    /// Takes the replies that are there.
    pub fn listen(&mut self, now: Instant, answers: &mut Vec<Answer>) {
        self.unheard = 0;
        let mut packet = [0; 2 * PACKET];
        for version in [Version::V4, Version::V6] {
            while let Some(Ok((length, from))) =
                self.line(version).socket.as_ref().map(|socket| socket.recv_from(&mut packet))
            {
                self.take(version, &packet[..length], from.ip(), now, answers);
            }
        }
    }

    fn take(
        &mut self,
        version: Version,
        packet: &[u8],
        from: IpAddr,
        now: Instant,
        answers: &mut Vec<Answer>,
    ) {
        let Some(sequence) = sequence_of(version.reply(), packet, self.secret) else { return };
        // The same from another address is another host's, or a forgery.
        if self.sent.get(&sequence).is_none_or(|ping| ping.question.ip != from) {
            return;
        }
        if let Some(ping) = self.sent.remove(&sequence) {
            let latency = now.saturating_duration_since(ping.begun);
            answers.push(ping.question.answer(Ok(latency)));
        }
    }

    /// When [`Pings::late`] is to be called.
    pub fn due(&self) -> Option<Instant> {
        self.sent.values().map(|ping| ping.again.unwrap_or(ping.deadline)).min()
    }

    /// Sends some once more, and gives those back whose time is over.
    pub fn late(&mut self, now: Instant) -> Vec<Question> {
        let due = |ping: &Ping| ping.again.is_some_and(|again| now >= again);
        let again: Vec<(u16, IpAddr)> =
            self.sent.iter().filter(|(_, ping)| due(ping)).map(|(n, ping)| (*n, ping.question.ip)).collect();
        for (sequence, ip) in again {
            // What cannot be sent now was sent before.
            let _ = self.send(sequence, ip);
            self.sent.entry(sequence).and_modify(|ping| ping.again = None);
        }
        let over: Vec<u16> =
            self.sent.iter().filter(|(_, ping)| now >= ping.deadline).map(|(n, _)| *n).collect();
        over.iter().filter_map(|sequence| self.sent.remove(sequence)).map(|ping| ping.question).collect()
    }
}

impl Line {
    fn open(&mut self, registry: &Registry, now: Instant) -> Result<(), Problem> {
        match (&self.socket, self.failed) {
            (Some(_), _) => return Ok(()),
            (None, Some((at, problem))) if now < at + AGAIN => return Err(problem),
            (None, _) => {}
        }
        match self.try_to_open(registry) {
            Ok(socket) => {
                if self.failed.take().is_some() {
                    log::info!("cameras: ICMP is allowed now");
                }
                self.socket = Some(socket);
                Ok(())
            }
            Err(error) => {
                let problem = match Problem::of(&error) {
                    Problem::NotAllowed => Problem::IcmpForbidden,
                    problem => problem,
                };
                if self.failed.is_none_or(|(_, before)| before != problem)
                    && problem == Problem::IcmpForbidden
                {
                    log::warn!(
                        "cameras: the kernel allows no ICMP to this user's groups (sysctl \
                         net.ipv4.ping_group_range): method \"both\" is TCP alone, and \"icmp\" finds nothing out"
                    );
                }
                self.failed = Some((now, problem));
                Err(problem)
            }
        }
    }

    fn try_to_open(&self, registry: &Registry) -> io::Result<UdpSocket> {
        let mut socket = UdpSocket::from_std(socket(self.version)?.into());
        registry.register(&mut socket, self.token, Interest::READABLE)?;
        Ok(socket)
    }
}

fn socket(version: Version) -> io::Result<Socket> {
    let (domain, protocol) = match version {
        Version::V4 => (Domain::IPV4, Protocol::ICMPV4),
        Version::V6 => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Whether the kernel lets this process ping, for `doctor`.
///
/// # Errors
/// `PermissionDenied` where the sysctl net.ipv4.ping_group_range leaves all of its groups out.
pub fn allowed() -> io::Result<()> {
    socket(Version::V4).map(drop)
}

/// The kernel fills in checksum and identifier.
fn packet(kind: u8, sequence: u16, secret: [u8; 8]) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    packet[0] = kind;
    packet[6..HEADER].copy_from_slice(&sequence.to_be_bytes());
    packet[HEADER..].copy_from_slice(&secret);
    packet
}

fn sequence_of(kind: u8, packet: &[u8], secret: [u8; 8]) -> Option<u16> {
    let is_ours = packet.len() == PACKET && packet[..2] == [kind, 0] && packet[HEADER..] == secret;
    is_ours.then(|| u16::from_be_bytes([packet[6], packet[7]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_tells_its_sequence_number_and_a_forgery_nothing() {
        let secret = *b"12345678";
        let good = packet(Version::V4.reply(), 0xabcd, secret);
        assert_eq!(sequence_of(0, &good, secret), Some(0xabcd));
        assert_eq!(sequence_of(129, &good, secret), None, "of the other version");
        assert_eq!(sequence_of(0, &good, *b"12345679"), None);
        assert_eq!(sequence_of(0, &packet(8, 0xabcd, secret), secret), None, "a request");
        for length in 0..PACKET {
            assert_eq!(sequence_of(0, &good[..length], secret), None);
        }
    }
}
