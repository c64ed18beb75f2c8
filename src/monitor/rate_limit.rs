//! Limits of attempts: a number at once, and one more after each interval. Memory is bounded: a limit has a fixed number of
//! slots, and keys whose keyed hashes name the same slot share it. Its first attempt allocates them.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// 32 KiB for each limit.
const SLOTS: usize = 4096;

/// Attempts at once, and the time after which one more is possible.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    pub burst: u32,
    pub interval: Duration,
}

/// A limit of failures for each network.
#[derive(Debug)]
pub struct NetworkLimit(Mutex<Slots>);

impl NetworkLimit {
    pub fn new(rate: Rate, now: Instant) -> NetworkLimit {
        NetworkLimit(Mutex::new(Slots::new(rate, now)))
    }

    /// Counts one attempt from an address; `None`: unknown.
    ///
    /// # Errors
    /// The time after which another attempt is possible; this one was not counted.
    pub fn begin(&self, from: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let mut slots = self.lock();
        let slot = slots.slot(from.map(network));
        let wait = slots.wait(slot, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        slots.count(slot, now);
        Ok(())
    }

    /// Forgets one attempt, because it succeeded.
    pub fn succeeded(&self, from: Option<IpAddr>) {
        let mut slots = self.lock();
        let slot = slots.slot(from.map(network));
        slots.forget(slot);
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address, or the /64 of an IPv6 address: one host has all of it.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address => address,
    }
}

/// One limit (generic cell rate algorithm).
#[derive(Debug)]
pub struct Slots {
    rate: Rate,
    start: Instant,
    keys: RandomState,
    /// For each slot, the time at which all its attempts are possible again, in milliseconds since the start. Empty before the
    /// first attempt.
    full_at: Box<[u64]>,
}

impl Slots {
    pub fn new(rate: Rate, now: Instant) -> Slots {
        Slots { rate, start: now, keys: RandomState::new(), full_at: Box::default() }
    }

    /// The slot of a key.
    pub fn slot(&self, key: impl Hash) -> usize {
        usize::try_from(self.keys.hash_one(key) % SLOTS as u64).unwrap_or(0)
    }

    /// Milliseconds since the start.
    fn elapsed(&self, now: Instant) -> u64 {
        milliseconds(now.saturating_duration_since(self.start))
    }

    fn interval(&self) -> u64 {
        milliseconds(self.rate.interval)
    }

    /// The time until an attempt is possible; zero if it is now.
    pub fn wait(&self, slot: usize, now: Instant) -> Duration {
        let most = self.interval() * u64::from(self.rate.burst - 1);
        let full_at = self.full_at.get(slot).copied().unwrap_or(0);
        Duration::from_millis(full_at.saturating_sub(self.elapsed(now) + most))
    }

    pub fn count(&mut self, slot: usize, now: Instant) {
        if self.full_at.is_empty() {
            self.full_at = vec![0; SLOTS].into_boxed_slice();
        }
        let (interval, elapsed) = (self.interval(), self.elapsed(now));
        if let Some(full_at) = self.full_at.get_mut(slot) {
            *full_at = (*full_at).max(elapsed) + interval;
        }
    }

    pub fn forget(&mut self, slot: usize) {
        let interval = self.interval();
        if let Some(full_at) = self.full_at.get_mut(slot) {
            *full_at = full_at.saturating_sub(interval);
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_limited_for_each_network_and_successes_are_not() {
        let now = Instant::now();
        let limit = NetworkLimit::new(Rate { burst: 2, interval: Duration::from_secs(10) }, now);
        let (bad, good) = (Some("192.0.2.1".parse().expect("v4")), Some("2001:db8::1".parse().expect("v6")));
        for _ in 0..2 {
            assert_eq!(limit.begin(bad, now), Ok(()));
        }
        assert_eq!(limit.begin(bad, now), Err(Duration::from_secs(10)));
        for _ in 0..100 {
            assert_eq!(limit.begin(good, now), Ok(()));
            limit.succeeded(good);
        }
        assert_eq!(limit.begin(bad, now + Duration::from_secs(10)), Ok(()));
    }
}
