//! Links in messages with which their incidents are acknowledged: signed, so that they need no table and no sign-in.
//!
//! A link names a message of the outbox. Mail and webhooks have the address of a page with a button, because programs open
//! links to look at them; it expires. ntfy has an address that only a button of its own posts to, until the incident ends.

use crate::clock::Moment;
use crate::monitor::notify::channel::ChannelKind;
use crate::monitor::notify::notice::{EventKind, Notice};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::time::Duration;

/// As in `web_key.name`.
pub const KEY_NAME: &str = "acknowledge_link";

/// The path of the links, before their token.
pub const PATH: &str = "acknowledge/";

/// Mails are kept, forwarded and indexed. Who acts on one later than this signs in.
pub const LIFETIME: Duration = Duration::from_secs(7 * 86_400);

/// 128 bits cannot be guessed.
const MAC_BYTES: usize = 16;
const ROW_BYTES: usize = 8;
const EXPIRY_BYTES: usize = 8;

/// What a link permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkUse {
    /// A page with a button.
    Page,
    /// A POST acknowledges at once.
    Button,
}

impl LinkUse {
    fn letter(self) -> char {
        match self {
            LinkUse::Page => 'p',
            LinkUse::Button => 'b',
        }
    }
}

/// A valid link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcknowledgeLink {
    pub purpose: LinkUse,
    /// Id of the first row of the message.
    pub row: i64,
}

/// The key that signs links. `Debug` does not show it.
#[derive(Clone)]
pub struct LinkKey(pub [u8; 32]);

impl LinkKey {
    /// The token of a link. One of a page expires; one of a button is valid until its incident ends.
    pub fn issue(&self, link: AcknowledgeLink, now: Moment) -> String {
        let expires = match link.purpose {
            LinkUse::Page => now.plus(LIFETIME).0,
            LinkUse::Button => i64::MAX,
        };
        let signed = [&link.row.to_be_bytes()[..], &expires.to_be_bytes()].concat();
        let mac = self.mac(link.purpose, &signed).map(|mac| mac.finalize().into_bytes().to_vec());
        let mac = mac.unwrap_or_default();
        let mac = mac.get(..MAC_BYTES).unwrap_or_default();
        format!("{}{}", link.purpose.letter(), URL_SAFE_NO_PAD.encode([&signed, mac].concat()))
    }

    /// `None`: the token was not made here, or has expired.
    pub fn read(&self, token: &str, now: Moment) -> Option<AcknowledgeLink> {
        let purpose = [LinkUse::Page, LinkUse::Button]
            .into_iter()
            .find(|purpose| token.starts_with(purpose.letter()))?;
        let bytes = URL_SAFE_NO_PAD.decode(token.get(1..)?).ok()?;
        let bytes: [u8; ROW_BYTES + EXPIRY_BYTES + MAC_BYTES] = bytes.try_into().ok()?;
        let (signed, mac) = bytes.split_at(ROW_BYTES + EXPIRY_BYTES);
        // In constant time.
        self.mac(purpose, signed)?.verify_truncated_left(mac).ok()?;
        let (row, expires) = signed.split_at(ROW_BYTES);
        let number = |bytes: &[u8]| bytes.try_into().ok().map(i64::from_be_bytes);
        (number(expires)? > now.0).then_some(AcknowledgeLink { purpose, row: number(row)? })
    }

    /// `Some`: every length of a key is possible.
    fn mac(&self, purpose: LinkUse, signed: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(&[purpose.letter() as u8]);
        mac.update(signed);
        Some(mac)
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey(..)")
    }
}

/// How the incidents of a message are acknowledged from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcknowledgeOffer {
    /// Id of the first row of the message.
    pub row: i64,
    /// The address of a page, or of a button, whichever the kind of channel shows; `None`: the pages have none.
    pub url: Option<String>,
}

/// The address for a message over a channel of this kind; `site` is that of the pages.
pub fn address(key: &LinkKey, kind: ChannelKind, site: &str, row: i64, now: Moment) -> String {
    let purpose = if kind == ChannelKind::Ntfy { LinkUse::Button } else { LinkUse::Page };
    format!("{site}{PATH}{}", key.issue(AcknowledgeLink { purpose, row }, now))
}

/// Whether the incidents of these notices, which are one message, were open when it was written.
pub fn can_be_acknowledged(notices: &[Notice]) -> bool {
    let is_open = |notice: &Notice| {
        let is_bad = matches!(notice.state, EventKind::Offline | EventKind::Condition);
        let is_alarm = matches!(
            notice.news,
            EventKind::Offline
                | EventKind::Condition
                | EventKind::Steady
                | EventKind::Reminder
                | EventKind::Escalation
        );
        is_bad && is_alarm
    };
    notices.iter().any(is_open)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_769_005_800_000);

    fn link(purpose: LinkUse) -> AcknowledgeLink {
        AcknowledgeLink { purpose, row: 4711 }
    }

    #[test]
    fn a_link_to_a_page_expires_and_a_button_does_not() {
        let key = LinkKey([7; 32]);
        let page = key.issue(link(LinkUse::Page), NOW);
        let last = NOW.plus(LIFETIME).minus(Duration::from_millis(1));
        assert_eq!(key.read(&page, last), Some(link(LinkUse::Page)));
        assert_eq!(key.read(&page, NOW.plus(LIFETIME)), None);
        let button = key.issue(link(LinkUse::Button), NOW);
        assert_eq!(key.read(&button, NOW.plus(LIFETIME * 1000)), Some(link(LinkUse::Button)));
        assert!(
            button.len() < 50
                && button.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        );
    }

    #[test]
    fn a_changed_link_or_one_of_another_installation_is_none() {
        let key = LinkKey([7; 32]);
        let page = key.issue(link(LinkUse::Page), NOW);
        assert_eq!(LinkKey([8; 32]).read(&page, NOW), None);
        assert_eq!(key.read(&page.replacen('p', "b", 1), NOW), None, "a page's is no button's");
        for at in 0..page.len() {
            let mut changed = page.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert_eq!(key.read(&changed, NOW), None, "{changed}");
        }
        for token in ["", "p", "b", "\u{fc}", "pAAAA", &page[..page.len() - 1], &format!("{page}A")] {
            assert_eq!(key.read(token, NOW), None, "{token:?}");
        }
    }

    #[test]
    fn only_what_is_open_can_be_acknowledged() {
        let can = |news, state| can_be_acknowledged(&[Notice { news, state, ..Notice::test(NOW) }]);
        use EventKind::{Condition, Flapping, Offline, Online, Reminder, Steady, Stopped, Summary, Test};
        for (news, state, expected) in [
            (Offline, Offline, true),
            (Condition, Condition, true),
            (Reminder, Condition, true),
            (EventKind::Escalation, Offline, true),
            (Steady, Offline, true),
            (Steady, Online, false),
            (Online, Online, false),
            (EventKind::ConditionEnded, EventKind::ConditionEnded, false),
            (Stopped, Stopped, false),
            (Flapping, Offline, false),
            (Summary, Condition, false),
            (Test, Online, false),
            (EventKind::Trouble, Offline, false),
        ] {
            assert_eq!(can(news, state), expected, "{news:?} {state:?}");
        }
    }
}
