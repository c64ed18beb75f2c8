//! What other threads tell the camera thread: a bounded channel, and a waker for its poll.

use super::camera::{Camera, DhcpEvent, NewCamera};
use crate::device::config;
use crate::device::host::Mac;
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use mio::Waker;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A DHCP server that starts tells all its leases at once.
const WAITING: usize = 256;
/// The thread never takes longer for a turn, but to write its state to a slow SD card, or it hangs.
const PATIENCE: Duration = Duration::from_millis(500);

/// Takes the list after a check of all cameras.
pub type Done = Box<dyn FnOnce(Arc<Vec<Camera>>) + Send>;

/// All that can be told.
pub enum Order {
    Add(NewCamera),
    Dhcp(DhcpEvent),
    /// One camera, or all; those of the configuration stay.
    Remove(Option<Mac>),
    Check(Done),
    Reload(Box<config::Cameras>),
    Stop,
}

/// The other threads' end.
#[derive(Clone)]
pub struct Orders {
    sender: Sender<Order>,
    waker: Arc<Waker>,
}

/// The camera thread's end.
pub struct Inbox(Receiver<Order>);

pub fn orders(waker: Waker) -> (Orders, Inbox) {
    let (sender, receiver) = bounded(WAITING);
    (Orders { sender, waker: Arc::new(waker) }, Inbox(receiver))
}

impl Orders {
    /// False if the inbox is full, or the thread has ended.
    pub fn send(&self, order: Order) -> bool {
        self.sender.try_send(order).is_ok() && self.wake()
    }

    /// The same, and waits a moment for room.
    pub fn insist(&self, order: Order) -> bool {
        self.sender.send_timeout(order, PATIENCE).is_ok() && self.wake()
    }

    fn wake(&self) -> bool {
        // It cannot fail while there is memory, and then the next order wakes.
        self.waker.wake().is_ok()
    }
}

impl fmt::Debug for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Orders({} waiting)", self.sender.len())
    }
}

impl Inbox {
    /// The next order; `None` if there is none now. Without anybody left to send one it is [`Order::Stop`].
    pub fn next(&self) -> Option<Order> {
        match self.0.try_recv() {
            Ok(order) => Some(order),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Order::Stop),
        }
    }
}
