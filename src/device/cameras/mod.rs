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
//! | `event` | what other threads send to the thread |
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
mod event;
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
use crate::mailbox::{self, Mailbox, MailboxSender};
pub use camera::{Camera, DhcpAction, DhcpEvent, Method, NewCamera, Origin, Status};
pub use doctor::examine;
pub use event::Done;
use event::{CAPACITY, CameraEvent, ROOM};
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
    sender: MailboxSender<CameraEvent>,
}

/// What the thread runs, until it is told to stop.
pub struct Thread {
    watch: Watch,
    poll: Poll,
    mailbox: Mailbox<CameraEvent>,
}

/// Makes the thread's two ends. What was known in an earlier run is in the list already.
///
/// # Errors
/// No descriptor is left.
pub fn new(config: config::Cameras, outside: Outside) -> io::Result<(Cameras, Thread)> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), WAKE)?;
    // It cannot fail while there is memory.
    let (sender, mailbox) = mailbox::bounded(CAPACITY, move || _ = waker.wake());
    let list = Arc::new(Latest::default());
    let watch = Watch::new(&poll, config, outside, list.clone())?;
    Ok((Cameras { list, sender }, Thread { watch, poll, mailbox }))
}

impl Thread {
    pub fn run(self) {
        self.watch.run(self.poll, &self.mailbox);
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

    /// Adds a camera, or what is new of one that is known. False if the thread's mailbox is full.
    pub fn add(&self, new: NewCamera) -> bool {
        self.sender.try_send(CameraEvent::Add(new))
    }

    /// Tells what DHCP said. False if the thread's mailbox is full.
    pub fn dhcp(&self, event: DhcpEvent) -> bool {
        self.sender.try_send(CameraEvent::Dhcp(event))
    }

    /// Removes one camera, or all; those of the configuration stay. False if the thread's mailbox is full.
    pub fn remove(&self, camera: Option<Mac>) -> bool {
        self.sender.try_send(CameraEvent::Remove(camera))
    }

    /// Has all cameras checked now; `done` runs on the camera thread when each one has answered or failed. False if the
    /// thread's mailbox is full. Where the thread ends before, or sixteen wait already, `done` is dropped instead.
    pub fn check(&self, done: Done) -> bool {
        self.sender.try_send(CameraEvent::Check(done))
    }

    pub fn reload(&self, config: config::Cameras) {
        if !self.sender.send_timeout(CameraEvent::Reload(Box::new(config)), ROOM) {
            log::error!("cameras: the thread does not take the new configuration");
        }
    }

    /// Saves the state and ends the thread.
    pub fn stop(&self) {
        let _ = self.sender.send_timeout(CameraEvent::Stop, ROOM);
    }
}
