//! Limits how often the same fault is logged: once per key and interval, in bounded memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Keys that are remembered; while it is full, nothing new is logged.
const CAPACITY: usize = 4096;

/// When each key was logged last.
#[derive(Debug)]
pub struct LogLimit<K> {
    interval: Duration,
    /// Minimum distance between lines about different keys.
    distance: Duration,
    logged: HashMap<K, Instant>,
    newest: Option<Instant>,
}

impl<K: Hash + Eq> LogLimit<K> {
    pub fn new(interval: Duration) -> LogLimit<K> {
        LogLimit::spaced(interval, Duration::ZERO)
    }

    /// Like [`LogLimit::new`], with at least `distance` between any two lines.
    pub fn spaced(interval: Duration, distance: Duration) -> LogLimit<K> {
        LogLimit { interval, distance, logged: HashMap::new(), newest: None }
    }

    /// Whether to log now; counts it as logged if so.
    pub fn is_due(&mut self, key: K, now: Instant) -> bool {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < self.interval;
        let is_too_close = self.newest.is_some_and(|at| now.saturating_duration_since(at) < self.distance);
        if is_too_close || self.logged.get(&key).is_some_and(is_recent) {
            return false;
        }
        if self.logged.len() >= CAPACITY {
            self.logged.retain(|_, at| is_recent(at));
        }
        let has_room = self.logged.len() < CAPACITY;
        if has_room {
            self.logged.insert(key, now);
            self.newest = Some(now);
        }
        has_room
    }

    /// Whether the limit still suppresses anything.
    pub fn is_active(&self, now: Instant) -> bool {
        self.newest.is_some_and(|at| now.saturating_duration_since(at) < self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_key_is_logged_once_an_hour_and_memory_is_bounded() {
        let (mut limit, start) = (LogLimit::new(HOUR), Instant::now());
        let mut is_due = |key: u32, seconds: u32| limit.is_due(key, start + SECOND * seconds);
        assert!(is_due(1, 0));
        assert!(!is_due(1, 3599));
        assert!(is_due(2, 1));
        assert!(is_due(1, 3600));
        let logged = (10..10_000).filter(|key| is_due(*key, 3601)).count();
        assert!(logged <= CAPACITY, "{logged}");
        assert!(!is_due(20_000, 3602), "no room");
        assert!(is_due(20_000, 7300), "the hour is over");
    }

    #[test]
    fn different_keys_are_logged_a_minute_apart() {
        let (mut limit, start) = (LogLimit::spaced(HOUR, SECOND * 60), Instant::now());
        assert!(limit.is_due("500", start));
        assert!(!limit.is_due("503", start + SECOND * 59));
        assert!(limit.is_due("503", start + SECOND * 60));
        assert!(!limit.is_due("500", start + SECOND * 3599));
        assert!(limit.is_active(start + SECOND * 3599) && !limit.is_active(start + SECOND * 3660));
    }
}
