//! When to send: pure decisions over outcomes and time. Which server, [`ServerChoice`] decides.

use super::choice::{Miss, ServerChoice};
use super::outcome::Outcome;
use crate::device::burst::Burst;
use crate::wire::Reason;
use std::time::{Duration, Instant};

/// A server may ask for silence, but not for so long that a living device counts as dead for hours.
const LONGEST_HOLD: Duration = Duration::from_secs(300);

/// Heartbeats for events: 10 in a row, later ones about one a second (each 2 s the one that was put off, and that of the
/// next event). A cable that flaps a hundred times a second must not flood the server.
const IMMEDIATE: Burst = Burst::new(10, Duration::from_secs(2));

/// Decides when the next heartbeat may and must leave, apart from the beat itself.
#[derive(Debug)]
pub struct SendSchedule {
    interval: Duration,
    pub servers: ServerChoice,
    retry: Option<Retry>,
    immediate: Burst,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Retry {
    at: Instant,
    reason: Reason,
}

impl SendSchedule {
    /// For this many servers.
    pub fn new(interval: Duration, servers: usize, now: Instant) -> SendSchedule {
        let servers = ServerChoice::new(interval, servers, now);
        SendSchedule { interval, servers, retry: None, immediate: IMMEDIATE }
    }

    /// Whether a heartbeat may leave now, and chooses its server. One that may not is kept for the end of the hold, unless it is only
    /// a scheduled one: the next beat replaces that.
    pub fn may_send(&mut self, reason: Reason, now: Instant) -> bool {
        match self.servers.choose(reason != Reason::Scheduled, now) {
            Err(until) if reason != Reason::Shutdown => {
                if reason != Reason::Scheduled {
                    self.retry = Some(Retry { at: until, reason });
                }
                false
            }
            _ => true,
        }
    }

    /// Whether a heartbeat for `reason` may leave between two scheduled ones. One that may not is sent as soon as it may,
    /// once for all that come until then. One that a person or a program asked for always may.
    pub fn may_interrupt(&mut self, reason: Reason, now: Instant) -> bool {
        if reason == Reason::Trigger {
            return true;
        }
        let allowed = self.immediate.allow(now);
        if let Err(at) = allowed {
            let at = self.retry.map_or(at, |retry| retry.at.min(at));
            self.retry = Some(Retry { at, reason });
        }
        allowed.is_ok()
    }

    /// When a retry is due.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry.map(|retry| retry.at)
    }

    /// Reason of a heartbeat that leaves now: a reason is repeated until a heartbeat with it is acknowledged.
    pub fn reason(&self, wanted: Reason) -> Reason {
        match self.retry {
            Some(retry) if wanted == Reason::Scheduled => retry.reason,
            _ => wanted,
        }
    }

    /// Updates the schedule by the outcome of a heartbeat. `jitter` is a random number from 0 to 1: a thousand
    /// devices that lost the same server come back apart.
    pub fn update(&mut self, reason: Reason, outcome: &Outcome, now: Instant, jitter: f64) {
        self.retry = None;
        let Some(result) = self.result(outcome, jitter) else { return };
        match result {
            Ok(()) => self.servers.accepted(),
            Err(miss) => {
                let at = self.servers.missed(miss, reason != Reason::Scheduled, now, jitter);
                self.retry = at.map(|at| Retry { at, reason });
            }
        }
    }

    /// Updates the choice by the outcome of a check. True if its server is used from now on.
    pub fn checked(&mut self, server: usize, outcome: &Outcome, now: Instant, jitter: f64) -> bool {
        let result = self.result(outcome, jitter);
        result.is_some_and(|result| self.servers.checked(server, result, now, jitter))
    }

    /// Whether the server took the heartbeat; `None`: the connection was cut by the thread that has triggered the next one.
    fn result(&self, outcome: &Outcome, jitter: f64) -> Option<Result<(), Miss>> {
        Some(match outcome {
            Outcome::Accepted { .. } => Ok(()),
            Outcome::Refused { .. } | Outcome::Rejected { .. } => Err(Miss::Refused),
            Outcome::Busy { hold } => {
                Err(Miss::Busy((*hold).min(LONGEST_HOLD) + self.interval.mul_f64(jitter)))
            }
            Outcome::Failed { .. } | Outcome::Foreign { .. } => Err(Miss::Failed),
            Outcome::Cut => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(5);

    fn failed() -> Outcome {
        Outcome::Failed { problem: "connection refused".into() }
    }

    fn accepted() -> Outcome {
        Outcome::Accepted { status: 200, monitor: false }
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_flood_of_events_is_sent_within_a_bound_and_its_last_one_is_not_lost() {
        let begin = Instant::now();
        let mut pace = SendSchedule::new(INTERVAL, 1, Instant::now());
        let mut sent = 0;
        // 2,500 events in 25 s, each answered at once, and the retries between them.
        for n in 0..2500 {
            let now = begin + ms(10) * n;
            let due = pace.retry_at().is_some_and(|at| at <= now);
            if due || pace.may_interrupt(Reason::Failover, now) {
                sent += 1;
                pace.update(Reason::Failover, &accepted(), now, 0.0);
            }
        }
        assert!((20..=40).contains(&sent), "{sent} heartbeats for 2,500 events");
        assert!(!pace.may_interrupt(Reason::Failover, begin + ms(25_000)));
        assert_eq!(pace.reason(Reason::Scheduled), Reason::Failover, "it is still to be sent");
        assert!(pace.retry_at().is_some_and(|at| at <= begin + ms(27_000)));
    }

    #[test]
    fn retries_double_from_250_ms_to_the_interval_and_end_with_a_success() {
        let now = Instant::now();
        let mut pace = SendSchedule::new(INTERVAL, 1, Instant::now());
        for expected in [250, 500, 1000, 2000, 4000, 5000, 5000, 5000] {
            pace.update(Reason::Scheduled, &failed(), now, 0.0);
            assert_eq!(pace.retry_at(), Some(now + ms(expected)));
        }
        pace.update(Reason::Scheduled, &accepted(), now, 0.0);
        assert_eq!(pace.retry_at(), None);
        pace.update(Reason::Scheduled, &failed(), now, 0.0);
        assert_eq!(pace.retry_at(), Some(now + ms(250)));
    }

    #[test]
    fn jitter_is_added_after_the_cap() {
        let now = Instant::now();
        let mut pace = SendSchedule::new(INTERVAL, 1, Instant::now());
        for _ in 0..20 {
            pace.update(Reason::Scheduled, &failed(), now, 1.0);
        }
        assert_eq!(pace.retry_at(), Some(now + INTERVAL + INTERVAL / 2));
    }

    #[test]
    fn failures_without_end_do_not_overflow() {
        let mut pace = SendSchedule::new(Duration::from_secs(3600), 1, Instant::now());
        for _ in 0..1000 {
            pace.update(Reason::Scheduled, &failed(), Instant::now(), 1.0);
        }
    }

    #[test]
    fn a_refused_or_rejected_heartbeat_keeps_the_pace() {
        let now = Instant::now();
        let mut pace = SendSchedule::new(INTERVAL, 1, Instant::now());
        for outcome in [
            Outcome::Refused { status: 401, with_token: true },
            Outcome::Rejected { status: 404, hint: None },
        ] {
            pace.update(Reason::Scheduled, &outcome, now, 0.5);
            assert_eq!(pace.retry_at(), None);
            assert!(pace.may_send(Reason::Scheduled, now));
        }
    }

    #[test]
    fn retry_after_is_obeyed_and_held_heartbeats_follow() {
        let now = Instant::now();
        let mut pace = SendSchedule::new(INTERVAL, 1, Instant::now());
        pace.update(Reason::Scheduled, &Outcome::Busy { hold: ms(20_000) }, now, 0.0);
        assert!(!pace.may_send(Reason::Scheduled, now + ms(19_999)));
        assert_eq!(pace.retry_at(), None, "the beat will do");
        assert!(!pace.may_send(Reason::Failover, now + ms(10_000)));
        assert_eq!(pace.retry_at(), Some(now + ms(20_000)));
        assert!(pace.may_send(Reason::Failover, now + ms(20_000)));
    }

    #[test]
    fn retry_after_delays_at_most_five_minutes_and_never_the_shutdown_heartbeat() {
        let now = Instant::now();
        let mut pace = SendSchedule::new(INTERVAL, 1, Instant::now());
        pace.update(Reason::Scheduled, &Outcome::Busy { hold: Duration::from_secs(86_400) }, now, 0.0);
        assert!(pace.may_send(Reason::Shutdown, now));
        pace.update(Reason::Scheduled, &Outcome::Busy { hold: Duration::from_secs(86_400) }, now, 0.0);
        assert!(pace.may_send(Reason::Scheduled, now + Duration::from_secs(300)));
    }

    #[test]
    fn the_reason_of_a_failed_heartbeat_is_sent_with_the_next_one() {
        let now = Instant::now();
        let mut pace = SendSchedule::new(INTERVAL, 1, Instant::now());
        pace.update(Reason::Failover, &failed(), now, 0.0);
        assert_eq!(pace.reason(Reason::Scheduled), Reason::Failover);
        assert_eq!(pace.reason(Reason::Trigger), Reason::Trigger);
        pace.update(Reason::Failover, &accepted(), now, 0.0);
        assert_eq!(pace.reason(Reason::Scheduled), Reason::Scheduled);
    }

    /// fleetdm/fleet#53357: with the jitter clamped at the cap a fleet comes back as one herd.
    #[test]
    fn a_hundred_devices_that_lost_one_server_at_the_same_moment_come_back_apart() {
        let begin = Instant::now();
        let mut random = fastrand::Rng::with_seed(7);
        let mut arrivals = [0u32; 10];
        for _ in 0..100 {
            let mut pace = SendSchedule::new(INTERVAL, 1, Instant::now());
            let mut now = begin;
            // Long enough that all of them have reached the cap.
            while now < begin + Duration::from_secs(60) {
                pace.update(Reason::Scheduled, &failed(), now, random.f64());
                now = pace.retry_at().expect("a retry");
            }
            let late = now - begin - Duration::from_secs(60);
            let slot = (late.as_millis() / 750).min(9) as usize;
            arrivals[slot] += 1;
        }
        let peak = arrivals.iter().max().copied().unwrap_or_default();
        assert!(
            peak < 30,
            "100 devices in 10 slots of 750 ms, at most 3 times the mean in one: {arrivals:?}"
        );
    }
}
