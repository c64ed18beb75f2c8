//! Properties of a session with a server that sends any bytes in any pieces, for the fuzzer and the tests.

use super::reply;
use super::session::{Envelope, MailStream, Session};
use crate::monitor::config::{SmtpConfig, SmtpSecurity};
use crate::monitor::notify::message::DeliveryError;
use crate::monitor::notify::settings::MailLimits;
use std::cell::Cell;
use std::io;
use std::time::Instant;

const MAIL: Envelope =
    Envelope { from: "a@example.org", to: "b@example.org", mail: "Subject: x\r\n\r\ntext\r\n" };

/// Panics if a property does not hold: splitting the replies changes nothing, the mail is never sent before the server has
/// accepted the recipient, and it is known whether it may have arrived. `cuts` are the sizes of the pieces.
pub fn exercise(bytes: &[u8], cuts: &[u8]) {
    if let Ok(Some((length, reply))) = reply::parse(bytes) {
        assert!(length <= bytes.len() && (200..600).contains(&reply.code));
        assert_eq!(
            reply::parse(&bytes[..length]).ok(),
            Some(Some((length, reply))),
            "a parsed reply parses again"
        );
    }
    let whole = converse(bytes, &[]);
    assert_eq!(whole, converse(bytes, cuts), "the result depends on how the bytes are split");
}

/// The result of the session, and the sent bytes.
fn converse(bytes: &[u8], cuts: &[u8]) -> (Result<String, DeliveryError>, Vec<u8>) {
    let smtp = SmtpConfig {
        host: "mail.example.org".into(),
        port: 25,
        security: SmtpSecurity::None,
        login: None,
        from: "a@example.org".into(),
        helo: None,
        ca_file: None,
    };
    let limits = MailLimits::default();
    let script = Script { bytes, sizes: cuts.iter().cycle(), sent: Vec::new() };
    let mut session = Session::new(&smtp, &limits, script);
    let handed_over = Cell::new(false);
    let result = session.greeting().and_then(|()| session.hello("[127.0.0.1]")).and_then(|_| {
        session.submit(&MAIL, &|| {
            handed_over.set(true);
            Ok(())
        })
    });
    if result.is_ok() {
        session.quit();
    }
    let (script, ..) = session.into_parts();
    let sent = String::from_utf8_lossy(&script.sent);
    assert_eq!(sent.contains(MAIL.mail), handed_over.get(), "the mail is sent if and only if it was marked");
    if matches!(result, Ok(_) | Err(DeliveryError::Unknown { .. })) {
        assert!(handed_over.get(), "{result:?}");
    }
    (result, script.sent)
}

/// A server with fixed replies.
struct Script<'a> {
    bytes: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, u8>>,
    sent: Vec<u8>,
}

impl MailStream for Script<'_> {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes.next().map_or(buffer.len(), |size| usize::from(*size).max(1));
        let length = size.min(buffer.len()).min(self.bytes.len());
        let (piece, rest) = self.bytes.split_at(length);
        buffer[..length].copy_from_slice(piece);
        self.bytes = rest;
        Ok(length)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sent.extend_from_slice(bytes);
        Ok(())
    }

    fn set_deadline(&mut self, _: Instant) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "220 ready\r\n250-mail\r\n250 SIZE 1000\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n221 bye\r\n";

    #[test]
    fn a_session_succeeds_however_replies_are_split() {
        for size in 1..=u8::try_from(GOOD.len()).expect("short") {
            assert_eq!(converse(GOOD.as_bytes(), &[size]).0, Ok("queued".into()));
        }
    }

    #[test]
    fn a_session_that_breaks_after_the_dot_is_unknown_and_before_it_is_not() {
        let end = GOOD.find("250 queued").expect("it");
        for length in 0..=end {
            let (result, _) = converse(&GOOD.as_bytes()[..length], &[]);
            let is_unknown = matches!(result, Err(DeliveryError::Unknown { .. }));
            assert_eq!(is_unknown, length == end, "{length}: {result:?}");
        }
        let garbage = format!("{}HTTP/1.1 400 Bad Request\r\n", &GOOD[..end]);
        assert!(matches!(converse(garbage.as_bytes(), &[]).0, Err(DeliveryError::Unknown { .. })));
    }

    #[test]
    fn the_properties_hold_for_random_replies() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut bytes = GOOD.as_bytes().to_vec();
            for _ in 0..random.usize(..6) {
                let at = random.usize(..bytes.len());
                bytes[at] = b"0235-4 \r\nA\xff"[random.usize(..11)];
            }
            bytes.truncate(random.usize(..=bytes.len()));
            exercise(&bytes, &[random.u8(..), random.u8(..)]);
        }
    }
}
