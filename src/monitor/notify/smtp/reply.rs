//! A reply of a mail server: parsing, and whether a refusal is permanent.

use std::io;

/// Enhanced status codes (RFC 3463) of permanent failures: 1 no such mailbox, 2 no such system, 3 bad syntax, 6 moved, 10
/// null MX (RFC 7505). 7 and 8 concern our sender address, which can be corrected.
const NO_SUCH_ADDRESS: [&str; 6] = ["5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"];
/// The mail is too long for the mailbox or too big for the system. Codes about its content are 5.6.x.
const TOO_BIG: [&str; 2] = ["5.2.3", "5.3.4"];

/// Code and text, with the lines of the reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpReply {
    pub code: u16,
    pub text: String,
}

impl SmtpReply {
    /// Whether the address does not exist or the mail is not acceptable. Every other refusal can be temporary: our name, our
    /// sender address, rights, reputation, a full mailbox.
    pub fn refuses_for_good(&self) -> bool {
        let status = self.text.split_whitespace().next().unwrap_or_default();
        // Some servers check the sender only after the recipient.
        let is_about_us = self.text.to_ascii_lowercase().contains("sender");
        let is_about_content = || {
            let detail = status.strip_prefix("5.6.").unwrap_or_default();
            (1..=3).contains(&detail.len()) && detail.bytes().all(|byte| byte.is_ascii_digit())
        };
        (500..600).contains(&self.code)
            && !is_about_us
            && (NO_SUCH_ADDRESS.contains(&status) || TOO_BIG.contains(&status) || is_about_content())
    }
}

/// Parses the complete reply at the start of `bytes`; returns its length and the reply, `None` if it is incomplete.
pub fn parse(bytes: &[u8]) -> io::Result<Option<(usize, SmtpReply)>> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "the reply is not SMTP");
    let (mut length, mut text) = (0, String::new());
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        if !line.ends_with(b"\n") {
            return Ok(None);
        }
        length += line.len();
        let line = line.trim_ascii_end();
        let code =
            line.get(..3).and_then(|code| std::str::from_utf8(code).ok()).and_then(|code| code.parse().ok());
        let code: u16 = code.filter(|code| (200..600).contains(code)).ok_or_else(invalid)?;
        text.push_str(&String::from_utf8_lossy(line.get(4..).unwrap_or_default()));
        match line.get(3) {
            Some(b'-') => text.push('\n'),
            None | Some(b' ') => return Ok(Some((length, SmtpReply { code, text }))),
            Some(_) => return Err(invalid()),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_of_several_lines_is_read_as_a_whole() {
        let reply = b"250-mail.example.org\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n220 next";
        let (length, reply) = parse(reply).expect("SMTP").expect("whole");
        assert_eq!((length, reply.code), (58, 250));
        assert_eq!(reply.text, "mail.example.org\nAUTH PLAIN LOGIN\nSTARTTLS");
        assert_eq!(parse(b"220\r\n").expect("SMTP"), Some((5, SmtpReply { code: 220, text: String::new() })));
    }

    #[test]
    fn a_reply_that_is_cut_short_waits_for_its_rest() {
        let reply = b"250-a\r\n250 b\r\n";
        for length in 0..reply.len() {
            assert_eq!(parse(&reply[..length]).expect("SMTP"), None, "{length}");
        }
    }

    #[test]
    fn what_is_not_smtp_is_an_error_and_no_panic() {
        for wrong in
            ["HTTP/1.1 400 Bad Request\r\n", "\r\n", "25\r\n", "999 x\r\n", "250_x\r\n", "\u{fc}\u{fc}\r\n"]
        {
            parse(wrong.as_bytes()).expect_err(wrong);
        }
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..20_000 {
            let length = random.usize(..40);
            let bytes: Vec<u8> = (0..length).map(|_| b"0259- \r\nA\xff"[random.usize(..10)]).collect();
            let _ = parse(&bytes);
        }
    }

    fn refused(line: &str) -> bool {
        let reply = parse(format!("{line}\r\n").as_bytes()).expect("SMTP").expect("whole").1;
        reply.refuses_for_good()
    }

    #[test]
    fn only_an_address_that_does_not_exist_and_a_mail_that_is_not_acceptable_are_final() {
        for last in [
            "550 5.1.1 <ops@example.org>: no such user",
            "550-5.1.1 The email account that you tried to reach does not exist.\r\n550 5.1.1 more",
            "553 5.1.2 no such domain",
            "556 5.1.10 the domain accepts no mail",
            "554 5.6.0 the mail is malformed",
            "552 5.3.4 the mail is too big",
            "552 5.2.3 the mail is too long for this mailbox",
        ] {
            assert!(refused(last), "{last}");
        }
        for passing in [
            "451 4.7.1 greylisted",
            "450 4.1.1 cannot be verified now",
            "504 5.5.2 <[127.0.0.1]>: Helo command rejected: need fully-qualified hostname",
            "554 5.7.1 Relay access denied",
            "554 5.7.1 sender not yet verified",
            "552 5.2.2 mailbox full",
            "552 mailbox full",
            "550 5.2.1 mailbox disabled",
            "550 mailbox unavailable",
            "550 5.7.26 not authenticated by SPF",
            "550 5.1.7 the sender's address is invalid",
            "550 5.1.0 <monitor@example.org>: Sender address rejected: User unknown",
            "553 5.1.8 the sender's domain does not exist",
            "530 5.7.0 Must issue a STARTTLS command first",
            "550 5.1.1000",
            "550 5.1.",
            "550",
        ] {
            assert!(!refused(passing), "{passing}");
        }
    }
}
