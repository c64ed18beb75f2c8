//! The response to a request for a file: the whole file, one range of it, or 304 (RFC 9110 13 and 14). Pure.
//!
//! Package managers continue an interrupted download with a range, and ask with `If-Modified-Since` whether a list is
//! still the same. Files have no ETag: their time and the signed list of their hashes are enough.

use super::date;
use super::file_body::{FileBody, OpenedFile, PieceReader};
use super::message::{Request, Response};
use std::ops::Range;
use std::time::{Duration, SystemTime};

/// The response to `request` with `file` as its body, which `reader` reads. `now` is the time of this machine.
pub fn file_response(
    request: &Request,
    file: OpenedFile,
    content_type: &'static str,
    reader: &PieceReader,
    now: SystemTime,
) -> Response {
    let size = file.size();
    let modified = Some(file.modified()).filter(|modified| *modified <= now);
    let selected = select(&Conditions::of(request), size, modified, now);
    let response = match selected {
        Selection::NotModified => Response::new(304),
        Selection::Unsatisfiable => {
            return Response::error(416, "the range begins behind the end of the file")
                .header("Content-Range", format!("bytes */{size}"));
        }
        Selection::Whole => {
            Response::new(200).header("Content-Type", content_type).file(0..size, file, reader)
        }
        Selection::Part(range) => Response::new(206)
            .header("Content-Type", content_type)
            .header("Content-Range", format!("bytes {}-{}/{size}", range.start, range.end - 1))
            .file(range, file, reader),
    };
    let response = response.header("Accept-Ranges", "bytes");
    match modified {
        Some(modified) => response.header("Last-Modified", date::format(modified)),
        None => response,
    }
}

impl Response {
    fn file(mut self, range: Range<u64>, file: OpenedFile, reader: &PieceReader) -> Response {
        self.file = Some(FileBody::new(file, range, reader));
        self
    }
}

/// What the client wants to have.
#[derive(Debug, PartialEq, Eq)]
enum Selection {
    Whole,
    /// Not empty, and within the file.
    Part(Range<u64>),
    NotModified,
    Unsatisfiable,
}

/// The headers that the selection depends on.
#[derive(Debug, Default, Clone, Copy)]
struct Conditions<'r> {
    range: Option<&'r str>,
    if_range: Option<&'r str>,
    if_modified_since: Option<&'r str>,
    has_if_none_match: bool,
}

impl<'r> Conditions<'r> {
    fn of(request: &'r Request) -> Conditions<'r> {
        Conditions {
            range: request.header("Range"),
            if_range: request.header("If-Range"),
            if_modified_since: request.header("If-Modified-Since"),
            has_if_none_match: request.header("If-None-Match").is_some(),
        }
    }
}

/// `modified` is absent if it lies in the future, as after a step of the clock: then it proves nothing.
fn select(
    conditions: &Conditions<'_>,
    size: u64,
    modified: Option<SystemTime>,
    now: SystemTime,
) -> Selection {
    let since = conditions.if_modified_since.filter(|_| !conditions.has_if_none_match).and_then(date::parse);
    if since.zip(modified).is_some_and(|(since, modified)| whole_second(modified) <= since) {
        return Selection::NotModified;
    }
    if !conditions.if_range.is_none_or(|since| is_same_version(since, modified, now)) {
        return Selection::Whole;
    }
    match conditions.range.and_then(ByteRange::parse) {
        Some(range) => range.within(size),
        None => Selection::Whole,
    }
}

/// Headers have no fraction of a second.
fn whole_second(at: SystemTime) -> SystemTime {
    let fraction = at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    at - Duration::from_nanos(fraction.into())
}

/// Whether the client's part is of the same version of the file. Within the second of its last change a file may have
/// had two versions (RFC 9110 8.8.2.2).
fn is_same_version(if_range: &str, modified: Option<SystemTime>, now: SystemTime) -> bool {
    let Some(modified) = modified else { return false };
    let is_settled = now.duration_since(modified).is_ok_and(|age| age >= Duration::from_secs(1));
    is_settled && date::parse(if_range) == Some(whole_second(modified))
}

/// One range as a client writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ByteRange {
    /// First and last position.
    Between(u64, u64),
    From(u64),
    /// This many bytes at the end.
    Last(u64),
}

impl ByteRange {
    /// `None` for several ranges, other units and faults: the header is ignored, which RFC 9110 allows, and the client gets
    /// the whole file.
    fn parse(header: &str) -> Option<ByteRange> {
        let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
        match (position(first), position(last)) {
            (Some(first), Some(last)) => (first <= last).then_some(ByteRange::Between(first, last)),
            (Some(first), None) if last.is_empty() => Some(ByteRange::From(first)),
            (None, Some(length)) if first.is_empty() => Some(ByteRange::Last(length)),
            _ => None,
        }
    }

    fn within(self, size: u64) -> Selection {
        let range = match self {
            ByteRange::Between(first, last) => first..size.min(last.saturating_add(1)),
            ByteRange::From(first) => first..size,
            ByteRange::Last(length) => size.saturating_sub(length)..size,
        };
        if range.is_empty() { Selection::Unsatisfiable } else { Selection::Part(range) }
    }
}

/// Only digits: `parse` alone accepts a sign.
fn position(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 1_000;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1_000 + 250)
    }

    fn selected(conditions: Conditions<'_>) -> Selection {
        select(&conditions, SIZE, Some(at(784_111_777)), at(784_200_000))
    }

    #[test]
    fn one_range_is_a_part_and_everything_else_the_whole_file() {
        for (range, expected) in [
            ("bytes=0-0", Selection::Part(0..1)),
            ("bytes=0-999", Selection::Part(0..1_000)),
            ("bytes=500-", Selection::Part(500..1_000)),
            ("bytes=500-18446744073709551615", Selection::Part(500..1_000)),
            ("bytes=-1", Selection::Part(999..1_000)),
            ("bytes=-5000", Selection::Part(0..1_000)),
            ("bytes=1000-", Selection::Unsatisfiable),
            ("bytes=1000-2000", Selection::Unsatisfiable),
            ("bytes=-0", Selection::Unsatisfiable),
            ("bytes=5-4", Selection::Whole),
            ("bytes=0-1,5-6", Selection::Whole),
            ("bytes=-", Selection::Whole),
            ("bytes=+1-2", Selection::Whole),
            ("bytes= 1-2", Selection::Whole),
            ("bytes=1--2", Selection::Whole),
            ("bytes=18446744073709551616-", Selection::Whole),
            ("lines=1-2", Selection::Whole),
            ("", Selection::Whole),
        ] {
            assert_eq!(
                selected(Conditions { range: Some(range), ..Conditions::default() }),
                expected,
                "{range}"
            );
        }
        let range = Some("bytes=0-");
        let nothing = select(&Conditions { range, ..Conditions::default() }, 0, None, at(0));
        assert_eq!(nothing, Selection::Unsatisfiable);
    }

    #[test]
    fn a_part_is_continued_only_if_the_file_is_the_same() {
        let range = Some("bytes=500-");
        for (if_range, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Selection::Part(500..1_000)),
            ("Sun, 06 Nov 1994 08:49:38 GMT", Selection::Whole),
            ("Sun, 06 Nov 1994 08:49:36 GMT", Selection::Whole),
            ("\"an-etag\"", Selection::Whole),
        ] {
            let conditions = Conditions { range, if_range: Some(if_range), ..Conditions::default() };
            assert_eq!(selected(conditions), expected, "{if_range}");
        }
        let if_range = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let conditions = Conditions { range, if_range, ..Conditions::default() };
        let just_written = at(784_111_777);
        assert_eq!(select(&conditions, SIZE, Some(just_written), just_written), Selection::Whole);
        assert_eq!(select(&conditions, SIZE, None, just_written), Selection::Whole);
    }

    #[test]
    fn an_unchanged_file_is_not_sent_again() {
        for (since, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Selection::NotModified),
            ("Mon, 07 Nov 1994 08:49:37 GMT", Selection::NotModified),
            ("Sun, 06 Nov 1994 08:49:36 GMT", Selection::Whole),
            ("yesterday", Selection::Whole),
        ] {
            let conditions = Conditions { if_modified_since: Some(since), ..Conditions::default() };
            assert_eq!(selected(conditions), expected, "{since}");
            assert_eq!(selected(Conditions { has_if_none_match: true, ..conditions }), Selection::Whole);
        }
    }
}
