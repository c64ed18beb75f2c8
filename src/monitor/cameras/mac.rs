//! The MAC address of a camera, which identifies it within its machine.

use std::fmt;

/// A MAC address. A camera that is reported with anything else has no history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CameraMac([u8; 6]);

impl CameraMac {
    /// Parses six octets with two digits each, separated by ':' or '-'.
    pub fn parse(text: &str) -> Option<CameraMac> {
        let text = text.as_bytes();
        if text.len() != 17 {
            return None;
        }
        let mut octets = [0; 6];
        for (index, octet) in octets.iter_mut().enumerate() {
            let at = index * 3;
            if index > 0 && !matches!(text[at - 1], b':' | b'-') {
                return None;
            }
            *octet = digit(text[at])? * 16 + digit(text[at + 1])?;
        }
        Some(CameraMac(octets))
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// With ':', in lower case.
impl fmt::Display for CameraMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_an_address_are_one_camera() {
        let mac = CameraMac::parse("b8:27:eb:00:0a:01");
        assert_eq!(mac, CameraMac::parse("B8-27-EB-00-0A-01"));
        assert_eq!(mac.expect("an address").to_string(), "b8:27:eb:00:0a:01");
        for text in
            ["", "gate", "b8:27:eb:00:0a", "b8:27:eb:00:0a:0g", "b8 27 eb 00 0a 01", "b8:27:eb:00:0a:001"]
        {
            assert_eq!(CameraMac::parse(text), None, "{text}");
        }
    }
}
