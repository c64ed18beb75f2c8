//! What other threads tell the failover thread: a channel, and an eventfd that wakes its poll.

use crate::device::config;
use crate::device::heartbeat::delivery::Evidence;
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Acknowledged heartbeats between two looks; more tell nothing new.
const WAITING: usize = 16;
/// The thread never takes longer for a turn, or it hangs.
const STOP: Duration = Duration::from_millis(100);

/// All that can be told. No sender left means [`Order::Stop`].
#[derive(Debug)]
pub enum Order {
    /// A heartbeat was sent over this interface, and its result was known then.
    Heartbeat {
        interface: String,
        evidence: Evidence,
        /// It was sent there on purpose, whichever uplink is in use.
        copy: bool,
        at: Instant,
    },
    Reload(Box<config::Network>),
    /// Clean up and end.
    Stop,
}

/// The active uplink, once it is known to work: hearing the same again is no reason to wake up.
type Settled = Arc<Mutex<Option<String>>>;

fn lock(settled: &Settled) -> MutexGuard<'_, Option<String>> {
    settled.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The other threads' end. The last one that is dropped ends the failover thread.
#[derive(Debug)]
pub struct Orders {
    sender: Option<Sender<Order>>,
    wake: Arc<OwnedFd>,
    settled: Settled,
}

/// The failover thread's end.
#[derive(Debug)]
pub struct Inbox {
    receiver: Receiver<Order>,
    wake: Arc<OwnedFd>,
    settled: Settled,
}

/// # Errors
/// The process has no descriptor left.
pub fn orders() -> io::Result<(Orders, Inbox)> {
    let (sender, receiver) = bounded(WAITING);
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let settled = Settled::default();
    let orders = Orders { sender: Some(sender), wake: wake.clone(), settled: settled.clone() };
    Ok((orders, Inbox { receiver, wake, settled }))
}

impl Orders {
    /// A heartbeat, or a `copy` of one, was sent over `interface`. Wakes the thread only if that is something that it
    /// has to act upon; otherwise it finds this when it wakes next.
    pub fn heartbeat(&self, interface: &str, evidence: Evidence, copy: bool) {
        let Some(sender) = &self.sender else { return };
        let order = Order::Heartbeat { interface: interface.to_owned(), evidence, copy, at: Instant::now() };
        // Full of the same.
        let _ = sender.try_send(order);
        let settled = evidence.proves_uplink() && lock(&self.settled).as_deref() == Some(interface);
        if copy || !settled {
            self.wake();
        }
    }

    /// Waits only while the thread has 16 others to read.
    pub fn reload(&self, network: config::Network) {
        // The thread lives as long as it has senders.
        let delivered = self.sender.as_ref().is_some_and(|sender| {
            self.wake();
            sender.send(Order::Reload(Box::new(network))).is_ok()
        });
        debug_assert!(delivered);
        self.wake();
    }

    /// Whatever the other senders do: a heartbeat thread that hangs must not keep our routes alive.
    pub fn stop(&self) {
        let Some(sender) = &self.sender else { return };
        // Full of acknowledgements, which are read at once.
        self.wake();
        let _ = sender.send_timeout(Order::Stop, STOP);
        self.wake();
    }

    fn wake(&self) {
        // Full means that it is awake already.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

impl Clone for Orders {
    fn clone(&self) -> Orders {
        Orders { sender: self.sender.clone(), wake: self.wake.clone(), settled: self.settled.clone() }
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        // First, or the thread would wake up to a channel that has a sender.
        self.sender = None;
        self.wake();
    }
}

impl Inbox {
    /// The next order; [`Order::Stop`] once there are no senders.
    pub fn next(&self) -> Option<Order> {
        match self.receiver.try_recv() {
            Ok(order) => Some(order),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Order::Stop),
        }
    }

    /// Until the next wake-up.
    pub fn quiet(&self) {
        // Nothing to read means that something else woke the thread.
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
    }

    /// From now on the acknowledgement of a heartbeat over this interface tells nothing.
    pub fn settle(&self, interface: Option<&str>) {
        let mut settled = lock(&self.settled);
        if settled.as_deref() != interface {
            *settled = interface.map(str::to_owned);
        }
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn is_awake(inbox: &Inbox) -> bool {
        let mut fds = [PollFd::new(inbox, PollFlags::IN)];
        let awake = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).expect("polled") > 0;
        inbox.quiet();
        awake
    }

    #[test]
    fn only_news_wake_the_thread() {
        let (orders, inbox) = orders().expect("a descriptor");
        orders.heartbeat("eth0", Evidence::Delivered, false);
        assert!(is_awake(&inbox));
        inbox.settle(Some("eth0"));
        (0..100).for_each(|_| orders.heartbeat("eth0", Evidence::Delivered, false));
        assert!(!is_awake(&inbox));
        assert!(matches!(inbox.next(), Some(Order::Heartbeat { .. })), "but it is told");
        orders.heartbeat("wlan0", Evidence::Delivered, false);
        assert!(is_awake(&inbox));
        orders.heartbeat("eth0", Evidence::Lost, false);
        assert!(is_awake(&inbox));
        orders.heartbeat("eth0", Evidence::Delivered, true);
        assert!(is_awake(&inbox));
    }

    #[test]
    fn the_last_sender_that_goes_wakes_the_thread_to_end_it() {
        let (orders, inbox) = orders().expect("a descriptor");
        drop(orders.clone());
        assert!(is_awake(&inbox) && inbox.next().is_none());
        drop(orders);
        assert!(is_awake(&inbox) && matches!(inbox.next(), Some(Order::Stop)));
    }
}
