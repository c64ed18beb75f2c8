//! Pings without privilege: one ICMP datagram socket per address family for all cameras; the sequence number identifies the
//! camera. The kernel sets the identifier and gives each socket only the replies to its own requests.

use super::check::{CameraCheck, CheckResult};
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
/// The header, and a secret that a forger would have to know.
const PACKET: usize = HEADER + 8;
/// The kernel holds 212 KB of replies for a socket, nearly 1 KB each: they are read before that is full.
const BURST: usize = 64;
/// The sysctl may change after the kernel has refused a socket.
const RETRY: Duration = Duration::from_secs(60);

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

/// All pings in flight.
#[derive(Debug)]
pub struct Pings {
    v4: PingSocket,
    v6: PingSocket,
    sent: BTreeMap<u16, Ping>,
    next: u16,
    secret: [u8; 8],
    /// Sent since replies were last read.
    unread: usize,
}

/// The socket of one version, or why there is none.
#[derive(Debug)]
struct PingSocket {
    version: Version,
    token: Token,
    socket: Option<UdpSocket>,
    failed: Option<(Instant, Problem)>,
}

#[derive(Debug)]
struct Ping {
    check: CameraCheck,
    begun: Instant,
    deadline: Instant,
    /// Wi-Fi loses packets: the request is sent once more after half of the timeout.
    retransmit: Option<Instant>,
}

impl Pings {
    pub fn new(v4: Token, v6: Token) -> Pings {
        let socket = |version, token| PingSocket { version, token, socket: None, failed: None };
        Pings {
            v4: socket(Version::V4, v4),
            v6: socket(Version::V6, v6),
            sent: BTreeMap::new(),
            next: fastrand::u16(..),
            secret: fastrand::u64(..).to_ne_bytes(),
            unread: 0,
        }
    }

    /// Sends a ping.
    ///
    /// # Errors
    /// It cannot be sent; returns the check, and why.
    pub fn start(
        &mut self,
        registry: &Registry,
        now: Instant,
        check: CameraCheck,
    ) -> Result<(), (CameraCheck, Problem)> {
        let version = Version::of(check.ip);
        if let Err(problem) = self.socket_for(version).open(registry, now) {
            return Err((check, problem));
        }
        while self.sent.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let sequence = self.next;
        self.next = sequence.wrapping_add(1);
        if let Err(problem) = self.send(sequence, check.ip) {
            return Err((check, problem));
        }
        let time = check.plan.icmp_timeout;
        let ping = Ping { check, begun: now, deadline: now + time, retransmit: Some(now + time / 2) };
        self.sent.insert(sequence, ping);
        Ok(())
    }

    fn socket_for(&mut self, version: Version) -> &mut PingSocket {
        match version {
            Version::V4 => &mut self.v4,
            Version::V6 => &mut self.v6,
        }
    }

    fn send(&mut self, sequence: u16, ip: IpAddr) -> Result<(), Problem> {
        let version = Version::of(ip);
        let packet = packet(version.request(), sequence, self.secret);
        let Some(socket) = &self.socket_for(version).socket else { return Err(Problem::IcmpForbidden) };
        match socket.send_to(&packet, SocketAddr::new(ip, 0)) {
            Ok(_) => {}
            // The same as a lost packet: it is sent once more.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::NOBUFS) => {}
            Err(error) => return Err(Problem::of(&error)),
        }
        self.unread += 1;
        Ok(())
    }

    /// Replies must be read before more pings are sent.
    pub fn must_receive(&self) -> bool {
        self.unread >= BURST
    }

    /// Reads the replies that have arrived.
    pub fn receive(&mut self, now: Instant, results: &mut Vec<CheckResult>) {
        self.unread = 0;
        let mut packet = [0; 2 * PACKET];
        for version in [Version::V4, Version::V6] {
            while let Some(Ok((length, from))) =
                self.socket_for(version).socket.as_ref().map(|socket| socket.recv_from(&mut packet))
            {
                self.handle_reply(version, &packet[..length], from.ip(), now, results);
            }
        }
    }

    fn handle_reply(
        &mut self,
        version: Version,
        packet: &[u8],
        from: IpAddr,
        now: Instant,
        results: &mut Vec<CheckResult>,
    ) {
        let Some(sequence) = sequence_of(version.reply(), packet, self.secret) else { return };
        // From another address it is a forgery.
        if self.sent.get(&sequence).is_none_or(|ping| ping.check.ip != from) {
            return;
        }
        if let Some(ping) = self.sent.remove(&sequence) {
            let latency = now.saturating_duration_since(ping.begun);
            results.push(ping.check.finish(Ok(latency)));
        }
    }

    /// When [`Pings::retransmit_and_expire`] is to be called.
    pub fn due(&self) -> Option<Instant> {
        self.sent.values().map(|ping| ping.retransmit.unwrap_or(ping.deadline)).min()
    }

    /// Sends pings once more where due, and returns the checks whose time is over.
    pub fn retransmit_and_expire(&mut self, now: Instant) -> Vec<CameraCheck> {
        let due = |ping: &Ping| ping.retransmit.is_some_and(|at| now >= at);
        let unanswered: Vec<(u16, IpAddr)> =
            self.sent.iter().filter(|(_, ping)| due(ping)).map(|(n, ping)| (*n, ping.check.ip)).collect();
        for (sequence, ip) in unanswered {
            // The first packet may still be answered.
            let _ = self.send(sequence, ip);
            self.sent.entry(sequence).and_modify(|ping| ping.retransmit = None);
        }
        let over: Vec<u16> =
            self.sent.iter().filter(|(_, ping)| now >= ping.deadline).map(|(n, _)| *n).collect();
        over.iter().filter_map(|sequence| self.sent.remove(sequence)).map(|ping| ping.check).collect()
    }
}

impl PingSocket {
    fn open(&mut self, registry: &Registry, now: Instant) -> Result<(), Problem> {
        match (&self.socket, self.failed) {
            (Some(_), _) => return Ok(()),
            (None, Some((at, problem))) if now < at + RETRY => return Err(problem),
            (None, _) => {}
        }
        match self.try_to_open(registry) {
            Ok(socket) => {
                if self.failed.take().is_some() {
                    log::info!("cameras: ICMP is allowed again");
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
                        "cameras: the kernel forbids ICMP to this user's groups (sysctl net.ipv4.ping_group_range): \
                         method \"both\" uses TCP alone, method \"icmp\" cannot check"
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

/// Checks that this process may ping, for `doctor`.
///
/// # Errors
/// `PermissionDenied`: the sysctl net.ipv4.ping_group_range contains none of its groups.
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
    fn a_reply_has_a_sequence_number_and_a_forgery_has_none() {
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
