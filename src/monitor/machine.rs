//! What a machine is, and what it may be called.

use crate::clock::Moment;
use crate::config::{self, Period};
use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Silence that means offline: from twice the shortest heartbeat interval that makes sense to a machine that reports
/// once a month.
pub const THRESHOLD: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(31 * 86_400);
/// How long a machine can be paused.
pub const PAUSE: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(366 * 86_400);
/// How long a replaced token can stay valid.
pub const OVERLAP: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(31 * 86_400);
/// How long an enrolment key can be used.
pub const ENROLMENT: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(31 * 86_400);

/// In characters. What goes into a message, a table and a page stays readable there.
const LONGEST_NAME: usize = 100;
const LONGEST_GROUP: usize = 64;
const LONGEST_DESCRIPTION: usize = 1000;
/// Of DNS, in bytes.
const LONGEST_HOSTNAME: usize = 253;
/// In bytes: CPU serials have 16, MAC addresses 17, machine ids 32.
const LONGEST_HARDWARE_ID: usize = 64;
/// A machine's tags, in number.
pub const MOST_TAGS: usize = 32;

/// A machine's number, as in `machine.id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(pub i64);

/// What stands in `machine_state.status`. Only the recorder's thread changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MachineStatus {
    /// Added, and never heard of.
    New = 0,
    Online = 1,
    Offline = 2,
    /// It said that it is being stopped.
    Stopped = 3,
}

impl MachineStatus {
    /// What the database says; anything that this program never wrote is as good as new.
    pub fn of(number: i64) -> MachineStatus {
        match number {
            1 => MachineStatus::Online,
            2 => MachineStatus::Offline,
            3 => MachineStatus::Stopped,
            _ => MachineStatus::New,
        }
    }

    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            MachineStatus::New => "new",
            MachineStatus::Online => "online",
            MachineStatus::Offline => "offline",
            MachineStatus::Stopped => "stopped",
        }
    }
}

/// A machine as it is stored; what was heard in the last seconds is in the fleet's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    pub id: MachineId,
    pub name: String,
    pub hostname: Option<String>,
    pub description: Option<String>,
    pub group: Option<String>,
    /// In order.
    pub tags: Vec<String>,
    /// Of a device that enrolled itself.
    pub hardware_id: Option<String>,
    /// Its name at the Meeting API.
    pub device_key: Option<String>,
    /// `None`: the configured one.
    pub threshold: Option<Duration>,
    pub status: MachineStatus,
    /// `false`: disabled.
    pub watched: bool,
    /// `None`: never.
    pub last_seen: Option<Moment>,
    /// When this status began.
    pub since: Moment,
    pub created_at: Moment,
    /// The end of the pause in which it is.
    pub paused_until: Option<Moment>,
}

/// What is said of a machine that is added.
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
    /// # Errors
    /// The first thing that cannot be, as a sentence.
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

/// # Errors
/// Why it cannot be the name of a machine, a recipient or a token.
pub fn name(text: &str) -> Result<(), String> {
    shown("name", text, LONGEST_NAME)?;
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!(
            "name \"{text}\": a number would be taken for a machine's id; put a letter into it"
        ));
    }
    if text.starts_with('-') {
        return Err(format!("name \"{text}\": would be taken for an option; begin it with a letter"));
    }
    Ok(())
}

/// # Errors
/// Why it cannot be a group's name.
pub fn group(text: &str) -> Result<(), String> {
    shown("group", text, LONGEST_GROUP)?;
    no_comma("group", text)
}

/// # Errors
/// Why it cannot be a tag.
pub fn tag(text: &str) -> Result<(), String> {
    shown("tag", text, LONGEST_GROUP)?;
    no_comma("tag", text)
}

/// # Errors
/// Why it cannot be a description.
pub fn description(text: &str) -> Result<(), String> {
    shown("description", text, LONGEST_DESCRIPTION)
}

/// # Errors
/// Why it cannot be the name of a host.
pub fn hostname(text: &str) -> Result<(), String> {
    plain("hostname", text, LONGEST_HOSTNAME)
}

/// # Errors
/// Why it cannot be the id of a device's hardware.
pub fn hardware_id(text: &str) -> Result<(), String> {
    plain("hardware id", text, LONGEST_HARDWARE_ID)
}

/// A hardware id as it is stored and compared. A MAC address loses its separators and capitals: earlier daemons sent
/// it with colons, and the device is the same one. Any other id stays as it is.
pub fn canonical_hardware_id(text: &str) -> Cow<'_, str> {
    let is_octet = |octet: &str| octet.len() == 2 && octet.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_mac = |separator| text.split(separator).count() == 6 && text.split(separator).all(is_octet);
    match is_mac(':') || is_mac('-') {
        true => Cow::Owned(text.replace([':', '-'], "").to_ascii_lowercase()),
        false => Cow::Borrowed(text),
    }
}

/// # Errors
/// Why it cannot stand in the path of the Meeting API.
pub fn device_key(text: &str) -> Result<(), String> {
    plain("device key", text, LONGEST_NAME)?;
    match text.contains('/') {
        true => Err(format!("device key \"{text}\": stands in a URL's path and cannot have a \"/\"")),
        false => Ok(()),
    }
}

/// # Errors
/// That it is outside of `allowed`.
pub fn within(what: &str, duration: Duration, allowed: &RangeInclusive<Duration>) -> Result<(), String> {
    match config::outside(Period(duration), allowed) {
        Some(problem) => Err(format!("{what} \"{}\" {problem}", Period(duration))),
        None => Ok(()),
    }
}

/// Text that people read on one line.
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
    if text.chars().any(is_unseen) {
        return Err(format!("{what} \"{}\": has a character that is not seen", text.escape_debug()));
    }
    Ok(())
}

/// Text of programs: ASCII without spaces.
fn plain(what: &str, text: &str, longest: usize) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("the {what} is empty"));
    }
    if text.len() > longest {
        return Err(format!("the {what} is longer than {longest} characters"));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        let shown = text.escape_debug();
        return Err(format!(
            "{what} \"{shown}\": has a character that is neither letter, digit nor ASCII sign"
        ));
    }
    Ok(())
}

/// The command line's lists are separated by commas.
fn no_comma(what: &str, text: &str) -> Result<(), String> {
    match text.contains(',') {
        true => Err(format!("{what} \"{text}\": cannot have a comma")),
        false => Ok(()),
    }
}

/// Control characters, and those that turn the direction of a text or have no width: they would forge a log line or a
/// message.
fn is_unseen(c: char) -> bool {
    let formats = ['\u{ad}', '\u{34f}', '\u{61c}', '\u{180e}', '\u{feff}'];
    // Letters of Hangul and a sign of Braille that are blank: a second "barn" could not be told from the first.
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
    fn names_of_every_script_are_taken_as_they_are() {
        for text in ["barn", "Barn 2 (north)", "Хлев", "牛舎", "grange à foin", "2nd", "a"] {
            assert_eq!(name(text), Ok(()), "{text}");
        }
        assert_eq!(name(&"ж".repeat(100)), Ok(()));
    }

    #[test]
    fn what_cannot_be_seen_or_would_be_taken_for_something_else_is_no_name() {
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
    fn a_sentence_names_the_setting_and_what_is_allowed() {
        let problem = within("threshold", Duration::from_secs(1), &THRESHOLD).expect_err("too short");
        assert_eq!(problem, "threshold \"1s\" must be from \"5s\" to \"744h\"");
        assert_eq!(group("a,b").expect_err("a comma"), "group \"a,b\": cannot have a comma");
    }

    #[test]
    fn ids_of_programs_are_plain_and_short() {
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
