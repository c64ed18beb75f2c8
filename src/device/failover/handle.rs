//! The failover thread's mailbox: what other threads send to it, and the eventfd that wakes its poll.

use super::proofs::UplinkProofs;
use super::status::{CommandDone, FailoverCommand};
use crate::device::config;
use crate::device::heartbeat::delivery::Evidence;
use crate::mailbox::{self, Mailbox, MailboxSender};
use crossbeam_channel::TryRecvError;
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Heartbeats between two turns of the thread. A full mailbox drops further ones: they would repeat what is in it.
const CAPACITY: usize = 16;
/// A turn of the thread takes less, or it hangs.
const ROOM: Duration = Duration::from_millis(100);

/// Everything that other threads send to the failover thread.
pub enum FailoverEvent {
    /// A heartbeat was sent over this interface, with its result at that time.
    Heartbeat {
        interface: String,
        evidence: Evidence,
        /// It was sent there on purpose, whichever uplink is in use.
        copy: bool,
        at: Instant,
    },
    /// A manual override, or its end.
    Command(FailoverCommand, CommandDone),
    Reload(Box<config::Network>),
    /// Clean up and end. A disconnected mailbox means the same.
    Stop,
}

/// The active uplink once it is known to work: one more acknowledgement over it is no reason to wake the thread.
type Settled = Arc<Mutex<Option<String>>>;

fn lock(settled: &Settled) -> MutexGuard<'_, Option<String>> {
    settled.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The other threads' end. The failover thread ends when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Failover {
    sender: MailboxSender<FailoverEvent>,
    settled: Settled,
    proofs: UplinkProofs,
}

/// The failover thread's end.
#[derive(Debug)]
pub struct FailoverMailbox {
    mailbox: Mailbox<FailoverEvent>,
    wake: Arc<OwnedFd>,
    settled: Settled,
    proofs: UplinkProofs,
}

pub fn failover() -> io::Result<(Failover, FailoverMailbox)> {
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let written = wake.clone();
    // It fails only if the counter is full, and then the thread is awake.
    let (sender, mailbox) =
        mailbox::bounded(CAPACITY, move || _ = rustix::io::write(&*written, &1_u64.to_ne_bytes()));
    let (settled, proofs) = (Settled::default(), UplinkProofs::default());
    let handle = Failover { sender, settled: settled.clone(), proofs: proofs.clone() };
    Ok((handle, FailoverMailbox { mailbox, wake, settled, proofs }))
}

impl Failover {
    /// Reports a heartbeat, or a `copy` of one, that was sent over `interface`. Wakes the thread only if it has to act
    /// on it; otherwise the thread finds the report when it wakes next.
    pub fn report_heartbeat(&self, interface: &str, evidence: Evidence, copy: bool) {
        let at = Instant::now();
        if evidence.proves_uplink() {
            self.proofs.note(interface, at);
        }
        let event = FailoverEvent::Heartbeat { interface: interface.to_owned(), evidence, copy, at };
        let sent = self.sender.send_silently(event);
        let settled = evidence.proves_uplink() && lock(&self.settled).as_deref() == Some(interface);
        if copy || !settled || !sent {
            self.sender.wake();
        }
    }

    /// Time since an acknowledged heartbeat or an upstream probe proved that `interface` works; `None` if neither has
    /// since the daemon started.
    pub fn proven(&self, interface: &str, now: Instant) -> Option<Duration> {
        self.proofs.age(interface, now)
    }

    /// Runs a command and calls `done` with its result; drops `done` if the mailbox is full.
    pub fn command(&self, command: FailoverCommand, done: CommandDone) {
        self.sender.try_send(FailoverEvent::Command(command, done));
    }

    /// False if the thread hangs.
    pub fn reload(&self, network: config::Network) -> bool {
        self.sender.send_timeout(FailoverEvent::Reload(Box::new(network)), ROOM)
    }

    /// Ends the thread although there are other senders: a heartbeat thread that hangs must not keep our routes alive.
    pub fn stop(&self) {
        let _ = self.sender.send_timeout(FailoverEvent::Stop, ROOM);
    }
}

impl FailoverMailbox {
    /// The next event; [`FailoverEvent::Stop`] once there are no senders.
    pub fn next(&self) -> Option<FailoverEvent> {
        match self.mailbox.try_recv() {
            Ok(event) => Some(event),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(FailoverEvent::Stop),
        }
    }

    /// How long the next poll may wait: not at all if an event is pending.
    pub fn park(&self, wait: Option<Duration>) -> Option<Duration> {
        if self.mailbox.park() { wait } else { Some(Duration::ZERO) }
    }

    /// The poll has returned; `woken`: this mailbox's descriptor is readable.
    pub fn unpark(&self, woken: bool) {
        self.mailbox.unpark();
        if woken {
            let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
        }
    }

    /// An upstream probe over this interface has passed.
    pub fn note_proof(&self, interface: &str, at: Instant) {
        self.proofs.note(interface, at);
    }

    /// From now on an acknowledgement over this interface does not wake the thread.
    pub fn settle(&self, interface: Option<&str>) {
        let mut settled = lock(&self.settled);
        if settled.as_deref() != interface {
            *settled = interface.map(str::to_owned);
        }
    }
}

impl AsFd for FailoverMailbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::os::wait::wait_for;
    use rustix::event::{PollFd, PollFlags};

    /// Whether the thread would wake: nothing is pending when it parks, and then `act` happens.
    fn is_woken_by(mailbox: &FailoverMailbox, act: impl FnOnce()) -> bool {
        while let Some(FailoverEvent::Heartbeat { .. }) = mailbox.next() {}
        assert_eq!(mailbox.park(None), None);
        act();
        let woken =
            wait_for(&mut [PollFd::new(mailbox, PollFlags::IN)], Some(Duration::ZERO)).expect("polled");
        mailbox.unpark(woken);
        woken
    }

    #[test]
    fn only_news_wake_the_thread() {
        let (failover, mailbox) = failover().expect("a descriptor");
        let wakes = |interface: &str, evidence, copy| {
            is_woken_by(&mailbox, || failover.report_heartbeat(interface, evidence, copy))
        };
        assert!(wakes("eth0", Evidence::Delivered, false));
        mailbox.settle(Some("eth0"));
        assert!(!wakes("eth0", Evidence::Delivered, false));
        assert!(matches!(mailbox.next(), Some(FailoverEvent::Heartbeat { .. })), "but it is there");
        assert!(wakes("wlan0", Evidence::Delivered, false));
        assert!(wakes("eth0", Evidence::Lost, false));
        assert!(wakes("eth0", Evidence::Delivered, true));
        let many =
            || (0..=CAPACITY).for_each(|_| failover.report_heartbeat("eth0", Evidence::Delivered, false));
        assert!(is_woken_by(&mailbox, many), "to make room");
    }

    #[test]
    fn the_last_sender_that_is_dropped_wakes_the_thread_to_end_it() {
        let (failover, mailbox) = failover().expect("a descriptor");
        assert!(!is_woken_by(&mailbox, || drop(failover.clone())));
        assert!(is_woken_by(&mailbox, || drop(failover)));
        assert!(matches!(mailbox.next(), Some(FailoverEvent::Stop)));
    }
}
