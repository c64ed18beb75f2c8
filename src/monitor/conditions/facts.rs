//! What one heartbeat says about conditions, borrowed from the request. Absent is never zero and never "fine".

use std::borrow::Cow;
use std::time::Duration;

/// Subjects of a machine that are judged; more are refused with one event. As many as a heartbeat can hold cameras.
pub const MAX_SUBJECTS: usize = crate::wire::MAX_CAMERAS;

/// The content of one heartbeat beside its numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts<'a> {
    pub boot_id: Option<Cow<'a, str>>,
    pub clock_synced: Option<bool>,
    pub fan_rpm: Option<f32>,
    pub wifi_dbm: Option<f32>,
    pub throttled: Option<ThrottleFacts>,
    /// The interface that the default route uses.
    pub active: Option<InterfaceName>,
    /// All configured ones, best first; empty if the daemon is too old to say.
    pub uplinks: Vec<UplinkFacts>,
    pub activity: ActivityFacts,
    pub recording: Option<RecordingFacts>,
    pub file_systems: Vec<FileSystemFacts<'a>>,
    pub cameras: Vec<CameraFacts<'a>>,
}

/// The firmware's present flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ThrottleFacts {
    pub under_voltage: bool,
    /// Throttled, or its frequency is capped.
    pub limited: bool,
}

/// A configured uplink of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UplinkFacts {
    pub name: InterfaceName,
    /// Packets may get through.
    pub works: bool,
    /// Time since it delivered a heartbeat or passed an upstream probe.
    pub proven: Option<Duration>,
}

/// The name of a network interface: at most 15 bytes (IFNAMSIZ).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceName {
    bytes: [u8; 15],
    length: u8,
}

impl InterfaceName {
    /// `None` if the name is empty or too long.
    pub fn new(name: &str) -> Option<InterfaceName> {
        let mut bytes = [0; 15];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        let length = u8::try_from(name.len()).ok().filter(|length| *length > 0)?;
        Some(InterfaceName { bytes, length })
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

/// Which activities are expected, and which are active; each in the order of [`crate::wire::ActivityName::ALL`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ActivityFacts {
    pub expected: [bool; 3],
    pub active: [Option<bool>; 3],
}

/// The file that is being recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RecordingFacts {
    pub size_mb: Option<f32>,
    /// Hash of its path.
    pub file: Option<u64>,
}

/// A file system of the device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileSystemFacts<'a> {
    pub path: Option<Cow<'a, str>>,
    pub read_only: Option<bool>,
    /// Errors that the kernel has counted: of the file system and of its disk.
    pub errors: Option<u32>,
    pub io_errors: Option<u32>,
}

/// A camera behind the device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CameraFacts<'a> {
    pub mac: Option<Cow<'a, str>>,
    pub hostname: Option<Cow<'a, str>>,
    /// `None`: unknown.
    pub is_connected: Option<bool>,
    /// Failed checks in a row; absent from older daemons.
    pub failed_checks: Option<u32>,
}
