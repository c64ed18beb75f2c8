//! The connection under ureq: how it is dialled, how old it may get, how another thread cuts it.
//!
//! The only file that uses `ureq::unversioned`, which may change in any release of ureq; so the version is
//! pinned, and the rest of the program sees [`Line`] and an [`Agent`].

use super::resolver::Names;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout,
    RustlsConnector, Transport,
};

/// A second address is tried beside the first one after this (RFC 8305, happy eyeballs).
const STAGGER: Duration = Duration::from_millis(250);

/// Then the name is resolved anew: a server that has moved must not be missed for long (influxdata/telegraf#3648).
const LONGEST_LIFE: Duration = Duration::from_secs(600);

/// An agent whose connections are dialled here.
pub fn agent(config: Config, names: Arc<Names>, line: Arc<Line>) -> Agent {
    let user_timeout = config.timeouts().global;
    let connector =
        ().chain(ConnectProxyConnector::default())
            .chain(Dial { line, user_timeout })
            .chain(RustlsConnector::default());
    Agent::with_parts(config, connector, ByNames(names))
}

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

/// Opens TCP connections: all addresses in a staggered race, with a limit of the kernel's own on silence.
struct Dial {
    line: Arc<Line>,
    /// TCP_USER_TIMEOUT: a dead connection ends in this time instead of a quarter of an hour.
    user_timeout: Option<Duration>,
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dial")
    }
}

impl<In: Transport> Connector<In> for Dial {
    type Out = Either<In, Wired>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        // A proxy's tunnel is the connection then.
        if let Some(tunnel) = chained {
            return Ok(Some(Either::A(tunnel)));
        }
        let limit = details.timeout.not_zero().map_or(Duration::MAX, |after| *after);
        self.line.dialled.fetch_add(1, Ordering::Relaxed);
        let socket = self.race(&details.addrs, limit).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => ureq::Error::Timeout(details.timeout.reason),
            _ => ureq::Error::Io(error),
        })?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Either::B(Wired { socket, buffers, born: Instant::now() })))
    }
}

impl Dial {
    /// The first address that connects wins. Each one gets a head start of 250 ms over the next, unless it
    /// fails before.
    fn race(&self, addresses: &[SocketAddr], limit: Duration) -> io::Result<Arc<Socket>> {
        let begin = Instant::now();
        let mut waiting = addresses.iter();
        let mut dialling: Vec<Arc<Socket>> = Vec::new();
        let mut last_error = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let mut next_start = begin;
        loop {
            let elapsed = begin.elapsed();
            if elapsed >= limit {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if dialling.is_empty() || Instant::now() >= next_start {
                next_start = Instant::now() + STAGGER;
                match waiting.next().map(|address| self.start(*address)) {
                    Some(Ok(socket)) => dialling.push(socket),
                    Some(Err(error)) => {
                        last_error = error;
                        continue;
                    }
                    None if dialling.is_empty() => return Err(last_error),
                    None => next_start = begin + limit.min(Duration::from_secs(3600)),
                }
            }
            let wait = (limit - elapsed).min(next_start.saturating_duration_since(Instant::now()));
            match first_connected(&mut dialling, wait)? {
                Ok(Some(socket)) => return Ok(socket),
                Ok(None) => {}
                Err(error) => last_error = error,
            }
        }
    }

    /// Starts to connect, without waiting.
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
}

/// What a non-blocking connect says that has begun.
const EINPROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

/// Waits until one of the sockets has connected or failed; the failed ones are taken out.
fn first_connected(
    dialling: &mut Vec<Arc<Socket>>,
    wait: Duration,
) -> io::Result<Result<Option<Arc<Socket>>, io::Error>> {
    let mut fds: Vec<PollFd> = dialling.iter().map(|socket| PollFd::new(&**socket, PollFlags::OUT)).collect();
    wait_for(&mut fds, wait)?;
    let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
    let mut failure = None;
    for index in (0..ready.len()).rev().filter(|index| ready[*index]) {
        match connection_of(&dialling[index]) {
            Ok(()) => return Ok(Ok(Some(dialling.swap_remove(index)))),
            Err(error) => {
                failure = Some(error);
                dialling.swap_remove(index);
            }
        }
    }
    Ok(failure.map_or(Ok(None), Err))
}

/// Waits until something happens on `fds`, a signal arrives, or `wait` is over. True if something happened.
fn wait_for(fds: &mut [PollFd], wait: Duration) -> io::Result<bool> {
    // One millisecond more than asked for: poll rounds, and a wait that is too short would spin.
    let wait = wait.saturating_add(Duration::from_millis(1));
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

/// A TCP connection with an age, which its [`Line`] can reach. The socket does not block: a wait is one poll
/// with the time that is left, where ureq's own transport sets the socket's timeouts anew each time.
#[derive(Debug)]
pub struct Wired {
    socket: Arc<Socket>,
    buffers: LazyBuffers,
    born: Instant,
}

impl Wired {
    /// Waits until the socket is ready for `what`, until `deadline` at most.
    fn wait(
        &self,
        what: PollFlags,
        timeout: NextTimeout,
        deadline: Option<Instant>,
    ) -> Result<(), ureq::Error> {
        let left = match deadline {
            Some(deadline) => deadline.saturating_duration_since(Instant::now()),
            None => Duration::from_secs(3600),
        };
        if left.is_zero() {
            return Err(ureq::Error::Timeout(timeout.reason));
        }
        wait_for(&mut [PollFd::new(&*self.socket, what)], left)?;
        Ok(())
    }
}

/// When `timeout` runs out.
fn deadline(timeout: NextTimeout) -> Option<Instant> {
    Instant::now().checked_add(*timeout.after)
}

impl Transport for Wired {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let timeout = timeout.for_write();
        let deadline = deadline(timeout);
        let mut sent = 0;
        while sent < amount {
            match (&*self.socket).write(&self.buffers.output()[sent..amount]) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(length) => sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(PollFlags::OUT, timeout, deadline)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let timeout = timeout.for_read();
        let deadline = deadline(timeout);
        loop {
            self.wait(PollFlags::IN, timeout, deadline)?;
            match (&*self.socket).read(self.buffers.input_append_buf()) {
                Ok(length) => {
                    self.buffers.input_appended(length);
                    return Ok(length > 0);
                }
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Young enough, not closed, and nothing in it that nobody asked for.
    fn is_open(&mut self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let silent = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        self.born.elapsed() < LONGEST_LIFE && self.socket.peek(&mut byte).is_err_and(silent)
    }
}

/// ureq's question for a name, answered by the resolver thread.
#[derive(Debug)]
struct ByNames(Arc<Names>);

impl Resolver for ByNames {
    fn resolve(
        &self,
        uri: &Uri,
        _config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let limit = timeout.not_zero().map_or(Duration::from_secs(10), |after| *after);
        let found = self.0.resolve(host, port, limit).map_err(ureq::Error::Io)?;
        let mut addresses = self.empty();
        found.into_iter().for_each(|address| addresses.push(address));
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    const LONG: Duration = Duration::from_secs(20);

    fn dial() -> Dial {
        Dial { line: Arc::default(), user_timeout: Some(Duration::from_secs(2)) }
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
        let socket = dial().race(&[dead, alive.0], LONG).expect("connected");
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
        dial().race(&[refusing, alive_address], LONG).expect("connected");
        let error = dial().race(&[refusing, refusing], LONG).expect_err("nobody there");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_race_that_nobody_wins_ends_at_its_limit() {
        let (_listener, dead, _queue) = hanging();
        let error = dial().race(&[dead, dead], Duration::from_millis(300)).expect_err("nobody answers");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        dial().race(&[], LONG).expect_err("no address at all");
    }

    #[test]
    fn a_connection_being_opened_is_ended_by_a_cut_from_another_thread() {
        let (_listener, dead, _queue) = hanging();
        let dial = dial();
        let line = dial.line.clone();
        line.begin();
        let caller = thread::spawn(move || dial.race(&[dead], LONG).map(drop));
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
        let dial = dial();
        let socket = dial.race(&[listener.local_addr().expect("bound")], LONG).expect("connected");
        let mut wired = Wired { socket, buffers: LazyBuffers::new(1024, 1024), born: Instant::now() };
        dial.line.abort();
        assert!(wired.is_open());
        dial.line.cut();
        assert!(!wired.is_open());
    }
}
