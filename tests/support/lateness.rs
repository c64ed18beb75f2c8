//! How late this machine runs a thread that did nothing but sleep. A test that holds a program to a time allows for it:
//! where the machine is idle the limit is what was promised, and where it is busy a defect is still later than that.

use std::collections::VecDeque;
use std::sync::{Mutex, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// For what the naps do not see: a disk that others write to, a page that has to be read.
const BUSY: Duration = Duration::from_millis(500);
const NAP: Duration = Duration::from_millis(5);
/// Longer than any time that is held to a promise.
const MEMORY: Duration = Duration::from_secs(60);
/// What is promised is the work of several threads, each as late: the one that hears of a change, the one that sends,
/// the server's, and for TLS both of the latter for each flight of the handshake.
const THREADS: u32 = 8;

struct Nap {
    woke: Instant,
    late: Duration,
}

static NAPS: Mutex<VecDeque<Nap>> = Mutex::new(VecDeque::new());
static WATCHED: Once = Once::new();

/// From now on it is known. To be called before what is timed begins.
pub fn watch() {
    WATCHED.call_once(|| drop(thread::spawn(nap)));
}

fn nap() {
    loop {
        let begin = Instant::now();
        thread::sleep(NAP);
        let woke = Instant::now();
        let late = (woke - begin).saturating_sub(NAP);
        let mut naps = NAPS.lock().unwrap_or_else(PoisonError::into_inner);
        naps.push_back(Nap { woke, late });
        while naps.front().is_some_and(|nap| woke - nap.woke > MEMORY) {
            naps.pop_front();
        }
    }
}

/// Said with the promise, and held to it and to what this machine adds.
#[track_caller]
pub fn in_time(since: Instant, at: Instant, promise: Duration, what: &str) {
    let (took, busy) = (at.saturating_duration_since(since), BUSY + added_since(since));
    println!("{what}: {took:?}, promised within {promise:?}, and {busy:?} on this machine");
    assert!(
        took <= promise + busy,
        "{what}: {took:?}, promised within {promise:?}, and {busy:?} on this machine"
    );
}

fn added_since(begin: Instant) -> Duration {
    assert!(WATCHED.is_completed(), "nobody watched");
    let naps = NAPS.lock().unwrap_or_else(PoisonError::into_inner);
    let longest = naps.iter().rev().take_while(|nap| nap.woke >= begin).map(|nap| nap.late).max();
    longest.unwrap_or_default() * THREADS
}
