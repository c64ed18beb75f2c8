//! The second factor: codes of an authenticator program (RFC 6238), and recovery codes for the day on which it is lost.

use crate::clock::Moment;
use crate::monitor::registry::token::{TokenHash, random};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use qrcodegen::{QrCode, QrCodeEcc};
use sha1::Sha1;
use std::fmt::{self, Write};
use std::io;
use subtle::{Choice, ConstantTimeEq};

/// Seconds for which a code is shown.
const STEP: i64 = 30;
/// Codes that are accepted before and after the present one: the clock of a phone may be wrong by half a minute.
const TOLERANCE: i64 = 1;
const DIGITS: usize = 6;
/// The length that RFC 4226 recommends.
const SECRET_BYTES: usize = 20;
/// Recovery codes of a user.
pub const RECOVERY_CODES: usize = 10;
/// 80 bits: the stored hashes cannot be searched.
const RECOVERY_BYTES: usize = 10;

/// RFC 4648, which authenticator programs read.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The secret that an authenticator program shares with the monitor. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TotpSecret(pub [u8; SECRET_BYTES]);

impl TotpSecret {
    pub fn make() -> io::Result<TotpSecret> {
        random().map(TotpSecret)
    }

    /// As people type it into a program that cannot scan.
    pub fn base32(&self) -> String {
        base32(&self.0)
    }

    /// Parses [`TotpSecret::base32`].
    pub fn from_base32(text: &str) -> Option<TotpSecret> {
        let (mut bytes, mut bits, mut count) = (Vec::with_capacity(SECRET_BYTES), 0_u32, 0);
        for byte in text.bytes() {
            let value = BASE32.iter().position(|known| *known == byte.to_ascii_uppercase())?;
            bits = (bits << 5) | u32::try_from(value).ok()?;
            count += 5;
            if count >= 8 {
                count -= 8;
                bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
            }
        }
        bytes.try_into().ok().map(TotpSecret)
    }

    /// The step whose code this is, if it is accepted now. Codes up to `used` have been used.
    pub fn step_of(&self, code: &str, used: Option<i64>, now: Moment) -> Option<i64> {
        let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        if code.len() != DIGITS {
            return None;
        }
        let present = now.seconds() / STEP;
        let accepted = (present - TOLERANCE..=present + TOLERANCE).filter(|step| {
            // All are compared: the time says nothing about which one was right.
            let is_right: Choice = self.code(*step).as_bytes().ct_eq(code.as_bytes());
            bool::from(is_right)
        });
        let accepted: Vec<i64> = accepted.collect();
        accepted.into_iter().find(|step| used.is_none_or(|used| *step > used))
    }

    /// The code that is shown at this time.
    pub fn code_at(&self, now: Moment) -> String {
        self.code(now.seconds() / STEP)
    }

    /// RFC 4226, 5.3.
    fn code(&self, step: i64) -> String {
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(&self.0) else { return String::new() };
        mac.update(&step.to_be_bytes());
        let digest = mac.finalize().into_bytes();
        let offset = usize::from(digest[19] & 0x0f);
        let number =
            digest.iter().skip(offset).take(4).fold(0_u32, |number, byte| (number << 8) | u32::from(*byte));
        format!("{:0DIGITS$}", (number & 0x7fff_ffff) % 10_u32.pow(6))
    }

    /// The address that a phone scans; `account` is shown in its program.
    pub fn url(&self, account: &str) -> String {
        let account = utf8_percent_encode(account, NON_ALPHANUMERIC);
        let secret = self.base32();
        format!("otpauth://totp/Heartbeat:{account}?secret={secret}&issuer=Heartbeat")
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(..)")
    }
}

/// `text` as a QR code: an SVG image, dark on light in every colour scheme, because scanners expect that.
///
/// # Errors
/// The text is longer than a code can be, 2,331 bytes.
pub fn qr_svg(text: &str) -> Result<String, qrcodegen::DataTooLong> {
    /// The quiet zone that the standard demands, in modules.
    const MARGIN: i32 = 4;
    let code = QrCode::encode_text(text, QrCodeEcc::Medium)?;
    let side = code.size() + 2 * MARGIN;
    let mut path = String::new();
    for y in 0..code.size() {
        let mut x = 0;
        while x < code.size() {
            let run = (x..code.size()).take_while(|x| code.get_module(*x, y)).count();
            let run = i32::try_from(run).unwrap_or(0);
            if run > 0 {
                // Writing to a String cannot fail.
                let _ = write!(path, "M{} {}h{run}v1h-{run}z", x + MARGIN, y + MARGIN);
            }
            x += run + 1;
        }
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" width=\"240\" height=\"240\" \
         role=\"img\" aria-label=\"QR code\" shape-rendering=\"crispEdges\">\
         <path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/><path fill=\"#000\" d=\"{path}\"/></svg>"
    ))
}

/// Ten codes that each work once, such as `AB2C-DE3F-GH4I-JK5L`.
pub fn recovery_codes() -> io::Result<Vec<String>> {
    let code = || {
        let text = base32(&random::<RECOVERY_BYTES>()?);
        let parts: Vec<&str> =
            text.as_bytes().chunks(4).filter_map(|part| std::str::from_utf8(part).ok()).collect();
        Ok(parts.join("-"))
    };
    (0..RECOVERY_CODES).map(|_| code()).collect()
}

/// What is stored of a recovery code, however it is typed: with or without dashes, in upper or lower case.
pub fn recovery_hash(code: &str) -> TokenHash {
    let letters = code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase());
    TokenHash::of(&letters.collect::<String>())
}

fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    for five in bytes.chunks(5) {
        let bits =
            five.iter().fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte)) << (8 * (5 - five.len()));
        let letters = (five.len() * 8).div_ceil(5);
        for index in 0..letters {
            let value = usize::try_from((bits >> (35 - 5 * index)) & 31).unwrap_or(0);
            text.push(char::from(BASE32[value]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC: TotpSecret = TotpSecret(*b"12345678901234567890");

    fn at(seconds: i64) -> Moment {
        Moment::from_seconds(seconds)
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
        ] {
            assert_eq!(RFC.code(seconds / STEP), code);
            assert_eq!(RFC.step_of(code, None, at(seconds)), Some(seconds / STEP));
        }
    }

    #[test]
    fn a_code_is_accepted_one_step_early_or_late_and_once() {
        let (now, step) = (at(3_000), 100);
        let code = |step| RFC.code(step);
        for accepted in [99, 100, 101] {
            assert_eq!(RFC.step_of(&code(accepted), None, now), Some(accepted));
        }
        for refused in [98, 102] {
            assert_eq!(RFC.step_of(&code(refused), None, now), None);
        }
        assert_eq!(RFC.step_of(&code(step), Some(step), now), None, "used");
        assert_eq!(RFC.step_of(&code(99), Some(step), now), None, "older than a used one");
        assert_eq!(RFC.step_of(&code(101), Some(step), now), Some(101));
        assert_eq!(RFC.step_of(&format!("{} {}", &code(100)[..3], &code(100)[3..]), None, now), Some(100));
        for wrong in ["", "0", "00000a", "0000000", "\u{661}23456"] {
            assert_eq!(RFC.step_of(wrong, None, now), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_typed_in_base_32() {
        assert_eq!(RFC.base32(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(TotpSecret::from_base32("gezdgnbvgy3tqojqgezdgnbvgy3tqojq"), Some(RFC));
        for wrong in
            ["", "GEZDGNBV", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ1", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBV"]
        {
            assert_eq!(TotpSecret::from_base32(wrong), None, "{wrong}");
        }
        assert!(!format!("{RFC:?}").contains("49"));
        let expected = "otpauth://totp/Heartbeat:J%C3%BCrg%20%26?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Heartbeat";
        assert_eq!(RFC.url("Jürg &"), expected);
    }

    #[test]
    fn a_qr_code_is_an_image_without_style_or_script() {
        let svg = qr_svg(&RFC.url("ada")).expect("drawn");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"));
        assert!(!svg.contains("style") && !svg.contains("script"));
        assert!(svg.len() < 16_000, "{}", svg.len());
        assert!(qr_svg(&"x".repeat(3_000)).is_err());
    }

    #[test]
    fn recovery_codes_are_ten_different_ones_however_they_are_typed() {
        let codes = recovery_codes().expect("made");
        assert_eq!(codes.len(), 10);
        assert!(codes.iter().all(|code| code.len() == 19 && code.split('-').count() == 4), "{codes:?}");
        assert!(codes[1..].iter().all(|code| *code != codes[0]));
        let typed = codes[0].to_lowercase().replace('-', " ");
        assert_eq!(recovery_hash(&typed), recovery_hash(&codes[0]));
        assert_ne!(recovery_hash(&codes[1]), recovery_hash(&codes[0]));
    }
}
