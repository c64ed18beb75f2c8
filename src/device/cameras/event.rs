//! Everything that other threads send to the camera thread.

use super::camera::{CameraInfo, DhcpEvent, NewCamera};
use crate::device::config;
use crate::mac::Mac;
use std::sync::Arc;
use std::time::Duration;

/// A DHCP server that starts reports all its leases at once. A full mailbox refuses what the API and DHCP send; a
/// reload and the stop wait [`ROOM`] for a place.
pub const CAPACITY: usize = 256;
/// A turn of the thread takes less, even with a slow SD card to write its state to; otherwise it hangs.
pub const ROOM: Duration = Duration::from_millis(500);

/// Takes the list after a check of all cameras.
pub type CheckDone = Box<dyn FnOnce(Arc<Vec<CameraInfo>>) + Send>;

/// A disconnected mailbox means [`CameraEvent::Stop`].
pub enum CameraEvent {
    Add(NewCamera),
    Dhcp(DhcpEvent),
    /// One camera, or all; those of the configuration stay.
    Remove(Option<Mac>),
    Check(CheckDone),
    Reload(Box<config::Cameras>),
    Stop,
}
