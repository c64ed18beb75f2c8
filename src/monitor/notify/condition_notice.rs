//! The condition of a notice, and its words.

use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::conditions::readings::RECORDING_FILE;
use serde::{Deserialize, Serialize};

/// The condition of a notice, as in `outbox.content`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConditionNotice {
    /// Its name in the catalogue.
    pub condition: String,
    /// The part of the machine; empty for the machine itself.
    pub subject: String,
    /// The subject as people call it.
    pub label: Option<String>,
    /// When it began.
    pub value: Option<f32>,
    pub threshold: Option<f32>,
    /// When it began to hold. Milliseconds since 1970.
    pub since: i64,
    /// The uplink that the machine used then.
    pub uplink: Option<String>,
    /// Days of the last seven with an incident of the same kind and subject, including this one.
    #[serde(default)]
    pub days: u32,
    /// It held when it was first judged.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub existed: bool,
}

impl ConditionNotice {
    /// What has begun or ended, without the machine: "camera gate is down".
    pub fn phrase(&self, has_ended: bool) -> String {
        match Condition::from_name(&self.condition) {
            None => self.unknown(has_ended),
            Some(condition) if has_ended => self.end(condition),
            Some(condition) => self.begin(condition),
        }
    }

    fn begin(&self, condition: Condition) -> String {
        let (part, value, uplink) = (self.part(), self.number(condition), self.uplink());
        match condition {
            Condition::Camera => format!("camera {part} is down"),
            Condition::Standby => format!("runs on the standby uplink {uplink}"),
            Condition::NoStandby => format!("no standby uplink works (it is on {uplink})"),
            Condition::UnderVoltage => "under-voltage".into(),
            Condition::Throttled => "the processor is throttled".into(),
            Condition::Temperature => format!("the processor has {value} (limit {})", self.limit(condition)),
            Condition::Fan => format!("the fan stands still at {value}"),
            Condition::Disk => format!("the disk is {value} full"),
            Condition::Memory => format!("the memory is {value} full"),
            Condition::ReadOnly => format!("the file system {part} is read-only"),
            Condition::DiskErrors => format!("the file system {part} has new errors"),
            Condition::Activity if self.subject == RECORDING_FILE => "the recording does not grow".into(),
            Condition::Activity => format!("{part} has stopped"),
            Condition::Clock => "the clock is not synchronised".into(),
            Condition::Boots => format!("{value} within an hour"),
            Condition::Wifi => format!("the Wi-Fi signal is weak ({value})"),
            Condition::NeverSeen => "has not sent any heartbeat".into(),
            Condition::SharedToken if part.is_empty() => "two devices share its token".into(),
            Condition::SharedToken => format!("two devices ({part}) share its token"),
            Condition::RefusedToken => "a device uses a replaced token".into(),
        }
    }

    fn end(&self, condition: Condition) -> String {
        let (part, uplink) = (self.part(), self.uplink());
        match condition {
            Condition::Camera => format!("camera {part} is back"),
            Condition::Standby => format!("is back on {uplink}"),
            Condition::NoStandby => "a standby uplink works again".into(),
            Condition::UnderVoltage => "the supply voltage is right again".into(),
            Condition::Throttled => "the processor is no longer throttled".into(),
            Condition::Temperature => "the processor has cooled down".into(),
            Condition::Fan => "the fan is all right again".into(),
            Condition::Disk => "the disk has space again".into(),
            Condition::Memory => "there is free memory again".into(),
            Condition::ReadOnly => format!("the file system {part} is writable again"),
            Condition::DiskErrors => format!("the file system {part} was repaired"),
            Condition::Activity if self.subject == RECORDING_FILE => "the recording grows again".into(),
            Condition::Activity => format!("{part} is running again"),
            Condition::Clock => "the clock is synchronised again".into(),
            Condition::Boots => "it has stopped rebooting".into(),
            Condition::Wifi => "the Wi-Fi signal is good again".into(),
            Condition::NeverSeen => "sent its first heartbeat".into(),
            Condition::SharedToken => "only one device uses its token again".into(),
            Condition::RefusedToken => "the replaced token is no longer in use".into(),
        }
    }

    /// Of a later version.
    fn unknown(&self, has_ended: bool) -> String {
        let state = if has_ended { "is over" } else { "holds" };
        format!("condition \"{}\" {state} {}", self.condition, self.part()).trim_end().to_owned()
    }

    /// What a person can do about it.
    pub fn advice(&self) -> Option<&'static str> {
        match Condition::from_name(&self.condition)? {
            Condition::UnderVoltage => Some("change its power supply or cable"),
            Condition::NeverSeen => Some("check the URL and the token on the device"),
            Condition::SharedToken => Some("give each a machine and a token of its own"),
            Condition::RefusedToken => Some("give it the new token"),
            Condition::DiskErrors | Condition::ReadOnly => Some("save its data and replace the card or disk"),
            _ => None,
        }
    }

    /// The subject as people call it.
    pub fn part(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.subject)
    }

    fn uplink(&self) -> &str {
        self.uplink.as_deref().unwrap_or("unknown")
    }

    fn number(&self, condition: Condition) -> String {
        with_unit(self.value, condition)
    }

    fn limit(&self, condition: Condition) -> String {
        with_unit(self.threshold, condition)
    }
}

fn with_unit(number: Option<f32>, condition: Condition) -> String {
    let unit = condition.entry().limit.map_or("", |limit| limit.unit);
    match number {
        None => "an unknown value".into(),
        Some(number) => format!("{} {unit}", number.round()),
    }
}
