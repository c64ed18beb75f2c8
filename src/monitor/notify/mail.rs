//! Email: plain text, and HTML beside it for reports, encoded so that every server since RFC 2045 accepts it.

use super::channel::Channel;
use super::message::{DeliveryContext, DeliveryError, Message, ON_IT};
use super::notice::ReportText;
use super::settings::MailLimits;
use super::smtp;
use super::smtp::session::Envelope;
use crate::clock::Moment;
use crate::monitor::config::SmtpConfig;
use crate::resolver::NameResolver;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

pub fn send(
    smtp: &SmtpConfig,
    names: &NameResolver,
    limits: &MailLimits,
    channel: &Channel,
    message: &Message,
    context: &DeliveryContext,
) -> Result<String, DeliveryError> {
    let from = sender(&smtp.from);
    let mail = compose(from, &channel.target, message, context.now);
    smtp::deliver(smtp, names, limits, &Envelope { from: from.1, to: &channel.target, mail: &mail }, context)
}

/// Splits `address` or `Name <address>` into name and address.
fn sender(from: &str) -> (&str, &str) {
    match from.rsplit_once('<') {
        Some((name, address)) => (name.trim(), address.trim_end_matches('>').trim()),
        None => ("heartbeat-monitor", from.trim()),
    }
}

/// Headers and body with CRLF line ends. The body is base64, so that no line is too long or begins with a dot.
fn compose((name, from): (&str, &str), to: &str, message: &Message, now: Moment) -> String {
    let subject = encoded_word(&message.title());
    let id = message_id(from, message);
    let mut mail = format!(
        "From: {} <{from}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nMessage-ID: <{id}>\r\n\
         MIME-Version: 1.0\r\nAuto-Submitted: auto-generated\r\n",
        phrase(name)
    );
    let date = OffsetDateTime::from_unix_timestamp(now.0.div_euclid(1000)).ok();
    if let Some(date) = date.and_then(|date| date.format(&Rfc2822).ok()) {
        // Writing to a String cannot fail.
        let _ = write!(mail, "Date: {date}\r\n");
    }
    let report = message.notices.first().and_then(|notice| notice.report.as_deref());
    match report {
        Some(report) => push_alternatives(&mut mail, report, message.link().as_deref()),
        None => push_part(&mut mail, "plain", &text(message, now)),
    }
    mail
}

/// The report as text and as HTML (RFC 2046, 5.1.4: the best form comes last).
fn push_alternatives(mail: &mut String, report: &ReportText, link: Option<&str>) {
    // Not in base64: it has no underscore.
    const BOUNDARY: &str = "=_heartbeat";
    let _ =
        write!(mail, "Content-Type: multipart/alternative; boundary=\"{BOUNDARY}\"\r\n\r\n--{BOUNDARY}\r\n");
    let text = link.map_or_else(|| report.text.clone(), |link| format!("{}\n\n{link}", report.text));
    push_part(mail, "plain", &text);
    let _ = write!(mail, "--{BOUNDARY}\r\n");
    push_part(mail, "html", &report.html);
    let _ = write!(mail, "--{BOUNDARY}--\r\n");
}

/// The headers of a text, and the text in base64.
fn push_part(mail: &mut String, kind: &str, text: &str) {
    let _ =
        write!(mail, "Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    let body = STANDARD.encode(text.replace('\n', "\r\n"));
    for line in body.as_bytes().chunks(76) {
        mail.push_str(&String::from_utf8_lossy(line));
        mail.push_str("\r\n");
    }
}

/// The text, with a link to a page on which its incidents are acknowledged.
fn text(message: &Message, now: Moment) -> String {
    let text = message.text(now);
    match message.acknowledge_url() {
        Some(url) => format!("{text}\n\n{ON_IT}: {url}"),
        None => text,
    }
}

/// The same id for the same rows, so that a mailbox recognises a repeated mail; with the time, because row ids restart in a
/// new database.
fn message_id(from: &str, message: &Message) -> String {
    let at = message.notices.first().map_or(0, |notice| notice.at);
    let domain = from.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    format!("{at}.{}.{}@{domain}", message.id(), message.rows.len())
}

/// The text of a header: plain if it is ASCII, else encoded by RFC 2047 in words of at most 75 characters.
pub fn encoded_word(text: &str) -> String {
    if text.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        return text.to_owned();
    }
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        // 45 bytes are 60 characters of base64, and 12 more around them.
        if word.len() + c.len_utf8() > 45 {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let encoded: Vec<String> =
        words.iter().map(|word| format!("=?UTF-8?B?{}?=", STANDARD.encode(word))).collect();
    encoded.join(" ")
}

/// The display name before an address.
fn phrase(name: &str) -> String {
    match name.chars().all(|c| c.is_ascii_alphanumeric() || " -_".contains(c)) {
        true => name.to_owned(),
        false => {
            let word = STANDARD.encode(name.chars().filter(|c| !c.is_control()).take(30).collect::<String>());
            format!("=?UTF-8?B?{word}?=")
        }
    }
}

/// Checks that an address needs no quoting in SMTP commands and headers.
pub fn check_address(address: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_graphic() && !"<>()[]\\,;:\"".contains(c);
    let (user, domain) = address.rsplit_once('@').unwrap_or_default();
    let right = !user.is_empty() && !domain.is_empty() && !user.contains('@');
    match right && address.len() <= 254 && address.chars().all(plain) {
        true => Ok(()),
        false => Err(format!("{address:?} is not a mail address such as ops@example.org")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::notify::notice::EventKind;
    use crate::monitor::notify::notice::Notice;
    use crate::monitor::zone::Clock;

    fn message() -> Message {
        let notice = Notice {
            news: EventKind::Offline,
            state: EventKind::Offline,
            machine: 1,
            name: "Scheune \u{fc}ber dem Hof".into(),
            hostname: None,
            description: None,
            last_seen: 1_769_005_800_000,
            at: 1_769_005_935_000,
            condition: None,
            existing: Vec::new(),
            existing_in_all: 0,
            unacknowledged_by: None,
            report: None,
        };
        Message { rows: vec![17], notices: vec![notice], clock: Clock::UTC, site: None, acknowledge: None }
    }

    #[test]
    fn a_mail_is_ascii_with_short_lines_and_has_the_text() {
        let mail =
            compose(sender("monitor@example.org"), "ops@example.org", &message(), Moment(1_769_005_935_000));
        assert!(mail.is_ascii() && mail.lines().all(|line| line.len() < 200));
        assert_eq!(mail.matches('\n').count(), mail.matches("\r\n").count());
        let (head, body) = mail.split_once("\r\n\r\n").expect("head and body");
        assert!(head.contains("\r\nDate: Wed, 21 Jan 2026 14:32:15 +0000"), "{head}");
        assert!(head.contains("\r\nMessage-ID: <1769005935000.17.1@example.org>"), "{head}");
        let text = STANDARD.decode(body.replace("\r\n", "")).expect("base64");
        assert!(String::from_utf8(text).expect("UTF-8").contains("Machine: Scheune \u{fc}ber dem Hof\r\n"));
    }

    #[test]
    fn a_repeated_mail_has_the_same_id() {
        let id = |message: &Message| message_id("a@b", message);
        assert_eq!(id(&message()), id(&message()));
        assert_ne!(id(&message()), id(&Message { rows: vec![18], ..message() }));
    }

    #[test]
    fn a_sender_may_have_a_name() {
        assert_eq!(sender("monitor@example.org"), ("heartbeat-monitor", "monitor@example.org"));
        assert_eq!(sender("The barn <a@b>"), ("The barn", "a@b"));
        assert_eq!(phrase("The barn"), "The barn");
        assert!(phrase("a\r\nBcc: x <y>").starts_with("=?UTF-8?B?"));
    }

    #[test]
    fn a_header_cannot_inject_another() {
        let word = encoded_word("barn\r\nBcc: everybody@example.org");
        assert!(word.starts_with("=?UTF-8?B?") && !word.contains(['\r', '\n']), "{word}");
        assert_eq!(encoded_word("plain text"), "plain text");
        let long = encoded_word(&"\u{1F534}".repeat(100));
        assert!(long.split(' ').all(|word| word.len() <= 75), "{long}");
    }

    #[test]
    fn an_address_cannot_inject_a_command() {
        for good in ["ops@example.org", "a.b+c@sub.example.org", "root@localhost"] {
            assert_eq!(check_address(good), Ok(()));
        }
        for bad in ["", "ops", "@example.org", "ops@", "a@b@c", "a b@c", "a@b>\r\nDATA", "<a@b>", "\u{fc}@b"]
        {
            check_address(bad).expect_err(bad);
        }
    }
}
