//! Tokens of devices and readers: generated here, shown once, stored as a hash.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io;
use subtle::{Choice, ConstantTimeEq};

/// 256 bits: too many to guess, so the hash needs neither salt nor many rounds.
const RANDOM_BYTES: usize = 32;

/// The purpose of a token, visible in its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenUse {
    /// A device's. Without a prefix: it is sent 17,000 times a day over links that are paid for by the byte, and its
    /// 43 characters fit into one block of SHA-256.
    Device,
    /// A reader's of the API.
    Read,
    /// Lets one device enrol itself.
    Enrol,
    /// A browser's, in its session cookie.
    Session,
    /// In the link with which a user sets a password.
    Invitation,
    /// In the address of a status page that is not public.
    StatusPage,
}

impl TokenUse {
    fn prefix(self) -> &'static str {
        match self {
            TokenUse::Device => "",
            TokenUse::Read => "hbr_",
            TokenUse::Enrol => "hbe_",
            TokenUse::Session => "hbs_",
            TokenUse::Invitation => "hbi_",
            TokenUse::StatusPage => "hbp_",
        }
    }
}

/// A token as it is handed out. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new one, from the kernel's random numbers.
    ///
    /// # Errors
    /// The kernel has none, which only a container that forbids the call can bring about.
    pub fn make(purpose: TokenUse) -> io::Result<Token> {
        let bytes = random::<RANDOM_BYTES>()?;
        Ok(Token(format!("{}{}", purpose.prefix(), URL_SAFE_NO_PAD.encode(bytes))))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Random bytes from the kernel, for secrets; at most 256, which it gives all or none.
///
/// # Errors
/// The kernel has none, which only a container that forbids the call can bring about.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0_u8; N];
    let length = loop {
        // Early at boot it waits until it has enough to give.
        match getrandom(&mut bytes, GetRandomFlags::empty()) {
            Err(Errno::INTR) => {}
            result => break result?,
        }
    };
    match length == N {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// SHA-256 of a token's text: what is stored.
#[derive(Debug, Clone, Copy)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    pub fn of(token: &str) -> TokenHash {
        TokenHash(Sha256::digest(token).into())
    }

    /// The first bits, evenly spread, for a table.
    pub fn leading(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(first)
    }
}

impl ConstantTimeEq for TokenHash {
    /// All bits that differ are gathered first, eight bytes at a time, and only then looked at, once.
    fn ct_eq(&self, other: &TokenHash) -> Choice {
        let words = |hash: &TokenHash| {
            let mut words = [0; 4];
            for (word, bytes) in words.iter_mut().zip(hash.0.chunks_exact(8)) {
                *word = bytes.iter().fold(0_u64, |word, byte| (word << 8) | u64::from(*byte));
            }
            words
        };
        let pairs = words(self).into_iter().zip(words(other));
        pairs.fold(0, |differing, (a, b)| differing | (a ^ b)).ct_eq(&0)
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &TokenHash) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for TokenHash {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_256_bits_in_characters_that_a_url_carries_as_they_are() {
        let token = Token::make(TokenUse::Device).expect("random numbers");
        assert_eq!(token.as_str().len(), 43);
        assert!(token.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(URL_SAFE_NO_PAD.decode(token.as_str()).expect("base64url").len(), 32);
        assert_ne!(token, Token::make(TokenUse::Device).expect("random numbers"));
    }

    #[test]
    fn the_prefix_distinguishes_device_tokens_from_others() {
        assert!(Token::make(TokenUse::Read).expect("random numbers").as_str().starts_with("hbr_"));
        assert!(Token::make(TokenUse::Enrol).expect("random numbers").as_str().starts_with("hbe_"));
    }

    #[test]
    fn a_token_is_not_shown_by_debug() {
        let token = Token::make(TokenUse::Device).expect("random numbers");
        assert!(!format!("{token:?}").contains(token.as_str()));
    }

    #[test]
    fn the_hash_is_the_one_that_others_compute() {
        // printf abc | sha256sum
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let hex: Vec<String> = TokenHash::of("abc").0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex.concat(), abc);
        assert_eq!(TokenHash::of("abc").leading(), 0xba78_16bf_8f01_cfea);
    }
}
