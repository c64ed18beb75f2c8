//! TCP connections: all addresses in a staggered race, and a line that another thread can cut.

pub use super::attempts::Uplink;
use super::attempts::{Attempt, Host, Hosts, permitted};
use super::delivery::{Deliveries, Evidence, TOO_MANY};
use super::ways::Help;
use crate::clock::remaining;
use crate::device::os::tcp::{self, Path};
use crate::device::os::wait::wait_for;
use rustix::event::{PollFd, PollFlags};
use rustix::net::netdevice::index_to_name;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A second address is tried beside the first one after this (RFC 8305, happy eyeballs).
const STAGGER: Duration = Duration::from_millis(250);

/// Over an uplink on which the last connection ended in silence. Enough for one whose router has merely forgotten that
/// connection (NAT) to keep the heartbeat; the next one may be metered.
const STAGGER_AFTER_SILENCE: Duration = Duration::from_millis(50);

/// On a path of a few milliseconds the kernel has sent everything three times by then (after 200 and 400 ms).
pub const SILENCE: Duration = Duration::from_millis(500);

/// While uplinks help out, the kernel's choice is tried again in the first race after this.
const KERNELS_TURN: Duration = Duration::from_secs(30);

/// Attempts of one race that get as far as waiting for an answer: two addresses over each of three uplinks, and a little
/// more.
const MOST_ATTEMPTS: usize = 8;

/// What the failover thread and the heartbeat thread share: over which uplinks to dial, and the sockets that are
/// open or being opened, for whoever has to cut them.
#[derive(Debug, Default)]
pub struct Line {
    /// The best first. Empty: the kernel decides.
    uplinks: Mutex<Vec<Uplink>>,
    /// Where the last connection led, and over which uplink.
    last: Mutex<Last>,
    deliveries: Mutex<Deliveries>,
    hosts: Mutex<Hosts>,
    /// A person chose the first uplink.
    chosen: AtomicBool,
    live: Mutex<Vec<Weak<Socket>>>,
    /// A heartbeat is on its way.
    busy: AtomicBool,
    /// Since the last [`Line::begin`].
    cut: AtomicBool,
    dialled: AtomicU64,
    /// The kept connection is not to be used again.
    stale: AtomicBool,
}

#[derive(Debug, Default, Clone)]
struct Last {
    server: Vec<SocketAddr>,
    /// `None` until one of them is connected.
    peer: Option<SocketAddr>,
    over: Option<String>,
    /// Of a packet to `peer` and its answer.
    round_trip: Option<Duration>,
    /// Without an uplink: the name of the interface that the kernel chose.
    kernels: Option<String>,
    /// Another way was permitted too.
    has_choice: bool,
    /// When a heartbeat over the kernel's choice was undelivered, if uplinks may help.
    kernel_failed: Option<Instant>,
    /// The uplink of a connection that ended in silence, until the next one is dialled.
    silent: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these; and with `panic = "abort"` nobody would be left to ask.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    /// New connections are dialled over the first of these; if it has not connected after 250 ms, over the next
    /// one too. Empty: the kernel decides. An uplink that becomes the first one starts without undelivered heartbeats.
    pub fn use_uplinks(&self, ranked: Vec<Uplink>) {
        let mut uplinks = lock(&self.uplinks);
        if let Some(first) = ranked.first() {
            if uplinks.first().is_none_or(|before| before.name != first.name) {
                lock(&self.deliveries).forget_uplink(&first.name);
            }
        }
        *uplinks = ranked;
    }

    /// Whether a person chose the first uplink: it is used although the kernel's default route leads over an interface
    /// that is not an uplink.
    pub fn set_chosen(&self, chosen: bool) {
        self.chosen.store(chosen, Ordering::Relaxed);
    }

    /// Counts the result of the heartbeat that the last connection carried.
    pub fn learn(&self, evidence: Evidence) {
        let mut last = lock(&self.last);
        if let Some(peer) = last.peer {
            lock(&self.deliveries).learn(last.over.as_deref(), peer, evidence);
            if last.over.is_none() && !evidence.proves_uplink() {
                last.kernel_failed = Some(Instant::now());
            }
        }
    }

    /// The same for a copy of a heartbeat, which went over `uplink` on purpose.
    pub fn learn_uplink(&self, uplink: &str, evidence: Evidence) {
        lock(&self.deliveries).learn_uplink(Some(uplink), evidence);
    }

    /// A line over `uplink` alone, which knows the same of the other uplinks and of the server's addresses.
    pub fn bound_to(&self, uplink: &Uplink) -> Line {
        let mut uplinks = lock(&self.uplinks).clone();
        uplinks.retain(|known| known.index != uplink.index);
        // Known still: an address that the kernel reaches over one of them is not left to the kernel.
        uplinks.iter_mut().for_each(|other| other.usable = false);
        uplinks.insert(0, Uplink { usable: true, ..uplink.clone() });
        let deliveries = Mutex::new(lock(&self.deliveries).clone());
        let hosts = Mutex::new(lock(&self.hosts).clone());
        Line { uplinks: Mutex::new(uplinks), deliveries, hosts, ..Line::default() }
    }

    /// Undelivered heartbeats in a row over an uplink; `None` is the way that the kernel chooses.
    pub fn undelivered(&self, uplink: Option<&str>) -> u32 {
        lock(&self.deliveries).undelivered(uplink)
    }

    /// A round trip over the last connection, as the kernel measured it when that was made.
    pub fn round_trip(&self) -> Option<Duration> {
        lock(&self.last).round_trip
    }

    /// Whether the last race was won: a heartbeat that failed since then failed over a connection.
    pub fn is_connected(&self) -> bool {
        lock(&self.last).peer.is_some()
    }

    /// The server's addresses are known before the first connection.
    pub fn expect_server(&self, addresses: Vec<SocketAddr>) {
        let mut last = lock(&self.last);
        (last.server, last.peer) = (addresses, None);
    }

    /// The server's addresses, as they were dialled last; what a probe of an uplink asks first.
    pub fn server(&self) -> Vec<SocketAddr> {
        lock(&self.last).server.clone()
    }

    /// The uplink that the last connection was bound to.
    pub fn over(&self) -> Option<String> {
        lock(&self.last).over.clone()
    }

    /// The interface that the last connection took: the uplink that it was bound to, or the kernel's choice.
    pub fn took(&self) -> Option<String> {
        let last = lock(&self.last);
        last.over.clone().or_else(|| last.kernels.clone())
    }

    /// The server's address that the last connection was made with.
    pub fn peer(&self) -> Option<SocketAddr> {
        lock(&self.last).peer
    }

    /// Whether another uplink could carry what the last connection does not.
    pub fn has_choice(&self) -> bool {
        let last = lock(&self.last);
        last.has_choice && last.over.is_some()
    }

    /// The last connection ended in silence: in the next race its uplink is given 50 ms before the next one starts.
    pub fn fell_silent(&self) {
        let mut last = lock(&self.last);
        last.silent = last.over.clone();
    }

    /// A heartbeat is about to be sent.
    pub fn begin(&self) {
        self.cut.store(false, Ordering::SeqCst);
        self.busy.store(true, Ordering::SeqCst);
    }

    /// Its outcome is known. Tells whether the line was cut meanwhile.
    pub fn end(&self) -> bool {
        self.busy.store(false, Ordering::SeqCst);
        self.cut.load(Ordering::SeqCst)
    }

    /// Ends whatever is on its way now, from any thread: a connection being opened, a request, an answer that
    /// does not come. An idle connection stays open. Name lookups are not interrupted.
    pub fn abort(&self) {
        if self.busy.load(Ordering::SeqCst) {
            self.cut();
        }
    }

    /// Closes everything, idle connections too.
    pub fn cut(&self) {
        let live = lock(&self.live);
        self.cut.store(true, Ordering::SeqCst);
        for socket in live.iter().filter_map(Weak::upgrade) {
            // What is in its queue is dropped when it is closed: an old heartbeat must not arrive after the new one
            // because a dead uplink came back.
            let _ = socket.set_linger(Some(Duration::ZERO));
            // A socket that is just connecting is interrupted as well; one that has ended says an error.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// The next heartbeat dials anew: the kept connection leads over an uplink that is no longer the one to use. What is
    /// on its way is left alone.
    pub fn renew(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }

    /// Whether the kept connection may be used again.
    pub fn is_fresh(&self) -> bool {
        !self.stale.load(Ordering::Relaxed)
    }

    /// How many connections have been dialled: it tells a new connection from a kept one.
    pub fn dialled(&self) -> u64 {
        self.dialled.load(Ordering::Relaxed)
    }

    /// Whether uplinks may carry heartbeats although the kernel's default route leads over another interface. Its own
    /// choice gets another chance in each race after [`KERNELS_TURN`].
    fn help(&self, secure: bool) -> Help {
        let undelivered = self.undelivered(None) >= TOO_MANY;
        let recently = lock(&self.last).kernel_failed.is_some_and(|at| at.elapsed() < KERNELS_TURN);
        match self.chosen.load(Ordering::Relaxed) {
            true => Help::Chosen,
            false if secure && undelivered && recently => Help::Undelivered,
            false => Help::No,
        }
    }

    /// The kernel's choice could not even be connected to.
    fn kernel_failed(&self) {
        lock(&self.deliveries).learn_uplink(None, Evidence::Lost);
        lock(&self.last).kernel_failed = Some(Instant::now());
    }

    /// The order in which addresses and uplinks are dialled.
    fn best_first(&self, addresses: &[SocketAddr]) -> (Vec<SocketAddr>, Vec<Uplink>) {
        let (mut addresses, mut uplinks) = (addresses.to_vec(), lock(&self.uplinks).clone());
        let deliveries = lock(&self.deliveries);
        deliveries.sort(&mut addresses);
        uplinks.sort_by_key(|uplink| deliveries.rank(Some(&uplink.name)));
        (addresses, uplinks)
    }

    /// Whoever cuts holds the same lock, so no new socket slips through.
    fn register(&self, socket: &Arc<Socket>) -> io::Result<()> {
        let mut live = lock(&self.live);
        if self.cut.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        live.retain(|socket| socket.strong_count() > 0);
        live.push(Arc::downgrade(socket));
        Ok(())
    }
}

/// Connects to the first of `addresses` that answers, over the line's uplinks. Each attempt has a head start of 250 ms
/// over the next, unless it fails before. The address that answered a heartbeat last is tried first; an address or an
/// uplink that was connected and delivered nothing is tried last. The socket does not block, and ends a silence of
/// `user_timeout` by itself (TCP_USER_TIMEOUT): a dead connection would live for a quarter of an hour otherwise.
///
/// # Errors
/// `TimedOut` after `limit`, `ConnectionAborted` if the line was cut, else the last attempt's error.
pub fn dial(
    line: &Line,
    addresses: &[SocketAddr],
    secure: bool,
    user_timeout: Option<Duration>,
    limit: Duration,
) -> io::Result<Arc<Socket>> {
    line.dialled.fetch_add(1, Ordering::Relaxed);
    line.stale.store(false, Ordering::Relaxed);
    let deadline = Instant::now() + limit;
    let (addresses, uplinks) = line.best_first(addresses);
    let waiting = permitted(&addresses, &uplinks, secure, line.help(secure), &lock(&line.hosts));
    let silent = {
        let mut last = lock(&line.last);
        last.server = addresses;
        (last.peer, last.over, last.kernels, last.round_trip) = (None, None, None, None);
        last.has_choice = waiting.iter().any(|attempt| attempt.uplink != waiting[0].uplink);
        last.silent.take()
    };
    let last_error = io::ErrorKind::AddrNotAvailable.into();
    let (dialling, begun) = (Vec::new(), 0);
    let mut race = Race { line, user_timeout, waiting: &waiting, dialling, begun, last_error };
    loop {
        race.start_next();
        if race.dialling.is_empty() {
            race.nobody_won(&waiting);
            return Err(race.last_error);
        }
        let head_start = if race.waiting.is_empty() { limit } else { race.head_start(silent.as_deref()) };
        if let Some(winner) = race.wait_until(deadline.min(Instant::now() + head_start))? {
            let kernels = winner.kernels.and_then(|index| index_to_name(&*winner.socket, index).ok());
            let mut last = lock(&line.last);
            (last.peer, last.over, last.kernels) = (Some(winner.address), winner.over, kernels);
            last.round_trip = tcp::path(&*winner.socket).ok().map(|path| path.rtt);
            return Ok(winner.socket);
        }
        if Instant::now() >= deadline {
            race.nobody_won(&waiting);
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
    line: &'a Line,
    user_timeout: Option<Duration>,
    waiting: &'a [Attempt],
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
                    let Attempt { address, kernels, ref host, .. } = *attempt;
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
    fn nobody_won(&self, all: &[Attempt]) {
        let was_cut = self.line.cut.load(Ordering::SeqCst);
        if !was_cut && all.iter().any(|attempt| attempt.uplink.is_none() && attempt.kernels.is_some()) {
            self.line.kernel_failed();
        }
        let mut deliveries = lock(&self.line.deliveries);
        let mut tried: Vec<SocketAddr> = self.dialling.iter().map(|dialling| dialling.address).collect();
        tried.sort_unstable();
        tried.dedup();
        tried.into_iter().for_each(|address| deliveries.learn_silence(address));
    }

    /// Before the next attempt is started beside the latest one.
    fn head_start(&self, silent: Option<&str>) -> Duration {
        let over = self.dialling.last().and_then(|latest| latest.over.as_deref());
        if silent.is_some() && over == silent { STAGGER_AFTER_SILENCE } else { STAGGER }
    }

    fn start(&self, attempt: &Attempt) -> io::Result<Arc<Socket>> {
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
        self.line.register(&socket)?;
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
            lock(&self.line.hosts).remember(ip, hardware);
        }
        Ok(())
    }
}

/// What a non-blocking connect says that has begun.
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
