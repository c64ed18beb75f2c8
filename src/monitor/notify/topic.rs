//! What a recipient can choose to be notified about.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One word of `recipient set --events`, and of `recipient.events` in the database. Names never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// A machine is late.
    Offline,
    /// A machine is back.
    Online,
    /// A machine announced that it is being stopped.
    Stopped,
    /// A machine or one of its conditions begins and ends too often.
    Flapping,
    /// Cameras behind a machine.
    Camera,
    /// Supply voltage, throttling, unexpected reboots.
    Power,
    /// Temperature and fan.
    Heat,
    /// Fill and faults of file systems, and memory.
    Disk,
    /// Uplinks and Wi-Fi signal.
    Uplink,
    /// Streaming, tracking and recording.
    Activity,
    /// A wrong clock.
    Clock,
    /// A machine that was set up wrongly.
    Setup,
}

impl Topic {
    pub const ALL: [Topic; 12] = [
        Topic::Offline,
        Topic::Online,
        Topic::Stopped,
        Topic::Flapping,
        Topic::Camera,
        Topic::Power,
        Topic::Heat,
        Topic::Disk,
        Topic::Uplink,
        Topic::Activity,
        Topic::Clock,
        Topic::Setup,
    ];

    /// The word that is typed, stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Topic::Offline => "offline",
            Topic::Online => "online",
            Topic::Stopped => "stopped",
            Topic::Flapping => "flapping",
            Topic::Camera => "camera",
            Topic::Power => "power",
            Topic::Heat => "heat",
            Topic::Disk => "disk",
            Topic::Uplink => "uplink",
            Topic::Activity => "activity",
            Topic::Clock => "clock",
            Topic::Setup => "setup",
        }
    }

    pub fn from_name(name: &str) -> Option<Topic> {
        Topic::ALL.into_iter().find(|topic| topic.name() == name)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
