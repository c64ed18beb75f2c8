//! Quiet hours: the part of each day in which a recipient is not notified.

use crate::clock::Moment;
use crate::monitor::zone::{Clock, minute_of_day};
use std::fmt;
use std::str::FromStr;

/// A part of each day in which a recipient is not notified, by the recipient's own clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuietHours {
    /// Minute of the day, 0 to 1439.
    pub from: u16,
    /// Minute of the day; before `from` means tomorrow, the same means the whole day.
    pub to: u16,
    pub clock: Clock,
}

/// Begin and end of quiet hours in minutes of the day, without a clock: `22:00-07:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietTimes {
    pub from: u16,
    pub to: u16,
}

impl QuietTimes {
    pub fn on(self, clock: Clock) -> QuietHours {
        QuietHours { from: self.from, to: self.to, clock }
    }
}

impl FromStr for QuietTimes {
    type Err = String;

    fn from_str(text: &str) -> Result<QuietTimes, String> {
        let times = text.split_once('-');
        let times = times
            .and_then(|(from, to)| Some(QuietTimes { from: minute_of_day(from)?, to: minute_of_day(to)? }));
        times.ok_or_else(|| "must be two times of day such as 22:00-07:00".into())
    }
}

impl fmt::Display for QuietTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QuietTimes { from, to } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;

impl QuietHours {
    pub fn times(&self) -> QuietTimes {
        QuietTimes { from: self.from, to: self.to }
    }

    /// `at` itself if it is not quiet then, else the end of the quiet.
    pub fn end_if_quiet(&self, at: Moment) -> Moment {
        let end = self.next_end(at);
        // If a change of the clock skips the whole time between two quiet parts, the second one begins at once.
        if end > at && self.from != self.to { self.next_end(end) } else { end }
    }

    fn next_end(&self, at: Moment) -> Moment {
        let ahead = self.clock.ahead_ms(at);
        let of_day = at.0.saturating_add(ahead).rem_euclid(DAY_MS);
        let (from, to) = (i64::from(self.from) * MINUTE_MS, i64::from(self.to) * MINUTE_MS);
        let quiet_for = match from < to {
            true if (from..to).contains(&of_day) => to - of_day,
            false if of_day < to => to - of_day,
            false if of_day >= from => to + DAY_MS - of_day,
            _ => 0,
        };
        let end = at.0.saturating_add(quiet_for);
        // If the clock is changed until then, it shows the end earlier or later by the difference. A time that the clock
        // never shows is reached after the same duration.
        let ahead_then = self.clock.ahead_ms(Moment(end));
        let shown = end.saturating_sub(ahead_then - ahead);
        Moment(if self.clock.ahead_ms(Moment(shown)) == ahead_then { shown } else { end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::zone::berlin;
    use std::time::Duration;

    const HOUR: i64 = 3_600_000;
    /// 2026-01-21 00:00 UTC.
    const MIDNIGHT: Moment = Moment(1_768_953_600_000);

    fn at(hour: i64, minute: i64) -> Moment {
        Moment(MIDNIGHT.0 + hour * HOUR + minute * MINUTE_MS)
    }

    #[test]
    fn quiet_hours_hold_until_their_end_on_the_recipients_clock() {
        let night = QuietHours { from: 22 * 60, to: 7 * 60, clock: Clock::UTC };
        assert_eq!(night.end_if_quiet(at(21, 59)), at(21, 59));
        assert_eq!(night.end_if_quiet(at(22, 0)), at(31, 0));
        assert_eq!(night.end_if_quiet(at(3, 0)), at(7, 0));
        assert_eq!(night.end_if_quiet(at(7, 0)), at(7, 0));
        let lunch = QuietHours { from: 12 * 60, to: 13 * 60 + 30, clock: Clock::Fixed(120) };
        assert_eq!(lunch.end_if_quiet(at(9, 59)), at(9, 59));
        assert_eq!(lunch.end_if_quiet(at(10, 0)), at(11, 30));
        assert_eq!(lunch.end_if_quiet(at(11, 30)), at(11, 30));
        let west = QuietHours { clock: Clock::Fixed(-300), ..night };
        assert_eq!(west.end_if_quiet(at(4, 0)), at(12, 0));
    }

    fn night_in_berlin(from: u16, to: u16) -> QuietHours {
        QuietHours { from, to, clock: berlin() }
    }

    /// 2026-03-29 01:00 UTC: 02:00 becomes 03:00. 2026-10-25 01:00 UTC: 03:00 becomes 02:00.
    #[test]
    fn quiet_hours_end_by_the_clock_on_the_wall_in_the_nights_in_which_it_is_changed() {
        const SPRING: i64 = 1_774_746_000_000;
        const AUTUMN: i64 = 1_792_890_000_000;
        let hours = |hours: f64| (hours * HOUR as f64) as i64;
        let (seven, half_past_two) = (night_in_berlin(22 * 60, 420), night_in_berlin(22 * 60, 150));
        let nearly_always = night_in_berlin(190, 150);
        for (quiet, at, end, what) in [
            (&seven, SPRING - hours(4.0), SPRING + hours(4.0), "22:00 CET to 07:00 CEST: 8 hours"),
            (&seven, SPRING - hours(4.1), SPRING - hours(4.1), "21:54 CET"),
            (&seven, AUTUMN - hours(5.0), AUTUMN + hours(5.0), "22:00 CEST to 07:00 CET: 10 hours"),
            (&seven, AUTUMN + hours(0.5), AUTUMN + hours(5.0), "in the hour that comes twice"),
            (&seven, SPRING + hours(24.0), SPRING + hours(28.0), "the night after: 03:00 to 07:00 CEST"),
            (&half_past_two, SPRING - hours(2.0), SPRING + hours(0.5), "02:30 is never shown: 03:30 CEST"),
            (&half_past_two, SPRING, SPRING, "03:00 CEST, just after 01:59 CET"),
            (&half_past_two, AUTUMN - hours(2.0), AUTUMN - hours(0.5), "02:30, the first time"),
            (&half_past_two, AUTUMN + hours(0.25), AUTUMN + hours(0.5), "02:30, the second time"),
            (&nearly_always, SPRING - hours(1.0), SPRING + hours(23.5), "02:30 to 03:10 is never shown"),
        ] {
            assert_eq!(quiet.end_if_quiet(Moment(at)), Moment(end), "{what}");
        }
    }

    #[test]
    fn the_end_of_quiet_hours_is_never_quiet_in_a_zone_either() {
        let mut random = fastrand::Rng::with_seed(6);
        let clock = berlin();
        for _ in 0..20_000 {
            let (from, to) = (random.u16(..1440), random.u16(..1440));
            let quiet = QuietHours { from, to, clock: clock.clone() };
            // Within a day of a change, of which there are two a year.
            let change = [1_774_746_000_000, 1_792_890_000_000][random.usize(..2)];
            let now = Moment(change + random.i64(-30 * HOUR..30 * HOUR));
            let end = quiet.end_if_quiet(now);
            assert!(end >= now && end.since(now) <= Duration::from_secs(49 * 3600), "{quiet:?} {now:?}");
            assert!(from == to || quiet.end_if_quiet(end) == end, "{from} {to} {now:?}");
        }
    }

    #[test]
    fn the_same_minute_at_both_ends_is_the_whole_day() {
        let always = QuietHours { from: 480, to: 480, clock: Clock::UTC };
        assert_eq!(always.end_if_quiet(at(8, 0)), at(32, 0));
        assert_eq!(always.end_if_quiet(at(7, 59)), at(8, 0));
    }

    #[test]
    fn the_end_of_quiet_hours_is_never_quiet_and_never_more_than_a_day_away() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let quiet = QuietHours {
                from: random.u16(..1440),
                to: random.u16(..1440),
                clock: Clock::Fixed(random.i16(-14 * 60..=14 * 60)),
            };
            let now = Moment(random.i64(0..4_000_000_000_000));
            let end = quiet.end_if_quiet(now);
            assert!(
                end >= now && end.since(now) <= Duration::from_millis(DAY_MS as u64),
                "{quiet:?} {now:?}"
            );
            assert!(quiet.from == quiet.to || quiet.end_if_quiet(end) == end, "{quiet:?} {now:?}");
        }
    }
}
