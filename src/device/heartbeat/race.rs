//! Opens a TCP connection: all addresses over all permitted uplinks in a staggered race.

use super::attempts::{DialAttempt, Host, permitted};
use super::dial::{Dialer, lock};
use crate::clock::remaining;
use crate::device::os::tcp::{self, Path};
use crate::device::os::wait::wait_for;
use rustix::event::{PollFd, PollFlags};
use rustix::net::netdevice::index_to_name;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A second address is tried beside the first one after this (RFC 8305, happy eyeballs).
const STAGGER: Duration = Duration::from_millis(250);

/// Over an uplink on which the last connection ended in silence. Enough for one whose router has merely forgotten that
/// connection (NAT) to keep the heartbeat; the next one may be metered.
const STAGGER_AFTER_SILENCE: Duration = Duration::from_millis(50);

/// On a path of a few milliseconds the kernel has sent everything three times by then (after 200 and 400 ms).
pub const SILENCE: Duration = Duration::from_millis(500);

/// Attempts of one race that get as far as waiting for an answer: two addresses over each of three uplinks, and a little
/// more.
const MOST_ATTEMPTS: usize = 8;

/// Connects to the first of `addresses` that answers, over the dialer's uplinks. Each attempt has a head start of 250 ms
/// over the next, unless it fails before. The address that answered a heartbeat last is tried first; an address or an
/// uplink that was connected and delivered nothing is tried last. The socket does not block, and ends a silence of
/// `user_timeout` (TCP_USER_TIMEOUT): otherwise a dead connection would live for a quarter of an hour.
///
/// # Errors
/// `TimedOut` after `limit`, `ConnectionAborted` if the dialer was cut, else the last attempt's error.
pub fn dial(
    dialer: &Dialer,
    addresses: &[SocketAddr],
    secure: bool,
    user_timeout: Option<Duration>,
    limit: Duration,
) -> io::Result<Arc<Socket>> {
    dialer.dialled.fetch_add(1, Ordering::Relaxed);
    dialer.stale.store(false, Ordering::Relaxed);
    let deadline = Instant::now() + limit;
    let (addresses, uplinks) = dialer.best_first(addresses);
    let waiting =
        permitted(&addresses, &uplinks, secure, dialer.uplink_override(secure), &lock(&dialer.hosts));
    let silent = {
        let mut last = lock(&dialer.last);
        last.server = addresses;
        (last.peer, last.over, last.kernels, last.round_trip) = (None, None, None, None);
        last.has_choice = waiting.iter().any(|attempt| attempt.uplink != waiting[0].uplink);
        last.silent.take()
    };
    let last_error = io::ErrorKind::AddrNotAvailable.into();
    let (dialling, begun) = (Vec::new(), 0);
    let mut race = Race { dialer, user_timeout, waiting: &waiting, dialling, begun, last_error };
    loop {
        race.start_next();
        if race.dialling.is_empty() {
            race.no_winner(&waiting);
            return Err(race.last_error);
        }
        let head_start = if race.waiting.is_empty() { limit } else { race.head_start(silent.as_deref()) };
        if let Some(winner) = race.wait_until(deadline.min(Instant::now() + head_start))? {
            let kernels = winner.kernels.and_then(|index| index_to_name(&*winner.socket, index).ok());
            let mut last = lock(&dialer.last);
            (last.peer, last.over, last.kernels) = (Some(winner.address), winner.over, kernels);
            last.round_trip = tcp::path(&*winner.socket).ok().map(|path| path.rtt);
            last.note_winner(waiting[0].uplink.as_ref().map(|best| best.name.as_str()), Instant::now());
            return Ok(winner.socket);
        }
        if Instant::now() >= deadline {
            race.no_winner(&waiting);
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// How long the server's kernel may leave sent bytes unacknowledged where another uplink could carry them, or a new
/// connection could because a router has forgotten this one: the heartbeat is then repeated over a new connection, in a
/// race of the uplinks, and still arrives within a second of its beat. At least `shortest`, three round trips, and
/// whatever the kernel itself waits for an answer, because a slow or unsteady uplink is not a dead one.
pub fn longest_silence(path: &Path, shortest: Duration) -> Duration {
    shortest.max(path.rtt * 3).max(path.rtt + path.deviation * 4)
}

/// A connection, or one being opened, and the name of the uplink that it is bound to.
struct Dialling {
    socket: Arc<Socket>,
    address: SocketAddr,
    over: Option<String>,
    /// The interface, by index, if it is known; of the kernel's choice, if there is no uplink.
    index: Option<u32>,
    kernels: Option<u32>,
    host: Host,
}

struct Race<'a> {
    dialer: &'a Dialer,
    user_timeout: Option<Duration>,
    waiting: &'a [DialAttempt],
    dialling: Vec<Dialling>,
    /// Attempts that got as far as waiting for an answer. One that fails at once, because the uplink has no address of
    /// that family, takes no slot.
    begun: usize,
    last_error: io::Error,
}

impl Race<'_> {
    /// Starts the next attempt that can be started at all.
    fn start_next(&mut self) {
        while let Some((attempt, rest)) = self.waiting.split_first() {
            self.waiting = rest;
            match self.start(attempt) {
                Ok(socket) => {
                    let over = attempt.uplink.as_ref().map(|uplink| uplink.name.clone());
                    let index = attempt.uplink.as_ref().map(|uplink| uplink.index);
                    let DialAttempt { address, kernels, ref host, .. } = *attempt;
                    self.dialling.push(Dialling {
                        socket,
                        address,
                        over,
                        index,
                        kernels,
                        host: host.clone(),
                    });
                    self.begun += 1;
                    if self.begun == MOST_ATTEMPTS {
                        self.waiting = &[];
                    }
                    return;
                }
                Err(error) => self.last_error = error,
            }
        }
    }

    /// The next race begins with other addresses, if there are any. `all` are the race's attempts.
    fn no_winner(&self, all: &[DialAttempt]) {
        let was_cut = self.dialer.cut.load(Ordering::SeqCst);
        if !was_cut && all.iter().any(|attempt| attempt.uplink.is_none() && attempt.kernels.is_some()) {
            self.dialer.kernel_failed();
        }
        let mut deliveries = lock(&self.dialer.deliveries);
        let mut tried: Vec<SocketAddr> = self.dialling.iter().map(|dialling| dialling.address).collect();
        tried.sort_unstable();
        tried.dedup();
        tried.into_iter().for_each(|address| deliveries.record_silence(address));
    }

    /// Before the next attempt is started beside the latest one.
    fn head_start(&self, silent: Option<&str>) -> Duration {
        let over = self.dialling.last().and_then(|latest| latest.over.as_deref());
        if silent.is_some() && over == silent { STAGGER_AFTER_SILENCE } else { STAGGER }
    }

    fn start(&self, attempt: &DialAttempt) -> io::Result<Arc<Socket>> {
        let address = attempt.address;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_user_timeout(self.user_timeout)?;
        if let Some(uplink) = &attempt.uplink {
            // The first binding of a socket needs no privilege since Linux 5.7.
            socket.bind_device(Some(uplink.name.as_bytes()))?;
        }
        let socket = Arc::new(socket);
        self.dialer.register(&socket)?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(EINPROGRESS) => Err(error),
            _ => Ok(socket),
        }
    }

    /// The winner, or `None` once one has failed (the next may start) or `until` has come.
    fn wait_until(&mut self, until: Instant) -> io::Result<Option<Dialling>> {
        loop {
            let sockets = self.dialling.iter().map(|dialling| &*dialling.socket);
            let mut fds: Vec<_> = sockets.map(|socket| PollFd::new(socket, PollFlags::OUT)).collect();
            let left = remaining(until);
            let happened = wait_for(&mut fds, Some(left))?;
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            for index in (0..ready.len()).rev().filter(|index| ready[*index]) {
                let connected = self.dialling.swap_remove(index);
                match connection_of(&connected.socket).and_then(|()| self.check_host(&connected)) {
                    Ok(()) => return Ok(Some(connected)),
                    Err(error) => self.last_error = error,
                }
            }
            if happened || left.is_zero() {
                return Ok(None);
            }
        }
    }

    /// Whether the server answered, and not another host with its address.
    fn check_host(&self, connected: &Dialling) -> io::Result<()> {
        let (Some(index), ip) = (connected.index, connected.address.ip()) else { return Ok(()) };
        if let Some(hardware) = connected.host.check(index, ip)? {
            lock(&self.dialer.hosts).remember(ip, hardware);
        }
        Ok(())
    }
}

/// Errno of a non-blocking connect in progress.
const EINPROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

/// Whether a socket that poll reports has connected.
fn connection_of(socket: &Socket) -> io::Result<()> {
    match socket.take_error()? {
        Some(error) => Err(error),
        None => socket.peer_addr().map(drop).map_err(|_| match socket.take_error() {
            // The other side's reset came between the two questions.
            Ok(Some(error)) => error,
            // A socket that was shut down while it connected has no error of its own.
            _ => io::ErrorKind::ConnectionAborted.into(),
        }),
    }
}

#[cfg(test)]
mod tests;
