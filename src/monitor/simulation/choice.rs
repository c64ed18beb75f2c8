//! Which of several servers a machine sends to, and when it repeats a heartbeat: the rules of the daemon, without its
//! checks of servers that are not in use. Pure.

use crate::backoff;
use std::time::{Duration, Instant};

/// The first repetition, as of the daemon.
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// A server that did not take a heartbeat is used again after this.
const HOLD_DOWN: Duration = Duration::from_secs(15);

/// The server of one machine. Small: there is one for each of 100,000 machines.
#[derive(Debug, Clone, Copy)]
pub struct FleetChoice {
    preferred: u8,
    current: u8,
    /// Attempts in a row that failed.
    failures: u16,
    /// The preferred one is used again then.
    returns_at: Option<Instant>,
}

impl FleetChoice {
    pub fn new(preferred: usize) -> FleetChoice {
        let preferred = u8::try_from(preferred).unwrap_or(0);
        FleetChoice { preferred, current: preferred, failures: 0, returns_at: None }
    }

    /// The server of a heartbeat that leaves now, by its place in the list.
    pub fn server(&mut self, now: Instant) -> usize {
        if self.failures == 0 && self.returns_at.is_some_and(|at| at <= now) {
            (self.current, self.returns_at) = (self.preferred, None);
        }
        usize::from(self.current)
    }

    pub fn acknowledged(&mut self) {
        self.failures = 0;
    }

    /// The server did not take a heartbeat: the next of `servers` gets it. Returns the delay, which is zero until all have
    /// been tried. `jitter` is 0 to 1.
    pub fn failed(&mut self, servers: usize, interval: Duration, now: Instant, jitter: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        if self.current == self.preferred {
            self.returns_at = Some(now + HOLD_DOWN.mul_f64(1.0 + jitter / 2.0));
        }
        let servers = u16::try_from(servers.clamp(1, 255)).unwrap_or(1);
        self.current = ((u16::from(self.current) + 1) % servers) as u8;
        match self.failures % servers {
            0 => backoff::delay(FIRST_RETRY, interval, u32::from(self.failures / servers), jitter),
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_server_is_tried_again_after_a_delay_that_doubles() {
        let (now, mut choice) = (Instant::now(), FleetChoice::new(0));
        let mut failed = || choice.failed(1, SECOND * 5, now, 0.0).as_millis();
        assert_eq!([failed(), failed(), failed()], [250, 500, 1000]);
        choice.acknowledged();
        assert_eq!(choice.failed(1, SECOND * 5, now, 0.0).as_millis(), 250);
        assert_eq!(choice.server(now), 0);
    }

    #[test]
    fn the_next_server_gets_the_heartbeat_at_once_and_a_delay_comes_after_the_last() {
        let (now, mut choice) = (Instant::now(), FleetChoice::new(1));
        let mut seen = Vec::new();
        for _ in 0..6 {
            let server = choice.server(now);
            seen.push((server, choice.failed(3, SECOND * 5, now, 0.0).as_millis()));
        }
        assert_eq!(seen, [(1, 0), (2, 0), (0, 250), (1, 0), (2, 0), (0, 500)]);
    }

    #[test]
    fn the_preferred_server_is_used_again_after_its_hold_down() {
        let (now, mut choice) = (Instant::now(), FleetChoice::new(0));
        assert_eq!(choice.failed(2, SECOND * 5, now, 0.0), Duration::ZERO);
        choice.acknowledged();
        assert_eq!(choice.server(now + SECOND * 14), 1);
        assert_eq!(choice.server(now + SECOND * 15), 0);
        assert_eq!(choice.server(now + SECOND * 99), 0);
    }
}
