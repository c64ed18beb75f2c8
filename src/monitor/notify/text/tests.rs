//! What people read.

use super::*;
use crate::monitor::notify::notice::{Happening, Subject};
use crate::monitor::zone::berlin;

/// When it happens.
const THEN: Moment = Moment(1_769_005_800_000);

fn notice(news: EventKind, state: EventKind) -> Notice {
    let machine = Subject {
        id: 1,
        name: "production-server".into(),
        hostname: Some("web-1".into()),
        ..Subject::default()
    };
    let what =
        Happening { event: news, state, now: THEN, last_seen: Moment(THEN.0 - 135_400), condition: None };
    Notice::new(&machine, &what)
}

#[test]
fn an_outage_and_its_end_read_as_the_original_systems_did() {
    assert_eq!(
        notice(EventKind::Offline, EventKind::Offline).text(THEN, &Clock::UTC),
        "\u{1F534} Machine offline\nMachine: production-server\nHostname: web-1\n\
         Last seen: 2026-01-21 14:27:44 UTC (2m15s ago)"
    );
    assert_eq!(
        notice(EventKind::Online, EventKind::Online).text(THEN, &Clock::UTC),
        "\u{1F7E2} Machine back online\nMachine: production-server\nHostname: web-1\n\
         Last seen before: 2026-01-21 14:27:44 UTC\nAway for: 2m15s"
    );
}

#[test]
fn an_age_is_that_of_the_delivery_and_times_are_the_readers() {
    let hour_later = THEN.plus(Duration::from_secs(3600));
    let text = notice(EventKind::Offline, EventKind::Offline).text(hour_later, &berlin());
    assert!(text.ends_with("\nLast seen: 2026-01-21 15:27:44 CET (1h2m15s ago)"), "{text}");
    let recovery = notice(EventKind::Online, EventKind::Online).text(hour_later, &berlin());
    assert!(recovery.ends_with("\nLast seen before: 2026-01-21 15:27:44 CET\nAway for: 2m15s"), "{recovery}");
    // The clock was set back meanwhile.
    let text = notice(EventKind::Stopped, EventKind::Stopped).text(Moment(0), &Clock::UTC);
    assert!(text.ends_with(" UTC (0s ago)"), "{text}");
}

#[test]
fn many_machines_make_one_short_message() {
    let many: Vec<Notice> = (0..500)
        .map(|n| Notice { name: format!("camera-{n}"), ..notice(EventKind::Offline, EventKind::Offline) })
        .collect();
    let text = text_of_many(&many, THEN, &Clock::UTC);
    assert!(text.starts_with("\u{1F534} 500 machines offline\ncamera-0, camera-1, "), "{text}");
    assert!(text.contains("camera-19 and 480 more\nLast seen: 2026-01-21 14:27:44 UTC"), "{text}");
    assert!(text.len() < 1000);
}

#[test]
fn a_name_brings_no_lines_of_its_own_and_no_endless_text() {
    let name = format!("a\nLast seen: never\u{7}{}", "x".repeat(5000));
    let text = Notice { name, ..notice(EventKind::Offline, EventKind::Offline) }.text(THEN, &Clock::UTC);
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(text.len() < 400);
}

fn of_condition(condition: &str, subject: &str) -> Notice {
    let machine = Subject { id: 1, name: "barn-cam".into(), ..Subject::default() };
    let notice = ConditionNotice {
        condition: condition.into(),
        subject: subject.into(),
        since: THEN.0 - 420_000,
        uplink: Some("eth0".into()),
        days: 3,
        existed: false,
        ..ConditionNotice::default()
    };
    let state = EventKind::Condition;
    let last_seen = Moment(notice.since);
    Notice::new(&machine, &Happening { event: state, state, now: THEN, last_seen, condition: Some(notice) })
}

#[test]
fn a_condition_reads_as_a_person_would_write_it() {
    let begin = of_condition("under_voltage", "");
    assert_eq!(
        begin.text(THEN, &berlin()),
        "\u{1F534} barn-cam: under-voltage since 15:23 (7 min), third day this week: change its power supply or cable\n\
         Not useful? heartbeat-monitor condition off under_voltage --machine barn-cam"
    );
    let ended = EventKind::ConditionEnded;
    let end = Notice { news: ended, state: ended, ..of_condition("camera", "gate") };
    assert_eq!(end.text(THEN, &berlin()), "\u{1F7E2} barn-cam: camera gate is back after 7 min");
    let next_day = THEN.plus(Duration::from_secs(86_400));
    let late = of_condition("camera", "gate").text(next_day, &berlin());
    assert!(late.contains("camera gate is down since 2026-01-21 15:23 (24 h)"), "{late}");
}

#[test]
fn cameras_of_one_machine_are_one_text_with_a_line_each() {
    let cameras = ["gate", "yard"].map(|name| of_condition("camera", name));
    let text = text_of_many(&cameras, THEN, &Clock::UTC);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].contains("camera gate") && lines[1].contains("camera yard"), "{text}");
    assert_eq!(title_of_many(&cameras), "\u{1F534} barn-cam: 2 incidents open (camera)");
}

#[test]
fn a_name_is_quoted_where_a_shell_would_split_it() {
    for (name, argument) in [("barn-cam", "barn-cam"), ("barn cam", "'barn cam'"), ("it's", r"'it'\''s'")] {
        assert_eq!(quoted(name), argument);
    }
}

#[test]
fn a_notice_comes_out_of_the_outbox_as_it_went_in() {
    let notice = notice(EventKind::Steady, EventKind::Offline);
    let stored = serde_json::to_string(&notice).expect("JSON");
    assert_eq!(serde_json::from_str::<Notice>(&stored).expect("a notice"), notice);
}
