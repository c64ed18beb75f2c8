//! Keys of TLS session tickets, in a file: a device resumes its session after a restart of the monitor, with another monitor
//! that has the same file, and after a new certificate. A resumption costs no signature.
//!
//! A ticket is the name of its key (16 bytes), a random nonce (12 bytes), the encrypted session and its tag (16 bytes), with
//! ChaCha20-Poly1305, as in rustls' own ticketer. Who has a key can read recorded TLS 1.2 sessions that were resumed with it, and
//! impersonate the monitor to devices that resume. So a key makes tickets for a day, opens them for a second one, and is gone.
//!
//! The file has one line for each key, the newest first: when it was made (milliseconds since 1970), name and key in base64url.

use crate::atomic_file;
use crate::clock::Moment;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a key makes tickets.
const LIFETIME: Duration = Duration::from_secs(86_400);
/// The newest makes tickets, the others still open theirs.
const KEPT: usize = 2;
/// Between two looks at the file because of a ticket whose key is unknown: anyone can send such tickets.
const LOOK: Duration = Duration::from_secs(10);
/// Longer tickets are not opened: ours have about 250 bytes, a few KiB with a long name of the server.
const MAX_TICKET: usize = 8 * 1024;
/// Of a file with two keys: 250 bytes.
const MAX_FILE: u64 = 4096;

const NAME: usize = 16;
const KEY: usize = 32;
const TAG: usize = 16;

/// The keys, shared by all configurations of the monitor's certificate.
pub struct TicketKeys {
    file: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// The newest first.
    keys: Vec<TicketKey>,
    /// When the file was read because of an unknown key.
    looked_at: Option<Moment>,
}

impl State {
    fn makes_tickets(&self, now: Moment) -> bool {
        self.keys.first().is_some_and(|key| key.makes_tickets(now))
    }
}

/// One key.
struct TicketKey {
    made_at: Moment,
    name: [u8; NAME],
    secret: [u8; KEY],
}

impl TicketKeys {
    /// Takes the keys from `file`, and makes one if it has none. Where the file cannot be read or written, the keys are in
    /// memory only, and the log says so.
    pub fn open(file: PathBuf) -> TicketKeys {
        let keys = TicketKeys { file, state: Mutex::new(State { keys: Vec::new(), looked_at: None }) };
        keys.renew(&mut keys.held(), Moment::now());
        keys
    }

    fn held(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what another monitor has written, or makes a key. Of two monitors that make one at the same moment, each
    /// uses its own, and a device that changes between them makes a whole handshake.
    fn renew(&self, state: &mut State, now: Moment) {
        let taken_over = self.take_over(state, now);
        let written = match state.makes_tickets(now) {
            true => Ok(()),
            false => TicketKey::random(now).and_then(|key| {
                state.keys.insert(0, key);
                state.keys.truncate(KEPT);
                write(&self.file, &state.keys)
            }),
        };
        if let Err(error) = taken_over.and(written) {
            log::warn!(
                "{}: {error}; TLS session tickets of today are lost at the next start, which only makes it slower",
                self.file.display()
            );
        }
    }

    /// Adds the keys of the file.
    fn take_over(&self, state: &mut State, now: Moment) -> io::Result<()> {
        let (read, error) = match read(&self.file) {
            Ok(read) => (read, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        state.keys = newest(std::mem::take(&mut state.keys), read, now);
        error.map_or(Ok(()), Err)
    }

    fn encrypt_at(&self, plain: &[u8], now: Moment) -> Option<Vec<u8>> {
        let mut state = self.held();
        if !state.makes_tickets(now) {
            self.renew(&mut state, now);
        }
        state.keys.first()?.seal(plain)
    }

    fn decrypt_at(&self, ticket: &[u8], now: Moment) -> Option<Vec<u8>> {
        let (name, sealed) = ticket.split_at_checked(NAME).filter(|_| ticket.len() <= MAX_TICKET)?;
        let mut state = self.held();
        let is_known = |state: &State| state.keys.iter().any(|key| key.name == name);
        if !is_known(&state) && state.looked_at.is_none_or(|at| now.since(at) >= LOOK || at > now) {
            state.looked_at = Some(now);
            // A file that cannot be read is reported when a key is due.
            let _ = self.take_over(&mut state, now);
        }
        let key = state.keys.iter().find(|key| key.name == name && key.opens_tickets(now))?;
        key.open(sealed)
    }
}

impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.encrypt_at(plain, Moment::now())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.decrypt_at(ticket, Moment::now())
    }
}

/// Without the keys.
impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TicketKeys({})", self.file.display())
    }
}

impl TicketKey {
    fn random(now: Moment) -> io::Result<TicketKey> {
        let (mut name, mut secret) = ([0; NAME], [0; KEY]);
        fill(&mut name)?;
        fill(&mut secret)?;
        Ok(TicketKey { made_at: now, name, secret })
    }

    fn makes_tickets(&self, now: Moment) -> bool {
        self.is_younger_than(LIFETIME, now)
    }

    fn opens_tickets(&self, now: Moment) -> bool {
        self.is_younger_than(2 * LIFETIME, now)
    }

    /// One that was made by a clock far ahead is not: it would be used for too long.
    fn is_younger_than(&self, age: Duration, now: Moment) -> bool {
        now.since(self.made_at) < age && self.made_at.since(now) < LIFETIME
    }

    fn cipher(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&CHACHA20_POLY1305, &self.secret).ok().map(LessSafeKey::new)
    }

    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        // Random, because several monitors have the key. Two equal ones among the tickets of a day (a million devices, ten
        // each) have a probability of 10^-15.
        let mut nonce = [0; NONCE_LEN];
        fill(&mut nonce).ok()?;
        let mut ticket = [self.name.as_slice(), &nonce, plain].concat();
        let sealed = &mut ticket[NAME + NONCE_LEN..];
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.cipher()?.seal_in_place_separate_tag(nonce, Aad::from(self.name), sealed).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    /// `sealed`: a ticket without the name of its key.
    fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let mut opened = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        self.cipher()?.open_in_place(nonce, Aad::from(self.name), &mut opened).ok()?;
        opened.truncate(opened.len() - TAG);
        Some(opened)
    }

    fn line(&self) -> String {
        format!("{} {} {}\n", self.made_at.0, BASE64.encode(self.name), BASE64.encode(self.secret))
    }

    fn of_line(line: &str) -> Option<TicketKey> {
        let mut words = line.split(' ');
        let made_at = Moment(words.next()?.parse().ok()?);
        let name = BASE64.decode(words.next()?).ok()?.try_into().ok()?;
        let secret = BASE64.decode(words.next()?).ok()?.try_into().ok()?;
        Some(TicketKey { made_at, name, secret })
    }
}

/// Both, the newest first, without those that are too old.
fn newest(known: Vec<TicketKey>, read: Vec<TicketKey>, now: Moment) -> Vec<TicketKey> {
    let mut keys = known;
    for key in read {
        if keys.iter().all(|known| known.name != key.name) {
            keys.push(key);
        }
    }
    keys.retain(|key| key.opens_tickets(now));
    keys.sort_by_key(|key| std::cmp::Reverse(key.made_at));
    keys.truncate(KEPT);
    keys
}

/// A file that is not there, and lines that are not keys, have none.
fn read(file: &Path) -> io::Result<Vec<TicketKey>> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(file);
    let opened = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    if opened.metadata()?.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::other("others can read it: remove it, and a new one is made"));
    }
    let text = io::read_to_string(opened.take(MAX_FILE))?;
    Ok(text.lines().filter_map(TicketKey::of_line).collect())
}

fn write(file: &Path, keys: &[TicketKey]) -> io::Result<()> {
    atomic_file::replace(file, |draft| {
        draft.get_ref().set_permissions(fs::Permissions::from_mode(0o600))?;
        keys.iter().try_for_each(|key| draft.write_all(key.line().as_bytes()))
    })
}

fn fill(bytes: &mut [u8]) -> io::Result<()> {
    SystemRandom::new().fill(bytes).map_err(|_| io::Error::other("the kernel has no random numbers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment(1_769_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    /// A directory, and the keys in it as of `now`.
    fn open(directory: &Path, now: Moment) -> TicketKeys {
        let file = directory.join("tls-ticket-keys");
        let keys = TicketKeys { file, state: Mutex::new(State { keys: Vec::new(), looked_at: None }) };
        keys.renew(&mut keys.held(), now);
        keys
    }

    #[test]
    fn a_ticket_is_opened_after_a_restart_and_by_another_monitor_for_a_day_and_a_second_one() {
        let scratch = tempfile::tempdir().expect("a directory");
        let first = open(scratch.path(), NOW);
        let other = open(scratch.path(), NOW);
        let ticket = first.encrypt_at(b"session", NOW).expect("sealed");
        assert_ne!(ticket, first.encrypt_at(b"session", NOW).expect("sealed"), "each has its own nonce");
        for hours in [0, 23, 25, 47] {
            let now = NOW.plus(HOUR * hours);
            let restarted = open(scratch.path(), now);
            for keys in [&first, &other, &restarted] {
                keys.encrypt_at(b"another", now).expect("sealed");
                assert_eq!(keys.decrypt_at(&ticket, now).as_deref(), Some(&b"session"[..]), "{hours} h");
            }
        }
        for hours in [48, 72, 1000] {
            assert_eq!(first.decrypt_at(&ticket, NOW.plus(HOUR * hours)), None, "{hours} h");
        }
    }

    #[test]
    fn the_monitor_that_renews_first_makes_the_key_of_all() {
        let scratch = tempfile::tempdir().expect("a directory");
        let (first, second) = (open(scratch.path(), NOW), open(scratch.path(), NOW));
        let tomorrow = NOW.plus(HOUR * 25);
        let ticket = first.encrypt_at(b"session", tomorrow).expect("sealed");
        assert_eq!(
            second.decrypt_at(&ticket, tomorrow).as_deref(),
            Some(&b"session"[..]),
            "it looks into the file"
        );
        let name = |ticket: &[u8]| ticket[..NAME].to_vec();
        assert_eq!(name(&second.encrypt_at(b"x", tomorrow).expect("sealed")), name(&ticket));
    }

    #[test]
    fn what_is_no_ticket_of_ours_is_not_opened() {
        let scratch = tempfile::tempdir().expect("a directory");
        let keys = open(scratch.path(), NOW);
        let ticket = keys.encrypt_at(b"session", NOW).expect("sealed");
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(keys.decrypt_at(&changed, NOW), None, "byte {at}");
            assert_eq!(keys.decrypt_at(&ticket[..at], NOW), None, "{at} bytes");
        }
        let long = keys.encrypt_at(&[0; MAX_TICKET], NOW).expect("sealed");
        assert_eq!(keys.decrypt_at(&long, NOW), None);
        let elsewhere = tempfile::tempdir().expect("a directory");
        assert_eq!(open(elsewhere.path(), NOW).decrypt_at(&ticket, NOW), None);
    }

    #[test]
    fn the_file_is_its_owners_alone_and_never_has_more_than_two_keys() {
        let scratch = tempfile::tempdir().expect("a directory");
        let keys = open(scratch.path(), NOW);
        for day in 0..5 {
            keys.encrypt_at(b"x", NOW.plus(LIFETIME * day)).expect("sealed");
            let text = fs::read_to_string(&keys.file).expect("written");
            assert_eq!(text.lines().count(), KEPT.min(day as usize + 1));
            assert_eq!(fs::metadata(&keys.file).expect("there").permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_file_and_keys_of_a_clock_that_was_ahead_are_replaced() {
        let scratch = tempfile::tempdir().expect("a directory");
        let file = scratch.path().join("tls-ticket-keys");
        let ahead = TicketKey::random(NOW.plus(LIFETIME * 400)).expect("random").line();
        for content in ["", "junk\n1 2 3\n", "1769000000000 AAAA AAAA", &ahead] {
            write(&file, &[]).expect("written");
            fs::write(&file, content).expect("written");
            let keys = open(scratch.path(), NOW);
            let ticket = keys.encrypt_at(b"x", NOW).expect("sealed");
            assert!(open(scratch.path(), NOW).decrypt_at(&ticket, NOW).is_some(), "{content:?}");
        }
    }

    #[test]
    fn without_a_usable_file_the_keys_are_in_memory() {
        let scratch = tempfile::tempdir().expect("a directory");
        let missing = scratch.path().join("missing");
        let keys = open(&missing, NOW);
        let ticket = keys.encrypt_at(b"x", NOW).expect("sealed");
        assert!(keys.decrypt_at(&ticket, NOW.plus(HOUR)).is_some());
        let shown = open(scratch.path(), NOW);
        fs::set_permissions(&shown.file, fs::Permissions::from_mode(0o644)).expect("changed");
        assert!(read(&shown.file).is_err_and(|error| error.to_string().contains("others can read it")));
        assert_eq!(format!("{keys:?}"), format!("TicketKeys({})", missing.join("tls-ticket-keys").display()));
    }
}
