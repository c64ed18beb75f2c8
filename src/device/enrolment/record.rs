//! `enrolment.json` in the state directory: the server at which this device is enrolled, its token there, and the board that
//! both are for.

use crate::atomic_file;
use crate::device::os::file::open_regular;
use crate::device::token::Token;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use serde_json::{Value, json};
use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

/// A few certificates take 2 KiB each.
const LARGEST: u64 = 256 * 1024;

/// 6 bits each: 258 random bits. The shortest token that a monitor accepts.
const TOKEN_LENGTH: usize = 43;

/// Characters of a key that are stored: too few to guess the rest, enough to tell two keys apart.
const KEY_START: usize = 10;

/// User and group of a file.
pub type Owner = (u32, u32);

/// An enrolment that was requested or granted.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolmentRecord {
    /// Where heartbeats go.
    pub url: String,
    /// One line of printable ASCII.
    pub token: String,
    /// The board.
    pub hardware_id: String,
    /// Certificates in PEM form that the server is verified with; `None`: the public CAs, or `ca_file`.
    pub ca: Option<String>,
    /// The first characters of the key: a request with the same key is repeated with the same token, another key gets
    /// another one. Empty if the request was made without a key.
    pub key_start: String,
}

impl EnrolmentRecord {
    /// With a new token.
    ///
    /// # Errors
    /// The kernel has no random numbers.
    pub fn new(url: &str, hardware_id: &str, ca: Option<&str>, key: &str) -> io::Result<EnrolmentRecord> {
        Ok(EnrolmentRecord {
            url: url.to_owned(),
            token: random_token()?,
            hardware_id: hardware_id.to_owned(),
            ca: ca.map(str::to_owned),
            key_start: key.chars().take(KEY_START).collect(),
        })
    }

    /// Whether it is for the same request, whatever its token.
    pub fn repeats(&self, other: &EnrolmentRecord) -> bool {
        (&self.url, &self.hardware_id, &self.key_start) == (&other.url, &other.hardware_id, &other.key_start)
    }

    /// `None` if there is no such file.
    ///
    /// # Errors
    /// It cannot be read, or holds something else; the error never shows its content.
    pub fn read(path: &Path) -> io::Result<Option<EnrolmentRecord>> {
        let file = match open_regular(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result?,
        };
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes)?;
        match EnrolmentRecord::parse(&bytes) {
            Some(record) => Ok(Some(record)),
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "it is damaged")),
        }
    }

    fn parse(bytes: &[u8]) -> Option<EnrolmentRecord> {
        let json: Value = serde_json::from_slice(bytes).ok()?;
        let text = |key: &str| json[key].as_str().map(str::to_owned);
        Some(EnrolmentRecord {
            url: text("url")?,
            token: text("token").filter(|token| Token::parse(token).is_some())?,
            hardware_id: text("hardware_id")?,
            ca: text("ca"),
            key_start: text("key_start").unwrap_or_default(),
        })
    }

    /// Replaces the file at `path`; it is on the disk afterwards, and only `owner` can read it.
    ///
    /// # Errors
    /// The directory or the disk does not permit it; the old file stays.
    pub fn store(&self, path: &Path, owner: Option<Owner>) -> io::Result<()> {
        let json = json!({
            "url": self.url,
            "token": self.token,
            "hardware_id": self.hardware_id,
            "ca": self.ca,
            "key_start": self.key_start,
        });
        atomic_file::replace_durably(path, |file| {
            // Before the token is in it.
            file.get_ref().set_permissions(Permissions::from_mode(0o600))?;
            if let Some((user, group)) = owner {
                fchown(file.get_ref(), Some(user), Some(group))?;
            }
            writeln!(file, "{json}")
        })
    }
}

impl fmt::Debug for EnrolmentRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EnrolmentRecord { url, hardware_id, .. } = self;
        f.debug_struct("EnrolmentRecord")
            .field("url", url)
            .field("hardware_id", hardware_id)
            .finish_non_exhaustive()
    }
}

fn random_token() -> io::Result<String> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0; TOKEN_LENGTH];
    // Waits at boot until the kernel has enough entropy, and gives up to 256 bytes at once.
    if getrandom(&mut bytes, GetRandomFlags::empty())? != bytes.len() {
        return Err(Errno::IO.into());
    }
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 64)])).collect())
}

/// Changes whenever the file is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    inode: u64,
    changed_s: i64,
    changed_ns: i64,
}

impl FileStamp {
    /// `None` if there is no file.
    pub fn of(path: &Path) -> Option<FileStamp> {
        let metadata = fs::symlink_metadata(path).ok()?;
        Some(FileStamp {
            inode: metadata.ino(),
            changed_s: metadata.ctime(),
            changed_ns: metadata.ctime_nsec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn record(key: &str) -> EnrolmentRecord {
        EnrolmentRecord::new("https://m.example.org/api/v1/heartbeat", "a5bd2dd2", Some("PEM"), key)
            .expect("random numbers")
    }

    #[test]
    fn tokens_are_of_base64url_and_never_the_same() {
        let tokens: HashSet<String> = (0..1000).map(|_| record("k").token).collect();
        assert_eq!(tokens.len(), 1000);
        let used: HashSet<char> = tokens.iter().flat_map(|token| token.chars()).collect();
        assert_eq!(used.len(), 64, "{used:?}");
        assert!(tokens.iter().all(|token| token.len() == TOKEN_LENGTH));
    }

    #[test]
    fn a_record_is_read_as_it_was_stored_and_only_its_owner_can_read_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("enrolment.json");
        assert_eq!(EnrolmentRecord::read(&path).expect("absent"), None);
        assert_eq!(FileStamp::of(&path), None);
        let stored = EnrolmentRecord { ca: None, ..record("hbe_0123456789") };
        stored.store(&path, None).expect("stored");
        assert_eq!(EnrolmentRecord::read(&path).expect("readable"), Some(stored.clone()));
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(stored.key_start, "hbe_012345");
        let before = FileStamp::of(&path);
        record("hbe_0123456789").store(&path, None).expect("stored");
        assert_ne!(FileStamp::of(&path), before);
        assert!(!format!("{stored:?}").contains(&stored.token));
    }

    #[test]
    fn a_damaged_file_is_an_error_that_shows_nothing_of_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("enrolment.json");
        let url_only = r#"{"url": "hunter2"}"#;
        let two_lines = r#"{"url": "hunter2", "token": "a\nb", "hardware_id": "x"}"#;
        for content in ["", "{", "hunter2", "[]", url_only, two_lines] {
            fs::write(&path, content).expect("written");
            let error = EnrolmentRecord::read(&path).expect_err(content);
            assert_eq!(error.to_string(), "it is damaged", "{content}");
        }
    }

    #[test]
    fn another_key_server_or_board_is_another_request() {
        let first = record("hbe_aaaaaaaaaa");
        assert!(first.repeats(&record("hbe_aaaaaaaaaa")));
        assert!(!first.repeats(&record("hbe_bbbbbbbbbb")));
        assert!(!first.repeats(&EnrolmentRecord { url: "https://other".into(), ..first.clone() }));
        assert!(!first.repeats(&EnrolmentRecord { hardware_id: "b".into(), ..first.clone() }));
    }
}
