//! When requests are collected for some milliseconds and then served together. Pure.
//!
//! The connections of a large fleet send seldom, but one after the other all the time. A thread that wakes for each request
//! runs with cold caches, because other threads had the processor in between, and pays a system call for each: five times what
//! a request costs that is served right after another one. So while requests arrive like this, the thread looks for them at
//! intervals. It does not while clients send again as soon as they have a response: the interval would bound their rate.

use std::time::{Duration, Instant};

/// From one look to the next. A device waits 2 s for its response.
const INTERVAL: Duration = Duration::from_millis(4);
/// How long requests are counted before they are judged.
const WINDOW: Duration = Duration::from_millis(100);
/// Requests of a window from which on they are collected: 500 a second, so two or more at each look.
const LEAST: usize = 50;

/// The pace of a thread that serves connections.
#[derive(Debug)]
pub struct Pace {
    begin: Instant,
    /// Requests since then.
    requests: usize,
    is_collecting: bool,
}

impl Pace {
    pub fn new(now: Instant) -> Pace {
        Pace { begin: now, requests: 0, is_collecting: false }
    }

    /// Notes how many connections had something to read at `now`, of how many; there must have been a look.
    pub fn looked(&mut self, ready: usize, connections: usize, now: Instant) {
        self.requests += ready;
        let time = now.saturating_duration_since(self.begin);
        if time < WINDOW {
            return;
        }
        // As if the window had its length: after a silence it is longer.
        let requests = (self.requests as f64 * WINDOW.as_secs_f64() / time.as_secs_f64()) as usize;
        // Each connection sends once a second at most.
        let are_seldom = requests as f64 <= connections as f64 * WINDOW.as_secs_f64();
        *self = Pace { begin: now, requests: 0, is_collecting: requests >= LEAST && are_seldom };
    }

    /// How long to wait at `now` before the next look, if the last one was at `looked`.
    pub fn pause(&self, looked: Instant, now: Instant) -> Option<Duration> {
        let left = (looked + INTERVAL).checked_duration_since(now)?;
        (self.is_collecting && !left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks once a millisecond for 200 ms; the pause after that.
    fn pause(ready: usize, connections: usize) -> Option<Duration> {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let moment = |milliseconds| begin + Duration::from_millis(milliseconds);
        (1..=200).for_each(|time| pace.looked(ready, connections, moment(time)));
        pace.pause(moment(200), moment(201))
    }

    #[test]
    fn a_fleet_is_served_at_intervals() {
        assert_eq!(pause(1, 5_000), Some(Duration::from_millis(3)));
        assert_eq!(pause(20, 100_000), Some(Duration::from_millis(3)));
    }

    #[test]
    fn few_requests_and_clients_that_send_again_at_once_are_served_at_once() {
        assert_eq!(pause(0, 10_000), None, "an idle fleet");
        assert_eq!(pause(1, 64), None, "64 clients in a loop");
        assert_eq!(pause(64, 10_000), None, "a fleet that repeats itself");
    }

    #[test]
    fn a_look_that_is_late_is_not_delayed_and_a_silence_ends_the_collecting() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let moment = |milliseconds| begin + Duration::from_millis(milliseconds);
        pace.looked(200, 10_000, moment(100));
        assert_eq!(pace.pause(moment(100), moment(100)), Some(INTERVAL));
        assert_eq!(pace.pause(moment(100), moment(104)), None);
        assert_eq!(pace.pause(moment(100), moment(150)), None);
        pace.looked(100, 10_000, moment(10_000));
        assert_eq!(pace.pause(moment(10_000), moment(10_000)), None);
    }
}
