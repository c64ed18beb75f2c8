//! Decodes the bytes of a body to text: gzip, byte order mark, UTF-8, NaN and Infinity.

use super::malformed::{Cause, Malformed};
use crate::http::Request;
use crate::wire;
use flate2::read::MultiGzDecoder;
use std::borrow::Cow;
use std::io::Read;

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";
/// The key that makes a heartbeat a replay.
const REPLAY: &[u8] = b"replay_age_s";

/// The inflated body, at most [`wire::MAX_BODY`] bytes; with an error, the bytes before it.
pub fn inflate<'b>(request: &Request, body: &'b [u8]) -> (Cow<'b, [u8]>, Result<(), Malformed>) {
    match coding(request) {
        Coding::None => (Cow::Borrowed(body), Ok(())),
        Coding::Gzip => {
            let (bytes, result) = gunzip(body);
            (Cow::Owned(bytes), result)
        }
        Coding::Other => {
            let reason = "Content-Encoding must be gzip or absent";
            (Cow::Borrowed(body), Err(Malformed::new(Cause::Coding, reason)))
        }
    }
}

enum Coding {
    None,
    Gzip,
    Other,
}

/// RFC 9110 8.4.1: `x-gzip` is gzip, `identity` is none.
fn coding(request: &Request) -> Coding {
    let mut lines = request.header_lines("content-encoding").map(<[u8]>::trim_ascii);
    let is = |value: &[u8], name: &str| value.eq_ignore_ascii_case(name.as_bytes());
    match (lines.next(), lines.next()) {
        (None, _) => Coding::None,
        (Some(value), None) if value.is_empty() || is(value, "identity") => Coding::None,
        (Some(value), None) if is(value, "gzip") || is(value, "x-gzip") => Coding::Gzip,
        _ => Coding::Other,
    }
}

fn gunzip(body: &[u8]) -> (Vec<u8>, Result<(), Malformed>) {
    let mut bytes = Vec::new();
    // One more byte than allowed shows that the body is too large.
    let result = MultiGzDecoder::new(body).take(wire::MAX_BODY as u64 + 1).read_to_end(&mut bytes);
    let result = match result {
        Ok(_) if bytes.len() > wire::MAX_BODY => {
            Err(Malformed::new(Cause::TooLarge, "the body is larger than 64 KiB after inflating"))
        }
        Ok(_) => Ok(()),
        Err(_) => Err(Malformed::new(Cause::Coding, "the body is not gzip, but its Content-Encoding is")),
    };
    (bytes, result)
}

/// The body as text, without a byte order mark.
pub fn text(body: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(body.strip_prefix(UTF8_MARK).unwrap_or(body))
        .map_err(|_| Malformed::new(Cause::NotUtf8, "the body is not UTF-8"))
}

/// `text` with `null` in place of each NaN and Infinity outside of strings, in any of the spellings that printf,
/// Python, JavaScript and Arduino use; `None` if there are none.
pub fn with_null_for_nan(text: &str) -> Option<String> {
    let mut fixed = String::new();
    let (mut copied, mut at) = (0, 0);
    let bytes = text.as_bytes();
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' {
            at = end_of_string(bytes, at);
        } else if is_of_word(byte) {
            let begin = at;
            at += bytes[at..].iter().take_while(|byte| is_of_word(**byte)).count();
            if is_not_finite(&text[begin..at]) {
                fixed.push_str(&text[copied..begin]);
                fixed.push_str("null");
                copied = at;
            }
        } else {
            at += 1;
        }
    }
    (copied > 0).then(|| fixed + &text[copied..])
}

/// The position after the string that begins at `begin`.
fn end_of_string(bytes: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    loop {
        match bytes.get(at) {
            None => return bytes.len(),
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_')
}

fn is_not_finite(word: &str) -> bool {
    let word = word.strip_prefix(['+', '-']).unwrap_or(word);
    ["nan", "inf", "infinity"].iter().any(|name| word.eq_ignore_ascii_case(name))
}

/// Whether an undecodable body may hold replays, which are never a sign of life: it is an array, or mentions the key of a
/// replay. Zero bytes are skipped, so that UTF-16 is recognised too.
pub fn may_be_replay(body: &[u8]) -> bool {
    let mut plain = body.to_vec();
    plain.retain(|byte| *byte != 0);
    let is_mark_or_space = |byte: &u8| byte.is_ascii_whitespace() || b"\xef\xbb\xbf\xfe\xff".contains(byte);
    let first = plain.iter().find(|byte| !is_mark_or_space(byte));
    first == Some(&b'[') || mentions_replay(&plain)
}

pub fn mentions_replay(body: &[u8]) -> bool {
    body.windows(REPLAY.len()).any(|window| window == REPLAY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).expect("compressed");
        encoder.finish().expect("compressed")
    }

    #[test]
    fn numbers_that_json_does_not_have_become_null_outside_of_strings_only() {
        for (text, fixed) in [
            (r#"{"a":NaN}"#, Some(r#"{"a":null}"#)),
            (
                r#"{"a":nan,"b":-inf , "c": [Infinity,-Infinity,+INF]}"#,
                Some(r#"{"a":null,"b":null , "c": [null,null,null]}"#),
            ),
            (r#"{"a":"NaN","b":"say \"NaN\"","c":NaN}"#, Some(r#"{"a":"NaN","b":"say \"NaN\"","c":null}"#)),
            (r#"{"NaN":1}"#, None),
            (r#"{"a":"NaN"#, None),
            (r#"{"a":"\"#, None),
            (r#"{"a":nano,"b":info,"c":1.5e-3}"#, None),
            ("", None),
            ("NaN", Some("null")),
            (
                "{\"a\":\"\u{e9}\",\"b\":NaN,\"c\":\"\u{e9}\"}",
                Some("{\"a\":\"\u{e9}\",\"b\":null,\"c\":\"\u{e9}\"}"),
            ),
        ] {
            assert_eq!(with_null_for_nan(text).as_deref(), fixed, "{text}");
        }
    }

    #[test]
    fn a_gzip_body_is_inflated_up_to_64_kib() {
        assert_eq!(gunzip(&gzip(b"{\"cpu\":1}")), (b"{\"cpu\":1}".to_vec(), Ok(())));
        let members = [gzip(b"{\"cpu\""), gzip(b":1}")].concat();
        assert_eq!(gunzip(&members), (b"{\"cpu\":1}".to_vec(), Ok(())));
        assert_eq!(gunzip(&gzip(&vec![b' '; wire::MAX_BODY])).1, Ok(()));
        let (bytes, result) = gunzip(&gzip(&vec![b' '; 100 * wire::MAX_BODY]));
        assert_eq!(result.expect_err("too large").cause, Cause::TooLarge);
        assert!(bytes.len() <= wire::MAX_BODY + 1, "{} bytes", bytes.len());
        let whole = gzip(b"[{\"replay_age_s\": 60}]");
        for (body, cause) in [(&whole[..whole.len() - 1], Cause::Coding), (b"{}", Cause::Coding)] {
            assert_eq!(gunzip(body).1.expect_err("malformed").cause, cause);
        }
    }

    #[test]
    fn what_may_be_a_replay_is_recognised_in_any_encoding() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
        for body in [
            b" [1".to_vec(),
            b"\xef\xbb\xbf[".to_vec(),
            b"{\"replay_age_s\": 5".to_vec(),
            utf16("\u{feff}[{"),
            utf16("{\"replay_age_s\""),
            big("\u{feff}\n[{"),
            big("{\"replay_age_s\""),
        ] {
            assert!(may_be_replay(&body), "{body:?}");
        }
        for body in [&b"{\"cpu\": ["[..], b"", b"{\"temp\":\"48.8\xb0C\"}", &utf16("\u{feff}{\"cpu\":1}")] {
            assert!(!may_be_replay(body), "{body:?}");
        }
    }
}
