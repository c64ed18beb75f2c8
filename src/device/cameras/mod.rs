//! Monitors the LAN's cameras: one thread checks all of them at the same time, on one `poll`.
//!
//! ```text
//! configuration, API, DHCP, leases ─► roster ── CameraCheck ─► checks ─► sockets
//!                                       ▲ └─► list, state file, trigger │
//!                                       └────────── CheckResult ◄───────┘
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | `camera` | the public view of a camera, and messages about cameras |
//! | `event` | what other threads send to the thread |
//! | `watch` | the loop |
//! | `roster`, `tracked`, `uptime`, `pattern` | the list of cameras and their state: pure |
//! | `check`, `problem` | one check and its result |
//! | `checks`, `connection`, `ping`, `protocol` | running many checks at the same time |
//! | `pending` | requests that wait for a check of all cameras |
//! | `leases`, `arp` | dnsmasq's and the kernel's tables |
//! | `state`, `doctor` | what survives a restart; what `doctor` reports |

mod arp;
mod camera;
mod check;
mod checks;
mod connection;
mod doctor;
mod event;
mod leases;
mod pattern;
mod pending;
mod ping;
mod problem;
mod protocol;
mod roster;
mod state;
mod tracked;
mod uptime;
mod watch;

use super::config;
use crate::latest::Latest;
pub use crate::mac::Mac;
use crate::mailbox::{self, Mailbox, MailboxSender};
pub use camera::{CameraInfo, CameraOrigin, DhcpAction, DhcpEvent, Method, NewCamera, Status};
pub use doctor::examine;
pub use event::CheckDone;
use event::{CAPACITY, CameraEvent, ROOM};
use mio::{Poll, Token, Waker};
pub use state::NAME as STATE;
use std::io;
use std::sync::Arc;
pub use watch::CameraContext;
use watch::CameraWatch;

/// Of the waker; those of the sockets follow.
const WAKE: Token = Token(0);

/// The other threads' end of the camera thread.
#[derive(Debug, Clone)]
pub struct CamerasHandle {
    list: Arc<Latest<Vec<CameraInfo>>>,
    sender: MailboxSender<CameraEvent>,
}

/// The thread's end.
pub struct CameraThread {
    watch: CameraWatch,
    poll: Poll,
    mailbox: Mailbox<CameraEvent>,
}

/// Makes the thread's two ends. The list begins with the cameras of an earlier run.
pub fn new(config: config::Cameras, context: CameraContext) -> io::Result<(CamerasHandle, CameraThread)> {
    let poll = Poll::new()?;
    let waker = Waker::new(poll.registry(), WAKE)?;
    // It cannot fail while there is memory.
    let (sender, mailbox) = mailbox::bounded(CAPACITY, move || _ = waker.wake());
    let list = Arc::new(Latest::default());
    let watch = CameraWatch::new(&poll, config, context, list.clone())?;
    Ok((CamerasHandle { list, sender }, CameraThread { watch, poll, mailbox }))
}

impl CameraThread {
    pub fn run(self) {
        self.watch.run(self.poll, &self.mailbox);
    }
}

impl CamerasHandle {
    /// All cameras by their MAC addresses, as they are known now. Never waits for the thread.
    pub fn list(&self) -> Arc<Vec<CameraInfo>> {
        self.list.get()
    }

    /// The list alone, for readers that send the thread nothing.
    pub fn latest(&self) -> Arc<Latest<Vec<CameraInfo>>> {
        self.list.clone()
    }

    /// Adds or updates a camera. False if the thread's mailbox is full.
    pub fn add(&self, new: NewCamera) -> bool {
        self.sender.try_send(CameraEvent::Add(new))
    }

    /// Passes on a DHCP event. False if the thread's mailbox is full.
    pub fn dhcp(&self, event: DhcpEvent) -> bool {
        self.sender.try_send(CameraEvent::Dhcp(event))
    }

    /// Removes one camera, or all; those of the configuration stay. False if the thread's mailbox is full.
    pub fn remove(&self, camera: Option<Mac>) -> bool {
        self.sender.try_send(CameraEvent::Remove(camera))
    }

    /// Has all cameras checked now; `done` runs on the camera thread when each one has answered or failed. False if the
    /// thread's mailbox is full. Where the thread ends before, or sixteen wait already, `done` is dropped instead.
    pub fn check(&self, done: CheckDone) -> bool {
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
