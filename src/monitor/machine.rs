//! A machine and its descriptive settings, and their valid values.

use crate::clock::Moment;
use crate::config::{self, Period};
use crate::mac::Mac;
use crate::wire::ServerRole;
use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Valid thresholds: from a few fast heartbeats to machines that report once a month.
pub const THRESHOLD: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(31 * 86_400);
/// How long a machine can be paused.
pub const PAUSE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(366 * 86_400);
/// How long a replaced token can stay valid.
pub const OVERLAP: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(31 * 86_400);
/// How long an enrolment key can be used.
pub const ENROLMENT: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(31 * 86_400);

/// In characters, so that messages, tables and pages stay readable.
const LONGEST_NAME: usize = 100;
const LONGEST_GROUP: usize = 64;
const LONGEST_DESCRIPTION: usize = 1000;
/// In bytes; the limit of DNS.
const LONGEST_HOSTNAME: usize = 253;
/// In bytes: CPU serials have 16, MAC addresses 17, machine ids 32.
const LONGEST_HARDWARE_ID: usize = 64;
/// The largest number of tags.
pub const MOST_TAGS: usize = 32;

/// A machine's id, as in `machine.id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(pub i64);

/// An id in a path. One spelling for each: no sign, no leading zero.
pub fn id_in_path(text: &str) -> Option<i64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    is_plain.then(|| text.parse().ok()).flatten()
}

/// The column `machine_state.status`. Only the recorder's thread changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MachineStatus {
    /// Added, and never seen.
    New = 0,
    Online = 1,
    Offline = 2,
    /// Shut down on purpose.
    Stopped = 3,
    /// Its heartbeats go to another monitor, of which this one is the backup. Its silence means nothing here.
    Standby = 4,
}

/// The column `machine_state.server_role`: what this monitor is to the device, as its heartbeats say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceServer {
    /// The only one, or the device does not say.
    #[default]
    Only = 0,
    /// The preferred one of several.
    First = 1,
    /// A backup that is in use, or was until the device returned to another one.
    Backup = 2,
    /// A backup that is not in use.
    Standby = 3,
}

impl DeviceServer {
    /// Parses the column; unknown values count as the only one, whose silence is an alarm.
    pub fn of(number: i64) -> DeviceServer {
        match number {
            1 => DeviceServer::First,
            2 => DeviceServer::Backup,
            3 => DeviceServer::Standby,
            _ => DeviceServer::Only,
        }
    }

    pub fn is_backup(self) -> bool {
        matches!(self, DeviceServer::Backup | DeviceServer::Standby)
    }
}

impl From<Option<ServerRole>> for DeviceServer {
    fn from(role: Option<ServerRole>) -> DeviceServer {
        match role {
            None => DeviceServer::Only,
            Some(ServerRole::First) => DeviceServer::First,
            Some(ServerRole::Backup) => DeviceServer::Backup,
            Some(ServerRole::Standby) => DeviceServer::Standby,
        }
    }
}

impl MachineStatus {
    /// Parses the column; unknown values count as new.
    pub fn of(number: i64) -> MachineStatus {
        match number {
            1 => MachineStatus::Online,
            2 => MachineStatus::Offline,
            3 => MachineStatus::Stopped,
            4 => MachineStatus::Standby,
            _ => MachineStatus::New,
        }
    }

    /// The name that is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            MachineStatus::New => "new",
            MachineStatus::Online => "online",
            MachineStatus::Offline => "offline",
            MachineStatus::Stopped => "stopped",
            MachineStatus::Standby => "standby",
        }
    }
}

/// A machine as stored; the last seconds are only in the memory of the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub id: MachineId,
    pub name: String,
    pub hostname: Option<String>,
    pub description: Option<String>,
    pub group: Option<String>,
    /// Sorted.
    pub tags: Vec<String>,
    /// Only of enrolled devices.
    pub hardware_id: Option<String>,
    /// Its key in the Meeting API.
    pub device_key: Option<String>,
    /// `None`: `offline_threshold` of the configuration.
    pub threshold: Option<Duration>,
    pub status: MachineStatus,
    /// `false`: disabled.
    pub watched: bool,
    /// `None`: never.
    pub last_seen: Option<Moment>,
    /// When this status began.
    pub since: Moment,
    pub created_at: Moment,
    /// End of the current maintenance.
    pub paused_until: Option<Moment>,
    /// Name of the machine that this one is behind: a switch, a router.
    pub behind: Option<String>,
}

/// The settings of a new machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    pub name: String,
    pub hostname: Option<String>,
    pub description: Option<String>,
    pub group: Option<String>,
    pub tags: Vec<String>,
    pub threshold: Option<Duration>,
    pub device_key: Option<String>,
}

impl Description {
    pub fn check(&self) -> Result<(), String> {
        name(&self.name)?;
        self.hostname.as_deref().map_or(Ok(()), hostname)?;
        self.description.as_deref().map_or(Ok(()), description)?;
        self.group.as_deref().map_or(Ok(()), group)?;
        self.tags.iter().try_for_each(|text| tag(text))?;
        if self.tags.len() > MOST_TAGS {
            return Err(format!("a machine has at most {MOST_TAGS} tags"));
        }
        self.threshold.map_or(Ok(()), |threshold| within("threshold", threshold, &THRESHOLD))?;
        self.device_key.as_deref().map_or(Ok(()), device_key)
    }
}

pub fn name(text: &str) -> Result<(), String> {
    shown("name", text, LONGEST_NAME)?;
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("name \"{text}\": must not be only digits, which would be read as an id"));
    }
    if text.starts_with('-') {
        return Err(format!("name \"{text}\": must not begin with a dash, which would be read as an option"));
    }
    Ok(())
}

pub fn group(text: &str) -> Result<(), String> {
    shown("group", text, LONGEST_GROUP)?;
    no_comma("group", text)
}

pub fn tag(text: &str) -> Result<(), String> {
    shown("tag", text, LONGEST_GROUP)?;
    no_comma("tag", text)
}

/// Checks the name of a machine on a public page.
pub fn label(text: &str) -> Result<(), String> {
    shown("label", text, LONGEST_NAME)
}

pub fn description(text: &str) -> Result<(), String> {
    shown("description", text, LONGEST_DESCRIPTION)
}

pub fn hostname(text: &str) -> Result<(), String> {
    plain("hostname", text, LONGEST_HOSTNAME)
}

pub fn hardware_id(text: &str) -> Result<(), String> {
    plain("hardware id", text, LONGEST_HARDWARE_ID)
}

/// The stored form of a hardware id: a MAC address without separators and in lower case, because earlier daemons sent it
/// with colons; any other id unchanged.
pub fn canonical_hardware_id(text: &str) -> Cow<'_, str> {
    match Mac::parse(text) {
        Some(mac) => Cow::Owned(mac.digits()),
        None => Cow::Borrowed(text),
    }
}

pub fn device_key(text: &str) -> Result<(), String> {
    plain("device key", text, LONGEST_NAME)?;
    match text.contains('/') {
        true => {
            Err(format!("device key \"{text}\": must not contain \"/\", because it is part of a URL path"))
        }
        false => Ok(()),
    }
}

pub fn within(what: &str, duration: Duration, allowed: &RangeInclusive<Duration>) -> Result<(), String> {
    let sentence = |problem| format!("{what} \"{}\" {problem}", Period(duration));
    config::within(duration, allowed).map(drop).map_err(sentence)
}

/// Checks one line of text for people.
fn shown(what: &str, text: &str, longest: usize) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err(format!("the {what} is empty"));
    }
    if text.chars().count() > longest {
        return Err(format!("the {what} is longer than {longest} characters"));
    }
    if text.trim() != text {
        return Err(format!("{what} \"{}\": begins or ends with a space", text.escape_debug()));
    }
    if text.chars().any(is_invisible) {
        return Err(format!("{what} \"{}\": contains an invisible character", text.escape_debug()));
    }
    Ok(())
}

/// Checks text for programs: ASCII without spaces.
fn plain(what: &str, text: &str, longest: usize) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("the {what} is empty"));
    }
    if text.len() > longest {
        return Err(format!("the {what} is longer than {longest} characters"));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        let shown = text.escape_debug();
        return Err(format!("{what} \"{shown}\": contains a character that is not visible ASCII"));
    }
    Ok(())
}

/// Refuses commas, which separate lists on the command line.
fn no_comma(what: &str, text: &str) -> Result<(), String> {
    match text.contains(',') {
        true => Err(format!("{what} \"{text}\": must not contain a comma")),
        false => Ok(()),
    }
}

/// Control characters, and characters without width or that change the direction of text: they could forge log lines and
/// messages.
pub fn is_invisible(c: char) -> bool {
    let formats = ['\u{ad}', '\u{34f}', '\u{61c}', '\u{180e}', '\u{feff}'];
    // Blank letters of Hangul and a blank of Braille: two names could look the same.
    let blanks = ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}'];
    c.is_control()
        || formats.contains(&c)
        || blanks.contains(&c)
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_script_are_valid() {
        for text in ["barn", "Barn 2 (north)", "Хлев", "牛舎", "grange à foin", "2nd", "a"] {
            assert_eq!(name(text), Ok(()), "{text}");
        }
        assert_eq!(name(&"ж".repeat(100)), Ok(()));
    }

    #[test]
    fn invisible_and_ambiguous_names_are_refused() {
        for text in [
            "",
            " ",
            " barn",
            "barn ",
            "a\nb",
            "a\u{0}b",
            "a\u{202e}b",
            "a\u{200b}",
            "a\u{2066}b",
            "a\u{2028}b",
            "a\u{3164}",
            "a\u{fffb}b",
            "a\u{e0041}",
            "7",
            "-x",
            "a\u{1b}[31m",
        ] {
            let problem = name(text).expect_err(text);
            assert!(!problem.contains(|c: char| c.is_control()), "{problem:?}");
        }
        name(&"x".repeat(101)).expect_err("too long");
    }

    #[test]
    fn an_error_names_the_setting_and_what_is_allowed() {
        let problem = within("threshold", Duration::from_secs(1), &THRESHOLD).expect_err("too short");
        assert_eq!(problem, "threshold \"1s\" must be from \"5s\" to \"744h\"");
        assert_eq!(group("a,b").expect_err("a comma"), "group \"a,b\": must not contain a comma");
    }

    #[test]
    fn ids_are_plain_and_short() {
        assert_eq!(hardware_id("10000000a5bd2dd2"), Ok(()));
        assert_eq!(hardware_id("aa:bb:cc:dd:ee:ff"), Ok(()));
        for text in ["", "a b", "a\nb", "ä", &"0".repeat(65)] {
            hardware_id(text).expect_err(text);
        }
        device_key("a/b").expect_err("a slash");
    }

    #[test]
    fn a_mac_address_is_one_hardware_id_however_it_is_written() {
        for text in ["b8:27:eb:0a:00:03", "B8:27:EB:0A:00:03", "b8-27-eb-0a-00-03", "b827eb0a0003"] {
            assert_eq!(canonical_hardware_id(text), "b827eb0a0003", "{text}");
        }
        for text in [
            "10000000A5BD2DD2",
            "b8:27:eb:0a:00",
            "b8:27:eb:0a:00:03:04",
            "b8:27-eb:0a-00:03",
            "b8:27:eb:0a:00:0g",
            "b8:27:eb:0a:0:003",
            "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
            "::::::",
            "",
        ] {
            assert_eq!(canonical_hardware_id(text), text);
        }
    }
}
