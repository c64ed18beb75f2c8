//! The validity dates of a certificate, read from its DER form.

use rustls::pki_types::UnixTime;
use std::time::Duration;
use time::{Date, Month, Time};

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// A certificate of version 1 has none.
const VERSION: u8 = 0xa0;

/// First and last second of a certificate (RFC 5280, 4.1); `None` if it cannot be parsed.
pub fn validity(certificate: &[u8]) -> Option<(UnixTime, UnixTime)> {
    let (to_be_signed, _) = element(certificate, SEQUENCE)?;
    let (fields, _) = element(to_be_signed, SEQUENCE)?;
    let fields = element(fields, VERSION).map_or(fields, |(_version, fields)| fields);
    let (_serial, fields) = element(fields, INTEGER)?;
    let (_algorithm, fields) = element(fields, SEQUENCE)?;
    let (_issuer, fields) = element(fields, SEQUENCE)?;
    let (validity, _) = element(fields, SEQUENCE)?;
    let (not_before, rest) = time(validity)?;
    let (not_after, _) = time(rest)?;
    Some((not_before, not_after))
}

/// Content of the DER element with which `bytes` begins, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    if found != tag {
        return None;
    }
    rest.split_at_checked(length)
}

/// `YYMMDDHHMMSSZ` (a year from 1950 to 2049) or `YYYYMMDDHHMMSSZ`; before 1970 it is 1970.
fn time(bytes: &[u8]) -> Option<(UnixTime, &[u8])> {
    let (text, rest, century) = match element(bytes, UTC_TIME) {
        Some((text, rest)) => (text, rest, None),
        None => {
            let (text, rest) = element(bytes, GENERALIZED_TIME)?;
            let (century, text) = text.split_at_checked(2)?;
            (text, rest, Some(two_digits(century)?))
        }
    };
    let (digits, zone) = text.split_at_checked(12)?;
    let mut fields = digits.chunks(2).map(two_digits);
    let mut next = || fields.next().flatten();
    let (year, month, day) = (next()?, next()?, next()?);
    let (hour, minute, second) = (next()?, next()?, next()?);
    let century = century.unwrap_or(if year < 50 { 20 } else { 19 });
    let year = i32::from(century) * 100 + i32::from(year);
    let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?;
    let moment = date.with_time(Time::from_hms(hour, minute, second).ok()?).assume_utc();
    let seconds = u64::try_from(moment.unix_timestamp()).unwrap_or(0);
    (zone == b"Z").then_some((UnixTime::since_unix_epoch(Duration::from_secs(seconds)), rest))
}

fn two_digits(text: &[u8]) -> Option<u8> {
    match text {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some((tens - b'0') * 10 + (ones - b'0')),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_both_forms_are_parsed_and_malformed_ones_are_not() {
        let seconds = |tag: u8, text: &str| {
            let element = [&[tag, text.len() as u8], text.as_bytes()].concat();
            time(&element).map(|(time, _)| time.as_secs())
        };
        assert_eq!(seconds(UTC_TIME, "251128163155Z"), Some(1_764_347_515));
        assert_eq!(seconds(GENERALIZED_TIME, "20251128163155Z"), Some(1_764_347_515));
        assert_eq!(seconds(UTC_TIME, "500101000000Z"), Some(0));
        assert_eq!(seconds(GENERALIZED_TIME, "20500101000000Z"), Some(2_524_608_000));
        for broken in ["", "25112816315Z", "251328163155Z", "251128163155", "251128163155+", "2511281x3155Z"]
        {
            assert_eq!(seconds(UTC_TIME, broken), None, "{broken}");
        }
    }

    #[test]
    fn a_damaged_certificate_has_no_dates_and_is_no_panic() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let length = random.usize(..60);
            let bytes: Vec<u8> = (0..length)
                .map(|_| b"\x30\x30\x02\x17\x18\xa0\x05\x81\x83\xff2Z"[random.usize(..12)])
                .collect();
            assert_eq!(validity(&bytes), None);
        }
    }
}
