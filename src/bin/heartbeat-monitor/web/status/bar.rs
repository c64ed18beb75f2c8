//! 90 days of a machine as a picture: grey-green is up, red grows with the time down, a line colour is unknown.

use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::duration::in_words;
use heartbeat_daemon::monitor::status_pages::uptime::{DAYS, Uptime, UptimeDay};
use std::time::Duration;

/// In units of the picture; a day is 1 wide.
pub const HEIGHT: i64 = 14;
/// An outage of seconds is still visible.
const LEAST_HEIGHT: i64 = 3;

/// A rectangle of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BarPart {
    pub x: usize,
    pub width: usize,
    pub height: i64,
    /// As in the style sheet: `u` up, `d` down, `n` unknown.
    pub class: &'static str,
    /// Empty for time that is up.
    pub title: String,
}

impl BarPart {
    /// The distance from the top.
    pub fn y(&self) -> i64 {
        HEIGHT - self.height
    }
}

/// Few rectangles: days of the same kind in a row are one, and a day with an outage is one above them.
pub fn bar(uptime: &Uptime) -> Vec<BarPart> {
    let mut parts: Vec<BarPart> = Vec::new();
    let mut outages = Vec::new();
    for (x, day) in uptime.days.iter().enumerate() {
        let class = if day.is_some() { "u" } else { "n" };
        match parts.last_mut().filter(|part| part.class == class) {
            Some(part) => part.width += 1,
            None => parts.push(BarPart { x, width: 1, height: HEIGHT, class, title: String::new() }),
        }
        outages.extend(day.filter(|day| day.down > 0).map(|day| outage(x, day, uptime.first_day)));
    }
    for part in parts.iter_mut().filter(|part| part.class == "n") {
        part.title = unknown(part, uptime.first_day);
    }
    parts.extend(outages);
    parts
}

/// "99.95 % up in 90 days, down on 2 of them", for a screen reader.
pub fn label(uptime: &Uptime) -> String {
    let known = uptime.days.iter().flatten();
    let (all, down) = (known.clone().count(), known.filter(|day| day.down > 0).count());
    let Some(percent) = percent(uptime) else { return "Unknown".into() };
    let days = match all {
        DAYS => format!("{DAYS} days"),
        1 => "1 known day".into(),
        _ => format!("{all} known days"),
    };
    if down == 0 {
        format!("{percent} up in {days}")
    } else {
        format!("{percent} up in {days}, down on {down}")
    }
}

/// "99.95 %", "100 %"
pub fn percent(uptime: &Uptime) -> Option<String> {
    let percent = uptime.percent()?;
    // Exactly 100 only without any outage.
    Some(if percent >= 100.0 { "100 %".into() } else { format!("{percent:.2} %") })
}

fn outage(x: usize, day: UptimeDay, first: i64) -> BarPart {
    let height = (day.down * HEIGHT / (day.up + day.down).max(1)).clamp(LEAST_HEIGHT, HEIGHT);
    let down = Duration::from_millis(u64::try_from(day.down).unwrap_or(0));
    let title = format!("{}: down for {}", date(first, x), in_words(down));
    BarPart { x, width: 1, height, class: "d", title }
}

fn unknown(part: &BarPart, first: i64) -> String {
    let (from, to) = (date(first, part.x), date(first, part.x + part.width - 1));
    if from == to { format!("{from}: unknown") } else { format!("{from} to {to}: unknown") }
}

fn date(first: i64, index: usize) -> String {
    let day = first + i64::try_from(index).unwrap_or(0);
    let at = Moment::from_seconds(day.saturating_mul(86_400)).rfc_3339().unwrap_or_default();
    at.get(..10).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn uptime(days: &[(usize, Option<UptimeDay>)]) -> Uptime {
        let mut all = vec![Some(UptimeDay { up: 24 * HOUR, down: 0 }); DAYS];
        for (index, day) in days {
            all[*index] = *day;
        }
        // 20,000 days after 1970.
        Uptime { first_day: 20_000, days: all }
    }

    fn down(hours: i64) -> Option<UptimeDay> {
        Some(UptimeDay { up: (24 - hours) * HOUR, down: hours * HOUR })
    }

    fn shown(uptime: &Uptime) -> Vec<(usize, usize, i64, &'static str, String)> {
        bar(uptime)
            .into_iter()
            .map(|part| (part.x, part.width, part.height, part.class, part.title))
            .collect()
    }

    #[test]
    fn a_quiet_time_is_one_rectangle() {
        assert_eq!(shown(&uptime(&[])), [(0, 90, 14, "u", String::new())]);
        assert_eq!(label(&uptime(&[])), "100 % up in 90 days");
    }

    #[test]
    fn unknown_days_are_not_up_and_a_day_with_an_outage_is_as_red_as_it_was_down() {
        let uptime = uptime(&[(0, None), (1, None), (10, down(12)), (11, down(1)), (12, down(24))]);
        assert_eq!(
            shown(&uptime),
            [
                (0, 2, 14, "n", "2024-10-04 to 2024-10-05: unknown".into()),
                (2, 88, 14, "u", String::new()),
                (10, 1, 7, "d", "2024-10-14: down for 12 h".into()),
                (11, 1, 3, "d", "2024-10-15: down for 60 min".into()),
                (12, 1, 14, "d", "2024-10-16: down for 24 h".into()),
            ]
        );
        assert_eq!(bar(&uptime)[2].y(), 7);
        assert_eq!(label(&uptime), "98.24 % up in 88 known days, down on 3");
    }

    #[test]
    fn a_machine_that_was_never_seen_is_unknown() {
        let unknown = Uptime { first_day: 20_000, days: vec![None; DAYS] };
        assert_eq!((label(&unknown).as_str(), percent(&unknown)), ("Unknown", None));
        assert_eq!(shown(&unknown), [(0, 90, 14, "n", "2024-10-04 to 2025-01-01: unknown".into())]);
    }
}
