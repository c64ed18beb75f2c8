//! A recipient's local time: a fixed offset from UTC, or a time zone with daylight saving time.
//!
//! The rules of time zones change several times a year, so they are read from the server's own database (Debian's `tzdata`)
//! whenever recipients are: an update needs no restart. A file takes about 50 us.

use crate::clock::Moment;
use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use tz::TimeZone;

/// The database of the C library.
pub const ZONES: &str = "/usr/share/zoneinfo";

const MINUTE_MS: i64 = 60_000;
/// The longest name of the IANA has 32 letters.
const LONGEST_NAME: usize = 64;

/// A recipient's local time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clock {
    /// Minutes east of UTC.
    Fixed(i16),
    Zone(Zone),
}

impl Clock {
    pub const UTC: Clock = Clock::Fixed(0);

    /// The local time of this server; UTC, like the C library, if its time zone is unknown.
    pub fn of_server() -> Clock {
        Zone::of_machine(Path::new("/"), Path::new(ZONES)).map_or(Clock::UTC, Clock::Zone)
    }

    /// The offset from UTC at this moment, in milliseconds.
    pub fn ahead_ms(&self, at: Moment) -> i64 {
        match self {
            Clock::Fixed(minutes) => i64::from(*minutes) * MINUTE_MS,
            Clock::Zone(zone) => zone.ahead_ms(at),
        }
    }

    /// The offset in minutes at this moment, which is stored with the name of a zone.
    pub fn minutes_ahead(&self, at: Moment) -> i16 {
        i16::try_from(self.ahead_ms(at) / MINUTE_MS).unwrap_or(0)
    }

    /// The local time to the second: `2026-01-21 15:27:44 CET`, `2026-01-21 14:27:44 UTC`.
    pub fn written(&self, at: Moment) -> String {
        let shown = Moment(at.0.saturating_add(self.ahead_ms(at))).rfc_3339();
        match shown.as_deref().and_then(|shown| shown.strip_suffix('Z')) {
            Some(shown) => format!("{} {}", shown.replace('T', " "), self.label(at)),
            None => "unknown".into(),
        }
    }

    /// The local time to the minute, with the date if that is not today's: `14:02`, `2026-01-20 23:58`.
    pub fn time_of_day(&self, at: Moment, now: Moment) -> String {
        let local = |at: Moment| Moment(at.0.saturating_add(self.ahead_ms(at))).rfc_3339();
        let Some((at, now)) = local(at).zip(local(now)) else { return "unknown".into() };
        match at.get(..10) == now.get(..10) {
            true => at.get(11..16).unwrap_or_default().to_owned(),
            false => at.get(..16).unwrap_or_default().replace('T', " "),
        }
    }

    /// The last midnight before a Monday.
    pub fn week_begin(&self, now: Moment) -> Moment {
        const DAY_MS: i64 = 86_400_000;
        let today = now.0.saturating_add(self.ahead_ms(now)).div_euclid(DAY_MS);
        // 1970-01-01 was a Thursday.
        let monday = (today - (today + 3).rem_euclid(7)) * DAY_MS;
        let roughly = Moment(monday - self.ahead_ms(now));
        Moment(monday - self.ahead_ms(roughly))
    }

    /// `CET`, `UTC`, or the offset if the zone has no abbreviation.
    fn label(&self, at: Moment) -> String {
        let label = match self {
            Clock::Zone(zone) => zone.abbreviation(at).map(str::to_owned),
            Clock::Fixed(0) => Some("UTC".into()),
            Clock::Fixed(_) => None,
        };
        label.unwrap_or_else(|| Clock::Fixed(self.minutes_ahead(at)).to_string())
    }

    pub fn zone(&self) -> Option<&str> {
        match self {
            Clock::Fixed(_) => None,
            Clock::Zone(zone) => Some(&zone.name),
        }
    }
}

/// As [`Clock`] is displayed: `+02:00`, or `Europe/Berlin`, whose rules are read.
impl FromStr for Clock {
    type Err = String;

    fn from_str(text: &str) -> Result<Clock, String> {
        if text.starts_with(['+', '-']) {
            return offset(text).map(Clock::Fixed);
        }
        Zone::read(Path::new(ZONES), text).map(Clock::Zone)
    }
}

/// Minutes east of UTC: `+02:00`, `-05:30`, at most 14 hours.
///
/// # Errors
/// The sentence for the person who typed it.
pub fn offset(text: &str) -> Result<i16, String> {
    let (sign, time) = match text.split_at_checked(1) {
        Some(("+", time)) => (1, time),
        Some(("-", time)) => (-1, time),
        _ => (1, text),
    };
    let offset = minute_of_day(time).and_then(|minutes| i16::try_from(minutes).ok());
    let offset = offset.filter(|minutes| *minutes <= 14 * 60);
    offset.map(|minutes| sign * minutes).ok_or_else(|| "must be such as +02:00 or -05:30".into())
}

/// `22:00` as 1320; `None` if it is not four digits of a time of day.
pub fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, below: u16| {
        let digits = text.len() == 2 && text.chars().all(|c| c.is_ascii_digit());
        text.parse::<u16>().ok().filter(|number| digits && *number < below)
    };
    Some(number(hour, 24)? * 60 + number(minute, 60)?)
}

/// `+02:00`, or `Europe/Berlin`
impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Clock::Zone(zone) => f.write_str(&zone.name),
            Clock::Fixed(minutes) => {
                let (sign, ahead) = (if *minutes < 0 { '-' } else { '+' }, minutes.unsigned_abs());
                write!(f, "{sign}{:02}:{:02}", ahead / 60, ahead % 60)
            }
        }
    }
}

/// A time zone of the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    /// `Err`: the rules are missing; the offset at the time when the zone was chosen.
    rules: Result<TimeZone, i16>,
}

impl Zone {
    /// Reads a zone such as `Europe/Berlin` from `directory`.
    pub fn read(directory: &Path, name: &str) -> Result<Zone, String> {
        let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
        let named = !name.starts_with('/') && name.len() <= LONGEST_NAME && name.chars().all(letter);
        let file = directory.join(name);
        if !named || !file.is_file() {
            let known = match directory.is_dir() {
                true => "use a name such as Europe/Berlin",
                false => "this server has no time zones: apt-get install tzdata",
            };
            return Err(format!("unknown time zone \"{name}\"; {known}"));
        }
        let unreadable = |problem: &dyn fmt::Display| format!("{}: {problem}", file.display());
        let bytes = fs::read(&file).map_err(|error| unreadable(&error))?;
        let rules = TimeZone::from_tz_data(&bytes).map_err(|error| unreadable(&error))?;
        if rules.as_ref().extra_rule().is_none() {
            return Err(unreadable(&"it has no rules for the future"));
        }
        Ok(Zone { name: name.to_owned(), rules: Ok(rules) })
    }

    /// The zone of the host with this root directory: the target of `/etc/localtime`, or the name in `/etc/timezone` (Debian
    /// has both). `None` if it has no name, or no rules in `directory`.
    pub fn of_machine(root: &Path, directory: &Path) -> Option<Zone> {
        let link = fs::read_link(root.join("etc/localtime")).ok();
        let linked = link.as_deref().and_then(Path::to_str).and_then(|link| link.split_once("zoneinfo/"));
        let named = linked.map(|(_, name)| name.to_owned());
        let named = named.or_else(|| fs::read_to_string(root.join("etc/timezone")).ok())?;
        Zone::read(directory, named.trim()).ok()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a zone that was chosen before. If it no longer exists, its offset from then is used, and the log says so once.
    pub fn reload(directory: &Path, name: String, minutes: i16) -> Zone {
        let read = Zone::read(directory, &name);
        let missing = read.as_ref().err().map(String::as_str);
        if let Some(problem) = missing.filter(|_| is_new(&name, true)) {
            let instead = Clock::Fixed(minutes);
            log::warn!("using {instead} instead of the time zone {name}: {problem}");
        } else if missing.is_none() {
            is_new(&name, false);
        }
        read.unwrap_or(Zone { name, rules: Err(minutes) })
    }

    fn abbreviation(&self, at: Moment) -> Option<&str> {
        let kind = self.rules.as_ref().ok()?.find_local_time_type(at.0.div_euclid(1000)).ok()?;
        // Zones without letters have "-03"; the offset is clearer.
        Some(kind.time_zone_designation()).filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()))
    }

    fn ahead_ms(&self, at: Moment) -> i64 {
        let rules = match &self.rules {
            Ok(rules) => rules,
            Err(minutes) => return i64::from(*minutes) * MINUTE_MS,
        };
        // Fails only for years beyond 32 bits.
        let kind = rules.find_local_time_type(at.0.div_euclid(1000));
        kind.map_or(0, |kind| i64::from(kind.ut_offset()) * 1000)
    }
}

/// Records whether a zone is missing; true if that is new. Recipients are read at each outage, but the log gets one line.
fn is_new(name: &str, missing: bool) -> bool {
    static MISSING: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut known = MISSING.lock().unwrap_or_else(PoisonError::into_inner);
    let was = known.iter().any(|known| known == name);
    match missing {
        true if !was => known.push(name.to_owned()),
        false if was => known.retain(|known| known != name),
        _ => {}
    }
    missing && !was
}

/// Berlin's time by rules in the repository: those of a host may change or be missing.
#[cfg(test)]
pub fn berlin() -> Clock {
    Clock::Zone(Zone::read(&sample(), "Europe/Berlin").expect("a sample of tzdata"))
}

#[cfg(test)]
fn sample() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/zoneinfo")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_begins_on_monday_by_the_local_clock_also_when_that_was_changed_since() {
        // 2026-03-29 01:00 UTC: 02:00 becomes 03:00, a Sunday.
        const SPRING: i64 = 1_774_746_000_000;
        const HOUR: i64 = 3_600_000;
        let monday = SPRING - 146 * HOUR;
        for (now, begin, what) in [
            (SPRING + 12 * HOUR, monday, "Sunday afternoon, after the change: Monday 00:00 CET"),
            (monday, monday, "the midnight itself"),
            (monday - 1, monday - 168 * HOUR, "a moment before"),
            (SPRING + 21 * HOUR, SPRING + 21 * HOUR, "the next Monday, 00:00 CEST"),
        ] {
            assert_eq!(berlin().week_begin(Moment(now)), Moment(begin), "{what}");
        }
        assert_eq!(Clock::UTC.week_begin(Moment(0)), Moment(-72 * HOUR), "1970-01-01 was a Thursday");
    }

    #[test]
    fn a_zone_has_its_summer_time_today_and_in_a_hundred_years() {
        let clock = berlin();
        for (seconds, minutes) in [
            // 2026-03-29 01:00 UTC and a second before.
            (1_774_745_999, 60),
            (1_774_746_000, 120),
            // 2026-10-25 01:00 UTC and a second before.
            (1_792_889_999, 120),
            (1_792_890_000, 60),
            // 2126-07-01
            (4_938_192_000, 120),
        ] {
            assert_eq!(clock.minutes_ahead(Moment(seconds * 1000)), minutes, "{seconds}");
        }
        assert_eq!((clock.to_string(), clock.zone()), ("Europe/Berlin".into(), Some("Europe/Berlin")));
    }

    #[test]
    fn an_unknown_zone_is_refused_with_a_reason() {
        let known = sample();
        for name in ["Europe/Bern", "", "Europe", "../../../etc/passwd", "/etc/localtime", "Europe/Berlin\0"]
        {
            let problem = Zone::read(&known, name).expect_err(name);
            assert!(problem.contains("such as Europe/Berlin"), "{problem}");
        }
        let scratch = tempfile::tempdir().expect("a directory");
        let problem = Zone::read(&scratch.path().join("none"), "Europe/Berlin").expect_err("no directory");
        assert!(problem.ends_with("apt-get install tzdata"), "{problem}");
        fs::write(scratch.path().join("Broken"), "TZif2").expect("written");
        Zone::read(scratch.path(), "Broken").expect_err("no rules");
    }

    #[test]
    fn the_zone_of_a_machine_is_its_localtime_link_or_else_its_timezone_file() {
        let scratch = tempfile::tempdir().expect("a directory");
        let (root, etc) = (scratch.path(), scratch.path().join("etc"));
        fs::create_dir(&etc).expect("a directory");
        let name = || Zone::of_machine(root, &sample()).map(|zone| zone.name().to_owned());
        assert_eq!(name(), None);
        fs::write(etc.join("timezone"), "Europe/Berlin\n").expect("written");
        assert_eq!(name().as_deref(), Some("Europe/Berlin"));
        // A copy instead of a link has no name of its own.
        fs::write(etc.join("localtime"), "TZif2").expect("written");
        assert_eq!(name().as_deref(), Some("Europe/Berlin"));
        fs::remove_file(etc.join("localtime")).expect("removed");
        for target in ["/usr/share/zoneinfo/Europe/Berlin", "../usr/share/zoneinfo/Europe/Berlin"] {
            std::os::unix::fs::symlink(target, etc.join("localtime")).expect("a link");
            fs::write(etc.join("timezone"), "Mars/Olympus\n").expect("written");
            assert_eq!(name().as_deref(), Some("Europe/Berlin"), "{target}");
            fs::remove_file(etc.join("localtime")).expect("removed");
        }
        assert_eq!(name(), None, "Mars is not in the database");
    }

    #[test]
    fn a_zone_that_vanishes_leaves_its_offset_until_it_is_back() {
        let scratch = tempfile::tempdir().expect("a directory");
        let (summer, winter) = (Moment(1_780_000_000_000), Moment(1_800_000_000_000));
        let gone = Clock::Zone(Zone::reload(scratch.path(), "Berlin".into(), 120));
        assert_eq!((gone.minutes_ahead(summer), gone.minutes_ahead(winter)), (120, 120));
        assert_eq!(gone.to_string(), "Berlin");
        fs::copy(sample().join("Europe/Berlin"), scratch.path().join("Berlin")).expect("copied");
        let back = Clock::Zone(Zone::reload(scratch.path(), "Berlin".into(), 120));
        assert_eq!((back.minutes_ahead(summer), back.minutes_ahead(winter)), (120, 60));
    }

    #[test]
    fn a_missing_zone_is_logged_once_per_disappearance() {
        let news = [true, true, false, true].map(|missing| is_new("Mars/Olympus", missing));
        assert_eq!(news, [true, false, false, true]);
    }

    #[test]
    fn a_moment_is_written_as_the_clock_shows_it() {
        let (winter, summer) = (Moment(1_769_005_664_600), Moment(1_783_000_000_000));
        assert_eq!(berlin().written(winter), "2026-01-21 15:27:44 CET");
        assert_eq!(berlin().written(summer), "2026-07-02 15:46:40 CEST");
        assert_eq!(Clock::UTC.written(winter), "2026-01-21 14:27:44 UTC");
        assert_eq!(Clock::Fixed(-570).written(winter), "2026-01-21 04:57:44 -09:30");
        let scratch = tempfile::tempdir().expect("a directory");
        let gone = Clock::Zone(Zone::reload(scratch.path(), "Berlin".into(), 60));
        assert_eq!(gone.written(winter), "2026-01-21 15:27:44 +01:00");
        assert_eq!(Clock::UTC.written(Moment(i64::MAX)), "unknown");
    }

    #[test]
    fn a_fixed_offset_is_written_as_it_is_given() {
        for (minutes, text) in [(0, "+00:00"), (120, "+02:00"), (-330, "-05:30"), (840, "+14:00")] {
            assert_eq!(Clock::Fixed(minutes).to_string(), text);
        }
    }
}
