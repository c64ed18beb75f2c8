//! The pace of a channel: concurrency, retries, and the rate for people. Pure.
//!
//! A failed message is retried on its own; messages of other machines never wait for it. While nothing gets through, the
//! number of requests is reduced to one new message and one retry at a time, with 5 s to 60 s between retries. Some
//! requests are always reserved for new messages, however many retries hang.

use super::channel::ChannelKind;
use crate::backoff;
use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// Backoff after the first failure of a message; doubled up to the cap.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(15 * 60);

/// Retries after 1, 2, 4, 8, 16 s while the channel delivers other messages.
const QUICK_RETRIES: u32 = 5;

/// A channel counts as delivering for this long after a success: three request timeouts, because requests that hang together
/// end together.
const DELIVERING: Duration = Duration::from_secs(30);

/// The longest `Retry-After` that is respected for a message: notifications expire after a day.
const LONGEST_HOLD: Duration = Duration::from_secs(3600);

/// The longest `Retry-After` of a 429 that is respected for the whole channel.
const LONGEST_CHANNEL_HOLD: Duration = Duration::from_secs(60);

/// Consecutive failures after which a channel that does not deliver counts as down.
const DOWN: u32 = 8;

/// Concurrent requests on a channel that is down: a new message and a retry.
const DOWN_WINDOW: usize = 2;

/// The longest time between two retries on a channel that is down.
const LONGEST_PROBE: Duration = Duration::from_secs(60);

/// A person gets at most this many messages within the window; later ones wait and are grouped. Telegram accepts 20 a minute
/// in a group.
const MOST_IN_WINDOW: usize = 4;
const WINDOW: Duration = Duration::from_secs(15);

/// The number of rows whose backoff can end early when the channel delivers again.
const MOST_BACKED_OFF: usize = 10_000;

/// The messages that may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// This many messages, of which at most `retries` are retries, not before `retries_at`.
    Now { messages: usize, retries: usize, retries_at: Option<Instant> },
    /// Nothing before this time; `None`: not before a message in flight has ended.
    Later(Option<Instant>),
}

/// The facts about a failure that the pace depends on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Setback {
    /// Attempts of the message, including this one.
    pub attempts: u32,
    /// The pause that the receiver requested.
    pub retry_after: Option<Duration>,
    /// The receiver limits our rate, so the wait applies to the channel.
    pub limits_us: bool,
}

/// The pace of one channel.
#[derive(Debug, Default)]
pub struct ChannelPace {
    /// Failures since the last success.
    misses: u32,
    last_success: Option<Instant>,
    /// Nothing is sent before this time.
    resume_at: Option<Instant>,
    /// No retry before this time.
    retries_at: Option<Instant>,
    in_flight: usize,
    /// Retries in flight.
    retries: usize,
    sent: VecDeque<Instant>,
    /// Rows that failed while nothing was delivered.
    backed_off: HashSet<i64>,
}

impl ChannelPace {
    pub fn turn(&mut self, kind: ChannelKind, now: Instant) -> Turn {
        let later = |at: Option<Instant>| at.filter(|at| *at > now);
        if let Some(at) = later(self.resume_at) {
            return Turn::Later(Some(at));
        }
        let window = if self.is_down(now) { DOWN_WINDOW } else { kind.in_flight() };
        let most_retries = window - (window / 4).max(1);
        let mut messages = window.saturating_sub(self.in_flight);
        if kind.is_for_people() {
            self.sent.retain(|at| *at + WINDOW > now);
            let left = MOST_IN_WINDOW.saturating_sub(self.sent.len() + self.in_flight);
            if left == 0 {
                // If nothing was sent yet, the messages in flight decide.
                return Turn::Later(self.sent.front().map(|first| *first + WINDOW));
            }
            messages = messages.min(left);
        }
        match messages {
            0 => Turn::Later(None),
            messages => Turn::Now {
                messages,
                retries: messages.min(most_retries.saturating_sub(self.retries)),
                retries_at: later(self.retries_at),
            },
        }
    }

    /// Counts a message as in flight.
    pub fn started(&mut self, is_retry: bool) {
        self.in_flight += 1;
        self.retries += usize::from(is_retry);
    }

    /// Counts a message as no longer in flight.
    pub fn ended(&mut self, was_retry: bool) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.retries = self.retries.saturating_sub(usize::from(was_retry));
    }

    pub fn is_idle(&self) -> bool {
        self.in_flight == 0
    }

    /// Whether nothing gets through.
    fn is_down(&self, now: Instant) -> bool {
        self.misses >= DOWN && !self.delivers(now)
    }

    fn delivers(&self, now: Instant) -> bool {
        self.last_success.is_some_and(|at| at + DELIVERING > now)
    }

    /// Whether this pace still differs from a new one, for a channel without pending messages. Failures do not count: a
    /// deleted channel never recovers from them.
    pub fn is_worth_keeping(&self, now: Instant) -> bool {
        let recently = |at: &Instant, time: Duration| *at + time > now;
        self.in_flight > 0
            || self.resume_at.is_some_and(|at| at > now)
            || self.last_success.as_ref().is_some_and(|at| recently(at, DELIVERING))
    }

    /// Counts a success. Returns the rows whose backoff ends early.
    pub fn succeeded(&mut self, now: Instant) -> Vec<i64> {
        self.misses = 0;
        self.retries_at = None;
        self.last_success = Some(now);
        self.sent.push_back(now);
        if self.sent.len() > MOST_IN_WINDOW {
            self.sent.pop_front();
        }
        self.backed_off.drain().collect()
    }

    /// Counts a failure. Returns the backoff of these rows: our own, or the pause that the receiver requested if that is longer.
    /// `jitter` is 0 to 1.
    pub fn failed(&mut self, rows: &[i64], setback: Setback, now: Instant, jitter: f64) -> Duration {
        self.misses = self.misses.saturating_add(1);
        let delivers = self.delivers(now);
        let own = match delivers {
            true => quick(setback.attempts, jitter),
            false => slow(setback.attempts, jitter),
        };
        let retry_after = setback.retry_after.unwrap_or_default().min(LONGEST_HOLD);
        if !delivers && retry_after <= own && self.backed_off.len() < MOST_BACKED_OFF {
            self.backed_off.extend(rows);
        }
        if setback.limits_us && !retry_after.is_zero() {
            self.pause(now, retry_after.min(LONGEST_CHANNEL_HOLD));
        }
        if self.is_down(now) {
            self.retries_at = Some(now + slow(self.misses - DOWN + 1, jitter).min(LONGEST_PROBE));
        }
        own.max(retry_after)
    }

    /// Whether the backoff of this row ends early once the channel delivers.
    pub fn may_end_early(&self, row: i64) -> bool {
        self.backed_off.contains(&row)
    }

    /// Sends nothing for this long.
    pub fn pause(&mut self, now: Instant, length: Duration) {
        self.resume_at = Some(self.resume_at.map_or(now + length, |at| at.max(now + length)));
    }
}

/// 1, 2, 4, 8, 16 s, then as [`slow`], from 20 s on.
fn quick(attempts: u32, jitter: f64) -> Duration {
    match attempts {
        0..=QUICK_RETRIES => Duration::from_secs(1 << attempts.saturating_sub(1)),
        more => slow(more - 3, jitter),
    }
}

/// 5 s, doubled up to 15 minutes.
fn slow(attempts: u32, jitter: f64) -> Duration {
    backoff::delay(FIRST_RETRY, LONGEST_RETRY, attempts, jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn attempt(attempts: u32) -> Setback {
        Setback { attempts, ..Setback::default() }
    }

    fn now(messages: usize) -> Turn {
        let most = if messages == 4 { 3 } else { 6 };
        Turn::Now { messages, retries: messages.min(most), retries_at: None }
    }

    #[test]
    fn retries_double_from_5_s_to_15_minutes_and_jitter_comes_after_the_cap() {
        let (now, mut pace) = (Instant::now(), ChannelPace::default());
        for (attempts, seconds) in (1..).zip([5, 10, 20, 40, 80, 160, 320, 640, 900, 900]) {
            assert_eq!(pace.failed(&[1], attempt(attempts), now, 0.0), SECOND * seconds);
        }
        assert_eq!(pace.failed(&[1], attempt(u32::MAX), now, 1.0), SECOND * 1350);
    }

    #[test]
    fn a_message_that_fails_while_others_are_delivered_is_retried_sooner() {
        let (now, mut pace) = (Instant::now(), ChannelPace::default());
        pace.succeeded(now);
        for (attempts, seconds) in (1..).zip([1, 2, 4, 8, 16, 20, 40, 80, 160, 320, 640, 900]) {
            assert_eq!(pace.failed(&[1], attempt(attempts), now, 0.0), SECOND * seconds, "{attempts}");
        }
        let later = now + DELIVERING;
        assert_eq!(
            pace.failed(&[1], attempt(1), later, 0.0),
            SECOND * 5,
            "the last delivery is too long ago"
        );
    }

    #[test]
    fn a_receiver_lengthens_the_backoff_up_to_an_hour_and_never_shortens_it() {
        let (now, mut pace) = (Instant::now(), ChannelPace::default());
        let mut wait = |attempts, retry_after, jitter| {
            let setback = Setback { attempts, retry_after: Some(retry_after), limits_us: false };
            pace.failed(&[1], setback, now, jitter)
        };
        assert_eq!(wait(1, SECOND * 35, 1.0), SECOND * 35);
        assert_eq!(wait(1, Duration::MAX, 0.0), SECOND * 3600);
        assert_eq!(wait(3, Duration::ZERO, 0.0), SECOND * 20);
        assert_eq!(wait(4, SECOND, 1.0), SECOND * 60);
    }

    #[test]
    fn rows_that_failed_while_nothing_was_delivered_are_retried_at_the_next_success() {
        let (now, mut pace) = (Instant::now(), ChannelPace::default());
        pace.failed(&[1, 2], attempt(9), now, 0.0);
        let retry_after = Setback { retry_after: Some(SECOND * 300), ..attempt(1) };
        pace.failed(&[3], retry_after, now, 0.0);
        assert!(pace.may_end_early(2) && !pace.may_end_early(3));
        let mut freed = pace.succeeded(now);
        freed.sort_unstable();
        assert_eq!(freed, [1, 2], "but not the row whose receiver requested a pause");
        pace.failed(&[4], attempt(1), now, 0.0);
        assert!(pace.succeeded(now).is_empty(), "4 failed while the channel delivered");
    }

    #[test]
    fn a_channel_that_is_down_is_tried_by_few_requests_and_new_messages_are_among_them() {
        let (now, mut pace) = (Instant::now(), ChannelPace::default());
        for failures in 0..8 {
            assert_eq!(pace.turn(ChannelKind::Webhook, now), self::now(8), "{failures}");
            pace.failed(&[failures], attempt(1), now, 0.0);
        }
        let few = |retries_at| Turn::Now { messages: 2, retries: 1, retries_at };
        let at = |seconds| few(Some(now + SECOND * seconds));
        for seconds in [5, 10, 20, 40, 60, 60] {
            assert_eq!(pace.turn(ChannelKind::Webhook, now), at(seconds));
            pace.failed(&[1], attempt(1), now, 0.0);
        }
        assert_eq!(pace.turn(ChannelKind::Webhook, now + SECOND * 60), few(None));
        pace.succeeded(now);
        assert_eq!(pace.turn(ChannelKind::Webhook, now), self::now(8));
    }

    #[test]
    fn eight_requests_that_hang_together_do_not_make_a_channel_down_that_has_just_delivered() {
        let (start, mut pace) = (Instant::now(), ChannelPace::default());
        pace.succeeded(start);
        let timeout = start + SECOND * 10;
        for row in 0..8 {
            pace.failed(&[row], attempt(1), timeout, 0.0);
        }
        assert_eq!(pace.turn(ChannelKind::Webhook, timeout), now(8));
        let third = start + SECOND * 30;
        pace.failed(&[9], attempt(1), third, 0.0);
        assert_eq!(
            pace.turn(ChannelKind::Webhook, third),
            Turn::Now { messages: 2, retries: 1, retries_at: Some(third + SECOND * 10) }
        );
    }

    #[test]
    fn a_receiver_that_limits_our_rate_holds_the_channel_for_a_minute_at_most() {
        let (now, mut pace) = (Instant::now(), ChannelPace::default());
        let limited = |retry_after| Setback { attempts: 1, retry_after, limits_us: true };
        pace.failed(&[1], limited(None), now, 0.0);
        pace.failed(&[1], limited(Some(Duration::ZERO)), now, 0.0);
        assert_eq!(pace.turn(ChannelKind::Telegram, now), self::now(4), "it named no time");
        assert_eq!(pace.failed(&[1], limited(Some(SECOND * 600)), now, 0.0), SECOND * 600);
        assert_eq!(pace.turn(ChannelKind::Telegram, now), Turn::Later(Some(now + SECOND * 60)));
        assert_eq!(pace.turn(ChannelKind::Telegram, now + SECOND * 60), self::now(4));
    }

    #[test]
    fn the_pace_of_a_channel_that_was_deleted_while_it_failed_is_not_kept() {
        let (now, mut pace) = (Instant::now(), ChannelPace::default());
        pace.started(true);
        assert!(pace.is_worth_keeping(now));
        pace.ended(true);
        pace.failed(&[1], attempt(1), now, 0.0);
        assert!(!pace.is_worth_keeping(now));
        pace.succeeded(now);
        assert!(pace.is_worth_keeping(now) && !pace.is_worth_keeping(now + DELIVERING));
    }

    #[test]
    fn messages_in_flight_count() {
        let (now, mut pace) = (Instant::now(), ChannelPace::default());
        assert!(pace.is_idle());
        (0..8).for_each(|_| pace.started(false));
        assert!(!pace.is_idle());
        assert_eq!(pace.turn(ChannelKind::Webhook, now), Turn::Later(None));
        pace.ended(false);
        assert_eq!(pace.turn(ChannelKind::Webhook, now), self::now(1));
        assert!(!pace.is_idle());
    }

    #[test]
    fn retries_that_hang_leave_requests_for_new_messages() {
        let (now, mut pace) = (Instant::now(), ChannelPace::default());
        (0..6).for_each(|_| pace.started(true));
        let new_ones = Turn::Now { messages: 2, retries: 0, retries_at: None };
        assert_eq!(pace.turn(ChannelKind::Webhook, now), new_ones);
        pace.started(false);
        pace.ended(true);
        let one_of_each = Turn::Now { messages: 2, retries: 1, retries_at: None };
        assert_eq!(pace.turn(ChannelKind::Webhook, now), one_of_each);
    }

    #[test]
    fn a_person_gets_four_messages_in_a_window_and_a_program_all_of_them() {
        let (now, mut pace) = (Instant::now(), ChannelPace::default());
        for second in 0..4 {
            let at = now + SECOND * second;
            assert_ne!(pace.turn(ChannelKind::Telegram, at), Turn::Later(None));
            pace.succeeded(at);
        }
        let four = now + SECOND * 4;
        assert_eq!(pace.turn(ChannelKind::Telegram, four), Turn::Later(Some(now + SECOND * 15)));
        let one = Turn::Now { messages: 1, retries: 1, retries_at: None };
        assert_eq!(pace.turn(ChannelKind::Telegram, now + SECOND * 15), one);
        assert_eq!(pace.turn(ChannelKind::Webhook, four), self::now(8));
        let mut busy = ChannelPace::default();
        (0..4).for_each(|_| busy.started(false));
        assert_eq!(busy.turn(ChannelKind::Email, now), Turn::Later(None));
    }

    #[test]
    fn a_pace_is_kept_while_it_differs_from_a_new_one() {
        let now = Instant::now();
        let mut pace = ChannelPace::default();
        assert!(!pace.is_worth_keeping(now));
        pace.started(false);
        assert!(pace.is_worth_keeping(now), "a message is in flight");
        pace.ended(false);
        pace.pause(now, SECOND * 10);
        assert!(pace.is_worth_keeping(now + SECOND * 9), "it rests");
        assert!(!pace.is_worth_keeping(now + SECOND * 10));
        pace.succeeded(now);
        assert!(pace.is_worth_keeping(now + DELIVERING - SECOND), "it has just delivered");
        assert!(!pace.is_worth_keeping(now + DELIVERING));
        pace.failed(&[1], attempt(1), now, 0.0);
        assert!(!pace.is_worth_keeping(now + SECOND * 86_400), "a deleted channel may have failed last");
    }
}
