//! The catalogue of conditions. Documentation, `--help` and the API are generated from it.

use crate::monitor::notify::topic::Topic;
use std::time::Duration;

/// A condition of a machine, or of one of its parts (the subject). The number is its bit in `machine_judged.conditions`:
/// never use one twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Condition {
    Camera = 0,
    Standby = 1,
    NoStandby = 2,
    UnderVoltage = 3,
    Throttled = 4,
    Temperature = 5,
    Fan = 6,
    Disk = 7,
    Memory = 8,
    ReadOnly = 9,
    DiskErrors = 10,
    Activity = 11,
    Clock = 12,
    Boots = 13,
    Wifi = 14,
    NeverSeen = 15,
    SharedToken = 16,
    RefusedToken = 17,
}

/// Number of conditions.
pub const CONDITIONS: usize = 18;

/// One line of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CatalogueEntry {
    pub condition: Condition,
    /// As it is typed and stored in `incident.kind`. Never changes.
    pub name: &'static str,
    /// The topic that recipients choose.
    pub topic: Topic,
    /// What holds, after "while".
    pub meaning: &'static str,
    /// Why the defaults are what they are, for the documentation.
    pub reason: &'static str,
    /// `None`: it holds or not, without a number.
    pub limit: Option<Limit>,
    /// How long it must hold before an incident begins.
    pub hold: Duration,
    /// How long it must be over before the incident ends.
    pub clear: Duration,
}

/// The number at which a condition begins to hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    pub threshold: f32,
    /// An incident ends only this far on the good side of the threshold.
    pub hysteresis: f32,
    pub side: Side,
    pub unit: &'static str,
    /// Thresholds that make sense.
    pub range: (f32, f32),
}

/// The bad side of a threshold; the threshold itself belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Above,
    Below,
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

const fn percent(threshold: f32) -> Option<Limit> {
    Some(Limit { threshold, hysteresis: 2.0, side: Side::Above, unit: "%", range: (1.0, 100.0) })
}

/// In the order in which they are listed. docs/conditions.md is generated from it: see catalogue/tests.rs.
pub const CATALOGUE: [CatalogueEntry; CONDITIONS] = [
    CatalogueEntry {
        condition: Condition::Camera,
        name: "camera",
        topic: Topic::Camera,
        meaning: "a camera does not respond to two checks in a row",
        reason: "A single failed check may be a busy camera. A minute is enough for a camera or its switch to restart.",
        limit: None,
        hold: minutes(1),
        clear: Duration::ZERO,
    },
    CatalogueEntry {
        condition: Condition::Standby,
        name: "standby",
        topic: Topic::Uplink,
        meaning: "the machine uses a standby uplink, and a better one worked within the last 7 days",
        reason: "Failover already handles short outages. After 10 minutes the better uplink needs a person.",
        limit: None,
        hold: minutes(10),
        clear: minutes(1),
    },
    CatalogueEntry {
        condition: Condition::NoStandby,
        name: "no_standby",
        topic: Topic::Uplink,
        meaning: "no standby uplink works, and one worked within the last 7 days",
        reason: "Nothing has failed yet, and routers restart. A Pi that never had a second uplink is not judged.",
        limit: None,
        hold: minutes(30),
        clear: minutes(1),
    },
    CatalogueEntry {
        condition: Condition::UnderVoltage,
        name: "under_voltage",
        topic: Topic::Power,
        meaning: "the supply voltage is too low (below 4.63 V)",
        reason: "The firmware reports it at 4.63 V. On a marginal supply the report comes and goes, so the incident stays open for 10 minutes.",
        limit: None,
        hold: Duration::ZERO,
        clear: minutes(10),
    },
    CatalogueEntry {
        condition: Condition::Throttled,
        name: "throttled",
        topic: Topic::Power,
        meaning: "the processor is throttled or its frequency is capped",
        reason: "Short load peaks cap the frequency for seconds. A cap that lasts costs frames.",
        limit: None,
        hold: minutes(5),
        clear: minutes(5),
    },
    CatalogueEntry {
        condition: Condition::Temperature,
        name: "temp",
        topic: Topic::Heat,
        meaning: "the processor is too hot",
        reason: "The firmware of a Raspberry Pi slows the processor down from 80 °C on.",
        limit: Some(Limit {
            threshold: 80.0,
            hysteresis: 5.0,
            side: Side::Above,
            unit: "°C",
            range: (0.0, 120.0),
        }),
        hold: minutes(5),
        clear: minutes(1),
    },
    CatalogueEntry {
        condition: Condition::Fan,
        name: "fan",
        topic: Topic::Heat,
        meaning: "the fan stands still above this temperature",
        reason: "The fan of a Raspberry Pi 5 turns from 50 °C on. At medium speed its sensor can read 0; at 70 °C it runs fast.",
        limit: Some(Limit {
            threshold: 70.0,
            hysteresis: 5.0,
            side: Side::Above,
            unit: "°C",
            range: (0.0, 120.0),
        }),
        hold: minutes(1),
        clear: minutes(1),
    },
    CatalogueEntry {
        condition: Condition::Disk,
        name: "disk",
        topic: Topic::Disk,
        meaning: "the file system is almost full",
        reason: "It leaves time to delete recordings before writing fails.",
        limit: percent(90.0),
        hold: Duration::ZERO,
        clear: minutes(1),
    },
    CatalogueEntry {
        condition: Condition::Memory,
        name: "mem",
        topic: Topic::Disk,
        meaning: "the memory is almost full",
        reason: "Caches do not count, and programs need peaks for seconds. Memory that stays full ends with a killed program.",
        limit: percent(95.0),
        hold: minutes(10),
        clear: minutes(1),
    },
    CatalogueEntry {
        condition: Condition::ReadOnly,
        name: "read_only",
        topic: Topic::Disk,
        meaning: "the root or recording file system is mounted read-only",
        reason: "ext4 becomes read-only after an error. From then on nothing is recorded.",
        limit: None,
        hold: Duration::ZERO,
        clear: minutes(1),
    },
    CatalogueEntry {
        condition: Condition::DiskErrors,
        name: "disk_errors",
        topic: Topic::Disk,
        meaning: "the kernel has counted new errors of a file system or its disk",
        reason: "Errors precede the failure of an SD card. The counter survives a restart, so only an increase counts.",
        limit: None,
        hold: Duration::ZERO,
        clear: minutes(1),
    },
    CatalogueEntry {
        condition: Condition::Activity,
        name: "activity",
        topic: Topic::Activity,
        meaning: "streaming, tracking or recording is expected and stopped, or the recording file does not grow",
        reason: "A program that is restarted is back within 2 minutes. A file counts as not growing after 60 s without growth.",
        limit: None,
        hold: minutes(2),
        clear: Duration::ZERO,
    },
    CatalogueEntry {
        condition: Condition::Clock,
        name: "clock",
        topic: Topic::Clock,
        meaning: "the clock is not synchronised",
        reason: "Most boards have no battery-backed clock and wait for a time server after a start.",
        limit: None,
        hold: minutes(60),
        clear: minutes(1),
    },
    CatalogueEntry {
        condition: Condition::Boots,
        name: "boots",
        topic: Topic::Power,
        meaning: "the machine has booted this often within an hour",
        reason: "One boot is an update and two may be a person. Three are a fault of supply, watchdog or system.",
        limit: Some(Limit {
            threshold: 3.0,
            hysteresis: 1.0,
            side: Side::Above,
            unit: "boots",
            range: (2.0, 8.0),
        }),
        hold: Duration::ZERO,
        clear: Duration::ZERO,
    },
    CatalogueEntry {
        condition: Condition::Wifi,
        name: "wifi",
        topic: Topic::Uplink,
        meaning: "the Wi-Fi signal is weak",
        reason: "Below -80 dBm rates fall and packets are lost. Short dips are normal.",
        limit: Some(Limit {
            threshold: -80.0,
            hysteresis: 4.0,
            side: Side::Below,
            unit: "dBm",
            range: (-100.0, -30.0),
        }),
        hold: minutes(10),
        clear: minutes(1),
    },
    CatalogueEntry {
        condition: Condition::NeverSeen,
        name: "never_seen",
        topic: Topic::Setup,
        meaning: "a machine has not sent any heartbeat since it was added",
        reason: "Only the device shows a wrong URL or token. 15 minutes are enough to install the daemon and start it.",
        limit: None,
        hold: minutes(15),
        clear: Duration::ZERO,
    },
    CatalogueEntry {
        condition: Condition::SharedToken,
        name: "shared_token",
        topic: Topic::Setup,
        meaning: "two devices used the machine's token in turn within the last hour",
        reason: "A cloned SD card sends under the same name: while one of the devices sends, nobody notices that the other one fails.",
        limit: None,
        hold: Duration::ZERO,
        clear: Duration::ZERO,
    },
    CatalogueEntry {
        condition: Condition::RefusedToken,
        name: "refused_token",
        topic: Topic::Setup,
        meaning: "a replaced token of the machine was refused 5 times within 10 minutes",
        reason: "A device was left out when the token was rotated, and its heartbeats are lost. A single request may be a leftover script.",
        limit: None,
        hold: Duration::ZERO,
        clear: minutes(60),
    },
];

impl Condition {
    pub fn entry(self) -> &'static CatalogueEntry {
        &CATALOGUE[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.entry().name
    }

    pub fn from_name(name: &str) -> Option<Condition> {
        CATALOGUE.iter().find(|entry| entry.name == name).map(|entry| entry.condition)
    }

    /// Whether no heartbeat shows it: the sweep judges it, and the machine may be offline.
    pub fn is_judged_by_sweep(self) -> bool {
        matches!(self, Condition::NeverSeen | Condition::RefusedToken)
    }

    /// Its bit in a set of conditions.
    pub fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl Limit {
    /// `75 °C`
    pub fn with_unit(&self, number: f32) -> String {
        format!("{number} {}", self.unit)
    }

    /// Whether a threshold makes sense.
    pub fn allows(&self, threshold: f32) -> bool {
        (self.range.0..=self.range.1).contains(&threshold)
    }

    /// The threshold's other side, from which an incident ends.
    pub fn ends_at(&self, threshold: f32) -> f32 {
        match self.side {
            Side::Above => threshold - self.hysteresis,
            Side::Below => threshold + self.hysteresis,
        }
    }

    /// Whether `number` is at `threshold` or on its bad side.
    pub fn is_reached(&self, number: f32, threshold: f32) -> bool {
        match self.side {
            Side::Above => number >= threshold,
            Side::Below => number <= threshold,
        }
    }
}

#[cfg(test)]
mod tests;
