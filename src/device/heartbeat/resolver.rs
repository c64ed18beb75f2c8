//! Host names: one thread that may hang in a lookup, and the last good address, which is used meanwhile.
//!
//! The C library's lookup cannot be interrupted and may take half a minute. So it never runs on the heartbeat
//! thread, there is never more than one (algesten/ureq#79: a thread per lookup piles up), and once a name has
//! been resolved no heartbeat waits for DNS again: the known address is used at once, and a newer one from
//! then on.

use crossbeam_channel::{Receiver, Sender, bounded};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How old an answer may be before it is asked for again. Nothing waits for the new one.
const REFRESH: Duration = Duration::from_secs(60);

/// The server and a proxy, before and after a reload.
const MOST_NAMES: usize = 4;

/// Addresses of a name that are kept, of both families if it has both: as many as fit into the 2 s of a heartbeat, 250 ms
/// each.
const MOST_ADDRESSES: usize = 8;

/// Turns a host and a port into addresses; [`lookup`] in the daemon.
pub type Lookup = fn(&str, u16) -> io::Result<Vec<SocketAddr>>;

/// The heartbeat thread's side of the resolver thread, which ends when this is dropped.
#[derive(Debug)]
pub struct Names {
    questions: Sender<Name>,
    answers: Receiver<Answer>,
    known: Mutex<Vec<Known>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    host: String,
    port: u16,
}

#[derive(Debug)]
struct Answer {
    name: Name,
    addresses: io::Result<Vec<SocketAddr>>,
}

#[derive(Debug)]
struct Known {
    name: Name,
    addresses: Vec<SocketAddr>,
    /// When it was last asked for; `None` asks at the next use.
    asked: Option<Instant>,
    answered: bool,
}

impl Names {
    /// # Errors
    /// The thread cannot be started.
    pub fn start(lookup: Lookup) -> io::Result<Names> {
        let (questions, asked) = bounded::<Name>(MOST_NAMES);
        let (answer, answers) = bounded(MOST_NAMES);
        thread::Builder::new().name("resolver".into()).spawn(move || {
            for name in asked {
                let addresses = lookup(&name.host, name.port);
                if answer.send(Answer { name, addresses }).is_err() {
                    return;
                }
            }
        })?;
        Ok(Names { questions, answers, known: Mutex::default() })
    }

    /// The addresses of `host`: at once if it is a literal or has ever been resolved, else within `limit`.
    ///
    /// # Errors
    /// What the lookup says, or `TimedOut`.
    pub fn resolve(&self, host: &str, port: u16, limit: Duration) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let deadline = Instant::now() + limit;
        let name = Name { host: host.to_owned(), port };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for answer in self.answers.try_iter() {
            learn(&mut known, answer);
        }
        self.ask(&mut known, &name);
        loop {
            if let Some(found) = known.iter().find(|k| k.name == name && !k.addresses.is_empty()) {
                return Ok(found.addresses.clone());
            }
            let answer = self.answers.recv_deadline(deadline).map_err(|_| {
                io::Error::new(io::ErrorKind::TimedOut, format!("no answer from DNS for {host}"))
            })?;
            if let Some(error) = learn(&mut known, answer).filter(|(failed, _)| *failed == name) {
                return Err(error.1);
            }
        }
    }

    /// The addresses of `host` if they are known; asks for them where that is due, and never waits, neither for DNS
    /// nor for a thread that does.
    pub fn known(&self, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Some(vec![SocketAddr::new(ip, port)]);
        }
        let name = Name { host: host.to_owned(), port };
        let mut known = self.known.try_lock().ok()?;
        for answer in self.answers.try_iter() {
            learn(&mut known, answer);
        }
        self.ask(&mut known, &name);
        known.iter().find(|k| k.name == name && !k.addresses.is_empty()).map(|k| k.addresses.clone())
    }

    /// The addresses did not work: they are asked for again at the next use, which still gets the known ones.
    pub fn doubt(&self) {
        for known in self.known.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            known.asked = None;
        }
    }

    /// Asks for `name` where that is due, unless a question about it is still open.
    fn ask(&self, known: &mut Vec<Known>, name: &Name) {
        let entry = match known.iter().position(|k| k.name == *name) {
            Some(index) => &mut known[index],
            None => {
                known.truncate(MOST_NAMES - 1);
                known.insert(0, Known { name: name.clone(), addresses: vec![], asked: None, answered: true });
                &mut known[0]
            }
        };
        let due = entry.asked.is_none_or(|asked| asked.elapsed() >= REFRESH);
        if due && entry.answered && self.questions.try_send(name.clone()).is_ok() {
            entry.asked = Some(Instant::now());
            entry.answered = false;
        }
    }
}

/// Takes an answer over; a failure leaves the last good addresses in place and comes back.
fn learn(known: &mut [Known], answer: Answer) -> Option<(Name, io::Error)> {
    let entry = known.iter_mut().find(|k| k.name == answer.name)?;
    entry.answered = true;
    match answer.addresses {
        Ok(addresses) => {
            entry.addresses = addresses;
            None
        }
        Err(error) => {
            // henrygd/beszel#1341: a failure at boot must not last; the next use asks again.
            entry.asked = None;
            Some((answer.name, error))
        }
    }
}

/// The C library's lookup, with all that nsswitch.conf and resolv.conf say. May take half a minute.
///
/// # Errors
/// The name is unknown, or nobody answers for it.
pub fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let addresses = interleave((host, port).to_socket_addrs()?);
    match addresses.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"))),
        false => Ok(addresses),
    }
}

/// At most [`MOST_ADDRESSES`], in which the families take turns, that of the first one first (RFC 8305, section 4): a
/// family that leads nowhere must not keep the other one from its turn.
fn interleave(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = addresses.peekable();
    let ipv6_first = addresses.peek().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.partition(|address| address.is_ipv6() == ipv6_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut interleaved = Vec::new();
    while interleaved.len() < MOST_ADDRESSES {
        let before = interleaved.len();
        interleaved.extend(first.next());
        interleaved.extend(second.next());
        if interleaved.len() == before {
            break;
        }
    }
    interleaved.truncate(MOST_ADDRESSES);
    interleaved
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Condvar, MutexGuard};

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(20);

    fn address(last: u8) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([192, 0, 2, last], 80))]
    }

    #[test]
    fn the_families_take_turns_and_some_of_each_is_kept() {
        let families = |text: &str| -> String {
            let address = |(n, family): (usize, char)| match family {
                '6' => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, n as u16], 80)),
                _ => SocketAddr::from(([192, 0, 2, n as u8], 80)),
            };
            let kept = interleave(text.chars().enumerate().map(address));
            kept.iter().map(|address| if address.is_ipv6() { '6' } else { '4' }).collect()
        };
        for (found, kept) in [
            ("", ""),
            ("4", "4"),
            ("666644", "646466"),
            ("446666", "464666"),
            ("666666666644", "64646666"),
            ("444444444446", "46444444"),
            ("6666666666", "66666666"),
        ] {
            assert_eq!(families(found), kept, "{found}");
        }
    }

    #[test]
    fn a_literal_address_needs_no_lookup() {
        let names = Names::start(|_, _| unreachable!("asked for a literal")).expect("started");
        for (host, ip) in [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1"), ("::1", "::1")] {
            let expected: IpAddr = ip.parse().expect("an address");
            assert_eq!(names.resolve(host, 7, SHORT).expect("literal"), [SocketAddr::new(expected, 7)]);
        }
    }

    #[test]
    fn a_lookup_that_failed_is_asked_again_at_the_next_use() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let names = Names::start(|_, _| match ASKED.fetch_add(1, Ordering::SeqCst) {
            0 => Err(io::Error::other("temporary failure in name resolution")),
            _ => Ok(address(1)),
        })
        .expect("started");
        names.resolve("example.test", 80, LONG).expect_err("the first lookup fails");
        assert_eq!(names.resolve("example.test", 80, LONG).expect("the second works"), address(1));
    }

    /// A gate that lookups wait at until a test opens it.
    struct Gate(Mutex<bool>, Condvar);

    impl Gate {
        fn wait(&self) -> MutexGuard<'_, bool> {
            self.1.wait_while(self.0.lock().expect("lock"), |open| !*open).expect("lock")
        }

        fn open(&self) {
            *self.0.lock().expect("lock") = true;
            self.1.notify_all();
        }
    }

    #[test]
    fn while_dns_hangs_the_last_good_address_is_used_at_once_and_questions_do_not_pile_up() {
        static GATE: Gate = Gate(Mutex::new(false), Condvar::new());
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let names = Names::start(|_, _| match ASKED.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(address(1)),
            _ => {
                drop(GATE.wait());
                Ok(address(2))
            }
        })
        .expect("started");
        assert_eq!(names.resolve("example.test", 80, LONG).expect("resolved"), address(1));
        for _ in 0..100 {
            names.doubt();
            let begin = Instant::now();
            assert_eq!(names.resolve("example.test", 80, LONG).expect("known"), address(1));
            assert!(begin.elapsed() < LONG / 2);
        }
        assert!(ASKED.load(Ordering::SeqCst) <= 2);
        GATE.open();
        let deadline = Instant::now() + LONG;
        while names.resolve("example.test", 80, LONG).expect("known") != address(2) {
            assert!(Instant::now() < deadline, "the new address never came");
            thread::yield_now();
        }
    }

    #[test]
    fn whoever_does_not_want_to_wait_gets_what_is_known_and_has_it_asked_for() {
        let names = Names::start(|_, _| Ok(address(4))).expect("started");
        assert_eq!(names.known("127.0.0.1", 80), Some(vec![SocketAddr::from(([127, 0, 0, 1], 80))]));
        let deadline = Instant::now() + LONG;
        while names.known("example.test", 80) != Some(address(4)) {
            assert!(Instant::now() < deadline, "it was never asked for");
            thread::yield_now();
        }
    }

    #[test]
    fn a_first_lookup_that_hangs_costs_the_limit_and_no_more() {
        static GATE: Gate = Gate(Mutex::new(false), Condvar::new());
        let names = Names::start(|_, _| {
            drop(GATE.wait());
            Ok(address(3))
        })
        .expect("started");
        let error = names.resolve("example.test", 80, SHORT).expect_err("too slow");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        GATE.open();
        assert_eq!(names.resolve("example.test", 80, LONG).expect("resolved"), address(3));
    }
}
