//! The connection under ureq: dialled by [`super::dial`], named by [`crate::resolver`], of a limited age.
//!
//! With [`crate::tls_client`] and [`crate::resolver`] the only code of the daemon that uses `ureq::unversioned`, which may change in any
//! release of ureq; so the version is pinned, and the rest of the program sees an [`Agent`].

use super::dial::Dialer;
use super::race::{SILENCE, dial, longest_silence};
use crate::clock::remaining;
use crate::device::os::tcp;
use crate::device::os::wait::wait_for;
use crate::resolver::NameResolver;
use crate::resolver::ureq_resolver::UreqResolver;
use crate::tls_client::connector::TlsConnector;
use rustix::event::{PollFd, PollFlags};
use rustls::ClientConfig;
use socket2::Socket;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::config::Config;
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};

/// Age at which the connection is reopened with a new lookup: a server that moved is found soon
/// (influxdata/telegraf#3648).
const LONGEST_LIFE: Duration = Duration::from_secs(600);

/// An agent whose connections are dialled here.
pub fn agent(config: Config, names: Arc<NameResolver>, dialer: Arc<Dialer>, tls: Arc<ClientConfig>) -> Agent {
    let user_timeout = config.timeouts().global;
    let connector =
        ().chain(ConnectProxyConnector::default())
            .chain(Dial { dialer, user_timeout })
            .chain(TlsConnector::new(tls));
    Agent::with_parts(config, connector, UreqResolver(names))
}

/// ureq's question for a connection.
#[derive(Debug)]
struct Dial {
    dialer: Arc<Dialer>,
    user_timeout: Option<Duration>,
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
        let limit = limit_of(details.timeout);
        let dialled = dial(&self.dialer, &details.addrs, details.needs_tls(), self.user_timeout, limit);
        let socket = dialled.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => ureq::Error::Timeout(details.timeout.reason),
            _ => ureq::Error::Io(error),
        })?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Either::B(Wired::new(self.dialer.clone(), socket, buffers))))
    }
}

/// A TCP connection with an age, which its [`Dialer`] can reach. The socket does not block: a wait is one poll
/// with the time that is left, where ureq's own transport sets the socket's timeouts each time.
#[derive(Debug)]
pub struct Wired {
    dialer: Arc<Dialer>,
    socket: Arc<Socket>,
    buffers: LazyBuffers,
    /// ureq hands over head and body one after the other; they leave together, as one segment, when it wants to
    /// hear the answer.
    unsent: Vec<u8>,
    born: Instant,
    /// It has carried a request before: a router may have forgotten it meanwhile.
    kept: bool,
}

/// More than a heartbeat; what is larger leaves at once.
const MOST_UNSENT: usize = 16 * 1024;

impl Wired {
    fn new(dialer: Arc<Dialer>, socket: Arc<Socket>, buffers: LazyBuffers) -> Wired {
        Wired { dialer, socket, buffers, unsent: Vec::new(), born: Instant::now(), kept: false }
    }

    fn flush(&mut self, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let timeout = timeout.for_write();
        let deadline = Instant::now() + limit_of(timeout);
        let mut sent = 0;
        while sent < self.unsent.len() {
            match (&*self.socket).write(&self.unsent[sent..]) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(length) => sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(PollFlags::OUT, timeout, deadline)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.unsent.clear();
        Ok(())
    }

    /// Waits until the socket is ready for `what`, until `deadline` at most.
    fn wait(&self, what: PollFlags, timeout: NextTimeout, deadline: Instant) -> Result<(), ureq::Error> {
        let left = remaining(deadline);
        if left.is_zero() {
            return Err(ureq::Error::Timeout(timeout.reason));
        }
        wait_for(&mut [PollFd::new(&*self.socket, what)], Some(left))?;
        Ok(())
    }

    /// Waits for an answer to what was sent at `sent`, until `deadline` at most; but not for one to what the server's
    /// kernel does not even acknowledge, where another uplink or a new connection could carry it. TCP_USER_TIMEOUT would not do for that: the
    /// kernel counts from its second repetition, so 500 ms of it were 930 ms of silence.
    fn wait_for_answer(
        &self,
        sent: Instant,
        timeout: NextTimeout,
        deadline: Instant,
    ) -> Result<(), ureq::Error> {
        // Half of the time is left for the repetition.
        let shortest = SILENCE.min(deadline.saturating_duration_since(sent) / 2);
        let mut look = (self.kept || self.dialer.has_choice()).then_some(sent + shortest);
        while let Some(until) = look.filter(|look| *look < deadline) {
            let left = remaining(until);
            if wait_for(&mut [PollFd::new(&*self.socket, PollFlags::IN)], Some(left))? {
                return Ok(());
            }
            let path = tcp::path(&*self.socket)?;
            let now = Instant::now();
            let silent = path.silent.min(now.saturating_duration_since(sent));
            look = match longest_silence(&path, shortest).checked_sub(silent).filter(|left| !left.is_zero()) {
                _ if !path.waits => None,
                Some(left) => Some(now + left),
                None => {
                    self.dialer.fell_silent();
                    return Err(reset(&self.socket));
                }
            };
        }
        self.wait(PollFlags::IN, timeout, deadline)
    }
}

/// Nothing can be expected of this connection any more, and its queue is dropped: the heartbeat is repeated over another
/// one, and must not arrive after the next because a dead uplink came back.
fn reset(socket: &Socket) -> ureq::Error {
    let _ = socket.set_linger(Some(Duration::ZERO));
    io::Error::from(io::ErrorKind::TimedOut).into()
}

/// The time that is left; every request has a limit, and no wait of ours is longer than an hour.
fn limit_of(timeout: NextTimeout) -> Duration {
    (*timeout.after).min(Duration::from_secs(3600))
}

impl Transport for Wired {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.unsent.extend_from_slice(&self.buffers.output()[..amount]);
        match self.unsent.len() > MOST_UNSENT {
            true => self.flush(timeout),
            false => Ok(()),
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.flush(timeout)?;
        let timeout = timeout.for_read();
        let sent = Instant::now();
        let deadline = sent + limit_of(timeout);
        loop {
            self.wait_for_answer(sent, timeout, deadline)?;
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

    /// Young enough, over the right uplink, not closed, and without unexpected bytes in it.
    fn is_open(&mut self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let silent = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        // ureq calls this after a response, and before the next request.
        self.kept = true;
        self.born.elapsed() < LONGEST_LIFE
            && self.dialer.is_fresh()
            && self.socket.peek(&mut byte).is_err_and(silent)
    }
}
