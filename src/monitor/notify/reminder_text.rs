//! The text of reminders and escalations: the open incidents that they are about, the most urgent first.

use crate::clock::Moment;
use crate::duration::in_words;
use crate::monitor::conditions::words::is_minor;
use crate::monitor::notify::notice::{MOST_NAMED, Notice, shown};
use crate::monitor::zone::Clock;

const SIGN: char = '\u{1F534}';

/// One line: "🔴 barn: still offline for 3 h", "🔴 7 incidents are still open", or what was not acknowledged.
pub fn title(notices: &[Notice]) -> String {
    match notices {
        [one] => match &one.unacknowledged_by {
            None => format!("{SIGN} {}", state(one, Moment(one.at))),
            Some(_) => format!("{SIGN} Not acknowledged: {}", state(one, Moment(one.at))),
        },
        [first, ..] if first.unacknowledged_by.is_some() => {
            format!("{SIGN} {} incidents are not acknowledged", notices.len())
        }
        many => format!("{SIGN} {} incidents are still open", many.len()),
    }
}

/// The ages are those at `now`, the times those of the reader's `clock`.
pub fn text(notices: &[Notice], now: Moment, clock: &Clock) -> String {
    let mut sorted: Vec<&Notice> = notices.iter().collect();
    sorted.sort_by_key(|notice| urgency(notice));
    let title = (notices.len() > 1).then(|| title(notices));
    let line = |notice: &&Notice| {
        let since = clock.time_of_day(Moment(since(notice)), now);
        let by = notice.unacknowledged_by.as_deref();
        let by = by.map(|name| format!(", not acknowledged by {}", shown(name))).unwrap_or_default();
        format!("{SIGN} {} (since {since}){by}", state(notice, now))
    };
    let lines = sorted.iter().take(MOST_NAMED).map(line);
    let others = notices.len().saturating_sub(MOST_NAMED);
    let rest = (others > 0).then(|| format!("and {others} more"));
    title.into_iter().chain(lines).chain(rest).collect::<Vec<_>>().join("\n")
}

/// The most urgent first: outages, then what does not work, then what a person should look at; of these the oldest.
fn urgency(notice: &Notice) -> (u8, i64) {
    let rank = match &notice.condition {
        None => 0,
        Some(condition) if is_minor(&condition.condition) => 2,
        Some(_) => 1,
    };
    (rank, since(notice))
}

fn since(notice: &Notice) -> i64 {
    notice.condition.as_ref().map_or(notice.last_seen, |condition| condition.since)
}

/// "barn: still offline for 3 h", "barn: camera gate is down, for 3 h now". Without the time if the clock was set back to
/// before its begin: it would be 0 s.
fn state(notice: &Notice, now: Moment) -> String {
    let (name, begin) = (shown(&notice.name), Moment(since(notice)));
    let age = (begin <= now).then(|| in_words(now.since(begin)));
    match (&notice.condition, age) {
        (None, Some(age)) => format!("{name}: still offline for {age}"),
        (None, None) => format!("{name}: still offline"),
        (Some(condition), Some(age)) => format!("{name}: {}, for {age} now", shown(&condition.phrase(false))),
        (Some(condition), None) => format!("{name}: {}", shown(&condition.phrase(false))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::notify::condition_notice::ConditionNotice;
    use crate::monitor::notify::notice::EventKind;
    use crate::monitor::zone::berlin;

    const HOUR: i64 = 3_600_000;
    /// 2026-01-21 14:30 UTC.
    const NOW: Moment = Moment(1_769_005_800_000);

    fn outage(name: &str, hours: i64) -> Notice {
        let test = Notice::test(NOW);
        let (news, state) = (EventKind::Reminder, EventKind::Offline);
        Notice { news, state, name: name.into(), last_seen: NOW.0 - hours * HOUR, ..test }
    }

    fn condition(name: &str, kind: &str, subject: &str, hours: i64) -> Notice {
        let condition = ConditionNotice {
            condition: kind.into(),
            subject: subject.into(),
            since: NOW.0 - hours * HOUR,
            ..ConditionNotice::default()
        };
        let state = EventKind::Condition;
        Notice { state, condition: Some(condition), ..outage(name, 0) }
    }

    #[test]
    fn one_incident_is_one_line_with_its_age_at_delivery() {
        let one = [outage("barn", 3)];
        assert_eq!(title(&one), "\u{1F534} barn: still offline for 3 h");
        let hour_later = Moment(NOW.0 + HOUR);
        assert_eq!(text(&one, hour_later, &berlin()), "\u{1F534} barn: still offline for 4 h (since 12:30)");
        let camera = [condition("barn", "camera", "gate", 30)];
        assert_eq!(
            text(&camera, NOW, &Clock::UTC),
            "\u{1F534} barn: camera gate is down, for 30 h now (since 2026-01-20 08:30)"
        );
    }

    #[test]
    fn what_began_by_a_clock_that_was_ahead_has_no_age() {
        assert_eq!(title(&[outage("barn", -1)]), "\u{1F534} barn: still offline");
        assert_eq!(title(&[condition("barn", "camera", "gate", -1)]), "\u{1F534} barn: camera gate is down");
    }

    #[test]
    fn many_incidents_are_one_message_with_the_most_urgent_first() {
        let many = [
            condition("silo", "wifi", "", 90),
            condition("silo", "camera", "gate", 5),
            outage("barn", 2),
            outage("mill", 4),
        ];
        let text = text(&many, NOW, &Clock::UTC);
        let names: Vec<&str> = text
            .lines()
            .map(|line| line.split(" (").next().unwrap_or(line).trim_start_matches("\u{1F534} "))
            .collect();
        assert_eq!(
            names,
            [
                "4 incidents are still open",
                "mill: still offline for 4 h",
                "barn: still offline for 2 h",
                "silo: camera gate is down, for 5 h now",
                "silo: the Wi-Fi signal is weak",
            ]
        );
    }

    #[test]
    fn an_escalation_names_who_has_not_acknowledged() {
        let by = |name: &str| Some(name.to_owned());
        let one = [Notice { unacknowledged_by: by("farm"), ..outage("barn", 3) }];
        assert_eq!(title(&one), "\u{1F534} Not acknowledged: barn: still offline for 3 h");
        assert_eq!(
            text(&one, NOW, &Clock::UTC),
            "\u{1F534} barn: still offline for 3 h (since 11:30), not acknowledged by farm"
        );
        let two = [one[0].clone(), Notice { unacknowledged_by: by("town"), ..outage("mill", 4) }];
        assert!(text(&two, NOW, &Clock::UTC).starts_with("\u{1F534} 2 incidents are not acknowledged\n"));
    }

    #[test]
    fn a_thousand_incidents_fit_into_a_message_and_names_bring_no_lines() {
        let hostile = "a\nb\u{1b}".repeat(500);
        let many: Vec<Notice> = (0..1000).map(|_| condition(&hostile, "camera", &hostile, 1)).collect();
        let text = text(&many, NOW, &Clock::UTC);
        assert_eq!(text.lines().count(), 22, "{text}");
        assert!(text.ends_with("\nand 980 more") && text.chars().count() < 8000, "{}", text.len());
        assert!(!text.contains('\u{1b}'));
    }
}
