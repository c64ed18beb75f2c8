//! A heartbeat inside the monitor, the same for all formats.

use crate::monitor::conditions::facts::Facts;
use crate::monitor::machine::DeviceServer;
use crate::wire::Reason;
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// A live heartbeat, mostly borrowed from the request. The machine was authenticated before; the time is the monitor's.
#[derive(Debug, Clone, PartialEq)]
pub struct Beat<'a> {
    pub kind: BeatKind,
    /// Why it was sent; `None`: the format does not say, or it is a reason of a later version.
    pub reason: Option<Reason>,
    /// What this monitor is to the device.
    pub server: DeviceServer,
    /// The time until the device sends its next heartbeat.
    pub interval: Option<Duration>,
    pub hostname: Option<Cow<'a, str>>,
    /// `None`: the format names no device.
    pub device: Option<DeviceId>,
    pub sample: Sample,
    /// What conditions are judged by.
    pub facts: Facts<'a>,
    /// The JSON as sent, with unknown fields.
    pub payload: &'a str,
}

/// Distinguishes devices that use the same token: a hash of the hardware id, and one of the boot id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceId {
    board: u32,
    boot: u32,
}

impl DeviceId {
    /// `None` without either.
    pub fn of(hardware_id: Option<&str>, boot_id: Option<&str>) -> Option<DeviceId> {
        if hardware_id.is_none() && boot_id.is_none() {
            return None;
        }
        Some(DeviceId { board: hash(hardware_id), boot: hash(boot_id) })
    }

    /// Whether only the boot ids differ: a reboot, or the copy of a card on a board without a serial number, where a MAC
    /// address is remembered.
    pub fn has_board_of(self, other: DeviceId) -> bool {
        self.board == other.board
    }
}

fn hash(id: Option<&str>) -> u32 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish() as u32
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeatKind {
    /// The device is alive.
    Live,
    /// The device is shutting down.
    Shutdown,
}

/// A sample recorded while the device was offline. It fills the history and is never a sign of life, so it is not a
/// [`Beat`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Replay {
    /// Age of the sample by the device's monotonic clock.
    pub age: Duration,
    pub sample: Sample,
}

/// The values kept as history. `None` if absent, never 0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Percent.
    pub cpu: Option<f32>,
    /// Percent.
    pub mem: Option<f32>,
    /// °C.
    pub temp: Option<f32>,
    /// Percent of the reported file system.
    pub disk: Option<f32>,
    /// W.
    pub power: Option<f32>,
    /// Run queue over one minute.
    pub load: Option<f32>,
    /// Percent.
    pub signal: Option<f32>,
}

/// Number of values in a [`Sample`].
pub const FIGURES: usize = 7;

impl Sample {
    pub fn figures(&self) -> [Option<f32>; FIGURES] {
        [self.cpu, self.mem, self.temp, self.disk, self.power, self.load, self.signal]
    }

    pub fn of(figures: [Option<f32>; FIGURES]) -> Sample {
        let [cpu, mem, temp, disk, power, load, signal] = figures;
        Sample { cpu, mem, temp, disk, power, load, signal }
    }
}
