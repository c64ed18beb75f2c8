//! Durations as text: in Go's notation, which the users of the original monitor search their logs for, and for people.

use crate::clock::Moment;
use std::time::Duration;

/// Go's notation: `30s`, `2m0s`, `1h0m0s`, `1.5s`, `250ms`.
pub fn go(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0 => return "0s".into(),
        1..1_000 => return format!("{nanos}ns"),
        1_000..1_000_000 => return format!("{}µs", decimal(nanos, 3)),
        1_000_000..1_000_000_000 => return format!("{}ms", decimal(nanos, 6)),
        _ => {}
    }
    let seconds = duration.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let rest = decimal(nanos % 60_000_000_000, 9);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

/// Go's notation, rounded down to seconds.
pub fn go_seconds(duration: Duration) -> String {
    go(Duration::from_secs(duration.as_secs()))
}

/// Go's notation, rounded up to seconds: for the time until something happens.
pub fn go_seconds_up(wait: Duration) -> String {
    go(Duration::from_secs(wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))))
}

/// The two largest units: "12 ms", "5 s", "3m 20s", "2h 3m".
pub fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0 => format!("{} ms", length.as_millis()),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        _ => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// The largest unit with at least two of it, for a column of a table: `12s`, `3m`, `26h`, `5d`.
pub fn rough(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// The largest unit with at least two of it, in a sentence: "45 s", "7 min", "26 h", "5 days".
pub fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// `26h ago`, or a dash.
pub fn ago(then: Option<Moment>, now: Moment) -> String {
    then.map_or_else(|| "-".into(), |then| format!("{} ago", rough(now.since(then))))
}

/// `value` / 10^`places`, without zeros at the end.
fn decimal(value: u128, places: u32) -> String {
    let unit = 10u128.pow(places);
    let fraction = format!("{:0width$}", value % unit, width = places as usize);
    match fraction.trim_end_matches('0') {
        "" => (value / unit).to_string(),
        digits => format!("{}.{digits}", value / unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (250_000_000, "250ms"),
            (1_500_000_000, "1.5s"),
            (30_000_000_000, "30s"),
            (120_000_000_000, "2m0s"),
            (135_000_000_000, "2m15s"),
            (135_250_000_000, "2m15.25s"),
            (3_600_000_000_000, "1h0m0s"),
            (93_784_000_000_000, "26h3m4s"),
        ];
        for (nanos, written) in cases {
            assert_eq!(go(Duration::from_nanos(nanos)), written);
        }
    }

    #[test]
    fn a_wait_is_written_in_whole_seconds_and_at_least_one() {
        for (nanos, written) in [(5_175_850_652, "6s"), (1, "1s"), (60_000_000_000, "1m0s"), (0, "0s")] {
            assert_eq!(go_seconds_up(Duration::from_nanos(nanos)), written);
        }
    }

    #[test]
    fn people_read_two_units_or_one() {
        for (seconds, two, one) in [
            (5, "5 s", "5s"),
            (119, "1m 59s", "119s"),
            (120, "2m 0s", "2m"),
            (7_200, "2h 0m", "2h"),
            (172_800, "48h 0m", "2d"),
        ] {
            let length = Duration::from_secs(seconds);
            assert_eq!((span(length).as_str(), rough(length).as_str()), (two, one));
        }
        assert_eq!(span(Duration::from_millis(250)), "250 ms");
        assert_eq!(ago(None, Moment(0)), "-");
        assert_eq!(ago(Some(Moment(5_000)), Moment(0)), "0s ago", "the clock was set back");
        assert_eq!(go_seconds(Duration::from_millis(2_900)), "2s");
    }
}
