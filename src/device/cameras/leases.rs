//! dnsmasq's lease file: the address and hostname of each MAC.

use crate::device::host;
use crate::device::os::file::open_regular;
use crate::mac::Mac;
use std::fs;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Room for ten thousand leases; the rest of the file is not read.
const LIMIT: u64 = 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub mac: Mac,
    pub ip: IpAddr,
    pub hostname: Option<String>,
}

/// The file, and its version at the last reading.
#[derive(Debug)]
pub struct Leases {
    path: PathBuf,
    read: Option<(SystemTime, u64)>,
    /// The error is logged once.
    failed: bool,
}

impl Leases {
    pub fn new(path: &Path) -> Leases {
        Leases { path: path.to_owned(), read: None, failed: false }
    }

    /// The file's text for [`parse`], if it has changed since the last call. dnsmasq has no file before the first lease.
    pub fn read_new(&mut self) -> Option<String> {
        match self.read_if_changed() {
            Ok(text) => {
                self.failed = false;
                text
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                if !self.failed {
                    log::warn!("cannot read {}: {error}; cameras are not taken from it", self.path.display());
                }
                self.failed = true;
                None
            }
        }
    }

    fn read_if_changed(&mut self) -> io::Result<Option<String>> {
        let metadata = fs::metadata(&self.path)?;
        let version = (metadata.modified()?, metadata.len());
        if self.read == Some(version) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        open_regular(&self.path)?.take(LIMIT).read_to_end(&mut bytes)?;
        // From before the reading: a change during it is read next time.
        self.read = Some(version);
        Ok(Some(
            String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        ))
    }
}

/// `expiry mac ip hostname client-id`, `*` where there is none. Lines of DHCPv6 have a number instead of a MAC, and are
/// left out with everything else.
pub fn parse(text: &str) -> impl Iterator<Item = Lease> + '_ {
    let lease = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (mac, ip, name) = (fields.next()?, fields.next()?, fields.next()?);
        // Other hardware types are written as 06-mac.
        Some(Lease {
            mac: host::mac(mac).ok()?,
            ip: host::address(ip).ok()?,
            hostname: host::hostname(name).ok(),
        })
    };
    text.lines().filter_map(lease)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
        1763760000 b8:27:eb:12:34:56 192.168.1.64 cam-gate 01:b8:27:eb:12:34:56\n\
        0 dc:a6:32:00:00:01 192.168.1.65 * *\n\
        duid 00:01:00:01:2d:7b:5c:1a:b8:27:eb:12:34:56\n\
        1763760000 1193046 fd00::64 cam-gate 00:01:00:01\n\
        nonsense\n\
        1763760000 b8:27:eb:12:34:57 not-an-address x *\n\
        1763760000 b8:27:eb:12:34:58 192.168.1.66 <b> *\n";

    #[test]
    fn leases_of_ipv4_are_read_and_everything_else_is_left_out() {
        let leases: Vec<_> = parse(FILE).collect();
        let shown: Vec<_> =
            leases.iter().map(|lease| (lease.ip.to_string(), lease.hostname.as_deref())).collect();
        let expected = [("192.168.1.64", Some("cam-gate")), ("192.168.1.65", None), ("192.168.1.66", None)];
        assert_eq!(shown, expected.map(|(ip, name)| (ip.to_owned(), name)));
    }

    #[test]
    fn the_file_is_reread_only_when_it_changes() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("dnsmasq.leases");
        let mut leases = Leases::new(&path);
        assert_eq!(leases.read_new(), None, "there is none yet");
        fs::write(&path, FILE).expect("written");
        assert_eq!(leases.read_new().map(|text| parse(&text).count()), Some(3));
        assert_eq!(leases.read_new(), None);
        fs::write(&path, "").expect("written");
        assert_eq!(leases.read_new().map(|text| parse(&text).count()), Some(0));
    }

    #[test]
    fn a_hostile_file_is_neither_read_whole_nor_a_panic() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("dnsmasq.leases");
        fs::write(&path, [0xff, b' ', b'\n'].repeat(1_000_000)).expect("written");
        let text = Leases::new(&path).read_new().expect("as far as it is read");
        assert_eq!((parse(&text).count(), text.len() <= 3 * 1024 * 1024), (0, true));
    }
}
