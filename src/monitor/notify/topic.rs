//! What a recipient can choose to be notified about.

use serde::Serialize;
use std::fmt;

/// One word of `recipient set --events`, and of `recipient.events` in the database. Names never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    Offline,
    Online,
    Stopped,
    Flapping,
    Camera,
    Power,
    Heat,
    Disk,
    Uplink,
    Activity,
    Clock,
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

    /// The topics of a recipient who has not chosen any: every alarm and its end.
    pub fn default_choice() -> Vec<Topic> {
        Topic::ALL.into_iter().filter(|topic| *topic != Topic::Stopped).collect()
    }

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

    /// What it is about, for help and documentation.
    pub fn meaning(self) -> &'static str {
        match self {
            Topic::Offline => "a machine is late",
            Topic::Online => "a machine is back",
            Topic::Stopped => "a machine announced that it is being stopped",
            Topic::Flapping => "a machine or one of its conditions begins and ends too often",
            Topic::Camera => "cameras behind a machine",
            Topic::Power => "supply voltage, throttling, unexpected reboots",
            Topic::Heat => "temperature and fan",
            Topic::Disk => "fill and faults of file systems, and memory",
            Topic::Uplink => "uplinks and Wi-Fi signal",
            Topic::Activity => "streaming, tracking and recording",
            Topic::Clock => "a wrong clock",
            Topic::Setup => "a machine that was set up wrongly",
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
