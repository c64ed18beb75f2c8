use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(20);
const ONE_THREAD: ResolverLimits = ResolverLimits { threads: 1, names: 4, refresh_wait: Duration::ZERO };

fn address(last: u8) -> Vec<SocketAddr> {
    vec![SocketAddr::from(([192, 0, 2, last], 80))]
}

#[test]
fn the_families_alternate_and_some_of_each_is_kept() {
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
    let names = NameResolver::start(ONE_THREAD, |_, _| unreachable!("asked for a literal")).expect("started");
    for (host, ip) in [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1"), ("::1", "::1")] {
        let expected: IpAddr = ip.parse().expect("an address");
        assert_eq!(names.resolve(host, 7, SHORT).expect("literal"), [SocketAddr::new(expected, 7)]);
    }
}

#[test]
fn a_lookup_that_failed_is_repeated_at_the_next_use() {
    static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
    let names = NameResolver::start(ONE_THREAD, |_, _| match LOOKUPS.fetch_add(1, Ordering::SeqCst) {
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
    const fn closed() -> Gate {
        Gate(Mutex::new(false), Condvar::new())
    }

    fn wait(&self) {
        drop(self.1.wait_while(self.0.lock().expect("lock"), |open| !*open).expect("lock"));
    }

    fn open(&self) {
        *self.0.lock().expect("lock") = true;
        self.1.notify_all();
    }
}

#[test]
fn while_dns_hangs_the_last_good_address_is_used_at_once_and_lookups_do_not_pile_up() {
    static GATE: Gate = Gate::closed();
    static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
    let names = NameResolver::start(ONE_THREAD, |_, _| match LOOKUPS.fetch_add(1, Ordering::SeqCst) {
        0 => Ok(address(1)),
        _ => {
            GATE.wait();
            Ok(address(2))
        }
    })
    .expect("started");
    assert_eq!(names.resolve("example.test", 80, LONG).expect("resolved"), address(1));
    for _ in 0..100 {
        names.invalidate();
        let begin = Instant::now();
        assert_eq!(names.resolve("example.test", 80, LONG).expect("known"), address(1));
        assert!(begin.elapsed() < LONG / 2);
    }
    assert!(LOOKUPS.load(Ordering::SeqCst) <= 2);
    GATE.open();
    let deadline = Instant::now() + LONG;
    while names.resolve("example.test", 80, LONG).expect("known") != address(2) {
        assert!(Instant::now() < deadline, "the new address never came");
        thread::yield_now();
    }
}

#[test]
fn a_refresh_wait_prefers_a_newer_address_and_falls_back_to_the_old_one() {
    static GATE: Gate = Gate::closed();
    static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
    let limits = ResolverLimits { refresh_wait: Duration::from_millis(300), ..ONE_THREAD };
    let names = NameResolver::start(limits, |_, _| match LOOKUPS.fetch_add(1, Ordering::SeqCst) {
        number @ 0..2 => Ok(address(number as u8)),
        _ => {
            GATE.wait();
            Ok(address(9))
        }
    })
    .expect("started");
    for number in 0..2 {
        names.invalidate();
        assert_eq!(names.resolve("example.test", 80, LONG).expect("resolved"), address(number));
    }
    names.invalidate();
    let begin = Instant::now();
    assert_eq!(names.resolve("example.test", 80, LONG).expect("known"), address(1));
    assert!(begin.elapsed() >= limits.refresh_wait && begin.elapsed() < LONG);
    GATE.open();
}

#[test]
fn without_waiting_the_cached_addresses_are_returned_and_a_lookup_requested() {
    let names = NameResolver::start(ONE_THREAD, |_, _| Ok(address(4))).expect("started");
    assert_eq!(names.known("127.0.0.1", 80), Some(vec![SocketAddr::from(([127, 0, 0, 1], 80))]));
    let deadline = Instant::now() + LONG;
    while names.known("example.test", 80) != Some(address(4)) {
        assert!(Instant::now() < deadline, "it was never looked up");
        thread::yield_now();
    }
}

#[test]
fn a_first_lookup_that_hangs_costs_the_limit_and_no_more() {
    static GATE: Gate = Gate::closed();
    let names = NameResolver::start(ONE_THREAD, |_, _| {
        GATE.wait();
        Ok(address(3))
    })
    .expect("started");
    let error = names.resolve("example.test", 80, SHORT).expect_err("too slow");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    GATE.open();
    assert_eq!(names.resolve("example.test", 80, LONG).expect("resolved"), address(3));
}

#[test]
fn a_hundred_dead_names_share_the_threads_and_leave_one_for_a_good_name() {
    static GATE: Gate = Gate::closed();
    static RUNNING: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    static FAILED_ONCE: AtomicUsize = AtomicUsize::new(0);
    let limits = ResolverLimits { threads: 4, names: 256, refresh_wait: Duration::ZERO };
    let names = NameResolver::start(limits, |host, _| {
        if host == "good.test" {
            return Ok(address(1));
        }
        if FAILED_ONCE.fetch_add(1, Ordering::SeqCst) < 100 {
            return Err(io::Error::other("temporary failure in name resolution"));
        }
        MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        GATE.wait();
        RUNNING.fetch_sub(1, Ordering::SeqCst);
        Err(io::Error::other("temporary failure in name resolution"))
    })
    .expect("started");
    let hosts: Vec<String> = (0..100).map(|number| format!("dead-{number}.test")).collect();
    for host in &hosts {
        names.resolve(host, 80, LONG).expect_err("a dead name");
    }
    thread::scope(|scope| {
        for host in &hosts {
            scope.spawn(|| {
                let error = names.resolve(host, 80, SHORT).expect_err("a dead name");
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            });
        }
    });
    assert_eq!(names.resolve("good.test", 80, LONG).expect("a good name"), address(1));
    assert!(MOST.load(Ordering::SeqCst) <= 2, "two threads serve names that failed");
    GATE.open();
}

#[test]
fn more_names_than_are_remembered_are_refused_while_all_are_pending_and_served_afterwards() {
    static GATE: Gate = Gate::closed();
    let names = NameResolver::start(ONE_THREAD, |_, _| {
        GATE.wait();
        Ok(address(5))
    })
    .expect("started");
    let hosts: Vec<String> = (0..20).map(|number| format!("host-{number}.test")).collect();
    let refused = hosts.iter().filter(|host| {
        let error = names.resolve(host, 80, Duration::ZERO).expect_err("none is resolved yet");
        error.kind() == io::ErrorKind::WouldBlock
    });
    assert!(refused.count() >= 15);
    GATE.open();
    for host in &hosts {
        let deadline = Instant::now() + LONG;
        while names.resolve(host, 80, LONG).is_err() {
            assert!(Instant::now() < deadline, "{host} was never looked up");
            thread::yield_now();
        }
    }
    assert!(names.known_names().len() <= ONE_THREAD.names + 1);
}
