//! When a channel is tried again, and how many messages a person gets in a row: pure.

use super::channel::Kind;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// After the first failure; doubled up to the cap.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(15 * 60);

/// No receiver silences us for longer, whatever it asks for: what it missed expires after a day.
const LONGEST_HOLD: Duration = Duration::from_secs(3600);

/// A person gets so many messages within the window; what comes then is held to its end and makes one. Telegram takes
/// 20 a minute for a group.
const MOST_IN_A_ROW: usize = 4;
const WINDOW: Duration = Duration::from_secs(15);

/// One channel's.
#[derive(Debug, Default)]
pub struct Pace {
    failures: u32,
    resume_at: Option<Instant>,
    sent: VecDeque<Instant>,
}

impl Pace {
    /// When it may be tried, if not now.
    pub fn waits_until(&self, now: Instant) -> Option<Instant> {
        self.resume_at.filter(|at| *at > now)
    }

    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Whether a message lies so little back that it counts for the next one.
    pub fn counts(&self, now: Instant) -> bool {
        self.sent.back().is_some_and(|last| *last + WINDOW > now)
    }

    /// Whether the next message must wait, because there were many; then it does.
    pub fn must_pause(&mut self, kind: Kind, now: Instant) -> bool {
        if !kind.is_for_people() {
            return false;
        }
        self.sent.retain(|at| *at + WINDOW > now);
        match self.sent.front() {
            Some(first) if self.sent.len() >= MOST_IN_A_ROW => {
                self.resume_at = Some(*first + WINDOW);
                true
            }
            _ => false,
        }
    }

    /// True if it had failed before.
    pub fn worked(&mut self, now: Instant) -> bool {
        self.resume_at = None;
        self.sent.push_back(now);
        if self.sent.len() > MOST_IN_A_ROW {
            self.sent.pop_front();
        }
        std::mem::take(&mut self.failures) > 0
    }

    /// Time until the next attempt: 5 s, doubled up to 15 minutes, or longer if the receiver asked for that. A receiver
    /// never shortens it. Jitter (0 to 1) adds up to half after the cap; without it, all channels at the cap would be
    /// retried at the same moments.
    pub fn failed(&mut self, now: Instant, asked: Option<Duration>, jitter: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let doublings = (self.failures - 1).min(16);
        let own = (FIRST_RETRY * (1 << doublings)).min(LONGEST_RETRY);
        let own = own + own.mul_f64(jitter / 2.0);
        let delay = own.max(asked.unwrap_or_default().min(LONGEST_HOLD));
        self.resume_at = Some(now + delay);
        delay
    }

    /// There was nothing to do, or the database did not work: not again at once.
    pub fn rest(&mut self, now: Instant, pause: Duration) {
        self.resume_at = Some(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn retries_double_from_5_s_to_15_minutes_and_jitter_comes_after_the_cap() {
        let now = Instant::now();
        let mut pace = Pace::default();
        for expected in [5, 10, 20, 40, 80, 160, 320, 640, 900, 900] {
            assert_eq!(pace.failed(now, None, 0.0), SECOND * expected);
        }
        assert_eq!(pace.failed(now, None, 1.0), SECOND * 1350);
        assert!(pace.worked(now));
        assert_eq!(pace.waits_until(now), None);
        assert_eq!(pace.failed(now, None, 0.0), SECOND * 5);
        for _ in 0..1000 {
            pace.failed(now, None, 1.0);
        }
    }

    #[test]
    fn a_receiver_lengthens_the_backoff_up_to_an_hour_and_never_shortens_it() {
        let now = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.failed(now, Some(SECOND * 35), 1.0), SECOND * 35);
        assert_eq!(pace.waits_until(now + SECOND * 34), Some(now + SECOND * 35));
        assert_eq!(pace.waits_until(now + SECOND * 35), None);
        assert_eq!(pace.failed(now, Some(Duration::MAX), 0.0), SECOND * 3600);
        assert_eq!(pace.failed(now, Some(Duration::ZERO), 0.0), SECOND * 20);
        assert_eq!(pace.failed(now, Some(SECOND), 1.0), SECOND * 60);
    }

    #[test]
    fn a_person_gets_four_messages_in_a_row_and_a_program_all_of_them() {
        let now = Instant::now();
        let mut pace = Pace::default();
        for second in 0..4 {
            assert!(!pace.must_pause(Kind::Telegram, now + SECOND * second));
            pace.worked(now + SECOND * second);
        }
        assert!(pace.must_pause(Kind::Telegram, now + SECOND * 4));
        assert_eq!(pace.waits_until(now + SECOND * 4), Some(now + SECOND * 15));
        assert!(!pace.must_pause(Kind::Telegram, now + SECOND * 15));
        assert!(!pace.must_pause(Kind::Webhook, now + SECOND * 4));
    }
}
