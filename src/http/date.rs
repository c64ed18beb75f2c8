//! Dates in headers (RFC 9110 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.

use std::time::SystemTime;
use time::OffsetDateTime;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

pub(super) fn format(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    let day = DAYS[usize::from(at.weekday().number_days_from_monday())];
    let month = MONTHS[usize::from(u8::from(at.month())) - 1];
    let (hour, minute, second) = at.time().as_hms();
    format!("{day}, {:02} {month} {:04} {hour:02}:{minute:02}:{second:02} GMT", at.day(), at.year())
}

/// Parses the form that [`format`] writes; `None` for anything else. The two obsolete forms of RFC 9110 are not accepted:
/// a condition with one counts as absent, and the client gets the whole file.
#[cfg(feature = "monitor")]
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    use time::{Date, Month, Time};
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u8>().ok();
    let month = MONTHS.iter().position(|month| text.get(8..11) == Some(*month))?;
    let month = Month::try_from(u8::try_from(month + 1).ok()?).ok()?;
    let date = Date::from_calendar_date(text.get(12..16)?.parse().ok()?, month, number(5, 7)?).ok()?;
    let time = Time::from_hms(number(17, 19)?, number(20, 22)?, number(23, 25)?).ok()?;
    let at = SystemTime::from(date.with_time(time).assume_utc());
    // Signs, other separators and the wrong day of the week do not come back.
    (format(at) == text).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const DATES: [(u64, &str); 3] = [
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
    ];

    #[test]
    fn a_date_is_the_rfcs_example() {
        for (seconds, text) in DATES {
            assert_eq!(format(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[cfg(feature = "monitor")]
    #[test]
    fn only_a_date_as_it_is_formatted_is_parsed() {
        for (seconds, text) in DATES {
            assert_eq!(parse(text), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:60 GMT",
            "Sun, 31 Feb 2100 23:59:59 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 GMTx",
            "Sun, 06 N\u{f6}v 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
