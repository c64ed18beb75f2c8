//! TCP connections: all addresses in a staggered race, and a line that another thread can cut.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// A second address is tried beside the first one after this (RFC 8305, happy eyeballs).
const STAGGER: Duration = Duration::from_millis(250);

/// The sockets that are open or being opened, for whoever has to cut them.
#[derive(Debug, Default)]
pub struct Line {
    live: Mutex<Vec<Weak<Socket>>>,
    /// A heartbeat is on its way.
    busy: AtomicBool,
    /// Since the last [`Line::begin`].
    cut: AtomicBool,
    dialled: AtomicU64,
}

impl Line {
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
        let live = self.live();
        self.cut.store(true, Ordering::SeqCst);
        for socket in live.iter().filter_map(Weak::upgrade) {
            // A socket that is just connecting is interrupted as well; one that has ended says an error.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// How many connections have been dialled: it tells a new connection from a kept one.
    pub fn dialled(&self) -> u64 {
        self.dialled.load(Ordering::Relaxed)
    }

    fn live(&self) -> MutexGuard<'_, Vec<Weak<Socket>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever cuts holds the same lock, so no new socket slips through.
    fn register(&self, socket: &Arc<Socket>) -> io::Result<()> {
        let mut live = self.live();
        if self.cut.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        live.retain(|socket| socket.strong_count() > 0);
        live.push(Arc::downgrade(socket));
        Ok(())
    }
}

/// Connects to the first of `addresses` that answers. Each one has a head start of 250 ms over the next, unless it
/// fails before. The socket does not block, and ends a silence of `user_timeout` by itself (TCP_USER_TIMEOUT): a
/// dead connection would live for a quarter of an hour otherwise.
///
/// # Errors
/// `TimedOut` after `limit`, `ConnectionAborted` if the line was cut, else what the last address said.
pub fn dial(
    line: &Line,
    addresses: &[SocketAddr],
    user_timeout: Option<Duration>,
    limit: Duration,
) -> io::Result<Arc<Socket>> {
    line.dialled.fetch_add(1, Ordering::Relaxed);
    let deadline = Instant::now() + limit;
    let last_error = io::ErrorKind::AddrNotAvailable.into();
    let mut race = Race { line, user_timeout, waiting: addresses, dialling: Vec::new(), last_error };
    loop {
        race.start_next();
        if race.dialling.is_empty() {
            return Err(race.last_error);
        }
        let head_start = if race.waiting.is_empty() { limit } else { STAGGER };
        if let Some(winner) = race.wait_until(deadline.min(Instant::now() + head_start))? {
            return Ok(winner);
        }
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

struct Race<'a> {
    line: &'a Line,
    user_timeout: Option<Duration>,
    waiting: &'a [SocketAddr],
    dialling: Vec<Arc<Socket>>,
    last_error: io::Error,
}

impl Race<'_> {
    /// Starts the next address that can be started at all.
    fn start_next(&mut self) {
        while let Some((address, rest)) = self.waiting.split_first() {
            self.waiting = rest;
            match self.start(*address) {
                Ok(socket) => return self.dialling.push(socket),
                Err(error) => self.last_error = error,
            }
        }
    }

    fn start(&self, address: SocketAddr) -> io::Result<Arc<Socket>> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_user_timeout(self.user_timeout)?;
        let socket = Arc::new(socket);
        self.line.register(&socket)?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(EINPROGRESS) => Err(error),
            _ => Ok(socket),
        }
    }

    /// The winner, or `None` once one has failed (the next may start) or `until` has come.
    fn wait_until(&mut self, until: Instant) -> io::Result<Option<Arc<Socket>>> {
        loop {
            let mut fds: Vec<_> = self.dialling.iter().map(|s| PollFd::new(&**s, PollFlags::OUT)).collect();
            let left = until.saturating_duration_since(Instant::now());
            let happened = wait_for(&mut fds, left)?;
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            for index in (0..ready.len()).rev().filter(|index| ready[*index]) {
                let socket = self.dialling.swap_remove(index);
                match connection_of(&socket) {
                    Ok(()) => return Ok(Some(socket)),
                    Err(error) => self.last_error = error,
                }
            }
            if happened || left.is_zero() {
                return Ok(None);
            }
        }
    }
}

/// What a non-blocking connect says that has begun.
const EINPROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

/// Waits until something happens on `fds`, a signal arrives, or `wait` is over. True if something happened.
pub fn wait_for(fds: &mut [PollFd], wait: Duration) -> io::Result<bool> {
    // Rounded up to what the kernel can count, or the last wait would spin.
    let wait = wait.saturating_add(Duration::from_millis(u64::from(!wait.is_zero())));
    let timeout = Timespec {
        tv_sec: wait.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: wait.subsec_nanos().into(),
    };
    match poll(fds, Some(&timeout)) {
        Ok(happened) => Ok(happened > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether a socket that poll reports has connected.
fn connection_of(socket: &Socket) -> io::Result<()> {
    match socket.take_error()? {
        Some(error) => Err(error),
        // A socket that was shut down while it connected has no error of its own.
        None => socket.peer_addr().map(drop).map_err(|_| io::ErrorKind::ConnectionAborted.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    const LONG: Duration = Duration::from_secs(20);

    fn race(addresses: &[SocketAddr], limit: Duration) -> io::Result<Arc<Socket>> {
        dial(&Line::default(), addresses, Some(Duration::from_secs(2)), limit)
    }

    /// A listener whose queue is full: connecting to it hangs, as to a host that drops packets.
    fn hanging() -> (Socket, SocketAddr, Vec<TcpStream>) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bound");
        listener.listen(0).expect("listening");
        let address = listener.local_addr().expect("bound").as_socket().expect("an IP address");
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            queue.push(stream);
        }
        (listener, address, queue)
    }

    #[test]
    fn an_address_that_hangs_costs_a_quarter_of_a_second_when_there_is_another() {
        let (_listener, dead, _queue) = hanging();
        let alive = TcpListener::bind("127.0.0.1:0").expect("bound");
        let alive = (alive.local_addr().expect("bound"), alive);
        let begin = Instant::now();
        let socket = race(&[dead, alive.0], LONG).expect("connected");
        let peer = socket.peer_addr().expect("connected").as_socket();
        assert_eq!(peer, Some(alive.0));
        assert!(begin.elapsed() >= STAGGER);
        assert!(begin.elapsed() < LONG / 2);
    }

    #[test]
    fn an_address_that_refuses_costs_nothing_when_there_is_another() {
        let refusing =
            TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("bound and closed");
        let alive = TcpListener::bind("127.0.0.1:0").expect("bound");
        let alive_address = alive.local_addr().expect("bound");
        race(&[refusing, alive_address], LONG).expect("connected");
        let error = race(&[refusing, refusing], LONG).expect_err("nobody there");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_race_that_nobody_wins_ends_at_its_limit() {
        let (_listener, dead, _queue) = hanging();
        let error = race(&[dead, dead], Duration::from_millis(300)).expect_err("nobody answers");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        race(&[], LONG).expect_err("no address at all");
    }

    #[test]
    fn a_connection_being_opened_is_ended_by_a_cut_from_another_thread() {
        let (_listener, dead, _queue) = hanging();
        let line = Arc::new(Line::default());
        line.begin();
        let callers = line.clone();
        let caller = thread::spawn(move || dial(&callers, &[dead], None, LONG).map(drop));
        let begin = Instant::now();
        // The other thread may not have begun to dial yet; a cut before that holds too.
        line.abort();
        caller.join().expect("no panic").expect_err("cut");
        assert!(begin.elapsed() < LONG / 2);
        assert!(line.end());
    }

    #[test]
    fn an_abort_with_nothing_on_its_way_leaves_the_idle_connection_open() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let line = Line::default();
        let socket = dial(&line, &[listener.local_addr().expect("bound")], None, LONG).expect("connected");
        line.begin();
        assert!(!line.end());
        line.abort();
        let is_open = || socket.peek(&mut [std::mem::MaybeUninit::uninit()]).is_err();
        assert!(is_open(), "nothing to read, and no end");
        line.cut();
        assert!(!is_open(), "the end can be read");
    }
}
