use super::*;
use std::time::Duration;

/// 2026-01-21T12:54:00Z.
const BEGIN: Moment = Moment(1_769_000_040_000);

fn at(seconds: i64) -> Moment {
    Moment(BEGIN.0 + seconds * 1000)
}

fn mac(number: usize) -> String {
    format!("b8:27:eb:00:{:02x}:{:02x}", number / 256, number % 256)
}

fn facts(number: usize, is_connected: Option<bool>) -> CameraFacts<'static> {
    CameraFacts {
        mac: Some(mac(number).into()),
        hostname: Some(format!("cam{number}").into()),
        is_connected,
        failed_checks: None,
    }
}

const UP: Option<bool> = Some(true);
const DOWN: Option<bool> = Some(false);

fn report(minutes: &mut CameraMinutes, state: Option<bool>, seconds: i64) {
    minutes.report(&[facts(1, state)], at(seconds));
}

/// Days after the begin, and minutes up and down, that a call at `seconds` drains.
fn drained(minutes: &mut CameraMinutes, seconds: i64) -> Vec<(u16, u16, u16)> {
    let first = day(minute(BEGIN));
    minutes.drain(at(seconds)).days.iter().map(|new| (new.day - first, new.up, new.down)).collect()
}

#[test]
fn the_last_report_of_a_minute_counts_and_what_is_unknown_or_not_reported_does_not() {
    let mut minutes = CameraMinutes::default();
    for (seconds, state) in [(0, DOWN), (55, UP), (60, UP), (115, DOWN), (120, UP), (175, None)] {
        report(&mut minutes, state, seconds);
    }
    // Silent for ten minutes.
    report(&mut minutes, UP, 800);
    assert_eq!(drained(&mut minutes, 839), [(0, 1, 1)], "the minute in progress is not over");
    assert!(!minutes.has_unsaved(at(839)) && minutes.has_unsaved(at(840)));
    assert_eq!(drained(&mut minutes, 840), [(0, 1, 0)], "no heartbeat ends it");
    assert!(!minutes.has_unsaved(at(900)));
}

#[test]
fn an_unknown_camera_is_known_to_be_reported() {
    let mut minutes = CameraMinutes::default();
    report(&mut minutes, None, 0);
    let unsaved = minutes.drain(at(60));
    let expected = CameraDay {
        mac: Mac::parse(&mac(1)).expect("an address"),
        name: Some("cam1".into()),
        day: day(minute(BEGIN)),
        up: 0,
        down: 0,
        reported: minute(BEGIN),
    };
    assert_eq!(unsaved.days, [expected]);
    report(&mut minutes, None, 60);
    assert_eq!(minutes.drain(at(120)).days[0].name, None, "the database has it");
}

#[test]
fn a_minute_belongs_to_its_day() {
    let mut minutes = CameraMinutes::default();
    // Midnight is 11 h 6 min after the begin.
    for seconds in (39_900..40_080).step_by(5) {
        report(&mut minutes, UP, seconds);
    }
    assert_eq!(drained(&mut minutes, 40_080), [(0, 1, 0), (1, 2, 0)]);
}

#[test]
fn what_could_not_be_written_is_kept_with_its_name_and_bounded() {
    let mut minutes = CameraMinutes::default();
    for minute in 0..30 {
        report(&mut minutes, UP, minute * 60);
        let unsaved = minutes.drain(at(minute * 60));
        report(&mut minutes, if minute % 2 == 0 { UP } else { DOWN }, minute * 60 + 59);
        minutes.not_saved(unsaved);
    }
    let unsaved = minutes.drain(at(1800));
    assert_eq!(unsaved.days.len(), 1);
    assert_eq!((unsaved.days[0].up, unsaved.days[0].down), (15, 15));
    assert_eq!(unsaved.days[0].name.as_deref(), Some("cam1"));

    let all: Vec<_> = (0..MAX_SUBJECTS).map(|number| facts(number, UP)).collect();
    for day in 0..12 {
        minutes.report(&all, at(86_400 * day + 3600));
        let unsaved = minutes.drain(at(86_400 * day + 3660));
        minutes.not_saved(unsaved);
    }
    let unsaved = minutes.drain(at(86_400 * 12));
    assert_eq!(unsaved.days.len(), MOST_UNSAVED, "8 days of 256 cameras");
    assert_eq!(unsaved.days[0].day - day(minute(BEGIN)), 4, "the oldest are gone");
}

#[test]
fn a_minute_that_a_restart_repeats_counts_once() {
    let mut minutes = CameraMinutes::default();
    report(&mut minutes, UP, 5);
    // As the recorder does when it stops.
    let unsaved = minutes.drain(at(10).plus(Duration::from_secs(60)));
    let CameraDay { mac, name, reported, up, .. } = unsaved.days[0].clone();
    assert_eq!(up, 1);
    let mut restarted = CameraMinutes::default();
    restarted.load(vec![StoredCamera { mac, name: name.map(String::from), reported }]);
    report(&mut restarted, UP, 20);
    report(&mut restarted, UP, 65);
    assert_eq!(drained(&mut restarted, 120), [(0, 1, 0)]);
    report(&mut restarted, UP, 120);
    assert_eq!(restarted.drain(at(180)).days[0].name, None, "the name is known");
}

#[test]
fn minutes_that_a_clock_repeats_count_once_and_a_clock_that_was_wrong_does_not_stop_the_count() {
    let mut minutes = CameraMinutes::default();
    let mut count = |seconds: std::ops::Range<i64>| {
        for second in seconds.clone().step_by(5) {
            report(&mut minutes, UP, second);
        }
        drained(&mut minutes, seconds.end).iter().map(|(_, up, _)| up).sum::<u16>()
    };
    assert_eq!(count(0..600), 10);
    assert_eq!(count(300..900), 5, "back by 5 minutes");
    assert_eq!(count(7200..7800), 10, "two hours ahead");
    assert_eq!(count(900..1500), 10, "and right again");
}

#[test]
fn more_cameras_than_a_machine_can_have_are_refused_with_one_event_until_one_is_forgotten() {
    let mut minutes = CameraMinutes::default();
    let all: Vec<_> = (0..=MAX_SUBJECTS).map(|number| facts(number, UP)).collect();
    minutes.report(&all, at(0));
    let unsaved = minutes.drain(at(60));
    assert_eq!((unsaved.days.len(), unsaved.were_refused), (MAX_SUBJECTS, true));
    minutes.not_saved(unsaved);
    assert!(minutes.drain(at(60)).were_refused, "it could not be written");
    minutes.report(&all, at(60));
    assert!(!minutes.drain(at(120)).were_refused, "once");
    minutes.forget(Mac::parse(&mac(0)).expect("an address"));
    minutes.report(&all[1..], at(120));
    let unsaved = minutes.drain(at(180));
    assert_eq!((unsaved.days.len(), unsaved.were_refused), (MAX_SUBJECTS, false));
}

#[test]
fn a_camera_without_an_address_has_no_history_and_a_name_that_is_not_a_hostname_is_dropped() {
    let mut minutes = CameraMinutes::default();
    let named = |mac: Option<&'static str>, name: &'static str| CameraFacts {
        mac: mac.map(Into::into),
        hostname: Some(name.into()),
        ..facts(1, UP)
    };
    minutes.report(
        &[named(None, "a"), named(Some("gate"), "b"), named(Some("b8:27:eb:00:00:01"), "a\nb")],
        BEGIN,
    );
    let unsaved = minutes.drain(at(60));
    assert_eq!(unsaved.days.iter().map(|new| new.name.clone()).collect::<Vec<_>>(), [None]);
}

#[test]
fn a_camera_takes_at_most_60_bytes() {
    assert_eq!((size_of::<KnownCamera>(), size_of::<UnsavedDay>()), (32, 12));
    let mut minutes = CameraMinutes::default();
    let all: Vec<_> = (0..8).map(|number| facts(number, UP)).collect();
    minutes.report(&all, at(0));
    minutes.report(&all, at(60));
    minutes.report(&all, at(86_400));
    minutes.report(&all, at(86_460));
    let bytes = minutes.cameras.capacity() * size_of::<KnownCamera>()
        + minutes.unsaved.capacity() * size_of::<UnsavedDay>();
    assert!(bytes <= 8 * 60, "{bytes} bytes of 8 cameras with two days that are not written");
}
