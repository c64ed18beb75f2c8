//! Probes of what lies behind an uplink: TCP connections to literal addresses, bound to the interface, so that a
//! standby is judged by its own path and a dead one does not borrow another's (balena-os/meta-balena#3016).
//!
//! Nothing here blocks: the loop polls [`Probes::fds`] until [`Probes::due`], then takes [`Probes::finished`].

use crate::device::failover::portal::{self, Page, PortalVerdict};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Probes of one kind over one uplink: the server and `connectivity_check`, each finished before its next turn.
const PER_UPLINK: usize = 2;
/// Descriptors in use at most.
const IN_ALL: usize = 32;

/// One question: does `target` answer over this interface within `timeout`?
#[derive(Debug, Clone)]
pub struct Probe {
    /// The interface's index, which the answer carries.
    pub index: u32,
    /// Its name, which the socket is bound to.
    pub name: String,
    pub target: ProbeTarget,
    pub timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeTarget {
    /// Something that accepts connections, or refuses them.
    Tcp(SocketAddr),
    /// A web page that shows whether a captive portal requires a login.
    Portal(Page),
}

impl ProbeTarget {
    fn address(&self) -> SocketAddr {
        match self {
            ProbeTarget::Tcp(address) => *address,
            ProbeTarget::Portal(page) => page.address,
        }
    }
}

/// The path works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// From the first packet to the answer; of a [`ProbeTarget::Portal`] to the page's.
    pub latency: Duration,
    /// The answer was a refusal. It counts: a reset is made by the target's own host, so packets went there and
    /// back, and what is missing is a program (a server being updated), which no other uplink has either. A
    /// firewall on the way may refuse as well; that too is a policy and not a broken link, the next target
    /// shows it, and a heartbeat that is refused tries the next uplink anyway.
    pub refused: bool,
}

/// Why a probe did not reach its target.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Nothing came back in time.
    #[error("no answer in time")]
    TimedOut,
    /// A router on the way, or the lack of a gateway, said that there is no way to it.
    #[error("unreachable")]
    Unreachable,
    /// This machine has no route to it over the interface, or no address of its family there.
    #[error("no route over this interface")]
    NoRoute,
    /// The interface has gone.
    #[error("the interface has gone")]
    NoInterface,
    /// This machine forbids it: a firewall, a security module, the unit's own limits.
    #[error("not allowed on this machine")]
    NotAllowed,
    /// The network wants a person to log in first.
    #[error("a captive portal requires a login")]
    Portal,
    /// Something answered, but the answer does not show whether there is a portal: an error of the page's server, no
    /// HTTP, or a connection that closed.
    #[error("an inconclusive answer")]
    Unclear,
    /// This program has no descriptor left, or the like.
    #[error("{0}")]
    Own(io::Error),
}

impl ProbeError {
    /// Whether it speaks against the uplink. The others say nothing of it.
    pub fn is_the_uplinks(&self) -> bool {
        matches!(
            self,
            ProbeError::TimedOut | ProbeError::Unreachable | ProbeError::NoRoute | ProbeError::Portal
        )
    }

    /// An error of the connect call itself.
    fn at_once(error: io::Error) -> ProbeError {
        match Errno::from_io_error(&error) {
            // EINVAL is what a route of type blackhole says.
            Some(
                Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::ADDRNOTAVAIL | Errno::INVAL | Errno::NETDOWN,
            ) => ProbeError::NoRoute,
            _ => ProbeError::later(error),
        }
    }

    /// How a connection that had begun ended.
    fn later(error: io::Error) -> ProbeError {
        match Errno::from_io_error(&error) {
            Some(Errno::TIMEDOUT) => ProbeError::TimedOut,
            Some(Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::NETDOWN | Errno::HOSTDOWN) => {
                ProbeError::Unreachable
            }
            Some(Errno::NODEV) => ProbeError::NoInterface,
            Some(Errno::PERM | Errno::ACCESS) => ProbeError::NotAllowed,
            Some(Errno::CONNRESET | Errno::PIPE) => ProbeError::Unclear,
            _ => ProbeError::Own(error),
        }
    }
}

/// Result of one probe.
#[derive(Debug)]
pub struct ProbeResult {
    pub index: u32,
    pub target: ProbeTarget,
    pub result: Result<Reached, ProbeError>,
}

/// All probes under way.
#[derive(Debug, Default)]
pub struct Probes {
    running: Vec<Running>,
    /// Answers that were there at once, and since when.
    done: Vec<(Instant, ProbeResult)>,
}

#[derive(Debug)]
struct Running {
    index: u32,
    target: ProbeTarget,
    socket: Socket,
    begun: Instant,
    deadline: Instant,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Connecting,
    /// The rest of the request.
    Requesting(Vec<u8>),
    /// The answer so far.
    Listening(Vec<u8>),
}

impl Probes {
    /// Begins a probe; its answer comes from [`Probes::finished`], also where it fails at once. False if it did
    /// not begin, since the same one or as many as there may be are under way: their answers are due soon.
    pub fn start(&mut self, now: Instant, probe: Probe) -> bool {
        let Probe { index, name, target, timeout } = probe;
        let same_kind = |running: &&Running| {
            running.index == index
                && matches!(running.target, ProbeTarget::Tcp(_)) == matches!(target, ProbeTarget::Tcp(_))
        };
        let repeated = self.running.iter().any(|running| running.index == index && running.target == target);
        if repeated
            || self.running.iter().filter(same_kind).count() >= PER_UPLINK
            || self.running.len() + self.done.len() >= IN_ALL
        {
            return false;
        }
        match connect(&name, target.address()) {
            Ok(socket) => {
                let (begun, deadline, stage) = (now, now + timeout, Stage::Connecting);
                self.running.push(Running { index, target, socket, begun, deadline, stage });
            }
            // Loopback answers before connect returns.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                let result = Ok(Reached { latency: Duration::ZERO, refused: true });
                self.done.push((now, ProbeResult { index, target, result }));
            }
            Err(error) => {
                self.done.push((now, ProbeResult { index, target, result: Err(ProbeError::at_once(error)) }));
            }
        }
        true
    }

    /// Ends all probes over an interface without an answer: its carrier or its addresses are gone, and that
    /// says more.
    pub fn abandon(&mut self, index: u32) {
        self.running.retain(|running| running.index != index);
        self.done.retain(|(_, answer)| answer.index != index);
    }

    /// Appends what the loop has to poll.
    pub fn fds<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        fds.extend(self.running.iter().map(|running| PollFd::new(&running.socket, running.waits_for())));
    }

    /// When [`Probes::finished`] is to be called at the latest; in the past if answers wait.
    pub fn due(&self) -> Option<Instant> {
        let answered = self.done.iter().map(|(since, _)| *since);
        self.running.iter().map(|running| running.deadline).chain(answered).min()
    }

    /// The answers since the last call.
    pub fn finished(&mut self, now: Instant) -> Vec<ProbeResult> {
        let mut answers: Vec<_> = self.done.drain(..).map(|(_, answer)| answer).collect();
        let ready = self.ready();
        for place in (0..self.running.len()).rev() {
            let running = &mut self.running[place];
            let outcome =
                if ready.get(place).copied().unwrap_or_default() { running.advance(now) } else { None };
            let late = (now >= running.deadline).then_some(Err(ProbeError::TimedOut));
            if let Some(result) = outcome.or(late) {
                let Running { index, target, .. } = self.running.swap_remove(place);
                answers.push(ProbeResult { index, target, result });
            }
        }
        answers
    }

    /// Readiness of all sockets by one call, so that a wake-up for another reason costs next to nothing.
    fn ready(&self) -> Vec<bool> {
        let mut fds = Vec::with_capacity(self.running.len());
        self.fds(&mut fds);
        if fds.is_empty() || poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_err() {
            return Vec::new();
        }
        fds.iter().map(|fd| !fd.revents().is_empty()).collect()
    }
}

/// A connection that has begun.
fn connect(interface: &str, address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Binding the source address alone would not do: the kernel still takes the best route's interface.
    socket.bind_device(Some(interface.as_bytes()))?;
    match socket.connect(&address.into()) {
        Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

impl Running {
    fn waits_for(&self) -> PollFlags {
        match self.stage {
            Stage::Connecting | Stage::Requesting(_) => PollFlags::OUT,
            Stage::Listening(_) => PollFlags::IN,
        }
    }

    /// The result, or `None` while more has to come.
    fn advance(&mut self, now: Instant) -> Option<Result<Reached, ProbeError>> {
        match self.step() {
            Ok(Some(refused)) => {
                Some(Ok(Reached { latency: now.saturating_duration_since(self.begun), refused }))
            }
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// `Some(refused)` once the target is reached.
    fn step(&mut self) -> Result<Option<bool>, ProbeError> {
        match &mut self.stage {
            Stage::Connecting => self.connected(),
            Stage::Requesting(rest) => {
                if send_rest(&self.socket, rest).map_err(ProbeError::later)? {
                    self.stage = Stage::Listening(Vec::with_capacity(portal::ANSWER_LIMIT));
                }
                Ok(None)
            }
            Stage::Listening(answer) => {
                // An answer that arrived before a reset counts.
                let ended = listen(&self.socket, answer).unwrap_or(true);
                judge(answer, ended)
            }
        }
    }

    /// The connection stands, or will not.
    fn connected(&mut self) -> Result<Option<bool>, ProbeError> {
        match self.socket.take_error() {
            Ok(None) => {}
            Ok(Some(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(Some(true)),
            Ok(Some(error)) | Err(error) => return Err(ProbeError::later(error)),
        }
        match &self.target {
            ProbeTarget::Tcp(_) => Ok(Some(false)),
            ProbeTarget::Portal(page) => {
                self.stage = Stage::Requesting(page.request());
                Ok(None)
            }
        }
    }
}

/// Writes what the kernel takes. True once all is written.
fn send_rest(mut socket: &Socket, rest: &mut Vec<u8>) -> io::Result<bool> {
    match socket.write(rest) {
        Ok(length) => drop(rest.drain(..length)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    Ok(rest.is_empty())
}

/// Reads the available bytes, up to the limit. True at the answer's end.
fn listen(mut socket: &Socket, answer: &mut Vec<u8>) -> io::Result<bool> {
    let mut part = [0; portal::ANSWER_LIMIT];
    let room = portal::ANSWER_LIMIT.saturating_sub(answer.len());
    match socket.read(&mut part[..room]) {
        Ok(length) => {
            answer.extend_from_slice(&part[..length]);
            Ok(length == 0)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

fn judge(answer: &[u8], ended: bool) -> Result<Option<bool>, ProbeError> {
    match portal::judge(answer, ended) {
        PortalVerdict::Free => Ok(Some(false)),
        PortalVerdict::Portal => Err(ProbeError::Portal),
        PortalVerdict::Unclear => Err(ProbeError::Unclear),
        PortalVerdict::Incomplete => Ok(None),
    }
}
