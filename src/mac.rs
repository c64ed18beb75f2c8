//! The MAC address of a host: six octets, in all common spellings.

use std::fmt;

/// Six octets. Displayed in lower case with colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

impl Mac {
    /// Parses six octets of two hexadecimal digits each, in any case, all separated by ':' or all by '-'.
    pub fn parse(text: &str) -> Option<Mac> {
        let text = text.as_bytes();
        let separator = *text.get(2)?;
        if text.len() != 17 || !matches!(separator, b':' | b'-') {
            return None;
        }
        let mut octets = [0; 6];
        for (index, octet) in octets.iter_mut().enumerate() {
            let at = index * 3;
            if text.get(at + 2).is_some_and(|byte| *byte != separator) {
                return None;
            }
            *octet = digit(text[at])? * 16 + digit(text[at + 1])?;
        }
        Some(Mac(octets))
    }

    pub fn octets(self) -> [u8; 6] {
        self.0
    }

    /// The twelve digits alone, as in a hardware id: "b827eb123456", which is how RPI Streamer writes it.
    pub fn digits(self) -> String {
        self.to_string().replace(':', "")
    }

    /// Whether one device can have this address: it is not zero, and not the address of a group.
    pub fn is_of_one_device(self) -> bool {
        self.0 != [0; 6] && self.0[0] & 1 == 0
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_an_address_are_one_address_and_written_in_one_way() {
        for text in ["B8:27:EB:12:34:5f", "b8:27:eb:12:34:5f", "b8-27-EB-12-34-5F"] {
            let mac = Mac::parse(text).expect(text);
            assert_eq!(mac.octets(), [0xb8, 0x27, 0xeb, 0x12, 0x34, 0x5f]);
            assert_eq!((mac.to_string(), mac.digits()), ("b8:27:eb:12:34:5f".into(), "b827eb12345f".into()));
        }
    }

    #[test]
    fn any_other_text_is_no_address() {
        for text in [
            "",
            "gate",
            "b8",
            "b8:27:eb:12:34",
            "b8:27:eb:12:34:56:78",
            "b8:27:eb:12:34:5",
            "b8:27:eb:12:34:056",
            "b8:27-eb:12:34:56",
            "b8 27 eb 12 34 56",
            "b8:27:eb:12:34:0g",
            "b8:27:eb:12:34:+6",
            "b8:27:eb:12:34:\u{e9}",
            "b827eb123456",
            "::::::::::::::::::",
        ] {
            assert_eq!(Mac::parse(text), None, "{text}");
        }
    }

    #[test]
    fn zero_and_groups_are_addresses_of_no_single_device() {
        let is_of_one = |text| Mac::parse(text).expect("an address").is_of_one_device();
        assert!(is_of_one("b8:27:eb:12:34:56") && is_of_one("02:00:00:00:00:00"));
        for text in ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"] {
            assert!(!is_of_one(text), "{text}");
        }
    }
}
