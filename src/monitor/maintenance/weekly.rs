//! Windows of time that recur each week by the clock of a time zone: `sun 02:00-04:00`. Pure.

use crate::clock::Moment;
use crate::monitor::zone::{Clock, minute_of_day};
use std::fmt;

const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;

/// Longer than any offset and any change of it: two moments this far apart are on both sides of a change.
const AROUND_MS: i64 = 26 * 3_600_000;

/// As they are entered.
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const EVERY_DAY: u8 = 0b111_1111;

/// Days of the week, and a time of day on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weekly {
    /// Bits, from Monday: the days on which a window begins.
    pub days: u8,
    /// Minute of the day.
    pub from: u16,
    /// Minute of the day; not later than `from` means on the next day.
    pub to: u16,
}

/// One window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub begin: Moment,
    pub end: Moment,
}

impl Weekly {
    /// `sun`, `mon,thu`, `mon-fri` or `daily`; and `02:00-04:00`.
    ///
    /// # Errors
    /// The sentence for the person who typed it.
    pub fn parse(days: &str, times: &str) -> Result<Weekly, String> {
        let bounds = times.split_once('-');
        let bounds = bounds.and_then(|(from, to)| Some((minute_of_day(from)?, minute_of_day(to)?)));
        let (from, to) =
            bounds.ok_or_else(|| format!("\"{times}\" must be two times of day such as 02:00-04:00"))?;
        Ok(Weekly { days: parse_days(days)?, from, to })
    }

    /// The windows that have not ended at `now` and begin by `limit`, a week later at most. A window in an hour that the clock
    /// skips does not exist; one that begins or ends in an hour that the clock shows twice has both of them.
    pub fn windows(&self, clock: &Clock, now: Moment, limit: Moment) -> Vec<Window> {
        let today = now.0.saturating_add(clock.ahead_ms(now)).div_euclid(DAY_MS);
        let begins = |day: &i64| {
            // 1970-01-01 was a Thursday.
            (self.days >> (day + 3).rem_euclid(7)) & 1 == 1
        };
        let window = |day: i64| {
            let last_day = if self.to <= self.from { day + 1 } else { day };
            let local = |day: i64, minute: u16| day * DAY_MS + i64::from(minute) * MINUTE_MS;
            let begin = instants(clock, local(day, self.from)).0;
            let end = instants(clock, local(last_day, self.to)).1;
            Window { begin: Moment(begin), end: Moment(end) }
        };
        let is_wanted =
            |window: &Window| window.begin < window.end && window.end > now && window.begin <= limit;
        (today - 2..=today + 8).filter(begins).map(window).filter(is_wanted).collect()
    }
}

/// The first and the last moment at which the clock shows `local`; for a time that it skips, the moment at which it does.
fn instants(clock: &Clock, local: i64) -> (i64, i64) {
    let before = clock.ahead_ms(Moment(local - AROUND_MS));
    let after = clock.ahead_ms(Moment(local + AROUND_MS));
    let (by_before, by_after) = (local - before, local - after);
    let shows = |at: i64, ahead: i64| clock.ahead_ms(Moment(at)) == ahead;
    match (shows(by_before, before), shows(by_after, after)) {
        (true, true) => (by_before.min(by_after), by_before.max(by_after)),
        (true, false) => (by_before, by_before),
        (false, true) => (by_after, by_after),
        (false, false) => {
            let change = change_between(clock, by_before.min(by_after), by_before.max(by_after), before);
            (change, change)
        }
    }
}

/// The moment from which the clock is no longer `ahead` of UTC by this, to the millisecond.
fn change_between(clock: &Clock, mut low: i64, mut high: i64, ahead: i64) -> i64 {
    while low < high {
        let middle = low + (high - low) / 2;
        match clock.ahead_ms(Moment(middle)) == ahead {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    low
}

fn parse_days(text: &str) -> Result<u8, String> {
    let number = |name: &str| DAYS.iter().position(|day| *day == name.to_ascii_lowercase());
    let problem = || format!("\"{text}\" must be days such as sun, mon,thu, mon-fri or daily");
    if text.eq_ignore_ascii_case("daily") {
        return Ok(EVERY_DAY);
    }
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = number(first).zip(number(last)).ok_or_else(problem)?;
        // "sat-mon" goes over the end of the week.
        let length = (last + 7 - first) % 7;
        (0..=length).for_each(|day| days |= 1 << ((first + day) % 7));
    }
    Ok(days)
}

/// `sun 02:00-04:00`, `mon-fri 12:00-12:30`
impl fmt::Display for Weekly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Weekly { days, from, to } = *self;
        match days {
            EVERY_DAY => f.write_str("daily")?,
            _ => f.write_str(&written_days(days))?,
        }
        write!(f, " {:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

/// `mon-fri`, `wed,sun`: three days or more in a row are a range.
fn written_days(days: u8) -> String {
    let is_on = |day: usize| day < DAYS.len() && (days >> day) & 1 == 1;
    let mut parts: Vec<String> = Vec::new();
    let mut day = 0;
    while day < DAYS.len() {
        let length = (day..).take_while(|day| is_on(*day)).count();
        match length {
            0 => day += 1,
            1 | 2 => parts.extend(DAYS[day..day + length].iter().map(|name| (*name).to_owned())),
            _ => parts.push(format!("{}-{}", DAYS[day], DAYS[day + length - 1])),
        }
        day += length;
    }
    parts.join(",")
}

#[cfg(test)]
mod tests;
