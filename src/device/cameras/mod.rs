//! Watches the LAN's cameras: one thread that checks all of them at the same time, on one `poll`.
//!
//! ```text
//! configuration, API, DHCP, leases ─► roster ── Question ─► checks ─► sockets
//!                                       ▲ └─► list, state file, trigger │
//!                                       └─────────── Answer ◄───────────┘
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | `camera` | a camera as others see it |
//! | `inbox` | what others tell the thread |
//! | `watch` | the loop: what is waited for, and what follows from it |
//! | `roster`, `known`, `uptime`, `pattern` | which cameras there are, and how they are: pure |
//! | `checks`, `connection`, `ping`, `question`, `problem` | asking many of them at the same time |
//! | `rounds` | who waits for a check of all |
//! | `leases`, `arp` | what dnsmasq and the kernel know of them |
//! | `state`, `doctor` | what survives a restart; what can be said without the thread |

mod arp;
mod camera;
mod checks;
mod connection;
mod doctor;
mod inbox;
mod known;
mod leases;
mod pattern;
mod ping;
mod problem;
mod question;
mod roster;
mod rounds;
mod state;
mod uptime;
mod watch;

use super::config;
pub use super::host::Mac;
use crate::latest::Latest;
pub use camera::{Camera, DhcpAction, DhcpEvent, Method, NewCamera, Origin, Status};
pub use doctor::examine;
pub use inbox::Done;
use inbox::{Inbox, Order, Orders};
use mio::{Poll, Token, Waker};
pub use state::NAME as STATE;
use std::io;
use std::sync::Arc;
pub use watch::Outside;
use watch::Watch;

/// Of the waker; those of the sockets follow.
const WAKE: Token = Token(0);

/// The other threads' end of the camera thread.
#[derive(Debug, Clone)]
pub struct Cameras {
    list: Arc<Latest<Vec<Camera>>>,
    orders: Orders,
}

/// What the thread runs, until it is told to stop.
pub struct Thread {
    watch: Watch,
    poll: Poll,
    inbox: Inbox,
}

/// Makes the thread's two ends. What was known in an earlier run is in the list already.
///
/// # Errors
/// No descriptor is left.
pub fn new(config: config::Cameras, outside: Outside) -> io::Result<(Cameras, Thread)> {
    let poll = Poll::new()?;
    let (orders, inbox) = inbox::orders(Waker::new(poll.registry(), WAKE)?);
    let list = Arc::new(Latest::default());
    let watch = Watch::new(&poll, config, outside, list.clone())?;
    Ok((Cameras { list, orders }, Thread { watch, poll, inbox }))
}

impl Thread {
    pub fn run(self) {
        self.watch.run(self.poll, &self.inbox);
    }
}

impl Cameras {
    /// All cameras by their MAC addresses, as they are known now. Never waits for the thread.
    pub fn list(&self) -> Arc<Vec<Camera>> {
        self.list.get()
    }

    /// The list alone, for whoever has nothing to tell the thread.
    pub fn latest(&self) -> Arc<Latest<Vec<Camera>>> {
        self.list.clone()
    }

    /// Adds a camera, or what is new of one that is known. False if the thread's inbox is full.
    pub fn add(&self, new: NewCamera) -> bool {
        self.orders.send(Order::Add(new))
    }

    /// Tells what DHCP said. False if the thread's inbox is full.
    pub fn dhcp(&self, event: DhcpEvent) -> bool {
        self.orders.send(Order::Dhcp(event))
    }

    /// Removes one camera, or all; those of the configuration stay. False if the thread's inbox is full.
    pub fn remove(&self, camera: Option<Mac>) -> bool {
        self.orders.send(Order::Remove(camera))
    }

    /// Has all cameras checked now; `done` runs on the camera thread when each one has answered or failed. False if the
    /// thread's inbox is full. Where the thread ends before, or sixteen wait already, `done` is dropped instead.
    pub fn check(&self, done: Done) -> bool {
        self.orders.send(Order::Check(done))
    }

    pub fn reload(&self, config: config::Cameras) {
        if !self.orders.insist(Order::Reload(Box::new(config))) {
            log::error!("cameras: the thread does not take the new configuration");
        }
    }

    /// Saves the state and ends the thread.
    pub fn stop(&self) {
        let _ = self.orders.insist(Order::Stop);
    }
}
