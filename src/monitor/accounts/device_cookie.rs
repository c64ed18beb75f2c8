//! Signed cookies of browsers that have signed in before, and the table `web_key` with the key that signs them.
//!
//! A browser that signed in as a user has an own limit of attempts for that user, so that strangers who guess passwords
//! cannot lock the user out (OWASP: "Slow Down Online Guessing Attacks with Device Cookies"). The cookie permits nothing else.

use super::visitor::UserId;
use crate::monitor::registry::token::random;
use crate::monitor::store::sql::params;
use crate::monitor::store::{Refused, Store};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

const KEY: &str = "device_cookie";
const NONCE_BYTES: usize = 16;
const MAC_BYTES: usize = 32;

/// The key that signs device cookies. `Debug` does not show it.
#[derive(Clone)]
pub struct DeviceKey([u8; 32]);

/// What distinguishes one browser from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceNonce([u8; NONCE_BYTES]);

impl DeviceKey {
    /// A cookie's value for a browser that has signed in as `user`: user, nonce and signature.
    pub fn issue(&self, user: UserId) -> std::io::Result<String> {
        let nonce = random::<NONCE_BYTES>()?;
        let signed = [nonce.as_slice(), self.mac(user, &nonce).as_slice()].concat();
        Ok(format!("{}.{}", user.0, URL_SAFE_NO_PAD.encode(signed)))
    }

    /// The browser, if the cookie was issued to it for `user`.
    pub fn recognise(&self, cookie: &str, user: UserId) -> Option<DeviceNonce> {
        let (named, signed) = cookie.split_once('.')?;
        let signed: [u8; NONCE_BYTES + MAC_BYTES] = URL_SAFE_NO_PAD.decode(signed).ok()?.try_into().ok()?;
        let (nonce, signature) = signed.split_at(NONCE_BYTES);
        let mut mac = self.keyed()?;
        update(&mut mac, user, nonce);
        // In constant time.
        let is_ours = mac.verify_slice(signature).is_ok();
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
        (is_ours && named == user.0.to_string()).then_some(DeviceNonce(nonce))
    }

    fn mac(&self, user: UserId, nonce: &[u8]) -> Vec<u8> {
        let Some(mut mac) = self.keyed() else { return Vec::new() };
        update(&mut mac, user, nonce);
        mac.finalize().into_bytes().to_vec()
    }

    /// `Some`: every length of a key is possible.
    fn keyed(&self) -> Option<Hmac<Sha256>> {
        Hmac::new_from_slice(&self.0).ok()
    }
}

fn update(mac: &mut Hmac<Sha256>, user: UserId, nonce: &[u8]) {
    mac.update(&user.0.to_be_bytes());
    mac.update(nonce);
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey(..)")
    }
}

impl Store {
    /// The key of this installation.
    pub fn device_key(&self) -> Result<DeviceKey, Refused> {
        self.installation_key(KEY).map(DeviceKey)
    }

    /// A key of this installation for one purpose; made at the first call.
    pub fn installation_key(&self, name: &str) -> Result<[u8; 32], Refused> {
        let new = random::<32>()
            .map_err(|error| Refused::because(format!("the kernel gives no random numbers: {error}")))?;
        self.transact(|tx| {
            tx.execute(
                "INSERT INTO web_key (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING",
                params![name, new],
            )?;
            Ok(tx.query_row("SELECT value FROM web_key WHERE name = ?1", params![name], |row| row.get(0))?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_recognised_for_the_user_it_signed_in_as_only() {
        let key = DeviceKey([7; 32]);
        let cookie = key.issue(UserId(4)).expect("made");
        let nonce = key.recognise(&cookie, UserId(4)).expect("recognised");
        assert_ne!(key.recognise(&key.issue(UserId(4)).expect("made"), UserId(4)), Some(nonce));
        assert_eq!(key.recognise(&cookie, UserId(5)), None);
        assert_eq!(key.recognise(&cookie.replacen('4', "5", 1), UserId(5)), None);
        assert_eq!(DeviceKey([8; 32]).recognise(&cookie, UserId(4)), None);
        assert!(cookie.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{cookie}");
    }

    #[test]
    fn a_changed_or_malformed_cookie_is_a_strangers() {
        let key = DeviceKey([7; 32]);
        let cookie = key.issue(UserId(4)).expect("made");
        for at in 2..cookie.len() {
            let mut changed = cookie.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert_eq!(key.recognise(&changed, UserId(4)), None, "{changed}");
        }
        for malformed in ["", ".", "4.", "4", "4.AAAA", &format!("{cookie}A")] {
            assert_eq!(key.recognise(malformed, UserId(4)), None, "{malformed}");
        }
    }

    #[test]
    fn the_key_stays_the_same() {
        let store = Store::scratch();
        let cookie = store.device_key().expect("made").issue(UserId(1)).expect("made");
        assert!(store.device_key().expect("read").recognise(&cookie, UserId(1)).is_some());
    }
}
