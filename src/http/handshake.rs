//! Handshakes of TLS connections, on threads of their own: a signature takes 0.1 ms (ECDSA) to 7 ms (RSA-4096), and the
//! reactor answers hundreds of heartbeats in that time.
//!
//! After a restart a whole fleet reconnects. A device gives up after two seconds, and a handshake for a device that has given
//! up delays those that have not. So a handshake that has begun comes before a new one; a new one that has waited for too
//! long is refused; and one whose client is gone is skipped.

use super::reply::{ReactorEvent, Ticket};
use super::tls::TlsSession;
use crate::mailbox::MailboxSender;
use crate::startup::spawn;
use crossbeam_channel::{Receiver, Sender, bounded, select_biased, unbounded};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// One core stays for the reactor and the workers.
const MOST_THREADS: usize = 4;
/// New handshakes that wait; about a second of them with RSA-2048. Beyond it connections are closed at once.
const MOST_NEW: usize = 1024;
/// A new handshake that has waited for longer is refused: the device has less than two seconds for everything.
const PATIENCE: Duration = Duration::from_millis(1000);

/// Alive while the connection waits for its handshake.
pub(super) type Awaited = Arc<()>;

/// The threads, and the way to them.
pub(super) struct Handshakes {
    new: Sender<HandshakeJob>,
    /// Those that the client has answered; as many as there are connections at most.
    begun: Sender<HandshakeJob>,
}

/// A session with bytes of a handshake to be processed.
struct HandshakeJob {
    ticket: Ticket,
    session: TlsSession,
    awaited: Weak<()>,
    since: Instant,
    reactor: MailboxSender<ReactorEvent>,
}

/// Why a handshake is not continued now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany;

impl Handshakes {
    /// # Errors
    /// A thread cannot be started.
    pub(super) fn start() -> Result<Handshakes, String> {
        let (new, new_jobs) = bounded(MOST_NEW);
        let (begun, begun_jobs) = unbounded();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        for number in 1..=cores.saturating_sub(1).clamp(1, MOST_THREADS) {
            let (new_jobs, begun_jobs) = (new_jobs.clone(), begun_jobs.clone());
            spawn(&format!("tls-{number}"), move || work(&begun_jobs, &new_jobs))?;
        }
        Ok(Handshakes { new, begun })
    }

    /// Continues a handshake. The session returns with [`ReactorEvent::Handshake`] to who holds the value that this returns.
    pub(super) fn continue_with(
        &self,
        session: TlsSession,
        ticket: Ticket,
        reactor: MailboxSender<ReactorEvent>,
        now: Instant,
    ) -> Result<Awaited, TooMany> {
        let awaited = Arc::new(());
        let jobs = if session.has_begun() { &self.begun } else { &self.new };
        let job = HandshakeJob { ticket, session, awaited: Arc::downgrade(&awaited), since: now, reactor };
        jobs.try_send(job).map_err(|_| TooMany)?;
        Ok(awaited)
    }
}

/// Ends when the server has.
fn work(begun: &Receiver<HandshakeJob>, new: &Receiver<HandshakeJob>) {
    loop {
        let job = select_biased! {
            recv(begun) -> job => job,
            recv(new) -> job => job,
        };
        let Ok(job) = job else { return };
        job.process(Instant::now());
    }
}

impl HandshakeJob {
    fn process(mut self, now: Instant) {
        if self.awaited.strong_count() == 0 {
            return;
        }
        let is_late = !self.session.has_begun() && now.saturating_duration_since(self.since) > PATIENCE;
        if !is_late {
            self.session.process();
        }
        let session = Some(self.session).filter(|_| !is_late);
        // Fails only if the server has ended.
        self.reactor.try_send(ReactorEvent::Handshake(self.ticket, session));
    }
}
