//! The part of a machine that a condition is about, as it is kept in memory: a camera's MAC address takes no allocation, and a
//! fleet has a million cameras.

use crate::mac::Mac;
use std::fmt;

/// A part of a machine; the empty name is the machine itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Address(Mac),
    Named(Box<str>),
}

impl Subject {
    pub fn is(&self, text: &str) -> bool {
        match self {
            Subject::Address(mac) => address(text) == Some(*mac),
            Subject::Named(name) => **name == *text,
        }
    }
}

impl From<&str> for Subject {
    fn from(text: &str) -> Subject {
        address(text).map_or_else(|| Subject::Named(text.into()), Subject::Address)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Address(mac) => mac.fmt(f),
            Subject::Named(name) => f.write_str(name),
        }
    }
}

/// An address in the spelling in which it is displayed: another spelling must not become this one.
fn address(text: &str) -> Option<Mac> {
    let is_canonical = !text.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'-');
    Mac::parse(text).filter(|_| is_canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_out_as_it_went_in_and_is_equal_to_no_other() {
        let texts = ["", "gate", "b8:27:eb:12:34:5f", "B8:27:EB:12:34:5F", "b8-27-eb-12-34-5f", "wlan0"];
        for text in texts {
            let subject = Subject::from(text);
            assert_eq!(subject.to_string(), text);
            for other in texts {
                assert_eq!(subject.is(other), text == other, "{text:?} and {other:?}");
            }
        }
    }

    #[test]
    fn an_address_is_kept_without_an_allocation() {
        assert!(matches!(Subject::from("b8:27:eb:12:34:5f"), Subject::Address(_)));
        assert_eq!(size_of::<Subject>(), size_of::<Box<str>>());
    }
}
