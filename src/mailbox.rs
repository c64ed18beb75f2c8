//! Messages to a thread that polls sockets: a channel, and a wake-up for the poll that the thread sleeps in.
//!
//! The thread calls [`Mailbox::park`] before its poll and [`Mailbox::unpark`] after it. A message that arrives in
//! between wakes the poll; a message that arrives while the thread runs costs no system call, because the thread looks
//! into its mailbox before it sleeps.

use crossbeam_channel::{Receiver, Sender, TryRecvError};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The sending end. When the last clone is dropped, the receiver wakes and finds the mailbox disconnected.
pub struct MailboxSender<T> {
    /// Dropped before `last`: fields are dropped in the order of their declaration.
    sender: Sender<T>,
    last: Arc<LastSender>,
}

/// The receiving end.
pub struct Mailbox<T> {
    receiver: Receiver<T>,
    parking: Arc<Parking>,
}

struct Parking {
    /// The receiver will look into the channel before it sleeps.
    awake: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
}

/// Wakes the receiver when the last sender is gone.
struct LastSender(Arc<Parking>);

/// A mailbox for up to `capacity` messages; what happens at the bound is the sender's choice of method. `wake` ends the
/// receiver's poll, and the poll that follows if none is running.
pub fn bounded<T>(
    capacity: usize,
    wake: impl Fn() + Send + Sync + 'static,
) -> (MailboxSender<T>, Mailbox<T>) {
    with_wake(crossbeam_channel::bounded(capacity), wake)
}

/// A mailbox for messages whose number is bounded elsewhere.
pub fn unbounded<T>(wake: impl Fn() + Send + Sync + 'static) -> (MailboxSender<T>, Mailbox<T>) {
    with_wake(crossbeam_channel::unbounded(), wake)
}

fn with_wake<T>(
    (sender, receiver): (Sender<T>, Receiver<T>),
    wake: impl Fn() + Send + Sync + 'static,
) -> (MailboxSender<T>, Mailbox<T>) {
    let parking = Arc::new(Parking { awake: AtomicBool::new(true), wake: Box::new(wake) });
    let last = Arc::new(LastSender(parking.clone()));
    (MailboxSender { sender, last }, Mailbox { receiver, parking })
}

impl Parking {
    /// Follows the message: a sender that finds `awake` set has sent before the receiver cleared it, and so before the
    /// receiver looks. "Wake if the channel was empty" would lose wake-ups: in a prototype the p99 was 950 ms.
    fn wake(&self) {
        if !self.awake.swap(true, Ordering::SeqCst) {
            (self.wake)();
        }
    }
}

impl<T> MailboxSender<T> {
    /// Sends and wakes the receiver. False if the mailbox is full or the receiver is gone.
    pub fn try_send(&self, message: T) -> bool {
        self.send_silently(message) && {
            self.wake();
            true
        }
    }

    /// Sends without a wake-up: the receiver finds the message when it wakes next. False if the mailbox is full or the
    /// receiver is gone.
    pub fn send_silently(&self, message: T) -> bool {
        self.sender.try_send(message).is_ok()
    }

    /// Sends and wakes the receiver; waits up to `limit` for room. False if there was none, or the receiver is gone.
    pub fn send_timeout(&self, message: T, limit: Duration) -> bool {
        // The mailbox may be full of messages that were sent silently.
        self.wake();
        let sent = self.sender.send_timeout(message, limit).is_ok();
        self.wake();
        sent
    }

    pub fn wake(&self) {
        self.last.0.wake();
    }
}

impl<T> Mailbox<T> {
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.receiver.try_recv()
    }

    /// Waits for a message instead of polling; `None` if there is none after `limit`.
    pub fn recv_timeout(&self, limit: Duration) -> Option<T> {
        self.receiver.recv_timeout(limit).ok()
    }

    /// The thread is about to poll. False if a message is pending, and the poll must not wait.
    #[must_use]
    pub fn park(&self) -> bool {
        self.parking.awake.swap(false, Ordering::SeqCst);
        self.receiver.is_empty()
    }

    /// The poll has returned.
    pub fn unpark(&self) {
        self.parking.awake.swap(true, Ordering::SeqCst);
    }
}

impl<T> Clone for MailboxSender<T> {
    fn clone(&self) -> MailboxSender<T> {
        MailboxSender { sender: self.sender.clone(), last: self.last.clone() }
    }
}

impl<T> fmt::Debug for MailboxSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MailboxSender({} pending)", self.sender.len())
    }
}

impl<T> fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({} pending)", self.receiver.len())
    }
}

impl Drop for LastSender {
    fn drop(&mut self) {
        // Even if the receiver is awake: it may have looked for messages already, and this one is not in the channel.
        (self.0.wake)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{Receiver, unbounded as channel};
    use std::thread;

    /// A mailbox of two places, and its wake-ups.
    fn mailbox() -> (MailboxSender<u32>, Mailbox<u32>, Receiver<()>) {
        let (wake, woken) = channel();
        let (sender, mailbox) = bounded(2, move || _ = wake.send(()));
        (sender, mailbox, woken)
    }

    fn wakes(woken: &Receiver<()>) -> usize {
        woken.try_iter().count()
    }

    #[test]
    fn only_a_parked_receiver_is_woken_and_only_once() {
        let (sender, mailbox, woken) = mailbox();
        assert!(sender.try_send(1));
        assert_eq!((wakes(&woken), mailbox.park()), (0, false), "a message is pending");
        mailbox.unpark();
        assert_eq!((mailbox.try_recv(), mailbox.try_recv()), (Ok(1), Err(TryRecvError::Empty)));
        assert!(mailbox.park());
        assert!(sender.try_send(2) && sender.try_send(3));
        assert_eq!(wakes(&woken), 1);
        mailbox.unpark();
        sender.wake();
        assert_eq!(wakes(&woken), 0);
    }

    #[test]
    fn a_full_mailbox_refuses_and_a_silent_message_wakes_no_thread() {
        let (sender, mailbox, woken) = mailbox();
        assert!(mailbox.park());
        assert!(sender.send_silently(1) && sender.send_silently(2) && !sender.send_silently(3));
        assert!(!sender.try_send(3));
        assert_eq!(wakes(&woken), 0);
        assert!(!sender.send_timeout(3, Duration::from_millis(1)));
        assert_eq!(wakes(&woken), 1, "so that the receiver makes room");
        assert_eq!(mailbox.try_recv(), Ok(1));
        assert!(sender.send_timeout(3, Duration::ZERO));
    }

    #[test]
    fn the_last_sender_that_is_dropped_wakes_the_receiver_to_the_end() {
        let (sender, mailbox, woken) = mailbox();
        drop(sender.clone());
        assert_eq!((wakes(&woken), mailbox.try_recv()), (0, Err(TryRecvError::Empty)));
        assert!(sender.try_send(1));
        drop(sender);
        assert_eq!(wakes(&woken), 1);
        assert_eq!((mailbox.try_recv(), mailbox.try_recv()), (Ok(1), Err(TryRecvError::Disconnected)));
    }

    #[test]
    fn no_wake_up_is_lost_between_four_senders_and_a_receiver() {
        const EACH: usize = 5_000;
        let (wake, woken) = channel();
        let (sender, mailbox) = unbounded(move || _ = wake.send(()));
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let sender = sender.clone();
                thread::spawn(move || (0..EACH).for_each(|number| assert!(sender.try_send(number))))
            })
            .collect();
        drop(sender);
        let mut received = 0;
        loop {
            match mailbox.try_recv() {
                Ok(_) => received += 1,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    if mailbox.park() {
                        woken.recv_timeout(Duration::from_secs(10)).expect("a wake-up");
                    }
                    mailbox.unpark();
                }
            }
        }
        senders.into_iter().for_each(|sender| sender.join().expect("no panic"));
        assert_eq!(received, 4 * EACH);
    }
}
