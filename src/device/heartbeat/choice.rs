//! Which server gets the next heartbeat: pure decisions over outcomes and time.
//!
//! The servers are in order of preference. One that does not take a heartbeat is left at once for the best other one. While a
//! worse one is in use, the better ones get copies of the heartbeats as checks; one that took [`RETURN_CHECKS`] in a row
//! for the length of its hold-down is used again. The worse ones get a check an hour, so that a token that they refuse is
//! noticed before they are needed.

use crate::backoff;
use crate::device::failover::hold_down::HoldDown;
use std::time::{Duration, Instant};

/// A better server must take this many heartbeats in a row, for this long, before the device returns to it. It hears the
/// device meanwhile, so nothing is lost by waiting.
const RETURN_CHECKS: u32 = 3;
const RETURN_HOLD: Duration = Duration::from_secs(15);

/// The first retry: long enough for a router to have finished a reset, short enough to be unnoticed.
const FIRST_RETRY: Duration = Duration::from_millis(250);

/// Checks of a better server that fails: from one a second to this. A monitor that was restarted must hear the device again
/// within its threshold.
const FIRST_CHECK: Duration = Duration::from_secs(1);
const SLOWEST_CHECK: Duration = Duration::from_secs(15);

/// Checks of a server that is not needed, and the first check after one that failed. 1.5 KB and a TLS handshake each.
const STANDBY_CHECK: Duration = Duration::from_secs(3600);
const STANDBY_RECHECK: Duration = Duration::from_secs(60);

/// Why a server did not take a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// No answer, or one that permits a retry.
    Failed,
    /// It will not take the next one either: a person has to act.
    Refused,
    /// It requires a pause.
    Busy(Duration),
}

/// The servers as far as the choice depends on them.
#[derive(Debug)]
pub struct ServerChoice {
    interval: Duration,
    servers: Vec<ServerState>,
    current: usize,
    /// The one that took a heartbeat last.
    last: usize,
}

#[derive(Debug)]
struct ServerState {
    /// Heartbeats and checks in a row that were not answered.
    failures: u32,
    /// Whether it took the last one; `None` before the first.
    works: Option<bool>,
    /// Another server is better before this.
    due: Option<Instant>,
    /// A heartbeat that failed is to be repeated then.
    retry: Option<Instant>,
    /// No sending before this, because of the server's Retry-After.
    hold: Option<Instant>,
    hold_down: HoldDown,
    /// Checks in a row that it took, and since when.
    checks: u32,
    checked_since: Option<Instant>,
    /// Checks in a row that it did not take.
    refused_checks: u32,
    next_check: Instant,
}

impl ServerState {
    fn new(now: Instant) -> ServerState {
        ServerState {
            failures: 0,
            works: None,
            due: None,
            retry: None,
            hold: None,
            hold_down: HoldDown::new(RETURN_HOLD),
            checks: 0,
            checked_since: None,
            refused_checks: 0,
            next_check: now,
        }
    }

    fn is_held(&self, now: Instant) -> bool {
        self.hold.is_some_and(|until| now < until)
    }

    fn is_due(&self, now: Instant) -> bool {
        !self.is_held(now) && self.due.is_none_or(|due| due <= now)
    }

    fn took(&mut self) {
        (self.failures, self.works) = (0, Some(true));
        (self.due, self.retry, self.hold) = (None, None, None);
        self.refused_checks = 0;
    }

    fn fell(&mut self, miss: Miss) {
        self.failures = if miss == Miss::Failed { self.failures.saturating_add(1) } else { 0 };
        (self.works, self.checks, self.checked_since) = (Some(false), 0, None);
    }
}

impl ServerState {
    /// True if a better server is used from now on.
    fn took_check(&mut self, is_better: bool, now: Instant, jitter: f64) -> bool {
        self.took();
        self.checks = self.checks.saturating_add(1);
        let since = *self.checked_since.get_or_insert(now);
        let has_held = now.saturating_duration_since(since) >= self.hold_down.length(now);
        self.next_check = now + if is_better { Duration::ZERO } else { spread(STANDBY_CHECK, jitter) };
        let returns = is_better && self.checks >= RETURN_CHECKS && has_held;
        if returns {
            (self.checks, self.checked_since) = (0, None);
        }
        returns
    }

    fn missed_check(&mut self, miss: Miss, is_better: bool, interval: Duration, now: Instant, jitter: f64) {
        self.fell(miss);
        let [first, slowest] = match is_better {
            true => [FIRST_CHECK, SLOWEST_CHECK.max(interval)],
            false => [STANDBY_RECHECK, STANDBY_CHECK],
        };
        self.refused_checks = self.refused_checks.saturating_add(1);
        let delay = backoff::delay(first, slowest, self.refused_checks, jitter);
        self.due = Some(now + backoff::delay(FIRST_RETRY, interval, self.failures, jitter));
        if let Miss::Busy(hold) = miss {
            self.hold = Some(now + hold);
        }
        self.next_check = self.hold.map_or(now + delay, |hold| hold.max(now + delay));
    }
}

impl ServerChoice {
    /// Of `count` servers, the first one is used; 0 counts as 1.
    pub fn new(interval: Duration, count: usize, now: Instant) -> ServerChoice {
        let servers = (0..count.max(1)).map(|_| ServerState::new(now)).collect();
        ServerChoice { interval, servers, current: 0, last: 0 }
    }

    /// The server that gets the next heartbeat, by its place in the list.
    pub fn current(&self) -> usize {
        self.current
    }

    /// Whether a server took its last heartbeat or check; `None` before the first.
    pub fn works(&self, server: usize) -> Option<bool> {
        self.servers.get(server)?.works
    }

    /// Chooses for a heartbeat that leaves now. `is_urgent`: it does not wait for a server's back-off.
    ///
    /// # Errors
    /// All servers require a pause, until then.
    pub fn choose(&mut self, is_urgent: bool, now: Instant) -> Result<(), Instant> {
        let current = &self.servers[self.current];
        if current.works != Some(false) && !current.is_held(now) {
            return Ok(());
        }
        let open = || (0..self.servers.len()).filter(|server| !self.servers[*server].is_held(now));
        let due = open().find(|server| self.servers[*server].is_due(now));
        let last = open().find(|server| is_urgent && *server == self.last);
        let next = open().min_by_key(|server| self.servers[*server].due);
        match due.or(last).or(next) {
            Some(server) => {
                self.current = server;
                Ok(())
            }
            None => Err(self.servers.iter().filter_map(|server| server.hold).min().unwrap_or(now)),
        }
    }

    /// The current server took a heartbeat.
    pub fn accepted(&mut self) {
        self.last = self.current;
        self.servers[self.current].took();
    }

    /// The current server did not take a heartbeat. Returns when it is to be repeated: now if another server may take it.
    /// `is_urgent`: also if all require a pause. `jitter` is a random number from 0 to 1.
    pub fn missed(&mut self, miss: Miss, is_urgent: bool, now: Instant, jitter: f64) -> Option<Instant> {
        let interval = self.interval;
        let server = &mut self.servers[self.current];
        if server.works == Some(true) {
            server.hold_down.lost(now);
        }
        server.fell(miss);
        let delay = backoff::delay(FIRST_RETRY, interval, server.failures, jitter);
        (server.due, server.retry) = match miss {
            Miss::Failed => (Some(now + delay), Some(now + delay)),
            Miss::Refused => (Some(now + interval), None),
            Miss::Busy(hold) => {
                server.hold = Some(now + hold);
                (server.hold, server.hold.filter(|_| is_urgent))
            }
        };
        server.next_check = server.hold.map_or(now + FIRST_CHECK, |hold| hold.max(now + FIRST_CHECK));
        self.next_attempt(now)
    }

    /// When a heartbeat that the current server did not take is to be repeated.
    fn next_attempt(&self, now: Instant) -> Option<Instant> {
        let mut others = self.servers.iter().enumerate().filter(|(place, _)| *place != self.current);
        match others.any(|(_, other)| other.is_due(now)) {
            true => Some(now),
            false => self.servers.iter().filter_map(|server| server.retry).min(),
        }
    }

    /// A server that is to get a copy of the heartbeat that has just been sent, the best first.
    pub fn check_due(&self, now: Instant) -> Option<usize> {
        let is_due = |place: &usize| {
            let server = &self.servers[*place];
            *place != self.current && server.next_check <= now && !server.is_held(now)
        };
        (0..self.servers.len()).find(is_due)
    }

    /// The result of a check. True if the server is used from now on.
    pub fn checked(&mut self, place: usize, result: Result<(), Miss>, now: Instant, jitter: f64) -> bool {
        let (interval, is_better) = (self.interval, place < self.current);
        let Some(server) = self.servers.get_mut(place).filter(|_| place != self.current) else {
            return false;
        };
        let returns = match result {
            Ok(()) => server.took_check(is_better, now, jitter),
            Err(miss) => {
                server.missed_check(miss, is_better, interval, now, jitter);
                false
            }
        };
        if returns {
            self.current = place;
        }
        returns
    }
}

/// A fleet that started together does not check together.
fn spread(period: Duration, jitter: f64) -> Duration {
    period.mul_f64(0.75 + jitter / 2.0)
}

#[cfg(test)]
mod tests;
