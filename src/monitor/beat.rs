//! A heartbeat of any origin, in the one form that is used inside.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// What a device says of this moment, most of it borrowed from the request. Who sent it was authenticated before;
/// when, the monitor's clock says.
#[derive(Debug, Clone, PartialEq)]
pub struct Beat<'a> {
    pub kind: BeatKind,
    /// How long the device means to wait before its next one.
    pub interval: Option<Duration>,
    pub hostname: Option<Cow<'a, str>>,
    /// `None`: the format names no device.
    pub device: Option<DeviceId>,
    pub sample: Sample,
    /// What was sent, as JSON, with the fields that we do not know.
    pub payload: &'a str,
}

/// Tells devices apart that send in one machine's name: a hash of hardware id and boot id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceId(u64);

impl DeviceId {
    /// `None` without either.
    pub fn of(hardware_id: Option<&str>, boot_id: Option<&str>) -> Option<DeviceId> {
        if hardware_id.is_none() && boot_id.is_none() {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        (hardware_id, boot_id).hash(&mut hasher);
        Some(DeviceId(hasher.finish()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeatKind {
    /// The device is alive.
    Live,
    /// It is being stopped on purpose.
    Farewell,
}

/// What a device says of a moment at which nobody listened. It fills the history and never counts as being alive,
/// which is why it is no [`Beat`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Replay {
    /// How long ago that was, by the device's monotonic clock.
    pub age: Duration,
    pub sample: Sample,
}

/// The figures that are kept as history. Absent is never zero.
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

/// How many figures a [`Sample`] has.
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
