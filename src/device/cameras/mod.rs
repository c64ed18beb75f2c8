//! Watches the LAN's cameras: one thread that checks all of them at the same time.

mod camera;
mod inbox;

use super::config;
pub use super::host::Mac;
use super::latest::Latest;
pub use camera::{Camera, DhcpAction, DhcpEvent, Method, NewCamera, Origin, Status};
pub use inbox::Done;
use inbox::{Order, Orders};
use std::sync::Arc;

/// The other threads' end of the camera thread.
#[derive(Debug, Clone)]
pub struct Cameras {
    list: Arc<Latest<Vec<Camera>>>,
    orders: Orders,
}

impl Cameras {
    /// All cameras by their MAC addresses, as they are known now. Never waits for the thread.
    pub fn list(&self) -> Arc<Vec<Camera>> {
        self.list.get()
    }

    /// Adds a camera, or what is new of one that is known. False if the thread's inbox is full.
    pub fn add(&self, new: NewCamera) -> bool {
        self.orders.send(Order::Add(new))
    }

    /// Tells what DHCP said. False if the thread's inbox is full.
    pub fn dhcp(&self, event: DhcpEvent) -> bool {
        self.orders.send(Order::Dhcp(event))
    }

    /// Has all cameras checked now; `done` runs on the camera thread when each one has answered or failed. False if the
    /// thread's inbox is full. Where the thread ends before, or too many wait already, `done` is dropped instead.
    pub fn check(&self, done: Done) -> bool {
        self.orders.send(Order::Check(done))
    }

    pub fn reload(&self, config: config::Cameras) {
        // There is room for it, or the thread hangs.
        let _ = self.orders.insist(Order::Reload(Box::new(config)));
    }

    /// Saves the state and ends the thread.
    pub fn stop(&self) {
        let _ = self.orders.insist(Order::Stop);
    }
}
