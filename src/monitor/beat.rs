//! A heartbeat of any origin, in the one form that is used inside.

use std::time::Duration;

/// What ingest has made of a request. Who sent it was authenticated before; when, the monitor's clock says.
#[derive(Debug, Clone, PartialEq)]
pub struct Beat {
    pub kind: Kind,
    /// The device's own id of this heartbeat: tells one that was sent twice.
    pub id: Option<String>,
    /// How long the device means to wait before its next one.
    pub interval: Option<Duration>,
    pub hostname: Option<String>,
    pub hardware_id: Option<String>,
    pub sample: Sample,
    /// What was sent, as JSON, with the fields that we do not know; at most `wire::MAX_BODY` bytes.
    pub payload: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The device is alive now.
    Live,
    /// It was alive so long ago: fills the history, never counts as being alive.
    Replay { age: Duration },
    /// It is being stopped on purpose.
    Farewell,
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
    pub signal: Option<u8>,
}
