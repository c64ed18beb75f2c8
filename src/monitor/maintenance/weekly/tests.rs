use super::*;
use crate::monitor::zone::berlin;

const HOUR: i64 = 3_600_000;

fn utc(text: &str) -> Moment {
    Moment::from_rfc_3339(text).expect(text)
}

/// The windows of a plan in the eight days from a moment on, as UTC.
fn windows(plan: (&str, &str), clock: &Clock, from: &str) -> Vec<(String, String)> {
    let weekly = Weekly::parse(plan.0, plan.1).expect("a plan");
    let text = |at: Moment| at.rfc_3339().expect("a time");
    let (now, limit) = (utc(from), Moment(utc(from).0 + 8 * DAY_MS));
    weekly
        .windows(clock, now, limit)
        .into_iter()
        .map(|window| (text(window.begin), text(window.end)))
        .collect()
}

fn one(begin: &str, end: &str) -> Vec<(String, String)> {
    vec![(begin.to_owned(), end.to_owned())]
}

#[test]
fn a_window_follows_the_clock_on_the_wall_through_both_changes() {
    let plan = ("sun", "02:00-04:00");
    let berlin = berlin();
    // 2026-03-29 is the Sunday on which 02:00 becomes 03:00, and 2026-10-25 the one on which 03:00 becomes 02:00.
    for (from, begin, end) in [
        ("2026-01-15T12:00:00Z", "2026-01-18T01:00:00Z", "2026-01-18T03:00:00Z"),
        ("2026-07-15T12:00:00Z", "2026-07-19T00:00:00Z", "2026-07-19T02:00:00Z"),
        // It begins when the clock jumps: one hour is left.
        ("2026-03-27T12:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"),
        // From the first 02:00 to 04:00: three hours.
        ("2026-10-23T12:00:00Z", "2026-10-25T00:00:00Z", "2026-10-25T03:00:00Z"),
    ] {
        assert_eq!(windows(plan, &berlin, from)[..1], one(begin, end), "{from}");
    }
}

#[test]
fn a_window_within_the_skipped_hour_does_not_exist_and_one_within_the_repeated_hour_has_both() {
    let plan = ("sun", "02:15-02:45");
    assert_eq!(
        windows(plan, &berlin(), "2026-03-28T12:00:00Z"),
        one("2026-04-05T00:15:00Z", "2026-04-05T00:45:00Z")
    );
    let repeated = windows(plan, &berlin(), "2026-10-24T12:00:00Z");
    assert_eq!(repeated[..1], one("2026-10-25T00:15:00Z", "2026-10-25T01:45:00Z"));
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
    let plan = ("fri", "22:00-02:00");
    let expected = one("2026-01-16T22:00:00Z", "2026-01-17T02:00:00Z");
    assert_eq!(windows(plan, &Clock::UTC, "2026-01-15T12:00:00Z"), expected);
    // It is found while it goes on, also after midnight.
    assert_eq!(windows(plan, &Clock::UTC, "2026-01-17T01:59:59Z")[..1], expected);
    assert_ne!(windows(plan, &Clock::UTC, "2026-01-17T02:00:00Z")[..1], expected);
    // Over the night of a change.
    let expected = one("2026-10-24T20:00:00Z", "2026-10-25T04:00:00Z");
    assert_eq!(windows(("sat", "22:00-05:00"), &berlin(), "2026-10-23T12:00:00Z")[..1], expected);
    // A whole day.
    let day = windows(("mon", "00:00-00:00"), &Clock::UTC, "2026-01-17T12:00:00Z");
    assert_eq!(day, one("2026-01-19T00:00:00Z", "2026-01-20T00:00:00Z"));
}

#[test]
fn each_window_of_a_year_begins_and_ends_by_the_clock() {
    let (weekly, berlin) = (Weekly::parse("daily", "01:30-03:30").expect("a plan"), berlin());
    let mut now = utc("2026-01-01T00:00:00Z");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..366 * 24 {
        for window in weekly.windows(&berlin, now, now) {
            assert!(window.begin <= now && now < window.end);
            seen.insert((window.begin.0, window.end.0));
        }
        now = Moment(now.0 + HOUR);
    }
    let lengths = |hours: i64| seen.iter().filter(|(begin, end)| end - begin == hours * HOUR).count();
    assert_eq!((seen.len(), lengths(1), lengths(3)), (366, 1, 1), "one is short, one is long");
}

#[test]
fn days_are_names_lists_and_ranges() {
    for (text, shown) in [
        ("sun", "sun"),
        ("Mon,THU", "mon,thu"),
        ("mon-fri", "mon-fri"),
        ("mon,tue,wed,fri,sat,sun", "mon-wed,fri-sun"),
        ("tue,wed,sun", "tue,wed,sun"),
        ("sat-mon", "mon,sat,sun"),
        ("daily", "daily"),
        ("mon-sun", "daily"),
    ] {
        let weekly = Weekly::parse(text, "02:00-04:00").expect(text);
        assert_eq!(weekly.to_string(), format!("{shown} 02:00-04:00"));
    }
    for (days, times) in [
        ("", "02:00-04:00"),
        ("sunday", "02:00-04:00"),
        ("mon,", "02:00-04:00"),
        ("sun", "2-4"),
        ("sun", "02:00-24:00"),
    ] {
        Weekly::parse(days, times).expect_err(days);
    }
}
